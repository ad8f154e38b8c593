//! Finds layers of the bundled base model whose attention linear-attention blocks can replace. A custom
//! score measures how many predictions of the base model stay the same.
//!
//! `cargo run --release --example search_with_custom_score`

use std::path::Path;

use burn::tensor::Device;
use dtr::algorithms::candidate::Candidate;
use dtr::algorithms::score::ScoreBounds;
use dtr::algorithms::search::{BatchPolicy, SearchStrategy, StopCriterion, search};
use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::{
    BaseModel, BlockConfig, GdnConfig, GeometryConfig, Hybrid, Mask, RandomParams, TwinInit, TwinVariant,
    Twins,
};

const TEXT: &str =
    "mira puts the lamp in the kitchen. mira puts the lamp in the garden. where is the lamp? in the garden.";

/// Returns the most likely next token after each token of `ids`.
fn predictions(model: &Hybrid<'_>, ids: &[u32]) -> Vec<u32> {
    let hidden = model.forward_hidden(&[ids.to_vec()], None, None).squeeze_dim::<2>(0);
    model.logits(hidden).argmax(1).into_data().iter::<u32>().collect()
}

fn main() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini");
    let device = Device::flex();
    let base = BaseModel::read(&directory, &device)?;
    let ids = base.tokenizer.encode(TEXT, true)?;
    let variant = TwinVariant {
        block: BlockConfig::Gdn(GdnConfig::default()),
        geometry: GeometryConfig::default(),
        init: TwinInit::Copy,
    };
    let twins = Twins::new(&variant, &base.decoder, &mut RandomParams::new(Seed(1), &device))?;

    // The score of a hybrid is the fraction of positions at which it predicts the base's next token.
    let expected = predictions(&Hybrid::from_base(&base.decoder), &ids);
    let agreement = |mask: &Mask| {
        let predicted = predictions(&Hybrid::new(&base.decoder, &twins, mask), &ids);
        let num_equal = predicted.iter().zip(&expected).filter(|(a, b)| a == b).count();
        num_equal as f64 / ids.len() as f64
    };
    let mut score = |batch: &[Candidate<'_>]| {
        Ok(batch.iter().map(|candidate| ScoreBounds::exact(agreement(candidate.mask))).collect())
    };

    let layers: Vec<u32> = (0..base.decoder.config.num_layers as u32).collect();
    let policy = BatchPolicy { prune: false, candidates_per_batch: 4 };
    let stop = StopCriterion::MaxRelativeDrop(0.3);
    let outcome = search(&SearchStrategy::Greedy {}, &layers, &stop, policy, &mut score)?;
    let (mask, score) = outcome.opt;
    println!("replacing the layers {:?} keeps {:.0} % of the predictions", mask.layers(), 100.0 * score);
    Ok(())
}
