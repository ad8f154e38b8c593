//! The progress display on standard error. It draws bars on a terminal, and prints lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::progress_meter::ProgressMeter;
use super::remote_progress_bar::RemoteProgressBar;
use super::signals::UserRequests;
use super::supervisor::{MessageSender, ProgressMessage, SupervisorConnection, WorkerMessage, WorkerRole};
use super::usage_recorder::UsageRecorder;
use crate::observer::Observer;
use crate::store::{EventKind, EventLog};
use dtr_core::error::Result;

/// Minimum time between two lines about the same task, if the display has no bars.
const MIN_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress display of a run.
pub struct ProgressDisplay {
    bars: Option<MultiProgress>,
    overall: ProgressBar,
    requests: UserRequests,
    /// Sends the progress to the supervisor, if the supervisor draws the bars.
    sender: Option<MessageSender>,
}

impl ProgressDisplay {
    /// Starts a display for `num_cells` cells, with bars if standard error is a terminal.
    pub fn new(num_cells: usize, requests: UserRequests) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = terminal.then(MultiProgress::new);
        let overall = match &bars {
            Some(bars) => bars.add(ProgressBar::new(num_cells as u64)),
            None => ProgressBar::hidden(),
        };
        overall.set_style(style("{bar:24} {pos}/{len} cells  {elapsed}"));
        Self { bars, overall, requests, sender: None }
    }

    /// Starts the display of a worker process. If several workers run, the supervisor draws the bars of all
    /// workers.
    pub fn for_worker(num_cells: usize, supervisor: &SupervisorConnection) -> Self {
        let display = Self::new(num_cells, supervisor.user_requests());
        match supervisor.role() {
            WorkerRole::Parallel { sends_progress: true, .. } => {
                Self { sender: Some(supervisor.sender().clone()), ..display }
            }
            _ => display,
        }
    }

    /// Returns whether the display has bars.
    pub(super) fn has_bars(&self) -> bool {
        self.bars.is_some()
    }

    /// Writes complete lines above the bars. Ignores write errors, because standard error may be closed.
    pub(super) fn write_to_stderr(&self, lines: &[u8]) {
        let write = || drop(std::io::stderr().write_all(lines));
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Prints a line above the bars.
    pub fn print_line(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Adds `count` to the number of done cells.
    pub fn add_done_cells(&self, count: usize) {
        self.overall.inc(count as u64);
        if let Some(sender) = &self.sender {
            sender.send(&WorkerMessage::Progress(ProgressMessage::CellsEnded(count)));
        }
    }

    /// Returns whether the user has asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.requests.must_stop()
    }

    /// Starts the display of a task with `total` units of work. `unit` names the unit, for example `tokens`.
    pub fn start_task(&self, name: &str, total: u64, unit: &'static str) -> ProgressTask<'_> {
        let bar = self.add_bar(name, total, unit);
        let remote = self.sender.as_ref().map(|sender| RemoteProgressBar::start(sender, name, total, unit));
        ProgressTask {
            display: self,
            bar,
            remote,
            name: name.to_owned(),
            unit,
            total,
            printed: Mutex::new((Instant::now(), 0)),
            recorder: None,
            meter: ProgressMeter::new(total, unit),
            logs: Mutex::default(),
        }
    }

    /// Adds the bar of a task. On a display without bars, this bar is hidden.
    pub(super) fn add_bar(&self, name: &str, total: u64, unit: &str) -> ProgressBar {
        let bar = match &self.bars {
            Some(bars) => bars.insert_before(&self.overall, ProgressBar::new(total)),
            None => ProgressBar::hidden(),
        };
        bar.set_length(total);
        bar.set_style(style(&format!(
            "{{bar:24}} {{msg}}  {{human_pos}}/{{human_len}} {unit}  {{eta}} left"
        )));
        bar.set_message(name.to_owned());
        if self.bars.is_some() {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        bar
    }

    /// Removes the bar that counts the cells.
    pub fn finish(&self) {
        self.overall.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well-formed").progress_chars("━╸─")
}

/// The progress display of one task.
pub struct ProgressTask<'a> {
    display: &'a ProgressDisplay,
    bar: ProgressBar,
    /// Sends the task's progress to the supervisor, if the supervisor draws the bars.
    remote: Option<RemoteProgressBar>,
    name: String,
    unit: &'static str,
    total: u64,
    /// Time of the last printed line, and number of units done so far.
    printed: Mutex<(Instant, u64)>,
    recorder: Option<&'a UsageRecorder<'a>>,
    meter: ProgressMeter,
    logs: Mutex<Vec<EventLog>>,
}

impl<'a> ProgressTask<'a> {
    /// Makes this task write its messages to the logs of the cells of `recorder`. The task then also saves
    /// the usage of these cells before checkpoints.
    ///
    /// # Errors
    /// Fails if a log cannot be opened.
    pub fn with_recorder(mut self, recorder: &'a UsageRecorder<'a>) -> Result<Self> {
        self.logs = Mutex::new(recorder.logs()?);
        self.recorder = Some(recorder);
        Ok(self)
    }

    /// Appends an event to the logs.
    pub fn log_event(&self, kind: &EventKind) {
        for log in self.logs.lock().expect("no holder of this lock panics").iter_mut() {
            // Ignore an error, because no result depends on the log. If the disk is full, writing the record
            // fails too.
            let _ = log.append(kind.clone());
        }
    }
}

impl Observer for ProgressTask<'_> {
    fn advance(&self, amount: u64) {
        if let Some(report) = self.meter.advance(amount, Instant::now()) {
            self.log_event(&EventKind::Progress(report));
        }
        self.bar.inc(amount);
        if let Some(remote) = &self.remote {
            remote.advance(amount);
        }
        if self.display.bars.is_some() || self.remote.is_some() {
            return;
        }
        let mut printed = self.printed.lock().expect("no holder of this lock panics");
        printed.1 += amount;
        if printed.0.elapsed() >= MIN_LINE_INTERVAL {
            printed.0 = Instant::now();
            eprintln!("{}: {} of {} {}", self.name, printed.1, self.total, self.unit);
        }
    }

    fn message(&self, text: &str) {
        self.display.print_line(&format!("{}: {text}", self.name));
        self.log_event(&EventKind::Message(text.to_owned()));
    }

    fn before_checkpoint(&self) -> Result<()> {
        self.recorder.map_or(Ok(()), UsageRecorder::save_if_due)
    }

    fn is_interrupted(&self) -> bool {
        self.display.is_interrupted()
    }

    fn num_checkpoint_requests(&self) -> u64 {
        self.display.requests.num_checkpoints()
    }
}

impl Drop for ProgressTask<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
