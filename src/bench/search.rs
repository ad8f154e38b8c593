//! What each saving of a search is worth, and that none of them changes what is found.
//!
//! A search is run in four forms, each with the savings of those before it, from nothing remembered. Work is
//! counted in tokens times layers, which does not depend on the machine; seconds do, and on what else it does: what is soon done is
//! done again, and the median tells.

use std::time::Instant;

use serde::Serialize;

use super::case::Case;

use crate::algorithms::score::{Candidate, CandidateScore, Scorer, TOGETHER};
use crate::algorithms::search::SearchStrategy;
use crate::algorithms::search::{self, Bar, BatchPolicy, Found};
use crate::data::requests::Requests;
use crate::stats::median;
use dtr_core::error::Result;

/// Seconds that a form is run for at least, all its runs together.
const LEAST_SECONDS: f64 = 5.0;

/// What a search saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Nothing: every candidate goes through all layers, once for each choice of each item.
    Plain,
    /// Candidates start at the layer that they replace.
    Prefix,
    /// Candidates that cannot win are dropped.
    Dropping,
    /// Choices of an item share its prompt.
    Sharing,
}

impl Form {
    /// The forms, each with the savings of those before it.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Prefix, Self::Dropping, Self::Sharing];
}

/// A search in one form.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// What it saved.
    pub form: Form,
    /// Tokens times layers that they went through.
    pub work: u64,
    /// Seconds that it took, the median of its runs.
    pub seconds: f64,
    /// What it found; the trials of dropped candidates are bounds.
    #[serde(skip)]
    pub found: Found,
}

impl Measured {
    /// Whether both found the same.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let (one, other) = (&self.found, &other.found);
        one.rounds == other.rounds && one.best == other.best && one.opt == other.opt
    }
}

impl Case {
    /// Runs the search in `form`, again and again where it is soon done.
    ///
    /// # Errors
    /// When a score cannot be computed.
    pub fn measure(&self, form: Form) -> Result<Measured> {
        let mut measured = self.run(form)?;
        let mut seconds = vec![measured.seconds];
        while seconds.iter().sum::<f64>() < LEAST_SECONDS {
            seconds.push(self.run(form)?.seconds);
        }
        measured.seconds = median(&seconds).expect("it was run");
        Ok(measured)
    }

    fn run(&self, form: Form) -> Result<Measured> {
        let shared = Requests::new(&self.tokenizer, self.items.clone(), self.metric, self.room())?;
        let requests = if form == Form::Sharing { shared } else { shared.apart() };
        let (is_kept, prune) = (form != Form::Plain, matches!(form, Form::Dropping | Form::Sharing));
        let all_at_once = Scorer::new(&self.base, Some(&self.twins), &requests);
        let mut scorer = if is_kept { all_at_once } else { all_at_once.forgetful() };
        let mut work = 0;
        let start = Instant::now();
        // Asked for at once where all savings are made: it is one of them where parts are small.
        let manner = BatchPolicy { prune, together: if form == Form::Sharing { TOGETHER } else { 1 } };
        let found =
            search::search(&SearchStrategy::Greedy {}, &self.order, &self.stop, manner, |questions| {
                let candidates = questions.iter().map(|question| Candidate {
                    incumbent: question.incumbent,
                    mask: question.mask,
                    hopeless: question.bar.map(Bar::hopeless),
                });
                let candidates: Vec<Candidate<'_>> = candidates.collect();
                let verdicts = scorer.score_pruned(&candidates.iter().collect::<Vec<_>>())?;
                if let [(CandidateScore::Scored(result), _)] = verdicts.as_slice()
                    && prune
                    && questions[0].mask.layers().is_empty()
                {
                    work += scorer.work();
                    scorer = Scorer::in_parts(&self.base, Some(&self.twins), &requests, result);
                }
                Ok(verdicts.iter().map(|(verdict, _)| verdict.bounds()).collect())
            })?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Measured { form, work: work + scorer.work(), seconds, found })
    }
}
