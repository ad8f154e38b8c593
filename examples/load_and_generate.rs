//! Continues a prompt with a base model or an exported hybrid. A hybrid is a base model in which
//! linear-attention blocks replace the attention of some layers.
//!
//! `cargo run --release --example load_and_generate [DIRECTORY [PROMPT]]`

use std::io::Write;
use std::path::PathBuf;

use burn::tensor::Device;
use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::generate::{GenerationConfig, generate};
use dtr_model::{LoadedModel, read_eos_token_ids};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/models/mini");
    let directory = PathBuf::from(arguments.next().unwrap_or(bundled.to_owned()));
    let prompt = arguments.next().unwrap_or("where is the lamp?".to_owned());

    let model = LoadedModel::read(&directory, &Device::flex())?;
    println!("replaced layers: {:?}", model.mask.layers());
    let config = GenerationConfig {
        max_tokens: 16,
        temperature: 0.8,
        top_p: 0.95,
        stop_strings: Vec::new(),
        eos_token_ids: read_eos_token_ids(&directory)?,
        seed: Seed(7),
    };
    print!("{prompt}");
    let mut print = |text: &str| {
        print!("{text}");
        // Show each token at once. Errors are ignored, since standard output may be closed.
        let _ = std::io::stdout().flush();
        Ok(())
    };
    let ids = model.tokenizer.encode(&prompt, true)?;
    let generated = generate(&model.hybrid(), &model.tokenizer, &ids, &config, &mut print)?;
    println!("\n{} tokens, stopped by {:?}", generated.tokens.len(), generated.stop_reason);
    Ok(())
}
