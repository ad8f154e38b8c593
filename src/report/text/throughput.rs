//! The tables of throughput. The tables show every base. For each variant and task, the tables show only the
//! timed hybrids that replace the most layers.

use super::format::{format_table, wrap_words};
use crate::report::columns::ThroughputRow;
use crate::report::experiment_records::ExperimentRecords;
use crate::report::throughput::throughput_rows;

/// If other processes kept more than this number of CPUs busy during a timing, the text warns of the timing.
const MAX_OTHER_CPUS: f64 = 0.1;

/// Returns a table for each base, machine and combination of axis values. Returns an empty text if there are
/// no timings.
pub(super) fn throughput_text(records: &ExperimentRecords) -> String {
    let rows = throughput_rows(records);
    let mut sections: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    let mut shown: Vec<_> = rows.iter().filter(|row| is_shown(row, &rows)).collect();
    // After sorting, the rows of a section are adjacent, in the order of context and batch size.
    shown.sort_by_cached_key(|row| (section_heading(row), row.context, row.batch_size));
    for row in shown {
        let heading = section_heading(row);
        match sections.last_mut() {
            Some((last, lines)) if *last == heading => lines.push(line(row)),
            _ => sections.push((heading, vec![column_headings(), line(row)])),
        }
    }
    let parts = sections.iter().map(|(heading, lines)| format!("{heading}\n{}", format_table(lines)));
    let text = parts.collect::<Vec<_>>().join("\n");
    if text.is_empty() {
        return text;
    }
    text + "decode, prefill: median tokens per second, and relative to the base\ncache, state: MiB after the prompt\n"
        + &load_warning(&rows)
}

/// Warns of timings during which other processes were busy. Returns an empty text if there are no such
/// timings.
fn load_warning(rows: &[ThroughputRow]) -> String {
    let is_loaded = |row: &&ThroughputRow| row.other_cpus.is_some_and(|cpus| cpus > MAX_OTHER_CPUS);
    let loads = rows.iter().filter(is_loaded).filter_map(|row| row.other_cpus);
    let (count, most) = (rows.iter().filter(is_loaded).count(), loads.fold(0.0, f64::max));
    if count == 0 {
        return String::new();
    }
    let warning = format!(
        "During {count} of {} timings, other processes were busy (at most {most:.1} CPUs). The speeds \
         measured then may be too low.",
        rows.len()
    );
    wrap_words(&warning, "  ")
}

/// Returns whether the text shows a row. The text shows each base, and the hybrids that replace the most
/// layers among the timed hybrids of their variant and task.
fn is_shown(row: &ThroughputRow, rows: &[ThroughputRow]) -> bool {
    let name =
        |row: &ThroughputRow| (row.model.clone(), row.axes.clone(), row.variant.clone(), row.task.clone());
    let shown_name = name(row);
    rows.iter().filter(|other| name(other) == shown_name).all(|other| other.num_replaced <= row.num_replaced)
}

fn section_heading(row: &ThroughputRow) -> String {
    let threads = if row.threads == 1 { "thread" } else { "threads" };
    let axes = if row.axes.is_empty() { String::new() } else { format!(", {}", row.axes) };
    format!("{} on {}, {} {threads}{axes}", row.model, row.device, row.threads)
}

fn column_headings() -> Vec<String> {
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
