//! Bases, twins and tokenized items, each read once however many cells need it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use burn::tensor::{DType, Device};

use crate::algorithms::distil::DistilResult;
use crate::algorithms::pretrain::PretrainResult;
use crate::data::Task;
use crate::data::scoring_requests::ScoringRequests;
use crate::data::{Split, load_items};
use crate::manifest::Dtype;
use crate::plan::{BaseSource, Plan, TaskIdentity, Work};
use crate::store::{Key, Lookup, Stage, Store};
use dtr_core::error::{Error, Result};
use dtr_model::Variant;
use dtr_model::{BaseModel, SafetensorsReader, Twins};
use dtr_ops::is_cpu;

/// The artifact that holds a distil cell's twins.
pub const TWINS: &str = "twins.safetensors";

/// What cells share in memory.
pub struct Bases<'a> {
    store: &'a Store,
    plan: &'a Plan,
    devices: Vec<Device>,
    bases: BTreeMap<BaseSource, Rc<Vec<BaseModel>>>,
    twins: BTreeMap<Key, Rc<Vec<Twins>>>,
    requests: BTreeMap<(BaseSource, String), Rc<ScoringRequests>>,
}

impl<'a> Bases<'a> {
    /// Nothing read yet.
    pub fn new(store: &'a Store, plan: &'a Plan, devices: &[Device]) -> Self {
        Self {
            store,
            plan,
            devices: devices.to_vec(),
            bases: BTreeMap::new(),
            twins: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    /// A base with its tokenizer, on each device.
    pub fn replicas(&mut self, source: &BaseSource) -> Result<Rc<Vec<BaseModel>>> {
        if let Some(replicas) = self.bases.get(source) {
            return Ok(replicas.clone());
        }
        let folder = base_directory(self.store, source)?;
        let on = |device: &Device| BaseModel::read_with_dtype(&folder, device, dtype(source));
        let replicas = Rc::new(self.devices.iter().map(on).collect::<Result<Vec<_>>>()?);
        self.bases.insert(source.clone(), replicas.clone());
        Ok(replicas)
    }

    /// The twins of a distil cell, on each device.
    pub fn twins(&mut self, source: &BaseSource, key: &Key) -> Result<Rc<Vec<Twins>>> {
        if let Some(twins) = self.twins.get(key) {
            return Ok(twins.clone());
        }
        let path = twins_file(self.store, key)?;
        let (replicas, variant) = (self.replicas(source)?, self.variant(key)?);
        let beside = |base: &BaseModel| {
            let mut checkpoint =
                SafetensorsReader::open(std::slice::from_ref(&path), &base.decoder.device())?;
            let twins = Twins::new(variant, &base.decoder, &mut checkpoint)?;
            checkpoint.ensure_all_read()?;
            Ok(twins.to_dtype(base.decoder.dtype()))
        };
        let twins = Rc::new(replicas.iter().map(beside).collect::<Result<Vec<_>>>()?);
        self.twins.insert(*key, twins.clone());
        Ok(twins)
    }

    /// Layers by how well their twins learnt, the best first.
    pub fn layers_by_loss(&self, key: &Key) -> Result<Vec<u32>> {
        let Lookup::Done(record) = self.store.find::<DistilResult>(Stage::Distil, key)? else {
            return Err(Error::failed(format!("the twins of distil cell {} are gone", key.short())));
        };
        let Some(result) = record.result() else { unreachable!("a record found done has a result") };
        Ok(result.layers_by_loss())
    }

    fn variant(&self, key: &Key) -> Result<&Variant> {
        match self.plan.cell(key).map(|cell| &cell.work) {
            Some(Work::Distil(work)) => Ok(&work.variant),
            _ => Err(Error::failed(format!("distil cell {} is not part of the plan", key.short()))),
        }
    }

    /// The tokenized items of a task's split for a base, which must still be what the plan found.
    pub fn requests(
        &mut self,
        source: &BaseSource,
        task: &Task,
        split: Split,
        identity: &TaskIdentity,
    ) -> Result<Rc<ScoringRequests>> {
        let key = (source.clone(), serde_json::to_string(identity).expect("an identity is plain JSON"));
        if let Some(requests) = self.requests.get(&key) {
            return Ok(requests.clone());
        }
        let base = &self.replicas(source)?[0];
        let (items, room) = (load_items(task, split)?, base.decoder.config.max_positions);
        let requests = Rc::new(ScoringRequests::new(&base.tokenizer, items, task.metric(), room)?);
        if TaskIdentity::of(task, split)? != *identity {
            return Err(Error::failed(format!("the {split} items of the task changed after the run began"))
                .hint("run the same command again"));
        }
        self.requests.insert(key, requests.clone());
        Ok(requests)
    }
}

/// The Hugging Face directory of a base, one that was trained here read through first.
pub fn base_directory(store: &Store, source: &BaseSource) -> Result<PathBuf> {
    let key = match source {
        BaseSource::Directory(path, ..) => return Ok(path.clone()),
        BaseSource::Pretrained(key) => key,
    };
    match store.find::<PretrainResult>(Stage::Pretrain, key)? {
        Lookup::Done(record) => {
            for name in record.artifacts.keys() {
                store.artifact(&record, name)?;
            }
            Ok(store.layout().cell(Stage::Pretrain, key).path().to_owned())
        }
        _ => Err(Error::failed(format!("the base of pretrain cell {} was not trained", key.short()))),
    }
}

/// The file of a distil cell's twins, read through first.
pub fn twins_file(store: &Store, key: &Key) -> Result<PathBuf> {
    match store.find::<DistilResult>(Stage::Distil, key)? {
        Lookup::Done(record) => store.artifact(&record, TWINS),
        _ => Err(Error::failed(format!("the twins of distil cell {} were not distilled", key.short()))),
    }
}

/// What a base is computed in.
fn dtype(source: &BaseSource) -> DType {
    match source.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::Bf16 => DType::BF16,
    }
}

/// An error if `device` cannot compute what a base of `plan` asks for.
pub fn ensure_computable(plan: &Plan, device: &Device) -> Result<()> {
    let asks = plan.cells.iter().any(|cell| cell.base().is_some_and(|base| !base.dtype().is_f32()));
    match asks && is_cpu(device) {
        true => Err(Error::environment("`dtype = \"bf16\"` needs a GPU: a processor computes in f32")
            .hint("choose one by `--device cuda:0`, or leave `dtype` away")),
        false => Ok(()),
    }
}
