//! Distils twins of the bundled base model for a few steps and prints the loss of each layer.
//!
//! A twin is a linear-attention block that learns to imitate the attention of one layer of the base model.
//! These twins use gated linear attention (GLA).
//!
//! `cargo run --release --example distil_twins`

use std::path::Path;

use burn::tensor::Device;
use dtr::algorithms::distil::{DistilConfig, Student, distil};
use dtr::data::CorpusSource;
use dtr::data::token_sequences::TokenSequences;
use dtr::observer::NullObserver;
use dtr_core::checkpoint::CheckpointFile;
use dtr_core::count::Count;
use dtr_core::error::Result;
use dtr_model::{BaseModel, BlockConfig, GeometryConfig, GlaConfig, TwinInit, TwinVariant};

fn main() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini");
    let base = BaseModel::read(&directory, &Device::flex())?;
    let variant = TwinVariant {
        block: BlockConfig::Gla(GlaConfig::default()),
        geometry: GeometryConfig::default(),
        init: TwinInit::Calibrated,
    };
    let config = DistilConfig {
        token_budget: Count(16_384),
        sequence_length: 128,
        batch_size: 8,
        ..DistilConfig::default()
    };
    let sequences = TokenSequences::new(
        &CorpusSource::default(),
        &base.tokenizer,
        config.training_schedule().sequence_shape(),
        config.seed,
        &NullObserver,
    )?;

    // If this program is interrupted, its next run resumes the training from this checkpoint.
    let checkpoint = CheckpointFile::new(std::env::temp_dir().join("dtr-example.checkpoint"), "example");
    let layers = 0..base.decoder.config.num_layers;
    let student = Student::new_or_resume("gla", &variant, &base.decoder, layers, &config, &checkpoint)?;
    let mut students = [student];
    distil(&base.decoder, &mut students, &config, &sequences, &NullObserver)?;

    let [student] = students;
    let result = student.finish()?.result;
    println!("{} steps, {} tokens", result.steps, result.tokens);
    for layer in &result.layers {
        println!("layer {}: loss {:.5} -> {:.5}", layer.layer, layer.initial, layer.r#final);
    }
    Ok(())
}
