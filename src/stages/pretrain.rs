//! The stage `pretrain`: trains a base model from scratch.

use serde::Serialize;

use super::cell::{Cell, CellLabels};
use super::identity::CorpusIdentity;
use super::models::ModelCache;
use super::planner::{Planner, SweepPoint};
use super::stage::{CompletedBy, Stage, WorkCounts};
use super::training_cell::run_training_cell;
use crate::algorithms::pretrain::{PretrainConfig, PretrainResult, Trainer, base_config_and_tokenizer};
use crate::data::CorpusSource;
use crate::data::token_sequences::TokenSequences;
use crate::manifest::ModelSource;
use crate::observer::Observer;
use crate::resources::{ResourceEstimate, training_bytes};
use crate::runner::{RunContext, RunningCell, UsageRecorder};
use crate::store::{CellInputs, StageName};
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;
use dtr_model::{DecoderConfig, DecoderShape, write_base_model};

/// Names of the artifacts of a pretrain cell. They are the files of a Hugging Face directory.
const BASE_FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// The job that trains a base.
#[derive(Clone, Debug)]
pub struct PretrainJob {
    /// The shape as the manifest declares it.
    pub architecture: DecoderShape,
    /// The complete shape, including the vocabulary size of the tokenizer.
    pub config: DecoderConfig,
    /// The digest of the tokenizer's file. `None` for the tokenizer of the synthetic language.
    pub tokenizer: Option<Digest>,
    /// The training recipe.
    pub recipe: PretrainConfig,
    /// The training corpus.
    pub corpus: CorpusSource,
    /// The identity of the corpus.
    pub corpus_identity: CorpusIdentity,
}

/// Everything that a pretrained base depends on. All fields are part of the cell's key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PretrainSpec {
    /// The shape, without the path of its tokenizer.
    pub architecture: DecoderShape,
    /// The digest of the tokenizer's file. `None` for the tokenizer of the synthetic language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Digest>,
    /// The training recipe.
    pub recipe: PretrainConfig,
    /// The identity of the training corpus.
    pub corpus: CorpusIdentity,
}

/// Returns the cell that trains the base `model`.
pub(super) fn plan_pretrain_cell(
    point: &SweepPoint<'_>,
    planner: &mut Planner,
    model: &str,
    labels: CellLabels,
) -> Result<Cell> {
    let definition = &point.manifest.models[model];
    let ModelSource::Pretrain(architecture) = &definition.source else {
        unreachable!("the source of the base is not `ModelSource::Pretrain`")
    };
    if !definition.dtype.is_f32() {
        let message = format!("dtr pretrains `models.{model}` in f32, so its `dtype` must be f32");
        return Err(Error::manifest(message).hint("remove `dtype`"));
    }
    let (config, tokenizer) = planner.identify_trained_base(point, model, architecture)?;
    let job = PretrainJob {
        architecture: architecture.clone(),
        config,
        tokenizer,
        recipe: point.manifest.pretrain.clone(),
        corpus: point.manifest.corpus.source.clone(),
        corpus_identity: planner.identify_corpus(point)?,
    };
    Cell::new(job, labels)
}

impl Stage for PretrainJob {
    const NAME: StageName = StageName::new("pretrain");
    const VERSION: u32 = 1;
    type Spec = PretrainSpec;
    type Output = PretrainResult;
    type Cache = ModelCache;

    fn spec(&self) -> Result<PretrainSpec> {
        Ok(PretrainSpec {
            architecture: DecoderShape { tokenizer: None, ..self.architecture.clone() },
            tokenizer: self.tokenizer,
            recipe: self.recipe.clone(),
            corpus: self.corpus_identity.clone(),
        })
    }

    fn inputs(&self) -> CellInputs {
        CellInputs::new()
    }

    fn bf16_setting(&self) -> Option<&'static str> {
        self.recipe.mixed_precision.then_some("mixed-precision = true")
    }

    fn config(&self) -> Result<Option<DecoderConfig>> {
        Ok(Some(self.config.clone()))
    }

    fn resources(&self, config: &DecoderConfig, _group: &[&Self]) -> ResourceEstimate {
        let bytes = training_bytes(config.num_parameters());
        ResourceEstimate {
            tokens: self.recipe.token_budget.0,
            weight_bytes: bytes,
            ..ResourceEstimate::default()
        }
    }

    fn count_work(&self, output: &PretrainResult) -> WorkCounts {
        WorkCounts { tokens: output.tokens, evaluations: 0 }
    }

    fn run(
        context: &RunContext<'_>,
        _models: &mut ModelCache,
        group: &[(&Cell, &Self)],
    ) -> Vec<Result<CompletedBy>> {
        group.iter().map(|(cell, job)| job.run_one(context, cell)).collect()
    }
}

impl PretrainJob {
    fn run_one(&self, context: &RunContext<'_>, cell: &Cell) -> Result<CompletedBy> {
        run_training_cell(context, cell, &BASE_FILES, |claimed, recorder| {
            self.train(context, cell, claimed, recorder)
        })
    }

    /// Trains the base and writes its files.
    fn train(
        &self,
        context: &RunContext<'_>,
        cell: &Cell,
        claimed: &RunningCell<'_>,
        recorder: &UsageRecorder<'_>,
    ) -> Result<PretrainResult> {
        let (config, tokenizer) = base_config_and_tokenizer(&self.architecture, &self.recipe)?;
        let task = context.progress.start_task(&cell.to_line(), self.recipe.token_budget.0, "tokens");
        let task = task.with_recorder(recorder)?;
        let sequences = self.recipe.training_schedule().sequence_shape();
        let sequences = TokenSequences::new(&self.corpus, &tokenizer, sequences, self.recipe.seed, &task)?;
        let checkpoint = claimed.checkpoint("base.safetensors")?;
        let mut trainer = Trainer::new(&config, &self.recipe, &checkpoint, context.device())?;
        if trainer.num_steps_done() > 0 {
            task.message(&format!("resumes after step {}", trainer.num_steps_done()));
        }
        trainer.run(&sequences, &task)?;
        let (result, mut decoder) = trainer.finish();
        write_base_model(&mut decoder, &tokenizer, &claimed.artifact_folder()?)?;
        Ok(result)
    }
}
