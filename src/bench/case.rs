//! The searches that are measured: that of the bundled base on its tasks, and that of a deep base with random weights
//! over items of the shape of PubMedQA's.

use std::path::Path;

use burn::tensor::Device;

use crate::algorithms::distil::DistilConfig;
use crate::algorithms::distil::{self, Student};
use crate::algorithms::search::StopCriterion;
use crate::data::sequences::Sequences;
use crate::data::{Item, Split, synthetic::SyntheticLanguage, synthetic_tokenizer};
use crate::manifest::{Corpus, Metric, SyntheticTaskKind};
use crate::observer::Observer;
use dtr_core::checkpoint::Sealed;
use dtr_core::count::Count;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::optim::AdamWConfig;
use dtr_model::{Architecture, Block, Geometry, GlaConfig, Init, Variant};
use dtr_model::{Base, Checkpoint, Config, Decoder, Random, Tokenizer, Twins};

/// A search to be measured.
pub struct Case {
    /// What people call it.
    pub name: String,
    /// The base.
    pub base: Decoder,
    /// Its twins.
    pub twins: Twins,
    /// The base's tokenizer.
    pub tokenizer: Tokenizer,
    /// The items that guide.
    pub items: Vec<Item>,
    /// How a choice is made.
    pub metric: Metric,
    /// The order in which candidates of the first round are tried.
    pub order: Vec<u32>,
    /// When to stop.
    pub stop: StopCriterion,
}

impl Case {
    /// Tokens that a row may have.
    pub(super) fn room(&self) -> usize {
        self.base.config.max_positions
    }
}

/// The searches of a base of the closed language for each of its tasks, `num_items` of each, with twins that learnt from
/// 32k tokens.
///
/// # Errors
/// When the base cannot be read.
pub fn bundled(directory: &Path, num_items: usize, observer: &dyn Observer) -> Result<Vec<Case>> {
    let Base { decoder, tokenizer } = Base::read(directory, &Device::flex())?;
    let (twins, order) = learnt(&decoder, &tokenizer, observer)?;
    let language = SyntheticLanguage::new(Seed(1));
    let kinds = [
        ("recall", SyntheticTaskKind::Recall),
        ("facts", SyntheticTaskKind::Facts),
        ("topic", SyntheticTaskKind::Topic),
        ("moves", SyntheticTaskKind::Moves),
    ];
    kinds
        .into_iter()
        .map(|(name, kind)| {
            Ok(Case {
                name: format!("{} layers, {name}", decoder.config.num_layers),
                base: decoder.clone(),
                twins: twins.clone(),
                tokenizer: tokenizer.clone(),
                items: language.items(kind, Split::Validation, num_items)?,
                metric: Metric::Acc,
                order: order.clone(),
                stop: StopCriterion::MaxRelativeDrop(0.05),
            })
        })
        .collect()
}

fn variant(init: Init) -> Variant {
    Variant { block: Block::Gla(GlaConfig::default()), geometry: Geometry::default(), init }
}

/// Twins that learnt a little, and the layers by how well they did.
fn learnt(base: &Decoder, tokenizer: &Tokenizer, observer: &dyn Observer) -> Result<(Twins, Vec<u32>)> {
    let recipe = DistilConfig {
        token_budget: Count(32_000),
        sequence_length: 128,
        batch_size: 8,
        optimizer: AdamWConfig { learning_rate: 2e-3, ..AdamWConfig::default() },
        seed: Seed(0),
    };
    let folder = tempfile::tempdir().map_err(|cause| Error::io("write in", &std::env::temp_dir(), cause))?;
    let checkpoint = Sealed::new(folder.path().join("twins.safetensors"), "bench");
    let layers = 0..base.config.num_layers;
    let variant = variant(Init::Calibrated);
    let mut pupils = vec![Student::new("gla", &variant, base, layers, &recipe, &checkpoint)?];
    let source = Corpus::default().source;
    let sequences = Sequences::new(&source, tokenizer, distil::extent(&recipe), recipe.seed, observer)?;
    distil::distil(base, &mut pupils, &recipe, &sequences, observer)?;
    let taught = pupils.remove(0).finish()?;
    // From a file, as a search has them: matrices lie otherwise while they learn.
    let path = folder.path().join("taught.safetensors");
    taught.write_twins(&path)?;
    let mut stored = Checkpoint::read(&[path], &base.device())?;
    Ok((Twins::new(&variant, base, &mut stored)?, taught.result.layers_by_loss()))
}

/// The search over every fourth layer of a base of 28 layers with random weights, on 24 items of three choices of one
/// word after some three hundred words. Over all layers it would take a plain search hours.
///
/// # Errors
/// When the closed language's tokenizer cannot be built, which would be a bug here.
pub fn deep() -> Result<Case> {
    let tokenizer = Tokenizer::from(synthetic_tokenizer()?);
    let shape = Architecture {
        hidden_size: 64,
        intermediate_size: 192,
        num_layers: 28,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 16,
        tokenizer: None,
    };
    let config = Config::llama(&shape, tokenizer.vocab_size(), 1024);
    let device = Device::flex();
    let base = Decoder::new(&config, &mut Random::new(Seed(1), &device))?;
    let twins = Twins::new(&variant(Init::Copy), &base, &mut Random::new(Seed(2), &device))?;
    Ok(Case {
        name: format!("{} layers, random weights", shape.num_layers),
        base,
        twins,
        items: abstracts(24),
        tokenizer,
        metric: Metric::Acc,
        order: (0..shape.num_layers as u32).step_by(4).collect(),
        stop: StopCriterion::Never {},
    })
}

/// Items of some three hundred words and three choices.
fn abstracts(count: usize) -> Vec<Item> {
    let language = SyntheticLanguage::new(Seed(1));
    let choices = ["kitchen", "garden", "cellar"].map(str::to_owned).to_vec();
    let item = |index: usize| {
        let mut prompt = String::new();
        for document in (1000 * index as u64).. {
            if prompt.split(' ').count() >= 300 {
                break;
            }
            prompt += &language.document(Seed(7), document);
            prompt.push(' ');
        }
        prompt += "where is the lamp? in the";
        Item {
            id: index.to_string(),
            prompt,
            prompts: Vec::new(),
            choices: choices.clone(),
            label: index % 3,
        }
    };
    (0..count).map(item).collect()
}
