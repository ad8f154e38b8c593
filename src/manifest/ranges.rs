//! Numbers out of range, and numbers that do not go together.
//!
//! The upper bounds are far beyond use; they catch slips, and keep products from overflowing.

use std::ops::Bound::{self, Excluded, Included};
use std::ops::RangeBounds;

use super::node::dotted;
use super::spans::{At, Sources};
use super::{HubModel, Manifest, ModelSource};
use crate::algorithms::pretrain::PretrainConfig;
use crate::algorithms::search::{SearchStrategy, StopCriterion};
use crate::algorithms::throughput::{Replaced, ThroughputConfig};
use crate::data::{CorpusSource, TaskSource};
use crate::hub;
use dtr_core::count::Count;
use dtr_core::error::{Error, Result};
use dtr_model::optimizer::AdamWConfig;
use dtr_model::{BlockConfig, DecoderShape, GeometryConfig, Variant};

/// Checks all numbers of `manifest`, also those of definitions that no axis names.
pub(super) fn check(manifest: &Manifest, sources: &Sources) -> Result<()> {
    let check = Check { sources };
    for (name, model) in &manifest.models {
        match &model.source {
            ModelSource::Pretrain(shape) => {
                check.architecture(&["models", name, "source", "pretrain"], shape)?
            }
            ModelSource::Hub(model) => check.repository(&["models", name, "source", "hub"], model)?,
            ModelSource::Path(_) | ModelSource::Shape(_) => {}
        }
    }
    for (name, variant) in &manifest.variants {
        check.variant(&["variants", name], variant)?;
    }
    for (name, task) in &manifest.tasks {
        let (source, validation_items, test_items) = match &task.source {
            TaskSource::Synthetic(task) => ("synthetic", task.validation_items, task.test_items),
            TaskSource::File(file) => {
                ("file", file.validation_items.unwrap_or(1), file.test_items.unwrap_or(1))
            }
        };
        let table = ["tasks", name, "source", source];
        check.whole(&table, "validation-items", validation_items, 10_000_000)?;
        check.whole(&table, "test-items", test_items, 10_000_000)?;
    }
    check.corpus(&["corpus", "source"], &manifest.corpus.source)?;
    let (distil, pretrain) = (&manifest.distil, &manifest.pretrain);
    check.optimizer(&["distil", "optimizer"], &distil.optimizer)?;
    check.budget("distil", distil.token_budget, distil.sequence_length, distil.batch_size)?;
    check.optimizer(&["pretrain", "optimizer"], &pretrain.optimizer)?;
    check.budget("pretrain", pretrain.token_budget, pretrain.sequence_length, pretrain.batch_size)?;
    check.pretrain(pretrain)?;
    check.strategy(&manifest.search.strategy)?;
    check.stop(&manifest.search.stop)?;
    check.throughput(&manifest.throughput)?;
    check.real(&["report"], "confidence", manifest.report.confidence, (Excluded(0.0), Excluded(1.0)))
}

struct Check<'a> {
    sources: &'a Sources,
}

impl Check<'_> {
    /// `table.key` is `value`, which must lie between 1 and `most`.
    fn whole(&self, table: &[&str], key: &str, value: usize, most: usize) -> Result<()> {
        match value {
            0 => Err(self.sources.refuse(&[table, &[key]].concat(), "at least 1")),
            _ if value > most => {
                Err(self.sources.refuse(&[table, &[key]].concat(), &format!("at most {most}")))
            }
            _ => Ok(()),
        }
    }

    /// `table.key` is `value`, which must lie in `range` and so be finite.
    fn real(&self, table: &[&str], key: &str, value: f64, range: (Bound<f64>, Bound<f64>)) -> Result<()> {
        if range.contains(&value) {
            return Ok(());
        }
        Err(self.sources.refuse(&[table, &[key]].concat(), &words(range)))
    }

    fn corpus(&self, place: &[&str], source: &CorpusSource) -> Result<()> {
        match source {
            CorpusSource::Synthetic(_) => Ok(()),
            CorpusSource::Files(files) => {
                self.some(&[place, &["files", "paths"]].concat(), files.paths.len())
            }
            CorpusSource::Mixture(portions) => {
                let place = [place, &["mixture"]].concat();
                self.some(&place, portions.len())?;
                portions.iter().enumerate().try_for_each(|(index, portion)| {
                    let index = index.to_string();
                    let place = [&place[..], &[&index]].concat();
                    self.real(&place, "weight", portion.weight, (Excluded(0.0), Included(1e6)))?;
                    self.corpus(&[&place[..], &["source"]].concat(), &portion.source)
                })
            }
        }
    }

    /// The list at `place` has `len` entries, and must have one at least.
    fn some(&self, place: &[&str], len: usize) -> Result<()> {
        if len > 0 {
            return Ok(());
        }
        Err(self.sources.refuse(place, "a list with something in it"))
    }

    fn architecture(&self, table: &[&str], shape: &DecoderShape) -> Result<()> {
        self.whole(table, "hidden-size", shape.hidden_size, 1 << 17)?;
        self.whole(table, "intermediate-size", shape.intermediate_size, 1 << 20)?;
        self.whole(table, "num-layers", shape.num_layers, 1 << 10)?;
        self.whole(table, "num-heads", shape.num_heads, 1 << 10)?;
        self.whole(table, "num-kv-heads", shape.num_kv_heads, 1 << 10)?;
        self.whole(table, "head-dim", shape.head_dim, 1 << 12)?;
        self.heads(table, shape.num_heads, shape.num_kv_heads)?;
        if shape.head_dim.is_multiple_of(2) {
            return Ok(());
        }
        Err(self.sources.refuse(&[table, &["head-dim"]].concat(), EVEN))
    }

    fn heads(&self, table: &[&str], num_heads: usize, num_kv_heads: usize) -> Result<()> {
        if num_heads.is_multiple_of(num_kv_heads) {
            return Ok(());
        }
        let (heads, kv_heads) = ([table, &["num-heads"]].concat(), [table, &["num-kv-heads"]].concat());
        let message = format!("{num_heads} query heads cannot share {num_kv_heads} key/value heads evenly");
        let error = Error::manifest(message).hint("`num-heads` must be a multiple of `num-kv-heads`");
        let latest = self.sources.latest(&[&kv_heads, &heads]);
        Err(self.sources.point(error, latest, At::Value, "does not divide"))
    }

    fn variant(&self, table: &[&str], variant: &Variant) -> Result<()> {
        self.geometry(&[table, &["geometry"]].concat(), &variant.geometry)?;
        let block = |name| [table, &["block", name]].concat();
        match &variant.block {
            BlockConfig::Gla(gla) => {
                let range = (Excluded(0.0), Included(1e6));
                self.whole(&block("gla"), "gate-low-rank-dim", gla.gate_low_rank_dim, 1 << 16)?;
                self.real(&block("gla"), "gate-logit-normalizer", gla.gate_logit_normalizer, range)
            }
            BlockConfig::Gdn(gdn) if gdn.conv_size == 0 => Ok(()),
            BlockConfig::Gdn(gdn) => self.whole(&block("gdn"), "conv-size", gdn.conv_size, 1 << 10),
            BlockConfig::Jet(jet) => {
                self.whole(&block("jet"), "conv-size", jet.conv_size, 1 << 10)?;
                self.whole(&block("jet"), "generator-reduction", jet.generator_reduction, 1 << 16)
            }
        }
    }

    fn geometry(&self, table: &[&str], geometry: &GeometryConfig) -> Result<()> {
        for (key, size) in [
            ("num-heads", geometry.num_heads),
            ("num-kv-heads", geometry.num_kv_heads),
            ("key-dim", geometry.key_dim),
            ("value-dim", geometry.value_dim),
        ] {
            self.whole(table, key, size.unwrap_or(1), 1 << 12)?;
        }
        if geometry.rope && geometry.key_dim.is_some_and(|key_dim| key_dim % 2 == 1) {
            return Err(self.sources.refuse(&[table, &["key-dim"]].concat(), EVEN));
        }
        match (geometry.num_heads, geometry.num_kv_heads) {
            (Some(num_heads), Some(num_kv_heads)) => self.heads(table, num_heads, num_kv_heads),
            _ => Ok(()),
        }
    }

    fn optimizer(&self, table: &[&str], optimizer: &AdamWConfig) -> Result<()> {
        self.real(table, "learning-rate", optimizer.learning_rate, (Excluded(0.0), Included(10.0)))?;
        self.real(table, "final-fraction", optimizer.final_fraction, (Included(0.0), Included(1.0)))?;
        self.real(table, "warmup-fraction", optimizer.warmup_fraction, (Included(0.0), Included(1.0)))?;
        let betas = [table, &["betas"]].concat();
        self.real(&betas, "0", optimizer.betas[0], (Included(0.0), Excluded(1.0)))?;
        self.real(&betas, "1", optimizer.betas[1], (Included(0.0), Excluded(1.0)))?;
        self.real(table, "epsilon", optimizer.epsilon, (Excluded(0.0), Included(1.0)))?;
        self.real(table, "weight-decay", optimizer.weight_decay, (Included(0.0), Included(10.0)))?;
        self.real(table, "clip", optimizer.clip, (Excluded(0.0), Included(1e6)))
    }

    /// The budget of the recipe `table` must pay for a step at least.
    fn budget(&self, table: &str, budget: Count, sequence_length: usize, batch_size: usize) -> Result<()> {
        self.whole(&[table], "sequence-length", sequence_length, 1 << 20)?;
        self.whole(&[table], "batch-size", batch_size, 1 << 16)?;
        if budget.0 > MOST_TOKENS {
            return Err(self
                .sources
                .refuse(&[table, "token-budget"], &format!("at most {}", Count(MOST_TOKENS))));
        }
        let step = (sequence_length * batch_size) as u64;
        if budget.0 >= step {
            return Ok(());
        }
        let keys = [[table, "token-budget"], [table, "batch-size"], [table, "sequence-length"]];
        let latest = self.sources.latest(&[&keys[0], &keys[1], &keys[2]]);
        let message = format!("`{}` is less than one step takes", dotted(&keys[0]));
        let error = Error::manifest(message).hint(format!(
            "a step takes {batch_size} sequences of {sequence_length} tokens, so at least {step}"
        ));
        Err(self.sources.point(error, latest, At::Value, format!("{budget} is under {step}")))
    }

    fn pretrain(&self, recipe: &PretrainConfig) -> Result<()> {
        if recipe.sequence_length < 2 {
            return Err(self.sources.refuse(&["pretrain", "sequence-length"], "at least 2"));
        }
        self.whole(&["pretrain"], "micro-batch-size", recipe.micro_batch_size, 1 << 16)?;
        let (batch, part) = (recipe.batch_size, recipe.micro_batch_size);
        if part >= batch || batch.is_multiple_of(part) {
            return Ok(());
        }
        let keys = [["pretrain", "micro-batch-size"], ["pretrain", "batch-size"]];
        let latest = self.sources.latest(&[&keys[0], &keys[1]]);
        let message = format!("a batch of {batch} sequences cannot be cut into parts of {part}");
        let error = Error::manifest(message).hint("`pretrain.micro-batch-size` must divide `batch-size`");
        Err(self.sources.point(error, latest, At::Value, "does not divide"))
    }

    /// The names of a repository become parts of paths and addresses.
    fn repository(&self, table: &[&str], model: &HubModel) -> Result<()> {
        if !hub::is_repo_id(&model.repo) {
            return Err(self
                .sources
                .refuse(&[table, &["repo"]].concat(), "the `OWNER/NAME` of a repository"));
        }
        if !hub::is_revision(&model.revision) {
            return Err(self.sources.refuse(&[table, &["revision"]].concat(), "a commit, a branch or a tag"));
        }
        Ok(())
    }

    fn throughput(&self, timed: &ThroughputConfig) -> Result<()> {
        let table = ["throughput"];
        self.distinct(&["throughput", "contexts"], &timed.contexts, 1 << 24)?;
        self.some(&["throughput", "batch-sizes"], timed.batch_sizes.len())?;
        self.distinct(&["throughput", "batch-sizes"], &timed.batch_sizes, 1 << 16)?;
        match &timed.replaced {
            Replaced::All {} => {}
            Replaced::Every(step) => {
                self.whole(&["throughput", "replaced"], "every", *step as usize, 1 << 10)?;
            }
            Replaced::Counts(counts) => {
                let place = ["throughput", "replaced", "counts"];
                self.some(&place, counts.len())?;
                let counts: Vec<usize> = counts.iter().map(|&count| count as usize).collect();
                self.distinct(&place, &counts, 1 << 10)?;
            }
        }
        self.whole(&table, "new-tokens", timed.new_tokens, 1 << 20)?;
        self.whole(&table, "prefill-chunk", timed.prefill_chunk, 1 << 24)?;
        // None is a number of runs before those that count, too.
        self.whole(&table, "warm-up", timed.warm_up.max(1), 1 << 10)?;
        self.whole(&table, "repeats", timed.repeats, 1 << 10)
    }

    /// The numbers in the list at `place` must lie between 1 and `most`, and differ.
    fn distinct(&self, place: &[&str], numbers: &[usize], most: usize) -> Result<()> {
        for (index, number) in numbers.iter().enumerate() {
            let at = index.to_string();
            self.whole(place, &at, *number, most)?;
            if numbers[..index].contains(number) {
                let error = Error::manifest(format!("`{}` has {number} twice", dotted(place)));
                return Err(self.sources.point(
                    error,
                    &[place, &[&at]].concat(),
                    At::Value,
                    "the same cells again",
                ));
            }
        }
        Ok(())
    }

    fn strategy(&self, strategy: &SearchStrategy) -> Result<()> {
        match *strategy {
            SearchStrategy::Beam { width } => {
                self.whole(&["search", "strategy", "beam"], "width", width, 1 << 16)
            }
            SearchStrategy::Greedy {}
            | SearchStrategy::Uniform {}
            | SearchStrategy::Random { .. }
            | SearchStrategy::LocalImportance {}
            | SearchStrategy::Impact {} => Ok(()),
        }
    }

    fn stop(&self, stop: &StopCriterion) -> Result<()> {
        let table = ["search", "stop"];
        match *stop {
            StopCriterion::MaxRelativeDrop(drop) => {
                self.real(&table, "max-relative-drop", drop, (Excluded(0.0), Included(1.0)))
            }
            StopCriterion::MinScore(score) => {
                self.real(&table, "min-score", score, (Included(0.0), Included(1.0)))
            }
            StopCriterion::Never {} => Ok(()),
        }
    }
}

/// What rotary positions ask of a width.
const EVEN: &str = "even, as rotary positions turn channels in pairs";

/// More tokens than any model has seen.
const MOST_TOKENS: u64 = 1_000_000_000_000_000;

fn words((low, high): (Bound<f64>, Bound<f64>)) -> String {
    let low = match low {
        Included(low) => format!("at least {low}"),
        Excluded(low) => format!("above {low}"),
        Bound::Unbounded => String::new(),
    };
    match high {
        Included(high) => format!("{low} and at most {high}"),
        Excluded(high) => format!("{low} and below {high}"),
        Bound::Unbounded => low,
    }
}
