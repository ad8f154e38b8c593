//! Keeps bases, twins and tokenized items in memory, so that successive cells share them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::{DType, Device};

use super::base::BaseSource;
use super::cell::Cell;
use super::checkpoint_distil::CheckpointDistilJob;
use super::distil::DistilJob;
use super::finetune::FinetuneJob;
use super::finetune_base::FinetuneBaseJob;
use super::identity::SplitIdentity;
use super::logit_distil::{LogitDistilJob, TUNED_FILE};
use super::pretrain::PretrainJob;
use super::score::ScoreJob;
use super::search::SearchJob;
use super::stage::Stage;
use crate::algorithms::tuning::ParameterGroup;
use crate::data::{Split, Task, TaskItems, TaskRequests};
use crate::manifest::Dtype;
use crate::runner::RunContext;
use crate::store::{CellId, CellKey, Record, Store};
use dtr_core::error::{Error, Result};
use dtr_model::{
    BaseModel, Decoder, SafetensorsReader, SelectedParameters, TwinVariant, Twins, read_eos_token_ids,
    read_parameters,
};
use dtr_ops::is_cpu;
use dtr_sandbox::Sandbox;

/// Name of the artifact that holds the twins of a distil cell.
pub(super) const TWINS_FILE: &str = "twins.safetensors";

/// The bases, twins and tokenized items that have been loaded so far.
#[derive(Default)]
pub struct ModelCache {
    bases: BTreeMap<String, Rc<Vec<BaseModel>>>,
    twins: BTreeMap<CellKey, Rc<Vec<Twins>>>,
    requests: BTreeMap<(String, String), Rc<TaskRequests>>,
    sandbox: Option<Arc<Sandbox>>,
}

impl ModelCache {
    /// Returns one copy of a base and its tokenizer for each device of `context`. Loads the copies if
    /// necessary.
    ///
    /// # Errors
    /// Fails if a file is missing or damaged.
    pub fn load_replicas(
        &mut self,
        context: &RunContext<'_>,
        source: &BaseSource,
    ) -> Result<Rc<Vec<BaseModel>>> {
        let key = source.cache_key();
        if let Some(replicas) = self.bases.get(&key) {
            return Ok(replicas.clone());
        }
        let folder = verified_base_path(context.store, source)?;
        let load = |device: &Device| BaseModel::read_with_dtype(&folder, device, tensor_dtype(source));
        let replicas = Rc::new(context.devices.iter().map(load).collect::<Result<Vec<_>>>()?);
        self.bases.insert(key, replicas.clone());
        Ok(replicas)
    }

    /// Returns one copy of the twins of a distil cell for each device of `context`. Loads the copies if
    /// necessary.
    ///
    /// # Errors
    /// Fails if a file is missing or damaged.
    pub fn load_twins(
        &mut self,
        context: &RunContext<'_>,
        source: &BaseSource,
        variant: &TwinVariant,
        cell: &CellId,
    ) -> Result<Rc<Vec<Twins>>> {
        if let Some(twins) = self.twins.get(&cell.key) {
            return Ok(twins.clone());
        }
        let path = twins_file(context.store, cell)?;
        let replicas = self.load_replicas(context, source)?;
        let load = |base: &BaseModel| Ok(read_twins(&path, variant, base)?.to_dtype(base.decoder.dtype()));
        let twins = Rc::new(replicas.iter().map(load).collect::<Result<Vec<_>>>()?);
        self.twins.insert(cell.key, twins.clone());
        Ok(twins)
    }

    /// Returns the twins of a distil cell in f32, on the first device.
    ///
    /// # Errors
    /// Fails if a file is missing or damaged.
    pub fn read_f32_twins(
        &mut self,
        context: &RunContext<'_>,
        source: &BaseSource,
        variant: &TwinVariant,
        cell: &CellId,
    ) -> Result<Twins> {
        let replicas = self.load_replicas(context, source)?;
        read_twins(&twins_file(context.store, cell)?, variant, &replicas[0])
    }

    /// Returns the base or the hybrid that `job` scores, which the cell `job.tuned` trained. The model is on the
    /// first device, in the dtype of the base, and contains its twins. `search` is the search of the hybrid.
    ///
    /// # Errors
    /// Fails if a file is missing or damaged.
    pub fn load_tuned_model(
        &mut self,
        context: &RunContext<'_>,
        search: &SearchJob,
        job: &ScoreJob,
    ) -> Result<BaseModel> {
        let base = &self.load_replicas(context, &search.base)?[0];
        let mut decoder = base.decoder.clone();
        if !job.layers.is_empty() {
            let twins = self.load_twins(context, &search.base, &search.variant, &search.twins)?;
            decoder = decoder.with_twins(&twins[0], &job.layers.iter().copied().collect());
        }
        let tuned = job.tuned.as_ref().expect("a cell trained the model");
        let is_read = |name: &str| !job.restores_qk || ParameterGroup::of(name) != ParameterGroup::QueryKey;
        read_tuned_parameters(&mut decoder, &tuned_file(context.store, tuned)?, is_read)?;
        Ok(BaseModel { decoder, tokenizer: base.tokenizer.clone() })
    }

    /// Returns the tokenized items of a split of a task. Loads the items if necessary.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if the items have changed since the plan computed `identity`.
    pub fn load_task_requests(
        &mut self,
        context: &RunContext<'_>,
        source: &BaseSource,
        task: &Task,
        split: Split,
        identity: &SplitIdentity,
    ) -> Result<Rc<TaskRequests>> {
        let identity_text = serde_json::to_string(identity).expect("an identity is plain JSON");
        let key = (source.cache_key(), identity_text);
        if let Some(requests) = self.requests.get(&key) {
            return Ok(requests.clone());
        }
        let base = &self.load_replicas(context, source)?[0];
        let max_positions = base.decoder.config.max_positions;
        let is_generative = task.is_generative();
        let path = is_generative.then(|| verified_base_path(context.store, source)).transpose()?;
        let items = TaskItems::load(task, split)?.render_chats(path.as_deref())?;
        let requests = TaskRequests::new(&base.tokenizer, task, items, max_positions)?;
        let eos_token_ids = path.map_or(Ok(Vec::new()), |path| read_eos_token_ids(&path))?;
        let mut requests = requests.with_eos_token_ids(eos_token_ids);
        if requests.needs_sandbox() {
            requests = requests.with_sandbox(self.open_sandbox(context)?);
        }
        let requests = Rc::new(requests);
        if SplitIdentity::compute(task, split)? != *identity {
            return Err(Error::failed(format!("the {split} items of the task changed after the run began"))
                .hint("run the same command again"));
        }
        self.requests.insert(key, requests.clone());
        Ok(requests)
    }

    /// Returns the sandbox for programs that a model wrote. Prepares it if necessary.
    fn open_sandbox(&mut self, context: &RunContext<'_>) -> Result<Arc<Sandbox>> {
        if let Some(sandbox) = &self.sandbox {
            return Ok(Arc::clone(sandbox));
        }
        let sandbox = Arc::new(context.sandbox.open()?);
        self.sandbox = Some(Arc::clone(&sandbox));
        Ok(sandbox)
    }
}

/// Returns the path of a base's Hugging Face directory or GGUF file. If a cell trained the base, verifies the
/// cell's artifacts.
///
/// # Errors
/// Fails if the cell is not done, or if one of its artifacts is damaged.
pub fn verified_base_path(store: &Store, source: &BaseSource) -> Result<PathBuf> {
    match source {
        BaseSource::Stored { path, .. } => Ok(path.clone()),
        BaseSource::Trained { cell, .. } => {
            verified_artifacts(store, &find_done_record::<PretrainJob>(store, cell)?)
        }
        BaseSource::Finetuned { cell, .. } => {
            verified_artifacts(store, &find_done_record::<FinetuneBaseJob>(store, cell)?)
        }
    }
}

/// Verifies all artifacts of a cell, and returns their folder.
fn verified_artifacts<T>(store: &Store, record: &Record<T>) -> Result<PathBuf> {
    for name in record.artifacts.keys() {
        store.verify_artifact(record, name)?;
    }
    Ok(store.artifact_folder(record))
}

/// Verifies the file that holds the twins of a distil cell, and returns its path.
///
/// # Errors
/// Fails if the distil cell is not done, or if the file is damaged.
pub fn twins_file(store: &Store, cell: &CellId) -> Result<PathBuf> {
    store.verify_artifact(&find_done_record::<DistilJob>(store, cell)?, TWINS_FILE)
}

/// Verifies the file of the parameters that a logit-distil, finetune or checkpoint-distil cell trained, and
/// returns its path.
///
/// # Errors
/// Fails if the cell is not done, or if the file is damaged.
pub fn tuned_file(store: &Store, cell: &CellId) -> Result<PathBuf> {
    if cell.stage == FinetuneJob::NAME {
        return store.verify_artifact(&find_done_record::<FinetuneJob>(store, cell)?, TUNED_FILE);
    }
    if cell.stage == CheckpointDistilJob::NAME {
        return store.verify_artifact(&find_done_record::<CheckpointDistilJob>(store, cell)?, TUNED_FILE);
    }
    store.verify_artifact(&find_done_record::<LogitDistilJob>(store, cell)?, TUNED_FILE)
}

/// Sets those parameters of `decoder` that are in the file at `path`, and for whose names `is_read` returns
/// true. The parameters keep their dtypes. Returns the names of these parameters.
///
/// # Errors
/// Fails if the file cannot be read, or if the decoder has no parameter of a name in the file.
pub(super) fn read_tuned_parameters(
    decoder: &mut Decoder,
    path: &Path,
    is_read: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>> {
    let mut stored = SafetensorsReader::open(&[path.to_owned()], &decoder.device())?;
    stored.retain(is_read);
    let names = stored.names();
    let is_selected = |name: &str| names.contains(name);
    read_parameters(&mut SelectedParameters { module: decoder, is_selected }, &mut stored)?;
    stored.ensure_all_read()?;
    Ok(names)
}

/// Reads the twins of `base` from the file at `path`, in f32.
fn read_twins(path: &Path, variant: &TwinVariant, base: &BaseModel) -> Result<Twins> {
    let mut stored = SafetensorsReader::open(&[path.to_owned()], &base.decoder.device())?;
    let twins = Twins::new(variant, &base.decoder, &mut stored)?;
    stored.ensure_all_read()?;
    Ok(twins)
}

/// Returns the record of a done cell.
///
/// # Errors
/// Fails if the cell is not done.
pub(super) fn find_done_record<S: Stage>(store: &Store, cell: &CellId) -> Result<Record<S::Output>> {
    let record = store.find::<S::Output>(cell)?.done();
    record.ok_or_else(|| Error::failed(format!("{cell} is not done")))
}

/// Returns the floating-point type that a base computes in.
fn tensor_dtype(source: &BaseSource) -> DType {
    match source.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::Bf16 => DType::BF16,
    }
}

/// Checks that `device` can compute in the floating-point types that `cells` ask for.
///
/// # Errors
/// Fails if a cell asks for bf16 and `device` is a CPU.
pub fn ensure_dtypes_supported<'a>(cells: impl IntoIterator<Item = &'a Cell>, device: &Device) -> Result<()> {
    match cells.into_iter().find_map(|cell| cell.job.bf16_setting()).filter(|_| is_cpu(device)) {
        Some(setting) => {
            let message = format!("`{setting}` needs a GPU, because a CPU computes in f32");
            Err(Error::environment(message).hint("choose a GPU by `--device cuda:0`, or remove the setting"))
        }
        None => Ok(()),
    }
}
