//! The timings in short: each base beside the hybrids with most layers replaced.

use super::grid::{grid, wrapped};
use crate::report::columns::ThroughputRow;
use crate::report::evidence::Evidence;
use crate::report::throughput::throughput_rows;

/// Other processes that kept more processors than this at work disturb what is timed.
const NOTABLE: f64 = 0.1;

/// Tables of tokens a second, one for each base and machine; nothing where nothing was timed.
pub(super) fn throughput_text(evidence: &Evidence) -> String {
    let rows = throughput_rows(evidence);
    let mut sections: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    let mut shown: Vec<_> = rows.iter().filter(|row| is_shown(row, &rows)).collect();
    // Systems of one context are read side by side.
    shown.sort_by_cached_key(|row| (heading(row), row.context, row.batch_size));
    for row in shown {
        let heading = heading(row);
        match sections.last_mut() {
            Some((last, lines)) if *last == heading => lines.push(line(row)),
            _ => sections.push((heading, vec![headings(), line(row)])),
        }
    }
    let parts = sections.iter().map(|(heading, lines)| format!("{heading}\n{}", grid(lines)));
    let text = parts.collect::<Vec<_>>().join("\n");
    if text.is_empty() {
        return text;
    }
    text + "Median tokens per second, and as multiples of the base's; MiB after the prompt.\n"
        + &disturbance(&rows)
}

/// What is said where other work disturbed what was timed; nothing where the machine was quiet.
fn disturbance(rows: &[ThroughputRow]) -> String {
    let is_disturbed = |row: &&ThroughputRow| row.other_cpus.is_some_and(|cpus| cpus > NOTABLE);
    let others = rows.iter().filter(is_disturbed).filter_map(|row| row.other_cpus);
    let (count, most) = (rows.iter().filter(is_disturbed).count(), others.fold(0.0, f64::max));
    if count == 0 {
        return String::new();
    }
    let told = format!(
        "Not quiet: other processes kept up to {most:.1} processors at work during {count} of {} timings.",
        rows.len()
    );
    wrapped(&told, "  ")
}

/// Bases, and of each variant the hybrids with most layers replaced.
fn is_shown(row: &ThroughputRow, rows: &[ThroughputRow]) -> bool {
    let name =
        |row: &ThroughputRow| (row.model.clone(), row.axes.clone(), row.variant.clone(), row.task.clone());
    let own = name(row);
    rows.iter().filter(|other| name(other) == own).all(|other| other.num_replaced <= row.num_replaced)
}

fn heading(row: &ThroughputRow) -> String {
    let threads = if row.threads == 1 { "thread" } else { "threads" };
    let axes = if row.axes.is_empty() { String::new() } else { format!(", {}", row.axes) };
    format!("{} on {}, {} {threads}{axes}", row.model, row.device, row.threads)
}

fn headings() -> Vec<String> {
    ["system", "context", "batch", "decode", "", "prefill", "", "cache", "state"].map(str::to_owned).to_vec()
}

fn line(row: &ThroughputRow) -> Vec<String> {
    let system = match &row.variant {
        None => "base".to_owned(),
        Some(variant) => format!("{variant} {}/{}", row.num_replaced, row.num_layers),
    };
    let times = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}x"));
    let rate = |rate: f64| if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    let mebibytes = |bytes: u64| format!("{:.2}", bytes as f64 / f64::from(1 << 20));
    vec![
        system,
        row.context.to_string(),
        row.batch_size.to_string(),
        rate(row.decode),
        times(row.decode_speedup),
        rate(row.prefill),
        times(row.prefill_speedup),
        mebibytes(row.cache_bytes),
        mebibytes(row.state_bytes),
    ]
}
