//! What the paper prints (arXiv 2601.11667 v2), to lay beside what an experiment finds.
//!
//! The figures are the CSV files beside this one; `README.md` there says where in the paper each stands.

mod files;

use std::sync::LazyLock;

pub use files::{Cost, LayerSet, Score, Speedup};

static SCORES: LazyLock<Vec<Score>> = LazyLock::new(|| files::read(include_str!("table1.csv")));
static SPEEDUPS: LazyLock<Vec<Speedup>> = LazyLock::new(|| files::read(include_str!("table2_speedup.csv")));
static COSTS: LazyLock<Vec<Cost>> = LazyLock::new(|| files::read(include_str!("cost_gpu_hours.csv")));
static LAYER_SETS: LazyLock<Vec<LayerSet>> =
    LazyLock::new(|| files::read(include_str!("layer_sets_budget10.csv")));

/// What identifies a cell of the paper's tables, in the words of an experiment.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What the public knows the base by: the last part of its name on the hub, in either case.
    pub base: &'a str,
    /// The kind of linear block.
    pub block: &'a str,
    /// The task's name, with hyphens or underscores.
    pub task: &'a str,
}

/// Every cell of the paper's Table 1, in its order.
pub fn scores() -> &'static [Score] {
    &SCORES
}

/// The cell of the paper's Table 1.
pub fn score(place: Place) -> Option<&'static Score> {
    SCORES.iter().find(|score| place.is(&score.base_model, &score.variant, &score.task))
}

/// The cell of the paper's Table 2: the hybrid within 5 % on validation.
pub fn speedup(place: Place) -> Option<&'static Speedup> {
    SPEEDUPS.iter().find(|speedup| place.is(&speedup.base_model, &speedup.variant, &speedup.task))
}

/// What the method cost the paper's authors for a base, by its public name: its Table 3.
pub fn cost(base: &str) -> Option<&'static Cost> {
    COSTS.iter().find(|cost| cost.base_model.eq_ignore_ascii_case(base))
}

/// The ten layers that a strategy (`greedy` or `impact`) replaced in the paper's Table 4.
pub fn layer_set(place: Place, strategy: &str) -> Option<&'static LayerSet> {
    let is_there = |set: &&LayerSet| place.is(&set.base_model, &set.variant, &set.task);
    LAYER_SETS.iter().filter(is_there).find(|set| set.strategy == strategy)
}

/// Whether the paper's tables have the base.
pub fn knows(base: &str) -> bool {
    cost(base).is_some()
}

impl Place<'_> {
    fn is(&self, base_model: &str, variant: &str, task: &str) -> bool {
        self.base.eq_ignore_ascii_case(base_model)
            && self.block == variant
            && self.task.replace('-', "_") == task
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_tables_are_whole() {
        assert_eq!(scores().len(), 3 * 3 * 18);
        let cells: BTreeSet<_> = scores().iter().map(Score::cell).collect();
        assert_eq!(cells.len(), scores().len());
        assert_eq!((SPEEDUPS.len(), COSTS.len(), LAYER_SETS.len()), (18, 3, 6));
        assert!(scores().iter().all(|score| knows(&score.base_model)));
    }

    #[test]
    fn totals_are_those_that_the_paper_states() {
        // Its text counts 132 of 162 cells that match or exceed the base, and prints each base's total hours.
        let num_matching = scores().iter().filter(|score| score.p_best >= score.p_base).count();
        assert_eq!(num_matching, 132);
        for cost in COSTS.iter() {
            assert_eq!(cost.bld_hours + cost.greedy_hours, cost.total_hours);
        }
        for speedup in SPEEDUPS.iter() {
            let drop = 100.0 * (speedup.p_base - speedup.p_opt) / speedup.p_base;
            assert!((drop - speedup.drop_percent).abs() < 0.15, "{}: {drop}", speedup.task);
        }
    }

    #[test]
    fn cells_are_found_by_the_names_that_manifests_use() {
        let place = Place { base: "llama-3.2-3b-instruct", block: "jet", task: "commonsense-qa" };
        assert_eq!(score(place).map(|score| (score.p_best, score.num_replaced)), Some((68.2, 3)));
        assert_eq!(speedup(place).map(|speedup| (speedup.p_opt, speedup.num_replaced)), Some((64.7, 11)));
        assert!(speedup(Place { block: "gla", ..place }).is_none());
        let place = Place { base: "Qwen2.5-1.5B", ..place };
        assert_eq!(layer_set(place, "impact").map(|set| set.accuracy), Some(61.3));
        assert_eq!(layer_set(place, "greedy").unwrap().layers()[..3], [2, 3, 6]);
        assert!(score(Place { base: "Qwen2.5-1.5B-Instruct", ..place }).is_none());
        assert_eq!(cost("llama-3.1-8b-instruct").map(|cost| cost.total_hours), Some(15.0));
    }
}
