//! Scores hybrids on the items of a generative task. The model answers each item by generating text.

mod answers;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use dtr_core::error::{Error, Result};
use dtr_model::generate::{BatchGenerator, GenerationLimits};
use dtr_model::{BaseModel, Hybrid, Mask, Twins};
use dtr_ops::{is_cpu, run_on_device_thread};

use super::result::TextAnswer;
use super::{CandidateScore, PartBounds, ScoreResult, ScoredCandidate};
use crate::algorithms::candidate::{Candidate, NewestThreshold, PruneBelow};
use crate::data::generation_requests::GenerationRequests;
use answers::AnswerAccumulator;
use rows::generation_rows;

/// Returns the thresholds below which a candidate is pruned.
type Thresholds<'a> = dyn Fn() -> Result<[Option<PruneBelow>; 2]> + Sync + 'a;

/// Scores hybrids of one base on one split, by the texts that the hybrids generate.
pub struct GenerationScorer<'a> {
    base: &'a BaseModel,
    twins: Option<&'a Twins>,
    requests: &'a GenerationRequests,
    /// The indices of the items of each part. A candidate may be pruned after each part.
    parts: Vec<Vec<usize>>,
    limits: GenerationLimits,
}

impl<'a> GenerationScorer<'a> {
    /// Creates a scorer of the hybrids of `base` and `twins` on the items of `requests`. All items form a
    /// single part, so that no candidate is pruned.
    pub fn new(base: &'a BaseModel, twins: Option<&'a Twins>, requests: &'a GenerationRequests) -> Self {
        let longest = requests.prompts().iter().map(Vec::len).max().unwrap_or(1);
        let max_length = longest + requests.max_new_tokens();
        let limits = GenerationLimits {
            rows: generation_rows(&base.decoder, max_length).min(requests.items().len().max(1)),
            max_length,
            max_prompt_tokens: longest,
            max_new_tokens: requests.max_new_tokens(),
        };
        let parts = vec![(0..requests.items().len()).collect()];
        Self { base, twins, requests, parts, limits }
    }

    /// Creates a scorer that divides the items into parts. The scorer generates the texts for all items of a
    /// part at once, and may prune a candidate after each part.
    ///
    /// Items are scored in ascending order of the base's score. A losing candidate probably fails the items
    /// that the base fails. The upper bound of its score therefore falls early.
    pub fn with_pruning_parts(
        base: &'a BaseModel,
        twins: Option<&'a Twins>,
        requests: &'a GenerationRequests,
        base_score: &ScoreResult,
    ) -> Self {
        let scorer = Self::new(base, twins, requests);
        let mut items: Vec<usize> = (0..base_score.items.len()).collect();
        items.sort_by(|one, other| {
            base_score.items[*one].score().total_cmp(&base_score.items[*other].score())
        });
        let parts = items.chunks(scorer.limits.rows).map(<[usize]>::to_vec).collect();
        Self { parts, ..scorer }
    }

    /// Scores, on all items, the hybrid that replaces the layers of `mask`.
    ///
    /// # Errors
    /// Fails if the model computes NaN, or if an answer cannot be scored.
    pub fn score(&self, mask: &Mask) -> Result<ScoreResult> {
        match self.score_candidate(mask, &|| Ok([None; 2]))?.score {
            CandidateScore::Complete(result) => Ok(result),
            CandidateScore::Pruned { .. } => unreachable!("a candidate without a threshold is never pruned"),
        }
    }

    /// Scores candidates one after the other. Prunes a candidate as soon as its score can no longer reach its
    /// threshold, or `newest_threshold`, which is read after each part.
    ///
    /// # Errors
    /// Fails if a model computes NaN, if an answer cannot be scored, or if the newest threshold cannot be
    /// read.
    pub fn score_with_pruning(
        &self,
        candidates: &[Candidate<'_>],
        newest_threshold: Option<&NewestThreshold<'_>>,
    ) -> Result<Vec<ScoredCandidate>> {
        let score = |one: &Candidate<'_>| {
            let newest = || newest_threshold.map_or(Ok(None), |newest| newest());
            self.score_candidate(one.mask, &|| Ok([one.prune_below, newest()?]))
        };
        candidates.iter().map(score).collect()
    }

    /// Returns the same result as [`Self::score_with_pruning`] for `candidate`, without running the model.
    /// `known` is the candidate's complete score.
    pub fn prune_with_known_score(&self, candidate: &Candidate<'_>, known: ScoreResult) -> CandidateScore {
        let Some(prune_below) = &candidate.prune_below else { return CandidateScore::Complete(known) };
        let mut answers = AnswerAccumulator::new(self.requests);
        for part in &self.parts {
            for &item in part {
                if let Some(answer) = known.items[item].as_text() {
                    answers.add(item, answer.clone());
                }
            }
            if let Some(bounds) = answers.open_bounds().filter(|bounds| prune_below.prunes(bounds.upper)) {
                return CandidateScore::Pruned { bounds, tokens: answers.tokens() };
            }
        }
        CandidateScore::Complete(known)
    }

    fn score_candidate(&self, mask: &Mask, thresholds: &Thresholds<'_>) -> Result<ScoredCandidate> {
        let run = || self.generate_answers(mask, thresholds);
        let device = self.base.decoder.device();
        let scored = if is_cpu(&device) { run() } else { run_on_device_thread(&device, run) };
        scored.map_err(|error| {
            let layers = mask.layers();
            Error::failed(format!("cannot score the hybrid with layers {layers:?} replaced"))
                .with_source(error)
        })
    }

    /// Answers the items part by part, until the candidate is pruned.
    fn generate_answers(&self, mask: &Mask, thresholds: &Thresholds<'_>) -> Result<ScoredCandidate> {
        let hybrid = match self.twins {
            Some(twins) => Hybrid::new(&self.base.decoder, twins, mask),
            None => Hybrid::from_base(&self.base.decoder),
        };
        let eos = self.requests.eos_token_ids();
        let generator = BatchGenerator::new(&hybrid, &self.base.tokenizer, self.limits, eos)?;
        let mut answers = AnswerAccumulator::new(self.requests);
        let layer_tokens = |answers: &AnswerAccumulator<'_>| answers.tokens() * hybrid.num_layers() as u64;
        let mut parts = Vec::new();
        for part in &self.parts {
            self.answer_part(&generator, part, &mut answers)?;
            let Some(bounds) = answers.open_bounds() else { continue };
            parts.push(PartBounds { bounds, tokens: answers.tokens() });
            let prune = |threshold: &PruneBelow| PartBounds::prune(&parts, threshold);
            if let Some(score) = thresholds()?.iter().flatten().find_map(prune) {
                return Ok(ScoredCandidate { score, parts, layer_tokens: layer_tokens(&answers) });
            }
        }
        let layer_tokens = layer_tokens(&answers);
        let score = CandidateScore::Complete(answers.into_result());
        Ok(ScoredCandidate { score, parts: Vec::new(), layer_tokens })
    }

    /// Generates and scores the answers to the items of `part`.
    fn answer_part(
        &self,
        generator: &BatchGenerator<'_>,
        part: &[usize],
        answers: &mut AnswerAccumulator<'_>,
    ) -> Result<()> {
        let requests = self.requests;
        let prompts = part.iter().map(|&item| requests.prompts()[item].clone());
        let new_matcher = |_| {
            let mut matcher = requests.stop_strings().matcher();
            move |piece: &str| matcher.push(piece)
        };
        let (mut texts, mut tokens) = (Vec::with_capacity(part.len()), Vec::with_capacity(part.len()));
        generator.generate(prompts, new_matcher, |index, generated| {
            let item = part[index];
            texts.push((item, generated.text));
            tokens.push((requests.prompts()[item].len() + generated.tokens.len()) as u64);
            Ok(ControlFlow::Continue(()))
        })?;
        let scored = requests.score_texts(&texts)?;
        for (((item, text), tokens), (answer, score)) in texts.into_iter().zip(tokens).zip(scored) {
            let id = requests.items()[item].id.clone();
            let text = requests.stop_strings().cut(&text).to_owned();
            answers.add(item, TextAnswer { id, text, answer, score, tokens });
        }
        Ok(())
    }
}
