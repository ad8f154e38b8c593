//! Progress as people see it: bars on a terminal, plain lines elsewhere; always on stderr.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::stop::Stopper;
use crate::observer::Observer;
use crate::store::{Claim, EventKind, Events};
use dtr_core::error::Result;

/// Pause between two plain lines about the same work.
const PLAIN_PAUSE: Duration = Duration::from_secs(10);

/// The display of a whole run.
pub struct Progress {
    bars: Option<MultiProgress>,
    overall: ProgressBar,
    stopper: Stopper,
}

impl Progress {
    /// A display for `num_cells` cells; bars if stderr is a terminal.
    pub fn new(num_cells: usize, stopper: Stopper) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = terminal.then(MultiProgress::new);
        let overall = match &bars {
            Some(bars) => bars.add(ProgressBar::new(num_cells as u64)),
            None => ProgressBar::hidden(),
        };
        overall.set_style(style("{bar:24} {pos}/{len} cells  {elapsed}"));
        Self { bars, overall, stopper }
    }

    /// Says a line above the bars.
    pub fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// A cell has ended.
    pub fn cell_done(&self, count: usize) {
        self.overall.inc(count as u64);
    }

    /// Whether the user asked to stop.
    pub fn stopped(&self) -> bool {
        self.stopper.stopped()
    }

    /// The display of one piece of work of `total` `unit`s.
    pub fn task(&self, name: &str, total: u64, unit: &'static str) -> Task<'_> {
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
        Task {
            progress: self,
            bar,
            name: name.to_owned(),
            unit,
            total,
            said: Mutex::new((Instant::now(), 0)),
            logs: Mutex::default(),
        }
    }

    /// Clears the bars.
    pub fn finish(&self) {
        self.overall.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is well-formed").progress_chars("━╸─")
}

/// One piece of work as it goes.
pub struct Task<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
    name: String,
    unit: &'static str,
    total: u64,
    said: Mutex<(Instant, u64)>,
    logs: Mutex<Vec<Events>>,
}

impl Task<'_> {
    /// The same display, whose lines go to the logs of these cells too.
    pub fn logging<'c>(mut self, claims: impl IntoIterator<Item = &'c Claim>) -> Result<Self> {
        self.logs = Mutex::new(claims.into_iter().map(Claim::events).collect::<Result<_>>()?);
        Ok(self)
    }

    /// Adds to the logs of the cells at work.
    pub fn log(&self, what: &EventKind) {
        for log in self.logs.lock().expect("no holder of this lock panics").iter_mut() {
            // What matters is in the record; if that cannot be written, its error is told.
            let _ = log.append(what.clone());
        }
    }
}

impl Observer for Task<'_> {
    fn advance(&self, amount: u64) {
        self.bar.inc(amount);
        if self.progress.bars.is_some() {
            return;
        }
        let mut said = self.said.lock().expect("no holder of this lock panics");
        said.1 += amount;
        if said.0.elapsed() >= PLAIN_PAUSE {
            said.0 = Instant::now();
            eprintln!("{}: {} of {} {}", self.name, said.1, self.total, self.unit);
        }
    }

    fn message(&self, line: &str) {
        self.progress.say(&format!("{}: {line}", self.name));
        self.log(&EventKind::Message(line.to_owned()));
    }

    fn is_interrupted(&self) -> bool {
        self.progress.stopped()
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
