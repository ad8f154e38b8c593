//! The stage `distil`: trains the twins of one variant.
//!
//! A twin is a linear block that can replace the attention of one layer. A variant is the shape and the
//! initial values of the twins.
//!
//! Cells with the same base, recipe and corpus form a group. The base is the teacher. Each forward pass of
//! the base serves the twins of all cells in the group.

mod layer_ranges;
mod trainer;

use std::collections::BTreeMap;

use serde::Serialize;

use super::base::{BaseSource, BaseSpec};
use super::cell::Cell;
use super::identity::CorpusIdentity;
use super::models::ModelCache;
use super::planner::{Planner, SweepPoint};
use super::stage::{CompletedBy, Stage, WorkCounts};
use crate::algorithms::distil::{DistilConfig, DistilResult};
use crate::data::CorpusSource;
use crate::resources::{DistilMemory, ResourceEstimate, training_bytes, weight_bytes};
use crate::runner::{ClaimOutcome, NotClaimed, RunContext, RunningCell};
use crate::store::{CellId, CellInputs, CellKey, StageName};
use dtr_core::error::Result;
use dtr_model::{DecoderConfig, Mixer, TwinVariant};

/// The job that distils the twins of one variant.
#[derive(Clone, Debug)]
pub struct DistilJob {
    /// The base, which is the teacher.
    pub base: BaseSource,
    /// The shape and the initial values of the twins.
    pub variant: TwinVariant,
    /// The training recipe.
    pub recipe: DistilConfig,
    /// The training corpus.
    pub corpus: CorpusSource,
    /// The identity of the corpus.
    pub corpus_identity: CorpusIdentity,
}

/// Everything that the trained twins of one variant depend on, apart from the cell's inputs. All fields are
/// part of the cell's key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DistilSpec {
    /// The base.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The shape and the initial values of the twins.
    pub variant: TwinVariant,
    /// The training recipe.
    pub recipe: DistilConfig,
    /// The identity of the training corpus.
    pub corpus: CorpusIdentity,
}

/// Adds the cell that distils the twins of `variant` for the base `model`. Returns the source of the base,
/// and the id of the cell.
pub(super) fn plan_twins(
    point: &SweepPoint<'_>,
    planner: &mut Planner,
    model: &str,
    variant: &str,
) -> Result<(BaseSource, CellId)> {
    let base = planner.plan_base(point, model)?;
    let job = DistilJob {
        base: base.clone(),
        variant: point.manifest.variants[variant].clone(),
        recipe: point.manifest.distil.clone(),
        corpus: point.manifest.corpus.source.clone(),
        corpus_identity: planner.identify_corpus(point)?,
    };
    let mut labels = point.labels_of_twins(model);
    labels.variant = Some(variant.to_owned());
    Ok((base, planner.add_input_cell(Cell::new(job, labels)?)))
}

impl Stage for DistilJob {
    const NAME: StageName = StageName::new("distil");
    const VERSION: u32 = 2;
    type Spec = DistilSpec;
    type Output = DistilResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<DistilSpec> {
        Ok(DistilSpec {
            base: self.base.spec(),
            variant: self.variant.clone(),
            recipe: self.recipe.clone(),
            corpus: self.corpus_identity.clone(),
        })
    }

    fn inputs(&self) -> CellInputs {
        self.base.inputs()
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.base)
    }

    /// Groups jobs with the same teacher, recipe and corpus, because one forward pass of the teacher serves
    /// all of them.
    fn is_grouped_with(&self, other: &Self) -> bool {
        self.base == other.base && self.recipe == other.recipe && self.corpus == other.corpus
    }

    fn resources(&self, config: &DecoderConfig, group: &[&Self]) -> ResourceEstimate {
        let dtype = self.base.dtype();
        let variants = group.iter().map(|job| &job.variant).collect();
        let memory = DistilMemory { config, dtype, variants, recipe: &self.recipe };
        // Layers can be trained one after another, so memory for the twin of one layer is enough.
        let twin = Mixer::num_twin_parameters(&self.variant, config);
        ResourceEstimate {
            tokens: self.recipe.token_budget.0,
            weight_bytes: weight_bytes(config, dtype) + training_bytes(twin),
            peak_bytes: memory.peak_bytes_of_all_layers(),
            ..ResourceEstimate::default()
        }
    }

    fn count_work(&self, output: &DistilResult) -> WorkCounts {
        WorkCounts { tokens: output.tokens, evaluations: 0 }
    }

    /// First distils the cells that no other process has claimed. This process therefore never waits while it
    /// holds a claim. If the twins of one cell cannot be trained, the other cells of the group still run. Any
    /// other error becomes the result of every cell of the group that has not ended.
    fn run(
        context: &RunContext<'_>,
        models: &mut ModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
        let mut results = CellResults::new();
        let mut pending = group.to_vec();
        while !pending.is_empty() {
            let ended = claim_available(context, &pending, &mut results)
                .and_then(|claimed| trainer::distil_claimed(context, models, &claimed, &mut results));
            pending.retain(|(cell, _)| !results.contains_key(&cell.key()));
            if let Err(error) = ended {
                let copies = pending.drain(1..).map(|(cell, _)| (cell.key(), Err(error.duplicate())));
                results.extend(copies);
                results.extend(pending.pop().map(|(cell, _)| (cell.key(), Err(error))));
            }
        }
        let result = |(cell, _): &(&Cell, &Self)| results.remove(&cell.key()).expect("every cell has ended");
        group.iter().map(result).collect()
    }
}

/// The results of the cells of a group that have ended, by key.
type CellResults = BTreeMap<CellKey, Result<CompletedBy>>;

/// A cell of a group that this process has claimed.
struct ClaimedJob<'a> {
    cell: &'a Cell,
    job: &'a DistilJob,
    claimed: RunningCell<'a>,
}

/// Claims the cells of `pending` that are not done and that no other process has claimed. If other processes
/// have claimed all cells of `pending`, waits until the first of these cells is free or done.
fn claim_available<'a>(
    context: &'a RunContext<'a>,
    pending: &[(&'a Cell, &'a DistilJob)],
    results: &mut CellResults,
) -> Result<Vec<ClaimedJob<'a>>> {
    let mut jobs = Vec::new();
    let mut is_any_done = false;
    for &(cell, job) in pending {
        match RunningCell::try_claim(context, &cell.spec, cell.to_line())? {
            Ok(claimed) => jobs.push(ClaimedJob { cell, job, claimed }),
            Err(NotClaimed::Done) => {
                results.insert(cell.key(), Ok(CompletedBy::OtherProcess));
                is_any_done = true;
            }
            Err(NotClaimed::InUse) => {}
        }
    }
    if jobs.is_empty() && !is_any_done {
        let (cell, job) = pending[0];
        match RunningCell::claim_blocking::<DistilResult>(context, &cell.spec, cell.to_line())? {
            ClaimOutcome::Claimed(claimed) => jobs.push(ClaimedJob { cell, job, claimed }),
            ClaimOutcome::Done(_) => {
                results.insert(cell.key(), Ok(CompletedBy::OtherProcess));
            }
        }
    }
    Ok(jobs)
}
