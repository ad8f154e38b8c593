//! Tests that generation from the state equals recomputing the whole text, and that every stop condition ends
//! the text.

use super::prefill::prefill_one;
use super::sampling::most_likely_token;
use super::*;
use crate::Detokenizer;
use crate::testing::{decoder, twins, variants};

fn greedy(max_tokens: usize) -> GenerationConfig {
    GenerationConfig {
        max_tokens,
        temperature: 0.0,
        top_p: 1.0,
        stop_strings: Vec::new(),
        eos_token_ids: Vec::new(),
        seed: Seed(0),
    }
}

fn sampling(seed: u32, max_tokens: usize) -> GenerationConfig {
    GenerationConfig { temperature: 1.0, top_p: 0.9, seed: Seed(seed), ..greedy(max_tokens) }
}

fn tokenizer() -> Tokenizer {
    crate::testing::bundled_tokenizer()
}

const PROMPT: [u32; 9] = [4, 8, 15, 16, 23, 42, 4, 8, 15];

/// Generates a text and checks that the callback got all of it.
fn run(model: &Hybrid<'_>, config: &GenerationConfig) -> GeneratedText {
    let mut received = String::new();
    let generated = generate(model, &tokenizer(), &PROMPT, config, &mut |piece| {
        received += piece;
        Ok(())
    });
    let generated = generated.unwrap();
    assert_eq!(received, generated.text);
    generated
}

/// Returns the most likely continuation. The model runs on the whole text for every token.
fn recomputed(model: &Hybrid<'_>, count: usize) -> Vec<u32> {
    let mut row = PROMPT.to_vec();
    for _ in 0..count {
        let whole = prefill_one(model, &row, row.len());
        row.push(most_likely_token(&whole.logits[0]));
    }
    row.split_off(PROMPT.len())
}

/// Returns the text of `tokens`, which follow the prompt.
fn text(tokens: &[u32]) -> String {
    let tokenizer = tokenizer();
    let mut detokenizer = Detokenizer::new(&tokenizer, &PROMPT).unwrap();
    tokens.iter().map(|&token| detokenizer.push(token).unwrap()).collect()
}

#[test]
fn generating_from_the_state_equals_recomputing_the_text() {
    let base = decoder(true, true);
    let check = |model: &Hybrid<'_>| {
        let expected = recomputed(model, 60);
        let generated = run(model, &greedy(60));
        assert_eq!(generated.text, text(&expected));
        assert_eq!((generated.tokens.len(), generated.stop_reason), (60, StopReason::MaxTokens));
    };
    check(&Hybrid::from_base(&base));
    for variant in variants() {
        let twins = twins(&variant, &base);
        check(&Hybrid::new(&base, &twins, &(0..2).collect()));
    }
}

#[test]
fn the_seed_decides_the_text() {
    let base = decoder(false, false);
    let model = Hybrid::from_base(&base);
    let of = |seed: u32| run(&model, &sampling(seed, 40)).text;
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    assert_ne!(of(1), run(&model, &greedy(40)).text);
}

#[test]
fn a_stop_string_over_several_tokens_is_left_out() {
    let base = decoder(false, false);
    let model = Hybrid::from_base(&base);
    let whole = run(&model, &greedy(12)).text;
    // The stop string starts inside one word and ends inside the second word after it.
    let blanks: Vec<usize> = whole.match_indices(' ').map(|(at, _)| at).collect();
    let stop = &whole[blanks[4] - 1..blanks[6] + 2];
    let at = whole.find(stop).unwrap();
    let stopped = run(&model, &GenerationConfig { stop_strings: vec![stop.to_owned()], ..greedy(12) });
    assert_eq!((stopped.text.as_str(), stopped.stop_reason), (&whole[..at], StopReason::StopString));
    assert!(stopped.tokens.len() < 12);
}

#[test]
fn an_end_token_ends_the_text_and_is_left_out() {
    let base = decoder(false, false);
    let model = Hybrid::from_base(&base);
    let tokens = recomputed(&model, 8);
    let first = tokens.iter().position(|&token| token == tokens[5]).unwrap();
    let ended = run(&model, &GenerationConfig { eos_token_ids: vec![tokens[5]], ..greedy(8) });
    assert_eq!(ended.stop_reason, StopReason::EndOfText);
    assert_eq!((ended.tokens.len(), ended.text), (first + 1, text(&tokens[..first])));
}

#[test]
fn a_full_context_ends_the_text() {
    let mut base = decoder(false, false);
    base.config.max_positions = PROMPT.len() + 5;
    let full = run(&Hybrid::from_base(&base), &greedy(50));
    assert_eq!((full.tokens.len(), full.stop_reason), (5, StopReason::ContextFull));
}

#[test]
fn a_text_that_exceeds_the_window_of_the_cache_is_refused() {
    let mut base = decoder(false, false);
    base.config.cache_window = Some(PROMPT.len() + 5);
    assert_eq!(run(&Hybrid::from_base(&base), &greedy(5)).tokens.len(), 5);
    let longer = generate(&Hybrid::from_base(&base), &tokenizer(), &PROMPT, &greedy(6), &mut |_| Ok(()));
    assert!(longer.unwrap_err().to_string().contains("exceed the cache of 14 tokens"));
}

#[test]
fn invalid_prompts_are_refused() {
    let mut base = decoder(false, false);
    base.config.max_positions = 6;
    let refused = |prompt: &[u32]| {
        let result = generate(&Hybrid::from_base(&base), &tokenizer(), prompt, &greedy(3), &mut |_| Ok(()));
        result.unwrap_err().to_string()
    };
    assert!(refused(&[]).contains("no tokens"));
    assert!(refused(&PROMPT).contains("9 tokens, and the model's context ends at 6"));
    assert!(refused(&[50]).contains("token 50"));
}
