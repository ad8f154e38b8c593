//! Tests of cells whose work fails, panics, does not fit in memory, or runs on several devices.

use std::io::ErrorKind;
use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;

use super::*;
use crate::device::{DeviceChoice, TimeAndEnergy, UsageMeter};
use crate::manifest::load_manifest;
use crate::plan::plan_for_cpu;
use crate::runner::{
    ClaimOutcome, ProgressDisplay, RunningCell, SandboxOptions, SupervisorConnection, UsageRecorder,
    UserRequests,
};
use crate::stages::{DistilJob, PretrainJob, Stage};
use crate::store::{EventKind, Lookup, Provenance};

/// The plan of the small manifest, and a temporary store.
struct TestRun {
    plan: Plan,
    results: tempfile::TempDir,
    store: Store,
    progress: ProgressDisplay,
    meter: UsageMeter,
    supervisor: SupervisorConnection,
    sandbox: SandboxOptions,
}

impl TestRun {
    fn new() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/small.toml");
        let results = tempfile::tempdir().unwrap();
        Self {
            plan: plan_for_cpu(&load_manifest(&manifest, &[]).unwrap()).unwrap(),
            store: Store::open(results.path()).unwrap(),
            results,
            progress: ProgressDisplay::new(1, UserRequests::default()),
            meter: UsageMeter::for_device(DeviceChoice::Cpu, 1),
            supervisor: SupervisorConnection::default(),
            sandbox: SandboxOptions::default(),
        }
    }

    fn context(&self) -> RunContext<'_> {
        RunContext {
            store: &self.store,
            progress: &self.progress,
            devices: vec![Device::flex()],
            meter: &self.meter,
            provenance: Provenance::of_this_process("cpu", 1),
            memory_limit: None,
            supervisor: &self.supervisor,
            sandbox: &self.sandbox,
        }
    }

    fn cells_of<S: Stage>(&self) -> Vec<&Cell> {
        self.plan.cells_of(&S::NAME).collect()
    }

    fn recorded_error(&self, cell: &Cell) -> Option<String> {
        match self.store.find::<Value>(cell.id()).unwrap() {
            Lookup::Failed(record) => Some(record.outcome),
            _ => None,
        }
    }
}

fn scheduler<'a>(plan: &'a Plan, context: &'a RunContext<'a>, policy: FailurePolicy) -> Scheduler<'a> {
    Scheduler::new(plan, context, policy, BTreeSet::new())
}

/// Records a result without computing one.
fn succeed(context: &RunContext<'_>, cell: &Cell) -> Result<CompletedBy> {
    let claimed = match RunningCell::claim_blocking::<Value>(context, &cell.spec, cell.to_line())? {
        ClaimOutcome::Claimed(claimed) => claimed,
        ClaimOutcome::Done(_) => return Ok(CompletedBy::OtherProcess),
    };
    let spent = TimeAndEnergy { seconds: 1.0, joules: None };
    claimed.finish(spent, &[], Vec::new(), Value::from("result"))?;
    Ok(CompletedBy::ThisProcess)
}

#[test]
fn a_cell_of_a_group_that_panics_fails_alone_and_its_record_has_the_location() {
    let test = TestRun::new();
    let context = test.context();
    let group = test.cells_of::<DistilJob>();
    let mut scheduler = scheduler(&test.plan, &context, FailurePolicy::default());
    scheduler.done.extend(group[0].inputs().values().map(|input| input.key));
    let bad = group[0].key();
    scheduler
        .run_group(&group, &mut |cells| {
            assert!(cells.iter().all(|cell| cell.key() != bad), "no such shape");
            cells.iter().map(|cell| succeed(&context, cell)).collect()
        })
        .unwrap();
    assert_eq!((scheduler.summary.done, scheduler.summary.failed.len()), (group.len() - 1, 1));
    let error = test.recorded_error(group[0]).unwrap();
    assert!(error.starts_with("panicked at src/scheduler/tests.rs:"), "{error}");
    assert!(error.ends_with("no such shape"), "{error}");
    let log = test.store.read_events(group[0].id()).unwrap();
    assert_eq!(log.last().unwrap().kind, EventKind::Failed(error));
}

#[test]
fn a_failed_cell_runs_again_only_on_request_and_blocks_the_cells_that_read_it() {
    let test = TestRun::new();
    let (base, twins) = (test.cells_of::<PretrainJob>()[0], test.cells_of::<DistilJob>()[0]);
    let sweep = |policy, outcome: fn(&RunContext<'_>, &Cell) -> Result<CompletedBy>| {
        let context = test.context();
        let mut scheduler = scheduler(&test.plan, &context, policy);
        let mut num_runs = 0;
        for cell in [base, twins] {
            scheduler
                .run_group(&[cell], &mut |cells| {
                    num_runs += 1;
                    vec![outcome(&context, cells[0])]
                })
                .unwrap();
        }
        let RunSummary { done, failed, blocked, skipped, .. } = scheduler.summary;
        (num_runs, done, failed.len(), blocked.len(), skipped)
    };
    let fails: fn(&RunContext<'_>, &Cell) -> Result<CompletedBy> =
        |_, _| Err(Error::failed("no luck").hint("try again"));
    let never: fn(&RunContext<'_>, &Cell) -> Result<CompletedBy> =
        |_, _| unreachable!("the cell must not run");
    let policy = FailurePolicy::default();
    assert_eq!(sweep(policy, fails), (1, 0, 1, 1, 0));
    assert_eq!(test.recorded_error(base).unwrap(), "no luck (hint: try again)");
    assert_eq!(sweep(policy, never), (0, 0, 1, 1, 0));
    assert_eq!(sweep(FailurePolicy { fail_fast: true, ..policy }, never), (0, 0, 1, 0, 1));
    assert_eq!(sweep(FailurePolicy { retry_failed: true, ..policy }, succeed), (2, 2, 0, 0, 0));
    assert_eq!(sweep(policy, never), (0, 0, 0, 0, 0));
}

#[test]
fn a_full_disk_ends_the_run_and_is_no_failure_of_a_cell() {
    let test = TestRun::new();
    let context = test.context();
    let base = test.cells_of::<PretrainJob>()[0];
    let full = || Error::io("write", Path::new("there"), ErrorKind::StorageFull.into());
    let result = scheduler(&test.plan, &context, FailurePolicy::default())
        .run_group(&[base], &mut |_| vec![Err(full())]);
    let line = result.unwrap_err().to_line();
    assert!(line.contains("cannot write `there`") && line.contains("free disk space"), "{line}");
    assert!(test.recorded_error(base).is_none());
    assert!(!test.store.cell_folder(base.id()).find_record_path().exists());
    drop(test.results);
}

#[test]
fn a_cell_that_does_not_fit_in_memory_fails_before_it_begins() {
    let test = TestRun::new();
    let context = RunContext { memory_limit: Some(1000), ..test.context() };
    let base = test.cells_of::<PretrainJob>()[0];
    let mut scheduler = scheduler(&test.plan, &context, FailurePolicy::default());
    scheduler.run_group(&[base], &mut |_| unreachable!("the cell must not run")).unwrap();
    assert_eq!(scheduler.summary.failed.len(), 1);
    let error = test.recorded_error(base).unwrap();
    assert!(error.contains("of memory for its weights alone") && error.contains("0.0 MiB"), "{error}");
}

/// A simulated energy counter of a CPU package. Its files have the layout of Linux's `powercap` folder.
struct FakeCounter(tempfile::TempDir);

impl FakeCounter {
    fn new() -> Self {
        let counter = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(counter.0.path().join("intel-rapl:0")).unwrap();
        std::fs::write(counter.0.path().join("intel-rapl:0/max_energy_range_uj"), "1000000000\n").unwrap();
        counter.set_joules(0);
        counter
    }

    fn set_joules(&self, joules: u64) {
        let path = self.0.path().join("intel-rapl:0/energy_uj");
        std::fs::write(path, format!("{}\n", joules * 1_000_000)).unwrap();
    }
}

fn claim<'a>(context: &'a RunContext<'a>, cell: &Cell) -> RunningCell<'a> {
    match RunningCell::claim_blocking::<Value>(context, &cell.spec, cell.to_line()).unwrap() {
        ClaimOutcome::Claimed(claimed) => claimed,
        ClaimOutcome::Done(_) => panic!("{} is done", cell.to_line()),
    }
}

/// Each attempt in this test stands for a separate process.
#[test]
fn the_cost_of_cells_is_divided_equally_and_added_up_over_every_attempt() {
    let counter = FakeCounter::new();
    let test = TestRun { meter: UsageMeter::of_cpu_in(counter.0.path()), ..TestRun::new() };
    let context = test.context();
    let [one, other] = test.cells_of::<DistilJob>()[..2] else {
        panic!("the manifest does not have two variants")
    };
    let record = |cell: &Cell| match test.store.find::<Value>(cell.id()).unwrap() {
        Lookup::Done(record) => (record.seconds, record.joules),
        Lookup::Failed(record) => (record.seconds, record.joules),
        _ => panic!("{} has no record", cell.to_line()),
    };
    let attempt = |cells: &[&Cell], joules: u64, do_finish: bool| {
        let claimed: Vec<_> = cells.iter().map(|cell| claim(&context, cell)).collect();
        let watch = context.meter.start();
        let recorder = UsageRecorder::begin(claimed.iter().collect()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let seconds = watch.usage().seconds / cells.len() as f64;
        counter.set_joules(joules);
        if do_finish {
            recorder.finish(0, &[], Vec::new(), Value::from("twins")).unwrap();
        }
        seconds
    };
    let mut seconds = attempt(&[one, other], 10, false) + attempt(&[one], 16, false);
    record_failure(&context, &one.spec, None, &Error::failed("no luck")).unwrap();
    assert_eq!(record(one).1, Some(5.0 + 6.0));
    seconds += attempt(&[one], 20, true);
    assert_eq!(record(one).1, Some(5.0 + 6.0 + 4.0));
    assert!(record(one).0 >= seconds, "{} of {seconds}", record(one).0);
    attempt(&[other], 21, true);
    assert_eq!(record(other).1, Some(5.0 + 1.0));
}

#[test]
fn the_time_of_a_crashed_cell_lasts_until_the_crash_and_its_energy_is_unknown() {
    let test = TestRun::new();
    let context = test.context();
    let base = test.cells_of::<PretrainJob>()[0];
    record_failure(&context, &base.spec, Some(7.5), &Error::failed("killed")).unwrap();
    let Lookup::Failed(record) = test.store.find::<Value>(base.id()).unwrap() else {
        panic!("the cell has no record of a failure")
    };
    assert_eq!((record.seconds, record.joules), (7.5, None));
}

/// Several devices divide the layers of a distillation and the candidates of a round. In this test, every
/// device is the CPU.
#[test]
fn several_devices_compute_the_same_results() {
    let results = |num_devices: usize| {
        let test = TestRun::new();
        let devices = vec![Device::flex(); num_devices];
        let context = RunContext { devices, ..test.context() };
        let summary = run_plan(&test.plan, &context, FailurePolicy::default()).unwrap();
        assert!(summary.failed.is_empty() && summary.done == test.plan.cells.len(), "{summary:?}");
        let result = |cell: &Cell| match test.store.find::<Value>(cell.id()).unwrap() {
            Lookup::Done(record) => (record.artifacts, record.outcome),
            _ => panic!("{} was not done", cell.to_line()),
        };
        test.plan.cells.iter().map(result).collect::<Vec<_>>()
    };
    let on_one = results(1);
    for num_devices in [2, 3] {
        assert_eq!(results(num_devices), on_one, "{num_devices} devices");
    }
}
