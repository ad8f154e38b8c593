//! The status of an experiment as text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::ExperimentStatus;
use super::cells::{CellActivity, CellReport, StageCounts, Work, count_by_stage};
use super::jobs::JobReport;

/// The column at which the text of a line begins.
const INDENT: &str = "         ";

/// Renders the counts of cells, and then the running, stale and failed cells and the jobs.
pub(super) fn render(status: &ExperimentStatus<'_>) -> String {
    let mut text = String::new();
    render_counts(&count_by_stage(&status.cells), &mut text);
    let (mut running, mut stale, mut failed) = (String::new(), String::new(), String::new());
    for report in &status.cells {
        match &report.activity {
            CellActivity::Running(work) => render_work("running", report, work, status, &mut running),
            CellActivity::Stale(work) => render_work("stale", report, work, status, &mut stale),
            CellActivity::Failed(error) => {
                let error = error.lines().next().unwrap_or_default();
                line(&mut failed, &format!("{}\n{INDENT}{error}", title("failed", report)));
            }
            CellActivity::Done | CellActivity::Missing => {}
        }
    }
    let mut jobs = String::new();
    match &status.jobs {
        Some(listed) => render_jobs(listed, &mut jobs),
        None if has_slurm_jobs(&status.cells) => {
            line(&mut jobs, "jobs     unknown, because `squeue` does not answer");
        }
        None => {}
    }
    for section in [running, stale, jobs, failed].iter().filter(|section| !section.is_empty()) {
        text.push('\n');
        text.push_str(section);
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes every text");
}

fn render_counts(stages: &[StageCounts], text: &mut String) {
    line(text, &format!("{:<12}{:>8}{:>9}{:>8}{:>9}", "stage", "done", "running", "failed", "missing"));
    for StageCounts { stage, done, running, failed, missing } in stages {
        line(text, &format!("{stage:<12}{done:>8}{running:>9}{failed:>8}{missing:>9}"));
    }
}

fn title(status: &str, report: &CellReport<'_>) -> String {
    format!("{status:<8} {}  {}", report.cell.key().short(), report.cell.to_line())
}

fn has_slurm_jobs(cells: &[CellReport<'_>]) -> bool {
    cells.iter().any(|cell| cell.work().is_some_and(|work| job_of(work).is_some()))
}

fn job_of(work: &Work) -> Option<u64> {
    Some(work.lease.as_ref()?.slurm.as_ref()?.job)
}

fn render_work(
    name: &str,
    report: &CellReport<'_>,
    work: &Work,
    status: &ExperimentStatus<'_>,
    text: &mut String,
) {
    line(text, &title(name, report));
    let mut place = match &work.lease {
        Some(lease) => format!("on {}, process {}", lease.holder.host, lease.holder.process),
        None => "by a process that its lease does not name".to_owned(),
    };
    if let Some(id) = job_of(work) {
        let listed = status.jobs.iter().flatten().find(|listed| listed.job.id == id);
        let label = listed.map_or_else(|| id.to_string(), |listed| listed.job.label.clone());
        place += &format!(", job {label}");
    }
    let is_here = work.lease.as_ref().is_some_and(|lease| lease.holder.is_on_this_kernel());
    let by = if is_here || work.heartbeat.is_observed { "" } else { ", by the file's time stamp" };
    line(text, &format!("{INDENT}{place}; last heartbeat {} ago{by}", format_age(work.heartbeat.age)));
    let progress = work.progress.as_ref().map(|(at, progress)| (&**at, progress.to_line()));
    let event = work.event.as_ref().map(|event| (&*event.at, event.kind.to_line()));
    let mut events: Vec<(&str, String)> = event.into_iter().chain(progress).collect();
    events.sort_by_key(|(at, _)| *at);
    for (at, event) in events {
        line(text, &format!("{INDENT}{}  {event}", time_of_day(at)));
    }
    if name == "running" && work.is_doubtful() {
        line(text, &format!("{INDENT}`dtr status --watch` shows whether the heartbeat goes on"));
    }
}

/// Renders the jobs. Jobs of one part that wait for the same reason share a line.
fn render_jobs(jobs: &[JobReport], text: &mut String) {
    let mut groups: BTreeMap<(&str, &str, &str, &str), Vec<&str>> = BTreeMap::new();
    for JobReport { job, part } in jobs {
        let reason = if job.is_pending() { &*job.reason } else { "" };
        groups.entry((part, &job.state, &job.nodes, reason)).or_default().push(&job.label);
    }
    for ((part, state, nodes, reason), labels) in groups {
        let status = match state {
            "PENDING" => "queued".to_owned(),
            "RUNNING" => "job".to_owned(),
            state => state.to_lowercase(),
        };
        let name = match labels.as_slice() {
            [label] => format!("job {label}"),
            [first, .., last] => format!("{} jobs, {first} to {last}", labels.len()),
            [] => continue,
        };
        let rest: Vec<String> = [
            (!nodes.is_empty()).then(|| format!("on {nodes}")),
            (!reason.is_empty()).then(|| format!("reason {reason}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        line(text, &format!("{status:<8} {part}: {name}; {}", rest.join("; ")));
    }
}

/// Returns the time of day of a time as RFC 3339 in UTC, to the second.
fn time_of_day(at: &str) -> String {
    at.get(11..19).map_or_else(|| at.to_owned(), |time| format!("{time}Z"))
}

/// Returns an age as `12 s`, `5 min` or `3 h`.
fn format_age(age: Duration) -> String {
    match age.as_secs() {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 2 * 3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
