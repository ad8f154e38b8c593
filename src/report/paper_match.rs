//! Finds the entries of the paper's tables that correspond to a search.

use super::experiment_records::SearchCell;
use super::published::{
    self, PaperKey, PublishedCost, PublishedReplacedLayers, PublishedScore, PublishedSpeedup,
};
use crate::algorithms::search::RoundWinner;
use crate::algorithms::search::{SearchStrategy, StopCriterion};

/// Maximum relative drop of the validation score in the searches of the paper's Table 2.
const PAPER_MAX_RELATIVE_DROP: f64 = 0.05;
/// Number of replaced layers of the hybrids in the paper's Table 4.
const PAPER_NUM_REPLACED: usize = 10;

/// Returns the entry of the paper's Table 1 that corresponds to a search. Returns `None` for a search that is
/// not greedy, because the table has only greedy searches.
pub(super) fn matching_score(search: &SearchCell) -> Option<&'static PublishedScore> {
    is_greedy(search).then(|| published::find_score(paper_key(search)?)).flatten()
}

/// Returns the entry of the paper's Table 2 that corresponds to a search. Returns `None` for a search that is
/// not greedy, or whose stop criterion differs from the paper's criterion.
pub(super) fn matching_speedup(search: &SearchCell) -> Option<&'static PublishedSpeedup> {
    let is_comparable =
        is_greedy(search) && search.job.stop == StopCriterion::MaxRelativeDrop(PAPER_MAX_RELATIVE_DROP);
    is_comparable.then(|| published::find_speedup(paper_key(search)?)).flatten()
}

/// Returns the row of the paper's Table 3 that corresponds to a search. Returns `None` for a search that is
/// not greedy.
pub(super) fn matching_cost(search: &SearchCell) -> Option<&'static PublishedCost> {
    is_greedy(search).then(|| published::find_cost(search.published_base_name()?)).flatten()
}

/// Returns the entry of the paper's Table 4 that corresponds to the winner of a round. Returns `None` if
/// Table 4 has no entry for this strategy and number of replaced layers.
pub(super) fn matching_layer_set(
    search: &SearchCell,
    round: &RoundWinner,
) -> Option<&'static PublishedReplacedLayers> {
    let strategy = match search.job.strategy {
        SearchStrategy::Greedy {} => "greedy",
        SearchStrategy::Impact {} => "impact",
        _ => return None,
    };
    let is_comparable = round.layers.len() == PAPER_NUM_REPLACED;
    is_comparable.then(|| published::find_layer_set(paper_key(search)?, strategy)).flatten()
}

fn is_greedy(search: &SearchCell) -> bool {
    search.job.strategy == SearchStrategy::Greedy {}
}

fn paper_key(search: &SearchCell) -> Option<PaperKey<'_>> {
    Some(PaperKey { base: search.published_base_name()?, block: search.block_kind(), task: search.task() })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::hub::{PinnedRepo, RepoKind};
    use crate::manifest::{Dtype, ModelSource, load_manifest};
    use crate::report::fixture;
    use crate::stages::{BaseSource, ModelIdentity};

    fn stored_base(identity: ModelIdentity) -> BaseSource {
        BaseSource::Stored { path: PathBuf::new(), identity, dtype: Dtype::F32, config_copy: None }
    }

    #[test]
    fn every_search_of_the_bundled_table_1_has_an_entry_in_the_paper() {
        let manifest = load_manifest(Path::new("experiments/table1.toml"), &[]).unwrap().manifest;
        let combinations = manifest.sweep.combinations();
        assert_eq!(combinations.len(), 3 * 3 * 12);
        for (model, variant, task) in combinations {
            let ModelSource::Hub(source) = &manifest.models[model].source else {
                panic!("{model} is not a model of the hub")
            };
            let pinned = PinnedRepo {
                kind: RepoKind::Model,
                id: source.repo.clone(),
                commit: source.revision.clone(),
            };
            let base = stored_base(ModelIdentity::Hub(pinned));
            let block = manifest.variants[variant.unwrap()].block.name();
            let key = PaperKey { base: base.public_name("anything").unwrap(), block, task };
            assert!(published::find_score(key).is_some(), "{key:?}");
        }
    }

    #[test]
    fn local_files_match_by_their_name_in_the_manifest_and_pretrained_bases_never_match() {
        let files =
            ModelIdentity::Files { files: Default::default(), reader_version: None, generation_files: None };
        let local = stored_base(files);
        assert_eq!(local.public_name("qwen2.5-1.5b"), Some("qwen2.5-1.5b"));
        let mut search = fixture::records_of_hub_base("Qwen2.5-1.5B").searches.remove(0);
        assert!(matching_score(&search).is_some());
        search.cell.job.base = fixture::trained_base();
        assert!(matching_score(&search).is_none());
    }

    #[test]
    fn only_searches_with_the_settings_of_the_paper_match() {
        let searches = fixture::records_of_hub_base("llama-3.2-3b-instruct").searches;
        let mut search = searches.into_iter().find(|search| search.block_kind() == "jet").unwrap();
        assert_eq!(matching_speedup(&search).map(|cell| cell.num_replaced), Some(11));
        search.cell.job.stop = StopCriterion::Never {};
        assert!(matching_speedup(&search).is_none() && matching_score(&search).is_some());
        assert_eq!(matching_cost(&search).map(|cost| (cost.bld_hours, cost.greedy_hours)), Some((4.0, 3.0)));
        search.cell.job.strategy = SearchStrategy::Uniform {};
        assert!(matching_score(&search).is_none() && matching_cost(&search).is_none());
    }
}
