//! Computes the rows of the table `throughput`.

use super::columns::ThroughputRow;
use super::derived_values::format_axes;
use super::experiment_records::{ExperimentRecords, TimingCell};
use super::rows::format_layers;
use crate::algorithms::throughput::TimedRun;
use crate::stats::median;

/// The median, lowest and highest throughput of the runs of a timing, in tokens per second.
#[derive(Clone, Copy)]
struct Rate {
    median: f64,
    low: f64,
    high: f64,
}

impl Rate {
    /// Computes the statistics of runs that each processed `tokens` tokens. `seconds` has the duration of
    /// each run.
    fn new(tokens: u64, seconds: impl Iterator<Item = f64>) -> Self {
        let rates: Vec<f64> = seconds.map(|seconds| tokens as f64 / seconds.max(f64::MIN_POSITIVE)).collect();
        Self {
            median: median(&rates).unwrap_or_default(),
            low: rates.iter().copied().reduce(f64::min).unwrap_or_default(),
            high: rates.iter().copied().reduce(f64::max).unwrap_or_default(),
        }
    }
}

/// Returns the timings, sorted by base, axes, device, threads, variant, task, context, batch size and number
/// of replaced layers.
pub(super) fn sorted_timings(records: &ExperimentRecords) -> Vec<&TimingCell> {
    let mut timings: Vec<_> = records.timings.iter().collect();
    timings.sort_by_cached_key(|timing| {
        let name =
            (timing.labels.model.clone(), format_axes(&timing.labels.axes), timing.job.machine.clone());
        let system = (timing.labels.variant.clone(), timing.labels.task.clone());
        (name, system, timing.job.context, timing.job.batch_size, timing.layers.len(), timing.key())
    });
    timings
}

/// Returns the rows of the table `throughput`.
pub(super) fn throughput_rows(records: &ExperimentRecords) -> Vec<ThroughputRow> {
    sorted_timings(records).into_iter().map(row).collect()
}

fn row(timing: &TimingCell) -> ThroughputRow {
    let job = &timing.job;
    let rates = |runs: &[TimedRun]| {
        let (num_read, num_decoded) = (job.batch_size * job.context, job.batch_size * job.recipe.new_tokens);
        let prefill = Rate::new(num_read as u64, runs.iter().map(|run| run.prefill));
        (prefill, Rate::new(num_decoded as u64, runs.iter().map(|run| run.decode)))
    };
    let (prefill, decode) = rates(&timing.runs);
    let base = timing.base_runs.as_deref().map(rates);
    ThroughputRow {
        model: timing.labels.model.clone(),
        variant: timing.labels.variant.clone(),
        task: timing.labels.task.clone(),
        axes: format_axes(&timing.labels.axes),
        device: timing.job.machine.device.clone(),
        threads: timing.job.machine.threads as u64,
        context: timing.job.context as u64,
        batch_size: timing.job.batch_size as u64,
        num_replaced: timing.layers.len() as u32,
        layers: format_layers(&timing.layers),
        num_layers: timing.job.config.num_layers as u32,
        decode: decode.median,
        decode_low: decode.low,
        decode_high: decode.high,
        decode_speedup: base.map(|(_, base)| decode.median / base.median),
        prefill: prefill.median,
        prefill_low: prefill.low,
        prefill_high: prefill.high,
        prefill_speedup: base.map(|(base, _)| prefill.median / base.median),
        cache_bytes: timing.cache_bytes,
        state_bytes: timing.state_bytes,
        other_cpus: timing.other_cpus,
        new_tokens: timing.job.recipe.new_tokens as u64,
        runs: timing.runs.len() as u32,
        cell_key: timing.key(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_hybrid_is_compared_with_the_base_at_the_same_context() {
        let rows = throughput_rows(&fixture::records());
        let base = rows.iter().find(|row| row.variant.is_none() && row.context == 512).unwrap();
        assert_eq!((base.decode_speedup, base.num_replaced, base.layers.as_str()), (Some(1.0), 0, ""));
        // The runs took 1.0, 1.1 and 1.2 seconds for 2 prompts with 16 new tokens each.
        assert_eq!((base.decode, base.decode_low, base.decode_high), (32.0 / 1.1, 32.0 / 1.2, 32.0));
        let hybrid = rows.iter().find(|row| row.num_replaced == 4 && row.context == 512).unwrap();
        assert!((hybrid.decode_speedup.unwrap() - 1.4).abs() < 1e-12);
        assert!((hybrid.prefill_speedup.unwrap() - 1.0).abs() < 1e-12);
    }
}
