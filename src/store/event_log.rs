//! The log of an attempt to compute a cell: one line of JSON for each event.
//!
//! Each line holds an event, and a digest of the event and of the cell's key. A line that a crash cut off is
//! dropped. Logs are for people: no result depends on a log.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::key::CellKey;
use super::now_in_milliseconds;
use crate::slurm::SlurmRun;
use dtr_core::error::{Error, Result};
use dtr_core::files::Digest;
use dtr_core::system_info::ProcessIdentity;

/// The kind of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A process began to work on the cell.
    Started,
    /// A message about the work, such as the step of the checkpoint from which the work resumes.
    Message(String),
    /// How far the work is. A process writes this event at most once a minute.
    Progress(ProgressReport),
    /// The search computed this score cell itself, instead of reading its record.
    Scored(CellKey),
    /// The process stopped before the cell had a result, and the cell did not fail. For example, the user
    /// interrupted the process, or the disk was full. The next process resumes the work.
    Stopped,
    /// The cell ended with a result.
    Done,
    /// The cell failed with this error.
    Failed(String),
}

/// How far the work on a cell is, and how fast it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressReport {
    /// The number of units that are done.
    pub done: u64,
    /// The number of units of the whole work.
    pub total: u64,
    /// The name of the unit, such as `tokens`.
    pub unit: String,
    /// The number of units that were done since the previous report.
    pub recent: u64,
    /// The time since the previous report, in milliseconds.
    pub recent_milliseconds: u64,
}

impl ProgressReport {
    /// Returns the number of units that were done each second since the previous report.
    pub fn per_second(&self) -> f64 {
        1000.0 * self.recent as f64 / self.recent_milliseconds.max(1) as f64
    }

    /// Returns the report as `DONE of TOTAL UNIT, RATE`.
    pub fn to_line(&self) -> String {
        let per_second = self.per_second();
        let (rate, period) = match per_second {
            rate if rate >= 1.0 => (rate, "second"),
            rate if rate * 60.0 >= 1.0 => (rate * 60.0, "minute"),
            rate => (rate * 3600.0, "hour"),
        };
        let Self { done, total, unit, .. } = self;
        let percent = 100 * done / (*total).max(1);
        format!("{done} of {total} {unit} ({percent}%), {rate:.*} per {period}", usize::from(rate < 100.0))
    }
}

impl EventKind {
    /// Returns whether a process stops working on the cell after it writes this event.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Stopped | Self::Done | Self::Failed(_))
    }

    /// Returns the event as one line for people.
    pub fn to_line(&self) -> String {
        match self {
            Self::Started => "started".to_owned(),
            Self::Message(text) => text.replace('\n', " "),
            Self::Progress(report) => report.to_line(),
            Self::Scored(key) => format!("scored {}", key.short()),
            Self::Stopped => "stopped".to_owned(),
            Self::Done => "done".to_owned(),
            Self::Failed(error) => format!("failed: {}", error.replace('\n', " ")),
        }
    }
}

/// An event in the log of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellEvent {
    /// The time in UTC, to the millisecond, as RFC 3339.
    pub at: String,
    /// The id of the process that wrote the event.
    pub process: u32,
    /// The host of the process. `None` in a log of an earlier version of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The id of the process's job of Slurm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u64>,
    /// The kind of event.
    pub kind: EventKind,
}

/// A line of the log file: an event and its digest.
#[derive(Serialize, Deserialize)]
struct Line {
    event: CellEvent,
    check: Digest,
}

impl Line {
    fn new(event: CellEvent, path: &Path) -> Self {
        Self { check: digest_event(&event, path), event }
    }
}

/// Returns the digest of an event of the log at `path`. The digest includes the cell's key, which is the name
/// of a folder above the log.
fn digest_event(event: &CellEvent, path: &Path) -> Digest {
    let names = path.ancestors().filter_map(|folder| folder.file_name()?.to_str());
    let key = names.filter_map(|name| name.parse::<CellKey>().ok()).next();
    let cell = key.map(|key| key.to_string()).unwrap_or_default();
    Digest::hash(
        format!("{cell}\n{}", serde_json::to_string(event).expect("an event is plain JSON")).as_bytes(),
    )
}

/// A log that is open for appending. Only one process writes to the log.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    /// Opens the log at `path` for appending, and removes a last line that a crash cut off.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            file.set_len(whole_lines(&fs::read(path)?).len() as u64)?;
            Ok(file)
        };
        let file = open().map_err(|cause| Error::io("open", path, cause))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends an event with the current time and this process's id.
    pub fn append(&mut self, kind: EventKind) -> Result<()> {
        let ProcessIdentity { host, process, .. } = ProcessIdentity::current().clone();
        let job = SlurmRun::current().map(|run| run.job);
        let event = CellEvent { at: now_in_milliseconds(), process, host: Some(host), job, kind };
        let line = serde_json::to_string(&Line::new(event, &self.path)).expect("an event is plain JSON");
        // A single write passes the whole line, so that a concurrent reader sees only complete lines.
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|cause| Error::io("write", &self.path, cause))
    }
}

/// Reads the events of the log at `path`, in order. A log that does not exist has no events. A last line that
/// was cut off is skipped.
///
/// # Errors
/// Fails if the file cannot be read, or if a line is damaged or belongs to another cell.
pub fn read_events(path: &Path) -> Result<Vec<CellEvent>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(Error::io("read", path, cause)),
    };
    let lines = whole_lines(&bytes).split_inclusive(|byte| *byte == b'\n').enumerate();
    let event = |(index, line)| match serde_json::from_slice::<Line>(line) {
        Ok(Line { event, check: sum }) if sum == digest_event(&event, path) => Ok(event),
        _ => {
            let place = format!("line {} of `{}`", index + 1, path.display());
            Err(Error::environment(format!("{place} is damaged or belongs to another cell")))
        }
    };
    lines.map(event).collect()
}

/// Returns `bytes` up to the end of the last complete line.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(path: &Path) -> Vec<EventKind> {
        read_events(path).unwrap().into_iter().map(|event| event.kind).collect()
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_skipped_and_the_next_event_begins_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        assert!(kinds(&path).is_empty());
        EventLog::open(&path).unwrap().append(EventKind::Started).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
        assert_eq!(kinds(&path), [EventKind::Started]);
        let said = EventKind::Message("line\nand line".to_owned());
        EventLog::open(&path).unwrap().append(said.clone()).unwrap();
        assert_eq!(kinds(&path), [EventKind::Started, said]);
    }

    #[test]
    fn a_slow_rate_is_shown_per_minute_or_hour() {
        let line = |recent, recent_milliseconds| {
            let unit = "evaluations".to_owned();
            ProgressReport { done: 7, total: 9, unit, recent, recent_milliseconds }.to_line()
        };
        assert_eq!(line(9000, 60_000), "7 of 9 evaluations (77%), 150 per second");
        assert_eq!(line(3, 60_000), "7 of 9 evaluations (77%), 3.0 per minute");
        assert_eq!(line(1, 120_000), "7 of 9 evaluations (77%), 30.0 per hour");
    }

    #[test]
    fn a_line_that_was_changed_or_is_another_cells_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let [path, other] = ["a", "b"].map(|cell| {
            let key = Digest::hash(cell.as_bytes()).to_string();
            folder.path().join(key).join("a/0123456789abcdef/events.jsonl")
        });
        [&path, &other].iter().for_each(|path| fs::create_dir_all(path.parent().unwrap()).unwrap());
        EventLog::open(&path).unwrap().append(EventKind::Started).unwrap();
        EventLog::open(&path).unwrap().append(EventKind::Message("loss 1.5".to_owned())).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&other, &whole).unwrap();
        assert!(read_events(&other).unwrap_err().to_string().contains("line 1 of"));
        for changed in
            [whole.replace("1.5", "1.4"), format!("{}x\n", whole.split_inclusive('\n').next().unwrap())]
        {
            fs::write(&path, changed).unwrap();
            assert!(read_events(&path).unwrap_err().to_string().contains("line 2 of"));
        }
    }
}
