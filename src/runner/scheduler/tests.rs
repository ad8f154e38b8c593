//! What becomes of cells that fail, with work that is only played.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use super::super::claims::{Claimed, claim, conclude};
use super::super::stop::Stopper;
use super::*;
use crate::device::DeviceChoice;
use crate::manifest::load;
use crate::plan::plan;
use crate::store::{EventKind, Lookup, read_events};

/// The small manifest's plan, and a store of its own.
struct Stage {
    plan: Plan,
    results: tempfile::TempDir,
    store: Store,
    progress: Progress,
    meter: UsageMeter,
    worker: Worker,
}

impl Stage {
    fn new() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/small.toml");
        let results = tempfile::tempdir().unwrap();
        Self {
            plan: plan(&load(&manifest, &[]).unwrap()).unwrap(),
            store: Store::open(results.path()).unwrap(),
            results,
            progress: Progress::new(1, Stopper::default()),
            meter: UsageMeter::for_device(DeviceChoice::Cpu),
            worker: Worker::default(),
        }
    }

    fn context(&self, failures: Failures) -> Context<'_> {
        Context {
            store: &self.store,
            progress: &self.progress,
            devices: vec![Device::flex()],
            meter: &self.meter,
            provenance: Provenance::here("cpu", 1),
            failures,
            room: None,
            worker: &self.worker,
        }
    }

    fn of(&self, stage: crate::store::Stage) -> Vec<&Cell> {
        self.plan.of(stage).collect()
    }

    fn error(&self, cell: &Cell) -> Option<String> {
        match self.store.find::<Value>(cell.stage, &cell.key).unwrap() {
            Lookup::Failed(record) => record.error().map(str::to_owned),
            _ => None,
        }
    }
}

fn conductor<'a>(plan: &'a Plan, context: &'a Context<'a>) -> Conductor<'a> {
    Conductor { plan, context, wanted: BTreeSet::new(), done: BTreeSet::new(), summary: Summary::default() }
}

fn play(context: &Context<'_>, cell: &Cell) -> Result<Ended> {
    let Claimed::Ours(claim) = claim::<Value>(context, cell)? else { return Ok(Ended::Elsewhere) };
    let spent = ResourceUsage { seconds: 1.0, joules: None };
    conclude(context, cell, &claim, spent, &[], Value::from("result"))?;
    Ok(Ended::Now)
}

#[test]
fn a_panic_of_one_cell_of_a_group_is_its_own_and_is_recorded_with_its_place() {
    let stage = Stage::new();
    let context = stage.context(Failures::default());
    let group = stage.of(crate::store::Stage::Distil);
    let mut conductor = conductor(&stage.plan, &context);
    conductor.done.extend(group[0].inputs.values());
    let bad = group[0].key;
    conductor
        .conduct(&group, &mut |cells| {
            assert!(cells.iter().all(|cell| cell.key != bad), "no such shape");
            cells.iter().map(|cell| play(&context, cell)).collect()
        })
        .unwrap();
    assert_eq!((conductor.summary.done, conductor.summary.failed.len()), (group.len() - 1, 1));
    let error = stage.error(group[0]).unwrap();
    assert!(error.starts_with("panicked at src/run/conductor/tests.rs:"), "{error}");
    assert!(error.ends_with("no such shape"), "{error}");
    let log = read_events(&stage.store.layout().cell(group[0].stage, &bad).events()).unwrap();
    assert_eq!(log.last().unwrap().what, EventKind::Failed(error));
}

#[test]
fn what_failed_is_told_and_done_again_only_when_asked_for_and_what_takes_it_waits() {
    let stage = Stage::new();
    let (base, twins) =
        (stage.of(crate::store::Stage::Pretrain)[0], stage.of(crate::store::Stage::Distil)[0]);
    let sweep = |failures, outcome: fn(&Context<'_>, &Cell) -> Result<Ended>| {
        let context = stage.context(failures);
        let mut conductor = conductor(&stage.plan, &context);
        let mut tried = 0;
        for cell in [base, twins] {
            conductor
                .conduct(&[cell], &mut |cells| {
                    tried += 1;
                    vec![outcome(&context, cells[0])]
                })
                .unwrap();
        }
        let Summary { done, failed, waiting, left, .. } = conductor.summary;
        (tried, done, failed.len(), waiting.len(), left)
    };
    let fails: fn(&Context<'_>, &Cell) -> Result<Ended> =
        |_, _| Err(Error::failed("no luck").hint("try again"));
    let never: fn(&Context<'_>, &Cell) -> Result<Ended> = |_, _| unreachable!("not to be done");
    assert_eq!(sweep(Failures::default(), fails), (1, 0, 1, 1, 0));
    assert_eq!(stage.error(base).unwrap(), "no luck (hint: try again)");
    assert_eq!(sweep(Failures::default(), never), (0, 0, 1, 1, 0));
    assert_eq!(sweep(Failures { end_the_run: true, ..Failures::default() }, never), (0, 0, 1, 0, 1));
    assert_eq!(sweep(Failures { are_retried: true, ..Failures::default() }, play), (2, 2, 0, 0, 0));
    assert_eq!(sweep(Failures::default(), never), (0, 0, 0, 0, 0));
}

#[test]
fn a_full_disk_is_no_failure_of_a_cell_and_ends_the_run() {
    let stage = Stage::new();
    let context = stage.context(Failures::default());
    let base = stage.of(crate::store::Stage::Pretrain)[0];
    let full = || Error::io("write", Path::new("there"), ErrorKind::StorageFull.into());
    let ended = conductor(&stage.plan, &context).conduct(&[base], &mut |_| vec![Err(full())]);
    let told = ended.unwrap_err().to_line();
    assert!(told.contains("cannot write `there`") && told.contains("free disk space"), "{told}");
    assert!(stage.error(base).is_none());
    assert!(!stage.store.layout().cell(base.stage, &base.key).record().exists());
    drop(stage.results);
}

#[test]
fn what_has_no_room_fails_before_it_begins() {
    let stage = Stage::new();
    let context = Context { room: Some(1000), ..stage.context(Failures::default()) };
    let base = stage.of(crate::store::Stage::Pretrain)[0];
    let mut conductor = conductor(&stage.plan, &context);
    conductor.conduct(&[base], &mut |_| unreachable!("not to be begun")).unwrap();
    assert_eq!(conductor.summary.failed.len(), 1);
    let error = stage.error(base).unwrap();
    assert!(error.contains("of memory for its weights alone") && error.contains("0.0 MiB"), "{error}");
}

/// Layers of distillations and candidates of rounds that several devices share out, here all the processor.
#[test]
fn several_devices_come_to_the_same_results() {
    let results = |num_devices: usize| {
        let stage = Stage::new();
        let devices = vec![Device::flex(); num_devices];
        let context = Context { devices, ..stage.context(Failures::default()) };
        let summary = run(&stage.plan, &context).unwrap();
        assert!(summary.failed.is_empty() && summary.done == stage.plan.cells.len(), "{summary:?}");
        let result = |cell: &Cell| match stage.store.find::<Value>(cell.stage, &cell.key).unwrap() {
            Lookup::Done(record) => (record.artifacts.clone(), record.result().cloned()),
            _ => panic!("{} was not done", cell.line()),
        };
        stage.plan.cells.iter().map(result).collect::<Vec<_>>()
    };
    let alone = results(1);
    for num_devices in [2, 3] {
        assert_eq!(results(num_devices), alone, "{num_devices} devices");
    }
}
