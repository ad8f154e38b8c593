//! The searches of `dtr bench search`. The bundled base has one search for each task of the synthetic
//! language. A further search has a deep base with random weights, and long items.
//!
//! A base is a language model with full attention. Its twins are linear-attention blocks that can replace the
//! attention of its layers. A search selects the layers to replace.

use std::path::Path;

use burn::tensor::Device;

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::count::Count;
use dtr_core::error::{Error, Result};
use dtr_core::seed::Seed;
use dtr_model::optimizer::AdamWConfig;
use dtr_model::{
    BaseModel, BlockConfig, Decoder, DecoderShape, GeometryConfig, GlaConfig, RandomParams,
    SafetensorsReader, Tokenizer, TwinInit, TwinVariant, Twins,
};

use crate::algorithms::distil::{DistilConfig, Student, distil};
use crate::algorithms::search::StopCriterion;
use crate::data::token_sequences::TokenSequences;
use crate::data::{Corpus, Metric, SyntheticTaskKind};
use crate::data::{Item, Split, synthetic::SyntheticLanguage, synthetic_tokenizer};
use crate::observer::Observer;

/// The approximate number of words in the prompt of an item for the deep base.
const WORDS_PER_PROMPT: usize = 300;

/// A search that the benchmark measures.
pub struct SearchCase {
    /// The name of the search in the output.
    pub name: String,
    /// The model whose layers the search replaces.
    pub base: Decoder,
    /// The twins of all layers.
    pub twins: Twins,
    /// The base's tokenizer.
    pub tokenizer: Tokenizer,
    /// The items on which candidates are scored.
    pub items: Vec<Item>,
    /// The metric that selects the model's answer among the choices of an item.
    pub metric: Metric,
    /// The layers that the search may replace, in the order in which the first round tries them.
    pub layer_order: Vec<u32>,
    /// The criterion by which the search stops.
    pub stop: StopCriterion,
}

impl SearchCase {
    /// Returns the maximum number of tokens of a row.
    pub(super) fn max_row_tokens(&self) -> usize {
        self.base.config.max_positions
    }
}

/// Returns one search for each task of the synthetic language. `directory` holds a base that was pretrained
/// on this language. Each task has `num_items` items. The twins are distilled on 32,000 tokens.
///
/// # Errors
/// Fails if the base in `directory` cannot be read.
pub fn bundled_base_cases(
    directory: &Path,
    num_items: usize,
    observer: &dyn Observer,
) -> Result<Vec<SearchCase>> {
    let BaseModel { decoder, tokenizer } = BaseModel::read(directory, &Device::flex())?;
    let (twins, layer_order) = distil_twins(&decoder, &tokenizer, observer)?;
    let language = SyntheticLanguage::new(Seed(1));
    let tasks = [
        ("recall", SyntheticTaskKind::Recall),
        ("facts", SyntheticTaskKind::Facts),
        ("topic", SyntheticTaskKind::Topic),
        ("moves", SyntheticTaskKind::Moves),
    ];
    let case = |(name, kind)| {
        Ok(SearchCase {
            name: format!("{} layers, {name}", decoder.config.num_layers),
            base: decoder.clone(),
            twins: twins.clone(),
            tokenizer: tokenizer.clone(),
            items: language.items(kind, Split::Validation, num_items)?,
            metric: Metric::Acc,
            layer_order: layer_order.clone(),
            stop: StopCriterion::MaxRelativeDrop(0.05),
        })
    };
    tasks.into_iter().map(case).collect()
}

fn gla_variant(init: TwinInit) -> TwinVariant {
    TwinVariant { block: BlockConfig::Gla(GlaConfig::default()), geometry: GeometryConfig::default(), init }
}

/// Distils twins on few tokens. Returns the twins, and the layers in ascending order of their twins' losses.
fn distil_twins(base: &Decoder, tokenizer: &Tokenizer, observer: &dyn Observer) -> Result<(Twins, Vec<u32>)> {
    let config = DistilConfig {
        token_budget: Count(32_000),
        sequence_length: 128,
        batch_size: 8,
        optimizer: AdamWConfig { learning_rate: 2e-3, ..AdamWConfig::default() },
        seed: Seed(0),
    };
    let folder = tempfile::tempdir().map_err(|cause| Error::io("write in", &std::env::temp_dir(), cause))?;
    let checkpoint = CheckpointFile::new(folder.path().join("checkpoint.safetensors"), "bench");
    let layers = 0..base.config.num_layers;
    let variant = gla_variant(TwinInit::Calibrated);
    let mut students = vec![Student::new_or_resume("gla", &variant, base, layers, &config, &checkpoint)?];
    let sequences = config.training_schedule().sequence_shape();
    let sequences =
        TokenSequences::new(&Corpus::default().source, tokenizer, sequences, config.seed, observer)?;
    distil(base, &mut students, &config, &sequences, observer)?;
    let distilled = students.remove(0).finish()?;
    // Matrices have another memory layout during training. Read the twins back from a file, as a sweep does,
    // so that the search runs as fast as in a sweep.
    let path = folder.path().join("twins.safetensors");
    distilled.write_twins(&path)?;
    let mut stored = SafetensorsReader::open(&[path], &base.device())?;
    Ok((Twins::new(&variant, base, &mut stored)?, distilled.result.layers_by_loss()))
}

/// Returns a search over a base with 28 layers and random weights. Candidates are scored on 24 items. As in
/// PubMedQA, the prompt of an item has about 300 words, and its three choices have one word each. The search
/// may replace only every fourth layer, because an unoptimised search over all layers would take hours.
///
/// # Errors
/// Fails if the tokenizer of the synthetic language cannot be built.
pub fn deep_base_case() -> Result<SearchCase> {
    let tokenizer = Tokenizer::from(synthetic_tokenizer()?);
    let architecture = DecoderShape {
        hidden_size: 64,
        intermediate_size: 192,
        num_layers: 28,
        num_heads: 4,
        num_kv_heads: 2,
        head_dim: 16,
        tokenizer: None,
    };
    let config = architecture.llama_config(tokenizer.vocab_size(), 1024);
    let device = Device::flex();
    let base = Decoder::new(&config, &mut RandomParams::new(Seed(1), &device))?;
    let twins = Twins::new(&gla_variant(TwinInit::Copy), &base, &mut RandomParams::new(Seed(2), &device))?;
    Ok(SearchCase {
        name: format!("{} layers, random weights", architecture.num_layers),
        base,
        twins,
        items: long_items(24),
        tokenizer,
        metric: Metric::Acc,
        layer_order: (0..architecture.num_layers as u32).step_by(4).collect(),
        stop: StopCriterion::Never {},
    })
}

/// Returns items that have long prompts and three choices of one word each.
fn long_items(num_items: usize) -> Vec<Item> {
    let language = SyntheticLanguage::new(Seed(1));
    let choices = ["kitchen", "garden", "cellar"].map(str::to_owned).to_vec();
    let item = |index: usize| {
        let mut prompt = String::new();
        for document in (1000 * index as u64).. {
            if prompt.split(' ').count() >= WORDS_PER_PROMPT {
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
    (0..num_items).map(item).collect()
}
