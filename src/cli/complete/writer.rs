//! Writes roads with a model.

use std::path::Path;

use dtr_opendrive::gap::prompt;
use dtr_opendrive::map::Map;

use super::missing::MissingRoad;
use crate::data::encode_prompt;
use crate::data::opendrive::END_OF_ROAD;
use crate::export::ExportedRoadFormat;
use dtr_core::error::Result;
use dtr_core::seed::Seed;
use dtr_model::generate::{GenerationConfig, PromptPass, generate_all};
use dtr_model::{LoadedModel, read_eos_token_ids};

/// The number of roads that are written at once.
const ROWS: usize = 8;

/// The text of a road that a model has written.
pub(super) struct WrittenRoad {
    pub(super) road: String,
    pub(super) text: String,
    /// The probability of the text under the model, from 0 to 1.
    pub(super) probability: f64,
}

/// A model that writes roads.
pub(super) struct RoadWriter {
    model: LoadedModel,
    format: ExportedRoadFormat,
    config: GenerationConfig,
}

impl RoadWriter {
    /// Creates a writer with the model that was read from `directory`.
    ///
    /// # Errors
    /// Fails if the ids of the tokens that end a text cannot be read.
    pub(super) fn new(model: LoadedModel, directory: &Path, format: ExportedRoadFormat) -> Result<Self> {
        let config = GenerationConfig {
            max_tokens: format.max_tokens,
            temperature: 0.0,
            top_p: 1.0,
            stop_strings: vec![END_OF_ROAD.to_owned()],
            eos_token_ids: read_eos_token_ids(directory)?,
            seed: Seed(0),
        };
        Ok(Self { model, format, config })
    }

    pub(super) fn format(&self) -> &ExportedRoadFormat {
        &self.format
    }

    /// Returns whether the roads at both ends of a missing road are in the map.
    pub(super) fn has_prompt(&self, map: &Map, road: &MissingRoad) -> bool {
        self.prompt(map, road).is_some()
    }

    fn prompt(&self, map: &Map, road: &MissingRoad) -> Option<String> {
        prompt(map, road.gap()?, &self.format.format.prompt_options())
    }

    /// Writes missing roads that have a prompt.
    ///
    /// # Errors
    /// Fails if a prompt does not fit the context, or if the model computes NaN.
    pub(super) fn write_roads(
        &self,
        map: &Map,
        roads: Vec<MissingRoad>,
    ) -> Result<Vec<(MissingRoad, WrittenRoad)>> {
        let encode = |road: &MissingRoad| {
            let prompt = self.prompt(map, road).expect("the road has a prompt");
            encode_prompt(&self.model.tokenizer, &prompt, false)
        };
        let prompts: Vec<Vec<u32>> = roads.iter().map(encode).collect::<Result<_>>()?;
        let mut texts: Vec<Option<(String, Vec<u32>)>> = roads.iter().map(|_| None).collect();
        let rows = ROWS.min(prompts.len());
        let (hybrid, tokenizer) = (self.model.hybrid(), &self.model.tokenizer);
        generate_all(&hybrid, tokenizer, &prompts, &self.config, rows, &mut |index, generated| {
            texts[index] = Some((generated.text, generated.tokens));
            Ok(())
        })?;
        let written = roads.into_iter().zip(prompts).zip(texts).map(|((road, prompt), text)| {
            let (text, tokens) = text.expect("each prompt has a text");
            let probability = self.probability(&prompt, &tokens);
            let written = WrittenRoad { road: road.id.clone(), text, probability };
            (road, written)
        });
        Ok(written.collect())
    }

    /// Returns the probability of `tokens` after `prompt`.
    fn probability(&self, prompt: &[u32], tokens: &[u32]) -> f64 {
        let hybrid = self.model.hybrid();
        let all = [prompt, tokens].concat();
        let (pass, _) = PromptPass::first(&hybrid, &[&all]);
        let logits = pass.logits(&hybrid, 0, prompt.len() - 1..all.len() - 1);
        let log_probs = logits.iter().zip(tokens).map(|(logits, token)| log_prob(logits, *token));
        log_probs.sum::<f64>().exp()
    }
}

/// Returns the logarithm of a token's probability.
fn log_prob(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    f64::from(logits[token as usize] - largest) - sum.ln()
}
