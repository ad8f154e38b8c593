//! The stage `logit-distil`: trains a hybrid on the logits of its base.
//!
//! A hybrid is a base with some layers replaced. A search has chosen the layers.

use serde::Serialize;

use super::base::{BaseSource, BaseSpec};
use super::cell::Cell;
use super::identity::CorpusIdentity;
use super::models::{ModelCache, find_done_record};
use super::planner::{Planner, SweepPoint};
use super::search::{SearchJob, SearchResult};
use super::stage::{CompletedBy, Stage, WorkCounts};
use super::training_cell::run_training_cell;
use crate::algorithms::logit_distil::{LogitDistilConfig, LogitDistilResult, LogitDistiller};
use crate::algorithms::training::Training;
use crate::algorithms::tuning::HybridChoice;
use crate::data::CorpusSource;
use crate::data::token_sequences::TokenSequences;
use crate::observer::Observer;
use crate::resources::{LogitDistilMemory, ResourceEstimate};
use crate::runner::{RunContext, RunningCell, UsageRecorder};
use crate::store::{CellId, CellInputs, StageName, Store};
use dtr_core::error::{Error, Result};
use dtr_model::{DecoderConfig, Mask, TwinVariant};

/// Name of the artifact that holds the trained parameters, under their names in the hybrid.
pub(super) const TUNED_FILE: &str = "tuned.safetensors";

/// The job that trains a hybrid on the logits of its base.
#[derive(Clone, Debug)]
pub struct LogitDistilJob {
    /// The base, which is the teacher.
    pub base: BaseSource,
    /// The variant of the twins.
    pub variant: TwinVariant,
    /// The distil cell of the twins.
    pub twins: CellId,
    /// The search that chose the hybrid.
    pub search: CellId,
    /// The hybrid.
    pub hybrid: HybridChoice,
    /// The training recipe. Its list of hybrids holds only `hybrid`.
    pub recipe: LogitDistilConfig,
    /// The training corpus.
    pub corpus: CorpusSource,
    /// The identity of the corpus.
    pub corpus_identity: CorpusIdentity,
}

/// Everything that the trained hybrid depends on, apart from the cell's inputs. All fields are part of the
/// cell's key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogitDistilSpec {
    /// The base.
    #[serde(flatten)]
    pub base: BaseSpec,
    /// The training recipe, with the chosen hybrid.
    pub recipe: LogitDistilConfig,
    /// The identity of the training corpus.
    pub corpus: CorpusIdentity,
}

/// Adds the cells that train the hybrids of the search `cell`, in the order of `logit-distil.hybrids`.
/// Returns their ids and jobs.
pub(super) fn plan_tuned_hybrids(
    point: &SweepPoint<'_>,
    planner: &mut Planner,
    cell: &Cell,
    search: &SearchJob,
) -> Result<Vec<(CellId, LogitDistilJob)>> {
    let recipe = &point.manifest.logit_distil;
    let mut tuned = Vec::new();
    for &hybrid in &recipe.hybrids {
        let job = LogitDistilJob {
            base: search.base.clone(),
            variant: search.variant.clone(),
            twins: search.twins.clone(),
            search: cell.id().clone(),
            hybrid,
            recipe: LogitDistilConfig { hybrids: vec![hybrid], ..recipe.clone() },
            corpus: point.manifest.corpus.source.clone(),
            corpus_identity: planner.identify_corpus(point)?,
        };
        let mut labels = cell.labels.clone();
        labels.axes = point.labels_of_logit_distillations(&cell.labels.model).axes;
        tuned.push((planner.add_input_cell(Cell::new(job.clone(), labels)?), job));
    }
    Ok(tuned)
}

impl Stage for LogitDistilJob {
    const NAME: StageName = StageName::new("logit-distil");
    const VERSION: u32 = 1;
    type Spec = LogitDistilSpec;
    type Output = LogitDistilResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<LogitDistilSpec> {
        Ok(LogitDistilSpec {
            base: self.base.spec(),
            recipe: self.recipe.clone(),
            corpus: self.corpus_identity.clone(),
        })
    }

    fn inputs(&self) -> CellInputs {
        let mut inputs = self.base.inputs();
        inputs.insert("twins".to_owned(), self.twins.clone());
        inputs.insert("search".to_owned(), self.search.clone());
        inputs
    }

    fn base(&self) -> Option<&BaseSource> {
        Some(&self.base)
    }

    fn distinguishing_settings(&self) -> String {
        self.hybrid.label()
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let memory = LogitDistilMemory {
            config,
            dtype: self.base.dtype(),
            variant: &self.variant,
            hybrid: self.hybrid,
            recipe: &self.recipe,
        };
        ResourceEstimate {
            tokens: self.recipe.training_schedule().num_tokens(),
            weight_bytes: memory.weight_bytes(),
            peak_bytes: memory.peak_bytes(),
            ..ResourceEstimate::default()
        }
    }

    fn count_work(&self, output: &LogitDistilResult) -> WorkCounts {
        WorkCounts { tokens: output.tokens, evaluations: 0 }
    }

    fn run(
        context: &RunContext<'_>,
        models: &mut ModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
        group.iter().map(|(cell, job)| job.run_one(context, models, cell)).collect()
    }
}

impl LogitDistilJob {
    fn run_one(&self, context: &RunContext<'_>, models: &mut ModelCache, cell: &Cell) -> Result<CompletedBy> {
        run_training_cell(context, cell, &[TUNED_FILE], |claimed, recorder| {
            self.train(context, models, cell, claimed, recorder)
        })
    }

    /// Trains the hybrid and writes the trained parameters.
    fn train(
        &self,
        context: &RunContext<'_>,
        models: &mut ModelCache,
        cell: &Cell,
        claimed: &RunningCell<'_>,
        recorder: &UsageRecorder<'_>,
    ) -> Result<LogitDistilResult> {
        let mask: Mask = self.layers(context.store)?.into_iter().collect();
        let base = &models.load_replicas(context, &self.base)?[0];
        let twins = models.read_f32_twins(context, &self.base, &self.variant, &self.twins)?;
        let schedule = self.recipe.training_schedule();
        let task = context.progress.start_task(&cell.to_line(), schedule.num_tokens(), "tokens");
        let task = task.with_recorder(recorder)?;
        let (shape, seed) = (schedule.sequence_shape(), self.recipe.seed);
        let sequences = TokenSequences::new(&self.corpus, &base.tokenizer, shape, seed, &task)?;
        let checkpoint = claimed.checkpoint(TUNED_FILE)?;
        let mut trainer =
            LogitDistiller::new_or_resume(&base.decoder, &twins, &mask, &self.recipe, &checkpoint)?;
        if trainer.num_steps_done() > 0 {
            task.message(&format!("resumes after step {}", trainer.num_steps_done()));
        }
        trainer.run(&sequences, &task)?;
        let (result, tensors) = trainer.finish();
        tensors.save(&claimed.artifact_path(TUNED_FILE)?)?;
        Ok(result)
    }

    /// Returns the layers that the hybrid replaces, ascending.
    ///
    /// # Errors
    /// Fails if the search is not done, or if it found no such hybrid.
    pub fn layers(&self, store: &Store) -> Result<Vec<u32>> {
        find_layers_of_hybrid(store, &self.search, self.hybrid)
    }
}

/// Returns the layers that the hybrid `hybrid` of the search cell `search` replaces, ascending.
///
/// # Errors
/// Fails if the search is not done, or if it found no such hybrid.
pub(super) fn find_layers_of_hybrid(
    store: &Store,
    search: &CellId,
    hybrid: HybridChoice,
) -> Result<Vec<u32>> {
    let result = find_done_record::<SearchJob>(store, search)?.outcome;
    find_layers(&result, hybrid).ok_or_else(|| {
        let HybridChoice::Replaced(count) = hybrid else { unreachable!("a search has this hybrid") };
        Error::failed(format!("{search} has no hybrid with {count} layers replaced"))
            .hint("write `search.stop = { never = {} }`, or train a hybrid with fewer replaced layers")
    })
}

/// Returns the layers of a hybrid of a search, ascending. Returns `None` if the search found no such hybrid.
fn find_layers(result: &SearchResult, hybrid: HybridChoice) -> Option<Vec<u32>> {
    let layers = match hybrid {
        HybridChoice::Opt => &result.opt.layers,
        HybridChoice::Best => &result.best.layers,
        HybridChoice::Replaced(count) => {
            &result.rounds.iter().find(|round| round.num_replaced == count)?.layers
        }
    };
    let mut layers = layers.clone();
    layers.sort_unstable();
    Some(layers)
}
