//! Tests that the text of a prompt does not depend on the prompts beside it, and that rows are refilled.

use std::ops::ControlFlow;

use super::sampling::most_likely_token;
use super::*;
use crate::testing::{bundled_tokenizer, decoder, twins_with_random_convolutions, variants};
use crate::{DecoderState, Detokenizer, Mask};

/// Tokens that end a text.
const EOS: [u32; 2] = [7, 31];

const MAX_NEW_TOKENS: usize = 40;

/// Returns prompts of different lengths. Three of them do not fit one forward pass together.
fn prompts() -> Vec<Vec<u32>> {
    let prompt = |(index, length): (u32, u32)| {
        (0..length).map(|at| (11 * index + 3 * at + at * at + index * at) % 50).collect()
    };
    (0..).zip([9, 1, 70, 3, 33, 420, 2, 64, 17, 410, 5, 65, 400]).map(prompt).collect()
}

/// Continues `prompt` alone: one forward pass over the prompt, and one over each new token.
fn generate_alone(model: &Hybrid<'_>, prompt: &[u32], max_new_tokens: usize) -> (Vec<u32>, StopReason) {
    let mut state = DecoderState::new(model.num_layers()).with_capacity(prompt.len() + max_new_tokens);
    let mut input = prompt.to_vec();
    let mut tokens = Vec::new();
    while tokens.len() < max_new_tokens {
        let hidden = model.forward_hidden(&[input.clone()], None, Some(&mut state));
        let logits = model.logits(hidden.narrow(1, input.len() - 1, 1).squeeze_dim::<2>(0));
        let token = most_likely_token(&logits.into_data().try_to_vec::<f32>().unwrap());
        tokens.push(token);
        if EOS.contains(&token) {
            return (tokens, StopReason::EndOfText);
        }
        input = vec![token];
    }
    (tokens, StopReason::MaxTokens)
}

/// Continues `prompts` in batches of `rows`. Returns the texts in the order of the prompts.
fn generate_batch(model: &Hybrid<'_>, prompts: Vec<Vec<u32>>, rows: usize) -> Vec<GeneratedText> {
    let tokenizer = bundled_tokenizer();
    let limits = GenerationLimits::new(rows, 256 * 2, MAX_NEW_TOKENS);
    let generator = BatchGenerator::new(model, &tokenizer, limits, &EOS).unwrap();
    let mut generated: Vec<Option<GeneratedText>> = vec![None; prompts.len()];
    let result = generator.generate(
        prompts,
        |_| |_: &str| false,
        |prompt, text| {
            assert!(generated[prompt].replace(text).is_none(), "prompt {prompt} finished twice");
            Ok(ControlFlow::Continue(()))
        },
    );
    result.unwrap();
    generated.into_iter().map(Option::unwrap).collect()
}

/// Checks that each prompt has the tokens that it has alone, for several numbers of rows and orders.
fn check(name: &str, model: &Hybrid<'_>) {
    let expected: Vec<_> =
        prompts().iter().map(|prompt| generate_alone(model, prompt, MAX_NEW_TOKENS)).collect();
    let mut order: Vec<usize> = (0..expected.len()).collect();
    for rows in [1, 2, 3, 5, 13, 20] {
        let ordered: Vec<Vec<u32>> = order.iter().map(|&prompt| prompts()[prompt].clone()).collect();
        for (&prompt, text) in order.iter().zip(generate_batch(model, ordered, rows)) {
            let found = (text.tokens, text.stop_reason);
            assert_eq!(found, expected[prompt], "{name}: prompt {prompt} in {rows} rows");
            assert_eq!(text.prompt_tokens, prompts()[prompt].len());
        }
        order.rotate_left(5);
        order[..7].reverse();
    }
}

fn long_decoder(bias: bool, norm: bool) -> crate::Decoder {
    let mut base = decoder(bias, norm);
    base.config.max_positions *= 2;
    base
}

#[test]
fn a_text_of_full_attention_does_not_depend_on_the_batch() {
    for (bias, norm) in [(false, false), (true, true)] {
        let base = long_decoder(bias, norm);
        let model = Hybrid::from_base(&base);
        let length = |prompt: Vec<u32>| generate_alone(&model, &prompt, MAX_NEW_TOKENS).0.len();
        let lengths: std::collections::BTreeSet<usize> = prompts().into_iter().map(length).collect();
        assert!(lengths.len() > 3, "texts must end at different lengths, not {lengths:?}");
        check("base", &model);
    }
}

#[test]
fn a_text_of_each_linear_block_does_not_depend_on_the_batch() {
    let base = long_decoder(true, true);
    for variant in variants() {
        let twins = twins_with_random_convolutions(&variant, &base);
        check(&format!("{variant:?}"), &Hybrid::new(&base, &twins, &(0..3).collect()));
    }
}

#[test]
fn a_text_of_mixed_layers_does_not_depend_on_the_batch() {
    let base = long_decoder(true, false);
    for variant in variants() {
        let twins = twins_with_random_convolutions(&variant, &base);
        for layers in [&[1][..], &[0, 2]] {
            let mask: Mask = layers.iter().copied().collect();
            check(&format!("{layers:?} {variant:?}"), &Hybrid::new(&base, &twins, &mask));
        }
    }
}

#[test]
fn a_sampled_text_does_not_depend_on_the_number_of_rows() {
    let base = long_decoder(false, false);
    let model = Hybrid::from_base(&base);
    let tokenizer = bundled_tokenizer();
    let config = GenerationConfig {
        max_tokens: 12,
        temperature: 1.0,
        top_p: 0.9,
        stop_strings: Vec::new(),
        eos_token_ids: Vec::new(),
        seed: Seed(4),
    };
    let sample = |rows: usize| {
        let mut texts = vec![String::new(); 6];
        generate_all(&model, &tokenizer, &prompts()[..6], &config, rows, &mut |prompt, generated| {
            texts[prompt] = generated.text;
            Ok(())
        })
        .unwrap();
        texts
    };
    assert_eq!(sample(1), sample(4));
    let same = vec![prompts()[0].clone(); 2];
    let mut texts = Vec::new();
    generate_all(&model, &tokenizer, &same, &config, 2, &mut |_, generated| {
        texts.push(generated.text);
        Ok(())
    })
    .unwrap();
    assert_ne!(texts[0], texts[1], "equal prompts must have different samples");
}

#[test]
fn a_matcher_gets_the_whole_text_in_order_and_can_end_it() {
    let base = long_decoder(false, false);
    let model = Hybrid::from_base(&base);
    let tokenizer = bundled_tokenizer();
    let limits = GenerationLimits::new(3, 512, MAX_NEW_TOKENS);
    let generator = BatchGenerator::new(&model, &tokenizer, limits, &[]).unwrap();
    let received = RefCell::new(vec![String::new(); prompts().len()]);
    let received_ref = &received;
    // A text of an odd prompt ends in its tenth piece.
    let new_matcher = |prompt: usize| {
        let mut num_pieces = 0;
        move |piece: &str| {
            received_ref.borrow_mut()[prompt] += piece;
            num_pieces += 1;
            prompt % 2 == 1 && num_pieces == 10
        }
    };
    let mut num_finished = 0;
    let on_finished = |prompt: usize, text: GeneratedText| {
        num_finished += 1;
        assert_eq!(text.text, received.borrow()[prompt]);
        let mut detokenizer = Detokenizer::new(&tokenizer, &prompts()[prompt]).unwrap();
        let pieces: String = text.tokens.iter().map(|&token| detokenizer.push(token).unwrap()).collect();
        assert_eq!(text.text, pieces);
        let expected = if prompt % 2 == 1 { StopReason::StopString } else { StopReason::MaxTokens };
        assert_eq!(text.stop_reason, expected);
        Ok(ControlFlow::Continue(()))
    };
    generator.generate(prompts(), new_matcher, on_finished).unwrap();
    assert_eq!(num_finished, prompts().len());
}

#[test]
fn a_long_prompt_loses_its_first_tokens() {
    let base = long_decoder(false, false);
    let model = Hybrid::from_base(&base);
    let tokenizer = bundled_tokenizer();
    let limits = GenerationLimits::new(2, 60, 20);
    let generator = BatchGenerator::new(&model, &tokenizer, limits, &EOS).unwrap();
    let on_finished = |prompt: usize, text: GeneratedText| {
        let ids = &prompts()[prompt];
        let kept = &ids[ids.len().saturating_sub(40)..];
        assert_eq!(text.prompt_tokens, kept.len());
        assert_eq!((text.tokens, text.stop_reason), generate_alone(&model, kept, 20));
        Ok(ControlFlow::Continue(()))
    };
    generator.generate(prompts(), |_| |_: &str| false, on_finished).unwrap();
}

#[test]
fn the_caller_can_end_the_generation() {
    let base = long_decoder(false, false);
    let model = Hybrid::from_base(&base);
    let tokenizer = bundled_tokenizer();
    let limits = GenerationLimits::new(2, 512, 5);
    let generator = BatchGenerator::new(&model, &tokenizer, limits, &[]).unwrap();
    let num_taken = std::cell::Cell::new(0);
    let queue = prompts().into_iter().inspect(|_| num_taken.set(num_taken.get() + 1));
    let mut finished = Vec::new();
    let on_finished = |prompt: usize, _| {
        finished.push(prompt);
        Ok(if finished.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    generator.generate(queue, |_| |_: &str| false, on_finished).unwrap();
    assert_eq!(finished.len(), 3);
    assert!(num_taken.get() < prompts().len(), "prompts must be taken only when rows are unused");
    let failed =
        generator.generate(prompts(), |_| |_: &str| false, |_, _| Err(Error::failed("the disk is full")));
    assert!(failed.unwrap_err().to_string().contains("the disk is full"));
}

#[test]
fn limits_that_no_prompt_fits_are_refused() {
    let base = decoder(false, false);
    let model = Hybrid::from_base(&base);
    let tokenizer = bundled_tokenizer();
    let refused = |limits: GenerationLimits| {
        BatchGenerator::new(&model, &tokenizer, limits, &[]).err().unwrap().to_string()
    };
    assert!(refused(GenerationLimits::new(4, 300, 20)).contains("context ends at 256"));
    assert!(refused(GenerationLimits::new(4, 100, 100)).contains("no prompt fits"));
    assert!(refused(GenerationLimits::new(0, 100, 10)).contains("in 0 rows"));
}
