//! Refuses values that are out of range, and values that contradict each other.
//!
//! The ranges of single values come from the JSON schema, which editors and the manual use too. The upper
//! bounds are far above all useful values. These bounds catch typing errors and keep products from
//! overflowing. This file adds the rules that relate several values.

use super::dotted_key::format_dotted_key;
use super::finetuned_models::check_finetuned_models;
use super::schema::experiment_schema;
use super::source_map::{EntryPart, SourceMap};
use super::students::check_students;
use super::{HubModel, Manifest, ModelConfig, ModelSource};
use crate::algorithms::finetune::{FinetuneStart, KeptAttention};
use crate::algorithms::tuning::HybridChoice;
use crate::hub;
use dtr_core::count::Count;
use dtr_core::error::{Error, Result};
use dtr_core::schema_ranges::{OutOfRange, find_out_of_range_value};
use dtr_model::{TwinVariant, check_head_counts};

/// Checks all values of `manifest`, including the definitions that the sweep does not use.
pub(super) fn check(manifest: &Manifest, sources: &SourceMap) -> Result<()> {
    let to_json = "every manifest can be written as JSON";
    let mut value = serde_json::to_value(manifest).expect(to_json);
    // Serialization leaves out these tables if they train no hybrid.
    value["logit-distil"] = serde_json::to_value(&manifest.logit_distil).expect(to_json);
    value["finetune"] = serde_json::to_value(&manifest.finetune).expect(to_json);
    value["checkpoint-distil"] = serde_json::to_value(&manifest.checkpoint_distil).expect(to_json);
    if let Some(found) = find_out_of_range_value(experiment_schema(), &value) {
        return Err(out_of_range_error(&found, sources));
    }
    let check = ConsistencyCheck { sources };
    for (name, model) in &manifest.models {
        match &model.source {
            ModelSource::Pretrain(architecture) => {
                let table = ["models", name, "source", "pretrain"];
                check.check_heads(&table, architecture.num_heads, architecture.num_kv_heads)?;
            }
            ModelSource::Hub(model) => check.check_repository(&["models", name, "source", "hub"], model)?,
            ModelSource::Path(_)
            | ModelSource::Gguf(_)
            | ModelSource::Shape(_)
            | ModelSource::Finetuned(_) => {}
        }
    }
    check_finetuned_models(manifest, sources)?;
    check_students(manifest, sources)?;
    for (name, variant) in &manifest.variants {
        check.check_variant(&["variants", name], variant)?;
    }
    let (distil, pretrain) = (&manifest.distil, &manifest.pretrain);
    check.check_token_budget("distil", distil.token_budget, distil.sequence_length, distil.batch_size)?;
    check.check_token_budget(
        "pretrain",
        pretrain.token_budget,
        pretrain.sequence_length,
        pretrain.batch_size,
    )?;
    let tuning = &manifest.logit_distil;
    if !tuning.is_disabled() {
        let (budget, length) = (tuning.token_budget, tuning.sequence_length);
        check.check_token_budget("logit-distil", budget, length, tuning.batch_size)?;
        check.check_micro_batches("logit-distil", tuning.batch_size, tuning.micro_batch_size)?;
    }
    let finetune = &manifest.finetune;
    let is_finetuned = |model: &ModelConfig| matches!(model.source, ModelSource::Finetuned(_));
    if !finetune.is_disabled() || manifest.models.values().any(is_finetuned) {
        check.check_micro_batches("finetune", finetune.batch_size, finetune.micro_batch_size)?;
        check.check_finetune(manifest)?;
    }
    check.check_micro_batches("pretrain", pretrain.batch_size, pretrain.micro_batch_size)
}

fn out_of_range_error(found: &OutOfRange, sources: &SourceMap) -> Error {
    sources.value_error(&found.path, &found.requirement).hint(found.hint.clone())
}

struct ConsistencyCheck<'a> {
    sources: &'a SourceMap,
}

impl ConsistencyCheck<'_> {
    fn check_heads(&self, table: &[&str], num_heads: usize, num_kv_heads: usize) -> Result<()> {
        let (heads, kv_heads) = ([table, &["num-heads"]].concat(), [table, &["num-kv-heads"]].concat());
        let latest = self.sources.last_set_path(&[&kv_heads, &heads]);
        check_head_counts(num_heads, num_kv_heads)
            .map_err(|error| self.sources.underline_entry(error, latest, EntryPart::Value, "does not divide"))
    }

    fn check_variant(&self, table: &[&str], variant: &TwinVariant) -> Result<()> {
        let table = [table, &["geometry"]].concat();
        if variant.geometry.has_odd_rotary_width() {
            let key = [&table[..], &["key-dim"]].concat();
            return Err(self.sources.value_error(&key, "even, as rotary positions rotate pairs of channels"));
        }
        match (variant.geometry.num_heads, variant.geometry.num_kv_heads) {
            (Some(num_heads), Some(num_kv_heads)) => self.check_heads(&table, num_heads, num_kv_heads),
            _ => Ok(()),
        }
    }

    /// Checks that the token budget of the training in `table` suffices for at least one step.
    fn check_token_budget(
        &self,
        table: &str,
        budget: Count,
        sequence_length: usize,
        batch_size: usize,
    ) -> Result<()> {
        let tokens_per_step = (sequence_length * batch_size) as u64;
        if budget.0 >= tokens_per_step {
            return Ok(());
        }
        let keys = [[table, "token-budget"], [table, "batch-size"], [table, "sequence-length"]];
        let latest = self.sources.last_set_path(&[&keys[0], &keys[1], &keys[2]]);
        let message = format!("`{}` is smaller than one training step", format_dotted_key(&keys[0]));
        let error = Error::manifest(message).hint(format!(
            "set `token-budget` to at least {tokens_per_step}: a step takes {batch_size} sequences of \
             {sequence_length} tokens"
        ));
        let label = format!("{budget} tokens are fewer than {tokens_per_step}");
        Err(self.sources.underline_entry(error, latest, EntryPart::Value, label))
    }

    /// Checks that the micro-batches of the training in `table` have equal sizes.
    fn check_micro_batches(&self, table: &str, batch_size: usize, micro_batch_size: usize) -> Result<()> {
        if micro_batch_size >= batch_size || batch_size.is_multiple_of(micro_batch_size) {
            return Ok(());
        }
        let keys = [[table, "micro-batch-size"], [table, "batch-size"]];
        let latest = self.sources.last_set_path(&[&keys[0], &keys[1]]);
        let message = format!(
            "a batch of {batch_size} sequences cannot be split into micro-batches of {micro_batch_size}"
        );
        let error = Error::manifest(message).hint("set `micro-batch-size` to a divisor of `batch-size`");
        Err(self.sources.underline_entry(error, latest, EntryPart::Value, "does not divide"))
    }

    /// Checks that the fine-tuned hybrids exist, and that restored queries and keys are trained.
    fn check_finetune(&self, manifest: &Manifest) -> Result<()> {
        let (finetune, distilled) = (&manifest.finetune, &manifest.logit_distil.hybrids);
        let is_missing = |hybrid: &&HybridChoice| !distilled.contains(hybrid);
        if finetune.start == FinetuneStart::LogitDistil
            && let Some(hybrid) = finetune.hybrids.iter().find(is_missing)
        {
            let error = Error::manifest(format!(
                "`{}` cannot be fine-tuned after logit distillation, which does not train it",
                hybrid.label()
            ))
            .hint("add the hybrid to `logit-distil.hybrids`, or write `finetune.start = \"search\"`");
            let place = ["finetune", "start"];
            return Err(self.sources.underline_entry(error, &place, EntryPart::Value, "not trained before"));
        }
        if finetune.restore_qk && finetune.attention != KeptAttention::All {
            let error =
                Error::manifest("`finetune.restore-qk` changes nothing: queries and keys are not trained")
                    .hint("write `finetune.attention = \"all\"`, or remove `restore-qk`");
            let place = ["finetune", "restore-qk"];
            return Err(self.sources.underline_entry(error, &place, EntryPart::Value, "changes nothing"));
        }
        Ok(())
    }

    /// Checks the names of a repository, which become parts of paths and URLs.
    fn check_repository(&self, table: &[&str], model: &HubModel) -> Result<()> {
        if !hub::is_repo_id(&model.repo) {
            return Err(self
                .sources
                .value_error(&[table, &["repo"]].concat(), "the `OWNER/NAME` of a repository"));
        }
        if !hub::is_revision(&model.revision) {
            return Err(self
                .sources
                .value_error(&[table, &["revision"]].concat(), "a commit, a branch or a tag"));
        }
        match &model.file {
            Some(file) if !hub::is_relative_path(file) || !file.ends_with(".gguf") => Err(self
                .sources
                .value_error(&[table, &["file"]].concat(), "the path of a GGUF file in the repository")),
            _ => Ok(()),
        }
    }
}
