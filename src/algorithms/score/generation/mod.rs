//! Scores hybrids on the items of a generative task. The model answers each item by generating text.

mod answers;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use dtr_core::error::Result;
use dtr_model::generate::{BatchGenerator, GenerationLimits};
use dtr_model::{BaseModel, Hybrid, Mask, Twins};
use dtr_ops::{is_cpu, run_on_device_thread};

use super::evaluation::{Evaluation, KnownAnswers};
use super::part_score::PartAnswers;
use super::result::TextAnswer;
use super::split_scorer::hybrid_error;
use super::{PartQueue, PartScore, ScoreResult, SplitScorer};
use crate::algorithms::candidate::{Candidate, PruneBelow};
use crate::data::generation_requests::GenerationRequests;
pub(super) use answers::AnswerAccumulator;
use rows::generation_rows;

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

    /// Scores the hybrid that replaces the layers of `mask` on the parts that `queue` returns.
    fn answer_parts(&self, mask: &Mask, queue: &dyn PartQueue) -> Result<()> {
        let hybrid = match self.twins {
            Some(twins) => Hybrid::new(&self.base.decoder, twins, mask),
            None => Hybrid::from_base(&self.base.decoder),
        };
        let eos = self.requests.eos_token_ids();
        let generator = BatchGenerator::new(&hybrid, &self.base.tokenizer, self.limits, eos)?;
        while let Some(open) = queue.next(&|_| 1)? {
            let mut texts = Vec::new();
            for part in &self.parts[open.parts.clone()] {
                self.answer_part(&generator, part, &mut texts)?;
            }
            let tokens = texts.iter().map(|(_, answer)| answer.tokens).sum();
            let layer_tokens = tokens * hybrid.num_layers() as u64;
            let score = PartScore { answers: PartAnswers::Texts(texts), tokens, layer_tokens };
            queue.add(open, vec![score])?;
        }
        Ok(())
    }

    /// Generates and scores the answers to the items of `part`. Adds them to `answers`.
    fn answer_part(
        &self,
        generator: &BatchGenerator<'_>,
        part: &[usize],
        answers: &mut Vec<(usize, TextAnswer)>,
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
            answers.push((item, TextAnswer { id, text, answer, score, tokens }));
        }
        Ok(())
    }
}

impl<'a> SplitScorer<'a> for GenerationScorer<'a> {
    fn num_parts(&self) -> usize {
        self.parts.len()
    }

    /// Each candidate is a group, because the texts of one hybrid fill the caches.
    fn groups<'c>(&self, candidates: &'c [Candidate<'c>]) -> Vec<&'c [Candidate<'c>]> {
        candidates.chunks(1).collect()
    }

    fn score_parts(&mut self, group: &[Candidate<'_>], queue: &dyn PartQueue) -> Result<()> {
        let [Candidate { mask, .. }] = group else { unreachable!("a group has one candidate") };
        let run = || self.answer_parts(mask, queue);
        let device = self.base.decoder.device();
        let scored = if is_cpu(&device) { run() } else { run_on_device_thread(&device, run) };
        scored.map_err(|error| hybrid_error(mask, error))
    }

    fn evaluation(&self, prune_below: Option<PruneBelow>) -> Evaluation<'a> {
        Evaluation::new(prune_below, KnownAnswers::Texts(AnswerAccumulator::new(self.requests)))
    }

    fn part_of(&self, known: &ScoreResult, part: usize) -> PartScore {
        let answer = |&item: &usize| Some((item, known.items[item].as_text()?.clone()));
        let answers = PartAnswers::Texts(self.parts[part].iter().filter_map(answer).collect());
        PartScore { answers, tokens: 0, layer_tokens: 0 }
    }
}
