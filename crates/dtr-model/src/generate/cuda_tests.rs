//! Tests that recorded steps with refilled rows generate the texts that each prompt has alone on a GPU.

use std::ops::ControlFlow;

use burn::tensor::DType;

use super::*;
use crate::testing::{bundled_tokenizer, twins_with_random_convolutions, variants};
use crate::{Decoder, DecoderConfig, DecoderShape, DecoderState, Mask, RandomParams, to_dtype};

const EOS: u32 = 7;
const MAX_NEW_TOKENS: usize = 30;

fn prompts() -> Vec<Vec<u32>> {
    let prompt = |(index, length): (u32, u32)| (0..length).map(|at| (11 * index + 3 * at) % 90).collect();
    (0..).zip([9, 1, 70, 3, 33, 130, 2, 64, 17, 65]).map(prompt).collect()
}

/// Continues `prompt` alone, by one forward pass for each token.
fn generate_alone(model: &Hybrid<'_>, prompt: &[u32]) -> Vec<u32> {
    let mut state = DecoderState::new(model.num_layers()).with_capacity(prompt.len() + MAX_NEW_TOKENS);
    let (mut input, mut tokens) = (prompt.to_vec(), Vec::new());
    while tokens.len() < MAX_NEW_TOKENS && !tokens.contains(&EOS) {
        let hidden = model.forward_hidden(&[input.clone()], None, Some(&mut state));
        let logits = model.logits(hidden.narrow(1, input.len() - 1, 1).squeeze_dim::<2>(0));
        let token = logits.argmax(1).into_data().iter::<u32>().next().unwrap();
        tokens.push(token);
        input = vec![token];
    }
    tokens
}

fn check(name: &str, model: &Hybrid<'_>) {
    let tokenizer = bundled_tokenizer();
    for rows in [1, 3, 16] {
        let limits = GenerationLimits::new(rows, 256, MAX_NEW_TOKENS);
        let generator = BatchGenerator::new(model, &tokenizer, limits, &[EOS]).unwrap();
        let mut num_finished = 0;
        let on_finished = |prompt: usize, generated: GeneratedText| {
            let alone = generate_alone(model, &prompts()[prompt]);
            assert_eq!(generated.tokens, alone, "{name}: prompt {prompt} in {rows} rows");
            num_finished += 1;
            Ok(ControlFlow::Continue(()))
        };
        generator.generate(prompts(), |_| |_: &str| false, on_finished).unwrap();
        assert_eq!(num_finished, prompts().len());
    }
}

#[test]
fn refilled_rows_of_a_recorded_step_generate_the_texts_of_each_prompt_alone() {
    let Some(device) = dtr_ops::open_cuda_devices().into_iter().next() else {
        eprintln!("SKIPPED: there is no CUDA device");
        return;
    };
    let shape = DecoderShape {
        hidden_size: 64,
        intermediate_size: 96,
        num_layers: 3,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 16,
        tokenizer: None,
    };
    let config = DecoderConfig { qkv_bias: true, qk_norm: true, ..shape.llama_config(90, 256) };
    let base = Decoder::new(&config, &mut RandomParams::new(Seed(3), &device)).unwrap();
    let base = to_dtype(base, DType::F32);
    check("base", &Hybrid::from_base(&base));
    for variant in variants() {
        let twins = twins_with_random_convolutions(&variant, &base).to_dtype(DType::F32);
        for layers in [&[1][..], &[0, 1, 2]] {
            let mask: Mask = layers.iter().copied().collect();
            check(&format!("{layers:?} {variant:?}"), &Hybrid::new(&base, &twins, &mask));
        }
    }
}
