//! The results of the paper (arXiv 2601.11667 v2), for comparison with the results of an experiment.
//!
//! The numbers are in the CSV files of this folder. The folder's `README.md` names the paper's table for each
//! file.

mod csv_rows;

use std::sync::LazyLock;

pub use csv_rows::{PublishedCost, PublishedReplacedLayers, PublishedScore, PublishedSpeedup};

static SCORES: LazyLock<Vec<PublishedScore>> =
    LazyLock::new(|| csv_rows::parse_csv(include_str!("table1.csv")));
static SPEEDUPS: LazyLock<Vec<PublishedSpeedup>> =
    LazyLock::new(|| csv_rows::parse_csv(include_str!("table2_speedup.csv")));
static COSTS: LazyLock<Vec<PublishedCost>> =
    LazyLock::new(|| csv_rows::parse_csv(include_str!("cost_gpu_hours.csv")));
static LAYER_SETS: LazyLock<Vec<PublishedReplacedLayers>> =
    LazyLock::new(|| csv_rows::parse_csv(include_str!("layer_sets_budget10.csv")));

/// Identifies an entry of the paper's tables by the names that a manifest uses.
#[derive(Clone, Copy, Debug)]
pub struct PaperKey<'a> {
    /// Name of the base on the Hugging Face hub without its owner, in upper or lower case.
    pub base: &'a str,
    /// Kind of linear block.
    pub block: &'a str,
    /// Name of the task, with hyphens or underscores.
    pub task: &'a str,
}

/// Returns every entry of the paper's Table 1, in the order of the paper.
pub fn table1_scores() -> &'static [PublishedScore] {
    &SCORES
}

/// Finds an entry of the paper's Table 1.
pub fn find_score(key: PaperKey) -> Option<&'static PublishedScore> {
    SCORES.iter().find(|score| key.matches(&score.base_model, &score.variant, &score.task))
}

/// Finds an entry of the paper's Table 2. The searches of Table 2 stop when the validation score drops by
/// more than 5 % relative to the base.
pub fn find_speedup(key: PaperKey) -> Option<&'static PublishedSpeedup> {
    SPEEDUPS.iter().find(|speedup| key.matches(&speedup.base_model, &speedup.variant, &speedup.task))
}

/// Finds the row of a base in the paper's Table 3. The table has the hours of distillation and search.
pub fn find_cost(base: &str) -> Option<&'static PublishedCost> {
    COSTS.iter().find(|cost| cost.base_model.eq_ignore_ascii_case(base))
}

/// Finds the ten layers that a strategy (`greedy` or `impact`) replaces in the paper's Table 4.
pub fn find_layer_set(key: PaperKey, strategy: &str) -> Option<&'static PublishedReplacedLayers> {
    let is_there = |set: &&PublishedReplacedLayers| key.matches(&set.base_model, &set.variant, &set.task);
    LAYER_SETS.iter().filter(is_there).find(|set| set.strategy == strategy)
}

/// Returns whether the paper has results for the base.
pub fn has_base(base: &str) -> bool {
    find_cost(base).is_some()
}

impl PaperKey<'_> {
    fn matches(&self, base_model: &str, variant: &str, task: &str) -> bool {
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
    fn the_tables_have_all_entries_of_the_paper() {
        assert_eq!(table1_scores().len(), 3 * 3 * 18);
        let names: BTreeSet<_> = table1_scores().iter().map(PublishedScore::entry_name).collect();
        assert_eq!(names.len(), table1_scores().len());
        assert_eq!((SPEEDUPS.len(), COSTS.len(), LAYER_SETS.len()), (18, 3, 6));
        assert!(table1_scores().iter().all(|score| has_base(&score.base_model)));
    }

    #[test]
    fn totals_agree_with_the_text_of_the_paper() {
        // The paper's text says that 132 of 162 hybrids match or exceed their base. It also gives the total
        // hours of each base.
        let num_matching = table1_scores().iter().filter(|score| score.p_best >= score.p_base).count();
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
    fn entries_are_found_by_the_names_of_a_manifest() {
        let key = PaperKey { base: "llama-3.2-3b-instruct", block: "jet", task: "commonsense-qa" };
        assert_eq!(find_score(key).map(|score| (score.p_best, score.num_replaced)), Some((68.2, 3)));
        assert_eq!(find_speedup(key).map(|speedup| (speedup.p_opt, speedup.num_replaced)), Some((64.7, 11)));
        assert!(find_speedup(PaperKey { block: "gla", ..key }).is_none());
        let key = PaperKey { base: "Qwen2.5-1.5B", ..key };
        assert_eq!(find_layer_set(key, "impact").map(|set| set.accuracy), Some(61.3));
        assert_eq!(find_layer_set(key, "greedy").unwrap().layers()[..3], [2, 3, 6]);
        assert!(find_score(PaperKey { base: "Qwen2.5-1.5B-Instruct", ..key }).is_none());
        assert_eq!(find_cost("llama-3.1-8b-instruct").map(|cost| cost.total_hours), Some(15.0));
    }
}
