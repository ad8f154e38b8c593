//! Compares texts that dtr and Hugging Face transformers generate in batches. transformers continues all
//! prompts as one batch with left padding. Some stop strings begin and end inside a token.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use burn::tensor::Device;
use dtr_model::generate::{BatchGenerator, GeneratedText, GenerationLimits};
use dtr_model::{BaseModel, Hybrid, Tokenizer};
use serde::Deserialize;

use crate::support::fixture;

#[derive(Deserialize)]
struct Expected {
    max_new_tokens: usize,
    prompts: Vec<Vec<u32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    eos_token_ids: Vec<u32>,
    stop_strings: Vec<String>,
    /// The new tokens of each prompt, up to the token that ends the text.
    tokens: Vec<Vec<u32>>,
    /// The text generated for each prompt, up to the first stop string.
    texts: Vec<String>,
}

/// Returns the part of `text` before the first of `stops`.
fn text_before<'a>(text: &'a str, stops: &[String]) -> &'a str {
    let first = stops.iter().filter_map(|stop| text.find(stop.as_str())).min();
    &text[..first.unwrap_or(text.len())]
}

#[test]
fn texts_of_a_batch_equal_those_of_transformers() {
    let folder = fixture("generation");
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&expected).unwrap();
    let base = BaseModel::read(&folder, &Device::flex()).unwrap();
    let tokenizer = Tokenizer::read_directory(&folder).unwrap();
    let model = Hybrid::from_base(&base.decoder);
    for (case, rows) in expected.cases.iter().flat_map(|case| [1, 3, 10].map(|rows| (case, rows))) {
        let limits = GenerationLimits::new(rows, 256, expected.max_new_tokens);
        let generator = BatchGenerator::new(&model, &tokenizer, limits, &case.eos_token_ids).unwrap();
        let new_matcher = |_| {
            let mut text = String::new();
            move |piece: &str| {
                text += piece;
                case.stop_strings.iter().any(|stop| text.contains(stop.as_str()))
            }
        };
        let mut found: BTreeMap<usize, GeneratedText> = BTreeMap::new();
        let result = generator.generate(expected.prompts.clone(), new_matcher, |prompt, generated| {
            found.insert(prompt, generated);
            Ok(ControlFlow::Continue(()))
        });
        result.unwrap();
        assert_eq!(found.len(), expected.prompts.len());
        for (prompt, generated) in found {
            let label = format!("prompt {prompt} in {rows} rows, stop strings {:?}", case.stop_strings);
            assert_eq!(generated.tokens, case.tokens[prompt], "{label}");
            assert_eq!(text_before(&generated.text, &case.stop_strings), case.texts[prompt], "{label}");
        }
    }
}
