//! Computes the tables that have the layout of the paper's tables. `table1` has the layout of Table 1,
//! `speedup` has the layout of Table 2, and `compute_hours` has the layout of Table 3.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{Column, DataFrame, PolarsResult};

use crate::report::columns::{
    BASE_SCORE, ComputeHoursRow, CostRow, HYBRID_LAYERS, HYBRID_SCORE, SearchRow, SpeedupRow, TABLE1,
    ThroughputRow,
};
use crate::report::derived_values::are_axes_part_of;
use crate::report::schema::ColumnSpec;

/// Builds the table `table1`. Also returns the declarations of its columns.
///
/// # Errors
/// Fails if two columns have the same name.
pub(in crate::report) fn build_table1(searches: &[SearchRow]) -> PolarsResult<(Vec<ColumnSpec>, DataFrame)> {
    let tasks: BTreeSet<(&str, &str)> = searches.iter().map(|row| (&*row.axes, &*row.task)).collect();
    let systems: BTreeSet<(&str, &str)> = searches.iter().map(|row| (&*row.model, &*row.variant)).collect();
    let models: BTreeSet<&str> = systems.iter().map(|(model, _)| *model).collect();
    let (axes, names): (Vec<&str>, Vec<&str>) = tasks.iter().copied().unzip();
    let mut specs = TABLE1.columns[..2].to_vec();
    let mut columns = vec![Column::new("task".into(), names), Column::new("axes".into(), axes)];
    for model in models {
        let base_of = |(axes, task): &(&str, &str)| {
            let is_base = |row: &&SearchRow| row.model == model && row.axes == *axes && row.task == *task;
            searches.iter().find(is_base).map(|row| 100.0 * row.p_base)
        };
        let scores: Vec<Option<f64>> = tasks.iter().map(base_of).collect();
        specs.push(BASE_SCORE);
        columns.push(Column::new(column_name(BASE_SCORE, model, "").into(), scores));
        for (_, variant) in systems.iter().filter(|(name, _)| *name == model) {
            let of_system: BTreeMap<(&str, &str), &SearchRow> = searches
                .iter()
                .filter(|row| row.model == model && row.variant == *variant)
                .map(|row| ((&*row.axes, &*row.task), row))
                .collect();
            let rows = || tasks.iter().map(|task| of_system.get(task));
            let scores: Vec<Option<f64>> = rows().map(|row| row.map(|row| 100.0 * row.p_best)).collect();
            let layers: Vec<Option<u32>> = rows().map(|row| row.map(|row| row.num_replaced)).collect();
            specs.extend([HYBRID_SCORE, HYBRID_LAYERS]);
            columns.push(Column::new(column_name(HYBRID_SCORE, model, variant).into(), scores));
            columns.push(Column::new(column_name(HYBRID_LAYERS, model, variant).into(), layers));
        }
    }
    Ok((specs, DataFrame::new(tasks.len(), columns)?))
}

/// Returns the name of the column that a template declares, for one base and variant.
fn column_name(template: ColumnSpec, model: &str, variant: &str) -> String {
    template.name.replace("{model}", model).replace("{variant}", variant)
}

/// Returns the rows of the table `compute_hours`. Each row averages the rows of the table `cost` that have
/// the same base, axes and device.
pub(in crate::report) fn compute_hours_rows(costs: &[CostRow]) -> Vec<ComputeHoursRow> {
    let mut groups: BTreeMap<(&str, &str, &str), Vec<&CostRow>> = BTreeMap::new();
    for cost in costs {
        groups.entry((&cost.model, &cost.axes, &cost.device)).or_default().push(cost);
    }
    let row = |((model, axes, device), costs): ((&str, &str, &str), Vec<&CostRow>)| {
        let average = |hours: fn(&CostRow) -> f64| {
            costs.iter().map(|cost| hours(cost)).sum::<f64>() / costs.len() as f64
        };
        let (distil_hours, search_hours) =
            (average(|cost| cost.distil_hours), average(|cost| cost.search_hours));
        ComputeHoursRow {
            model: model.to_owned(),
            axes: axes.to_owned(),
            device: device.to_owned(),
            distil_hours,
            search_hours,
            total_hours: distil_hours + search_hours,
            searches: costs.len() as u32,
        }
    };
    groups.into_iter().map(row).collect()
}

/// Returns the rows of the table `speedup`. Joins each search with the timings of hybrids that replace as
/// many layers as M_opt, the last hybrid that the search accepted.
pub(in crate::report) fn speedup_rows(searches: &[SearchRow], timings: &[ThroughputRow]) -> Vec<SpeedupRow> {
    let rows_of = |search: &SearchRow| {
        let timings = timings_of_opt(search, timings);
        match timings.is_empty() {
            true => vec![speedup_row(search, None)],
            false => timings.into_iter().map(|timing| speedup_row(search, Some(timing))).collect(),
        }
    };
    searches.iter().flat_map(rows_of).collect()
}

/// Returns the timings of hybrids that replace as many layers as M_opt. Returns one timing for each
/// combination of device, number of threads, context and batch size. If possible, this timing is of a hybrid
/// that replaces exactly the layers of M_opt.
fn timings_of_opt<'a>(search: &SearchRow, timings: &'a [ThroughputRow]) -> Vec<&'a ThroughputRow> {
    let is_of_opt = |timing: &&ThroughputRow| {
        timing.model == search.model
            && timing.variant.as_ref() == Some(&search.variant)
            && timing.num_replaced == search.num_replaced_opt
            // A timing has labels only for the axes on which speed depends. A search can have more axes.
            && are_axes_part_of(&timing.axes, &search.axes)
    };
    let mut by_setting: BTreeMap<_, &ThroughputRow> = BTreeMap::new();
    for timing in timings.iter().filter(is_of_opt) {
        let setting = (&timing.device, timing.threads, timing.context, timing.batch_size);
        let known = by_setting.entry(setting).or_insert(timing);
        if known.layers != search.layers_opt && timing.layers == search.layers_opt {
            *known = timing;
        }
    }
    by_setting.into_values().collect()
}

fn speedup_row(search: &SearchRow, timing: Option<&ThroughputRow>) -> SpeedupRow {
    let drop = 100.0 * (search.p_base - search.p_opt) / search.p_base;
    SpeedupRow {
        model: search.model.clone(),
        variant: search.variant.clone(),
        task: search.task.clone(),
        axes: search.axes.clone(),
        base_score: 100.0 * search.p_base,
        opt_score: 100.0 * search.p_opt,
        drop_percent: (search.p_base > 0.0).then_some(drop),
        num_replaced: search.num_replaced_opt,
        num_layers: search.num_layers,
        device: timing.map(|timing| timing.device.clone()),
        context: timing.map(|timing| timing.context),
        batch_size: timing.map(|timing| timing.batch_size),
        speedup: timing.and_then(|timing| timing.decode_speedup),
        cell_key: search.cell_key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::experiment_records::ExperimentRecords;
    use crate::report::fixture;
    use crate::report::rows::search_rows;
    use crate::report::throughput::throughput_rows;

    /// Returns records of two tasks with two variants each. The search with the variant `gla` on the task
    /// `boolq` is missing.
    fn records() -> ExperimentRecords {
        let mut records = fixture::records_of_size(2, 2, 8);
        records.searches.retain(|search| (search.variant(), search.task()) != ("gla", "boolq"));
        for search in &mut records.searches {
            let num_correct = if search.variant() == "gdn" { 150 } else { 170 };
            search.base_answers = fixture::answers(160, 200);
            search.best_answers = fixture::answers(num_correct, 200);
            search.best.layers = vec![1, 3, 5];
            search.opt_answers = fixture::answers(120, 200);
            search.opt.layers = vec![0, 1, 2, 3];
        }
        records
    }

    #[test]
    fn table1_has_a_row_for_each_task_and_columns_for_each_base_and_variant() {
        let (specs, frame) = build_table1(&search_rows(&records())).unwrap();
        let expected = [
            Column::new("task".into(), ["arc-easy", "boolq"]),
            Column::new("axes".into(), ["", ""]),
            Column::new("base[tiny-8]".into(), [Some(80.0), Some(80.0)]),
            Column::new("score[tiny-8/gdn]".into(), [Some(75.0), Some(75.0)]),
            Column::new("layers[tiny-8/gdn]".into(), [Some(3_u32), Some(3)]),
            Column::new("score[tiny-8/gla]".into(), [Some(85.0), None]),
            Column::new("layers[tiny-8/gla]".into(), [Some(3_u32), None]),
        ];
        assert!(frame.equals_missing(&DataFrame::new(2, expected.to_vec()).unwrap()), "{frame:?}");
        assert_eq!(specs.len(), expected.len());
    }

    #[test]
    fn table1_without_searches_has_no_rows() {
        let (_, frame) = build_table1(&[]).unwrap();
        assert_eq!(frame.shape(), (0, 2));
    }

    #[test]
    fn compute_hours_average_the_hours_of_a_base() {
        let mut records = fixture::records_of_size(2, 2, 8);
        // The first search takes 1.5 hours, the other three take half an hour each, and the distillation
        // takes two hours.
        records.searches[0].cell.record.seconds = 5400.0;
        let rows = compute_hours_rows(&crate::report::cost::cost_rows(&records));
        let expected = ComputeHoursRow {
            model: "tiny-8".to_owned(),
            axes: String::new(),
            device: "cuda + cpu".to_owned(),
            distil_hours: 2.0,
            search_hours: 0.75,
            total_hours: 2.75,
            searches: 4,
        };
        assert_eq!(rows, [expected]);
    }

    #[test]
    fn the_speedup_is_of_a_hybrid_with_as_many_replaced_layers_as_m_opt() {
        let records = records();
        let mut timings = throughput_rows(&records);
        let rows = speedup_rows(&search_rows(&records), &timings);
        // There are three searches and two contexts. A hybrid with 4 replaced layers decodes
        // 1 + 4 * context / 5120 times as fast as the base.
        assert_eq!(rows.len(), 6);
        let row = &rows[1];
        assert_eq!((&*row.variant, &*row.task, row.context), ("gdn", "arc-easy", Some(2048)));
        assert_eq!((row.base_score, row.opt_score), (80.0, 60.0));
        assert!((row.drop_percent.unwrap() - 25.0).abs() < 1e-12, "{row:?}");
        assert_eq!((row.num_replaced, row.num_layers, row.batch_size), (4, 8, Some(2)));
        assert!((row.speedup.unwrap() - 2.6).abs() < 1e-12, "{row:?}");

        timings.retain(|timing| timing.variant.as_deref() != Some("gdn"));
        let rows = speedup_rows(&search_rows(&records), &timings);
        assert_eq!(rows.len(), 4, "searches without timings keep one row");
        assert_eq!((&rows[0].device, rows[0].context, rows[0].speedup), (&None, None, None));
    }

    #[test]
    fn the_speedup_is_preferably_of_exactly_the_layers_of_m_opt() {
        let records = records();
        let mut timings = throughput_rows(&records);
        let mut evenly_spaced = timings.iter().find(|timing| timing.num_replaced == 4).unwrap().clone();
        evenly_spaced.layers = "1,3,5,7".to_owned();
        evenly_spaced.decode_speedup = Some(9.0);
        timings.insert(0, evenly_spaced);
        let rows = speedup_rows(&search_rows(&records), &timings);
        assert!(rows.iter().all(|row| row.speedup != Some(9.0)), "{rows:?}");
    }
}
