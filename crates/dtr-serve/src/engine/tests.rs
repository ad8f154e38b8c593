//! Tests that the events of a prompt depend neither on other prompts nor on the prefix cache.

use std::path::Path;

use burn::tensor::Device;

use super::*;
use dtr_core::seed::Seed;
use dtr_model::generate::{GenerationConfig, generate};

fn model() -> LoadedModel {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini");
    LoadedModel::read(&directory, &Device::flex()).unwrap()
}

fn engine(rows: usize, prefix_cache_bytes: u64) -> Engine {
    Engine::start(model(), EngineLimits { rows, queue: 64, prefix_cache_bytes }).unwrap()
}

/// Returns prompts of different lengths. The first half of each long prompt is equal.
fn requests() -> Vec<GenerationRequest> {
    let request = |(sample, length): (usize, u32)| GenerationRequest {
        prompt: (0..length).map(|at| if at < 40 { at + 4 } else { 4 + at + sample as u32 }).collect(),
        max_new_tokens: 12 + sample,
        sampling: SamplingConfig { temperature: (sample % 2) as f64, top_p: 0.9, seed: Seed(7) },
        sample,
        eos_token_ids: vec![2],
        log_probs: Some(2),
        has_prompt_log_probs: sample % 3 == 2,
    };
    (0..).zip([1, 33, 32, 70, 64, 97, 5, 65, 90]).map(request).collect()
}

fn collect(mut receiver: EventReceiver) -> Vec<EngineEvent> {
    std::iter::from_fn(|| receiver.blocking_recv()).collect()
}

fn without_cache_counts(events: &[EngineEvent]) -> Vec<EngineEvent> {
    let is_other = |event: &&EngineEvent| !matches!(event, EngineEvent::PromptRead { .. });
    events.iter().filter(is_other).cloned().collect()
}

#[test]
fn events_depend_neither_on_other_prompts_nor_on_the_prefix_cache() {
    let alone = engine(1, 0);
    let expected: Vec<Vec<EngineEvent>> = requests()
        .into_iter()
        .map(|request| without_cache_counts(&collect(alone.submit(vec![request]).unwrap().remove(0))))
        .collect();
    assert!(expected.iter().all(|events| matches!(events.last(), Some(EngineEvent::Ended(_)))));
    for rows in [1, 3, 16] {
        let engine = engine(rows, 1 << 30);
        let mut cached_tokens = 0;
        for _ in 0..2 {
            let found: Vec<Vec<EngineEvent>> =
                engine.submit(requests()).unwrap().into_iter().map(collect).collect();
            for (prompt, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(&without_cache_counts(found), expected, "prompt {prompt} in {rows} rows");
            }
            let count = |event: &EngineEvent| match event {
                EngineEvent::PromptRead { cached_tokens } => *cached_tokens,
                _ => 0,
            };
            cached_tokens = found.iter().flatten().map(count).sum();
        }
        // Prompts 1, 3, 4, 6 and 7 may use the cache, with borders every 32 tokens.
        assert_eq!(cached_tokens, 32 + 64 + 32 + 64, "{rows} rows");
    }
}

#[test]
fn a_greedy_text_is_that_of_the_generator() {
    let (engine, model) = (engine(4, 1 << 30), model());
    for mut request in requests().into_iter().filter(|request| request.prompt.len() <= 32) {
        request.sampling = SamplingConfig::GREEDY;
        let config = GenerationConfig {
            max_tokens: request.max_new_tokens,
            temperature: 0.0,
            top_p: 1.0,
            stop_strings: Vec::new(),
            eos_token_ids: vec![2],
            seed: Seed(0),
        };
        let expected =
            generate(&model.hybrid(), &model.tokenizer, &request.prompt, &config, &mut |_| Ok(())).unwrap();
        let events = collect(engine.submit(vec![request]).unwrap().remove(0));
        let token = |event: &EngineEvent| match event {
            EngineEvent::Token(token, _) => Some(*token),
            _ => None,
        };
        assert_eq!(events.iter().filter_map(token).collect::<Vec<_>>(), expected.tokens);
    }
}

#[test]
fn a_full_queue_refuses_prompts_and_a_dropped_receiver_frees_its_row() {
    let engine = Engine::start(model(), EngineLimits { rows: 1, queue: 2, prefix_cache_bytes: 0 }).unwrap();
    let long = GenerationRequest { max_new_tokens: 100, eos_token_ids: Vec::new(), ..requests().remove(0) };
    assert_eq!(engine.submit(vec![long.clone(); 3]).err(), Some(SubmitError::TooMany(2)));
    let mut running = engine.submit(vec![long.clone()]).unwrap().remove(0);
    running.blocking_recv().unwrap();
    let waiting = engine.submit(vec![long.clone(); 2]).unwrap();
    assert_eq!(engine.submit(vec![long.clone()]).err(), Some(SubmitError::QueueFull));
    drop((running, waiting));
    // The row and the places in the queue become free at some step.
    let accepted = std::iter::repeat_with(|| engine.submit(vec![long.clone()]))
        .find_map(|submitted| submitted.ok())
        .unwrap();
    drop(engine);
    let events = collect(accepted.into_iter().next().unwrap());
    assert_eq!(
        events.last(),
        Some(&EngineEvent::Ended(EndReason::MaxTokens)),
        "accepted prompts are finished"
    );
}
