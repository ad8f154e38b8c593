//! Collects the cells of an experiment's plan, without duplicates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::base::{BaseSource, read_config};
use super::cell::{Cell, CellLabels};
use super::finetune_base;
use super::identity::{CorpusIdentity, ModelIdentity, SplitIdentity};
use super::input_identities::{IdentitySource, InputIdentities};
use super::pretrain::{self, PretrainJob};
use crate::algorithms::pretrain::base_config_and_tokenizer;
use crate::data::documents::check_first_documents;
use crate::data::{CorpusSource, Split};
use crate::device::MachineLabel;
use crate::manifest::{LoadedManifest, Manifest, ModelConfig, ModelSource};
use crate::store::{CellId, CellKey, StageName};
use dtr_core::error::{Error, Result};
use dtr_core::files::{Digest, digest_file};
use dtr_model::{DecoderConfig, DecoderShape};

/// The axes of the table `finetune` that do not change how a base is fine-tuned.
const AXES_OF_HYBRIDS: [&str; 3] = ["finetune.hybrids", "finetune.start", "finetune.restore-qk"];

/// A point of a sweep: one value for each axis.
pub struct SweepPoint<'a> {
    /// The loaded manifest, with the position of each value in the manifest's file.
    pub loaded: &'a LoadedManifest,
    /// The manifest with the values of this point.
    pub manifest: &'a Manifest,
    /// The values of the axes as text, by each axis's dotted key in the manifest.
    pub axes: &'a BTreeMap<String, String>,
    /// The machine that the plan is made for.
    pub machine: &'a MachineLabel,
}

impl SweepPoint<'_> {
    /// Returns the labels of the cells of a base at this point.
    pub fn labels(&self, model: &str) -> CellLabels {
        CellLabels { model: model.to_owned(), axes: self.axes.clone(), ..CellLabels::default() }
    }

    /// Returns the labels of the cells that train a base or its twins. They lack the axes of the tables
    /// `search`, `logit-distil`, `finetune` and `checkpoint-distil`, because several searches share one of
    /// these cells.
    pub fn labels_of_twins(&self, model: &str) -> CellLabels {
        self.labels_without(model, &["search.", "logit-distil.", "finetune.", "checkpoint-distil."])
    }

    /// Returns the labels of the searches of a base. They lack the axes of the tables `logit-distil`,
    /// `finetune` and `checkpoint-distil`, because several trainings share one search.
    pub fn labels_of_searches(&self, model: &str) -> CellLabels {
        self.labels_without(model, &["logit-distil.", "finetune.", "checkpoint-distil."])
    }

    /// Returns the labels of the logit distillations of a base's hybrids. They lack the axes of the tables
    /// `finetune` and `checkpoint-distil`, because several fine-tunings share one logit distillation.
    pub fn labels_of_logit_distillations(&self, model: &str) -> CellLabels {
        self.labels_without(model, &["finetune.", "checkpoint-distil."])
    }

    /// Returns the labels of the fine-tunings of a base's hybrids. They lack the axes of the table
    /// `checkpoint-distil`, because several students share one fine-tuning.
    pub(super) fn labels_of_finetunings(&self, model: &str) -> CellLabels {
        self.labels_without(model, &["checkpoint-distil."])
    }

    /// Returns the labels of a base without the axes of some tables. If the base is fine-tuned before its
    /// twins are distilled, keeps the axes of the recipe in the table `finetune`.
    fn labels_without(&self, model: &str, tables: &[&str]) -> CellLabels {
        let is_finetuned = self.manifest.is_finetuned(model);
        let is_of_recipe = |key: &str| key.starts_with("finetune.") && !AXES_OF_HYBRIDS.contains(&key);
        let mut labels = self.labels(model);
        labels.axes.retain(|key, _| {
            (is_finetuned && is_of_recipe(key)) || !tables.iter().any(|table| key.starts_with(table))
        });
        labels
    }

    /// Returns the name under which the identity of an input is stored: its dotted key in the manifest, and
    /// the values of the axes.
    fn input_name(&self, key: &str) -> String {
        let axes = self.axes.iter().map(|(axis, value)| format!(" {axis}={value}"));
        std::iter::once(key.to_owned()).chain(axes).collect()
    }
}

/// The cells that have been planned so far. The planner also keeps the identities of all inputs, so that it
/// computes each identity only once.
#[derive(Default)]
pub struct Planner {
    cells: Vec<Cell>,
    identities: InputIdentities,
    identity_source: IdentitySource,
    /// The source of each base, by the text of its definition. `None` for a base that a cell trains.
    bases: BTreeMap<String, Option<BaseSource>>,
    corpora: Vec<(CorpusSource, CorpusIdentity)>,
}

impl Planner {
    /// Creates a planner that knows the identities of all inputs and reads no file.
    pub fn from_identities(identities: InputIdentities) -> Self {
        Self { identities, identity_source: IdentitySource::Known, ..Self::default() }
    }

    /// Returns the cells, in the order in which they were added, and the identities of their inputs.
    pub fn into_parts(self) -> (Vec<Cell>, InputIdentities) {
        (self.cells, self.identities)
    }

    /// Returns the cells of a stage that have been added so far.
    pub fn cells_of(&self, stage: &StageName) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(move |cell| cell.stage() == stage)
    }

    /// Adds a cell whose result other cells read, unless the cell was added before. Returns the id of the
    /// cell.
    pub fn add_input_cell(&mut self, cell: Cell) -> CellId {
        let id = cell.id().clone();
        if self.find(&id.key).is_none() {
            self.cells.push(cell);
        }
        id
    }

    /// Adds a cell whose result becomes a row of a table. Does nothing if the cell was added before with the
    /// same labels. This happens if an axis of the sweep does not affect the cell.
    ///
    /// # Errors
    /// Fails if the cell was added before with other labels, because the table would have two equal rows.
    pub fn add_result_cell(&mut self, cell: Cell) -> Result<()> {
        if let Some(first) = self.find(&cell.key()) {
            if first.labels == cell.labels {
                return Ok(());
            }
            return Err(Error::manifest(format!(
                "two cells of the sweep are the same work: `{}` and `{}`",
                first.labels.to_line(),
                cell.labels.to_line()
            ))
            .hint("remove a name that repeats another definition, or an axis that changes nothing"));
        }
        self.cells.push(cell);
        Ok(())
    }

    /// Adds a cell whose result becomes a row of a table. Does nothing if the cell was added before with the
    /// same base and variant.
    ///
    /// # Errors
    /// Fails if the cell was added before with another base or variant.
    pub fn add_result_cell_once(&mut self, cell: Cell) -> Result<()> {
        let names = |labels: &CellLabels| (labels.model.clone(), labels.variant.clone());
        match self.find(&cell.key()) {
            Some(first) if names(&first.labels) == names(&cell.labels) => Ok(()),
            _ => self.add_result_cell(cell),
        }
    }

    /// Returns the identity of the corpus. Also checks the first documents of its files.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if the first documents of a file are not valid.
    pub fn identify_corpus(&mut self, point: &SweepPoint<'_>) -> Result<CorpusIdentity> {
        let (source, corpora) = (&point.manifest.corpus.source, &mut self.corpora);
        let compute = || {
            if let Some((_, identity)) = corpora.iter().find(|(known, _)| known == source) {
                return Ok(identity.clone());
            }
            let identity = CorpusIdentity::compute(source)?;
            check_corpus(source)?;
            corpora.push((source.clone(), identity.clone()));
            Ok(identity)
        };
        self.identity_source.get(&mut self.identities.corpora, &point.input_name("corpus"), compute)
    }

    /// Returns the identity of a split of the task `name`.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if the hub does not know a revision.
    pub fn identify_task(
        &mut self,
        point: &SweepPoint<'_>,
        name: &str,
        split: Split,
    ) -> Result<SplitIdentity> {
        let key = point.input_name(&format!("tasks.{name}.{split}"));
        let compute = || SplitIdentity::compute(&point.manifest.tasks[name], split);
        self.identity_source.get(&mut self.identities.tasks, &key, compute)
    }

    /// Returns the shape of a base and the digest of its tokenizer's file. `model` names a base that a
    /// pretrain cell trains. The digest is `None` for the tokenizer of the synthetic language.
    ///
    /// # Errors
    /// Fails if the tokenizer cannot be read.
    pub(super) fn identify_trained_base(
        &mut self,
        point: &SweepPoint<'_>,
        model: &str,
        architecture: &DecoderShape,
    ) -> Result<(DecoderConfig, Option<Digest>)> {
        let key = point.input_name(&format!("models.{model}"));
        let read_shape = || Ok(Some(base_config_and_tokenizer(architecture, &point.manifest.pretrain)?.0));
        let digest = || architecture.tokenizer.as_ref().map(|path| digest_file(Path::new(path))).transpose();
        let shape = self.identity_source.get(&mut self.identities.shapes, &key, read_shape)?;
        let tokenizer = self.identity_source.get(&mut self.identities.tokenizers, &key, digest)?;
        let shape = shape
            .ok_or_else(|| Error::environment(format!("the published results lack the shape of `{key}`")))?;
        Ok((shape, tokenizer))
    }

    /// Returns the source of a base. If the manifest asks to pretrain or to fine-tune the base, adds the cell
    /// that does this.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if the manifest sets a type other than f32 for a base that a
    /// pretrain cell trains.
    pub fn plan_base(&mut self, point: &SweepPoint<'_>, model: &str) -> Result<BaseSource> {
        if let ModelSource::Finetuned(finetuned) = &point.manifest.models[model].source {
            let original = self.plan_base(point, &finetuned.model)?;
            let labels = CellLabels { task: Some(finetuned.task.clone()), ..point.labels_of_twins(model) };
            let cell = finetune_base::plan_finetuned_base(point, self, original.clone(), finetuned, labels)?;
            return Ok(BaseSource::Finetuned {
                cell: self.add_input_cell(cell),
                original: Box::new(original),
            });
        }
        if let Some(source) = self.stored_base(point, model)? {
            return Ok(source);
        }
        let labels = point.labels_of_twins(model);
        let cell = pretrain::plan_pretrain_cell(point, self, model, labels)?;
        let job = cell.downcast_job::<PretrainJob>().expect("a pretrain cell has a pretrain job");
        let config = job.config.clone();
        Ok(BaseSource::Trained { cell: self.add_input_cell(cell), config })
    }

    /// Returns the shape of a model, or `None` if its configuration has not been downloaded yet.
    ///
    /// # Errors
    /// Fails if a configuration on disk cannot be read.
    pub fn model_config(&mut self, point: &SweepPoint<'_>, model: &str) -> Result<Option<DecoderConfig>> {
        let definition = &point.manifest.models[model];
        let base = match &definition.source {
            ModelSource::Pretrain(architecture) => {
                return self.identify_trained_base(point, model, architecture).map(|(shape, _)| Some(shape));
            }
            ModelSource::Finetuned(finetuned) => return self.model_config(point, &finetuned.model),
            ModelSource::Shape(_) => None,
            ModelSource::Path(_) | ModelSource::Gguf(_) | ModelSource::Hub(_) => {
                self.stored_base(point, model)?
            }
        };
        let read = || match (&definition.source, base) {
            (ModelSource::Shape(path), _) => read_config(Path::new(path)).map(Some),
            (_, Some(base)) => base.config(),
            (_, None) => Ok(None),
        };
        let key = point.input_name(&format!("models.{model}"));
        self.identity_source.get(&mut self.identities.shapes, &key, read)
    }

    /// Returns whether the cell with this key was added.
    pub(super) fn has_cell(&self, key: &CellKey) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: &CellKey) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.key() == *key)
    }

    /// Returns the source of a base in a directory or on the hub. Returns `None` for a base that a cell
    /// trains, and for a model without weights.
    fn stored_base(&mut self, point: &SweepPoint<'_>, model: &str) -> Result<Option<BaseSource>> {
        let definition = &point.manifest.models[model];
        let key = point.input_name(&format!("models.{model}"));
        if self.identity_source == IdentitySource::Files {
            let source = self.read_base(definition)?;
            self.identities.models.insert(key, source.as_ref().and_then(BaseSource::identity).cloned());
            return Ok(source);
        }
        let unknown = || unreachable!("no identity is computed if all are known");
        let identity = self.identity_source.get(&mut self.identities.models, &key, unknown)?;
        Ok(identity.map(|identity| BaseSource::Stored {
            path: PathBuf::new(),
            identity,
            dtype: definition.dtype,
            config_copy: None,
        }))
    }

    /// Identifies a base by its files, or by its commit on the hub. Returns `None` for a base that a cell
    /// trains, and for a model without weights.
    fn read_base(&mut self, definition: &ModelConfig) -> Result<Option<BaseSource>> {
        let name = format!("{definition:?}");
        if let Some(source) = self.bases.get(&name) {
            return Ok(source.clone());
        }
        let config_copy = match &definition.source {
            ModelSource::Hub(hub) => hub.config.as_ref().map(PathBuf::from),
            _ => None,
        };
        let dtype = definition.dtype;
        let source = ModelIdentity::compute(definition)?.map(|(path, identity)| BaseSource::Stored {
            path,
            identity,
            dtype,
            config_copy,
        });
        self.bases.insert(name, source.clone());
        Ok(source)
    }
}

/// Checks the first documents of a corpus's files.
fn check_corpus(source: &CorpusSource) -> Result<()> {
    match source {
        CorpusSource::Synthetic(_) => Ok(()),
        CorpusSource::Files(corpus) => check_first_documents(corpus),
        CorpusSource::Mixture(portions) => {
            portions.iter().try_for_each(|portion| check_corpus(&portion.source))
        }
    }
}
