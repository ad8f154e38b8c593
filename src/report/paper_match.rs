//! Which of the paper's cells a search is the counterpart of.

use super::evidence::{Round, SearchEvidence};
use super::published::{self, Cost, LayerSet, Place, Score, Speedup};
use crate::algorithms::search::{SearchStrategy, StopCriterion};

/// The relative drop of the validation score that the paper's Table 2 allows.
const PAPER_DROP: f64 = 0.05;
/// The number of layers that the hybrids of its Table 4 replace.
const PAPER_BUDGET: usize = 10;

/// The cell of Table 1: of the paper's method, so only for greedy searches.
pub(super) fn score(search: &SearchEvidence) -> Option<&'static Score> {
    is_greedy(search).then(|| published::score(place(search)?)).flatten()
}

/// The cell of Table 2, for greedy searches that stop as those there.
pub(super) fn speedup(search: &SearchEvidence) -> Option<&'static Speedup> {
    let is_alike = is_greedy(search) && search.stop == StopCriterion::MaxRelativeDrop(PAPER_DROP);
    is_alike.then(|| published::speedup(place(search)?)).flatten()
}

/// What the base's greedy search cost in the paper, by its Table 3.
pub(super) fn cost(search: &SearchEvidence) -> Option<&'static Cost> {
    is_greedy(search).then(|| published::cost(search.public_base.as_deref()?)).flatten()
}

/// The set of Table 4 beside a round's winner, where the strategy and the number of layers are alike.
pub(super) fn layer_set(search: &SearchEvidence, round: &Round) -> Option<&'static LayerSet> {
    let strategy = match search.strategy {
        SearchStrategy::Greedy {} => "greedy",
        SearchStrategy::Impact {} => "impact",
        _ => return None,
    };
    let is_alike = round.layers.len() == PAPER_BUDGET;
    is_alike.then(|| published::layer_set(place(search)?, strategy)).flatten()
}

fn is_greedy(search: &SearchEvidence) -> bool {
    search.strategy == SearchStrategy::Greedy {}
}

fn place(search: &SearchEvidence) -> Option<Place<'_>> {
    Some(Place { base: search.public_base.as_deref()?, block: &search.block, task: &search.task })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::hub::{PinnedRepo, RepoKind};
    use crate::manifest::{Dtype, ModelSource, load};
    use crate::plan::{BaseSource, ModelIdentity};
    use crate::report::fixture;

    #[test]
    fn every_cell_of_the_bundled_table_1_is_one_of_the_papers() {
        let manifest = load(Path::new("experiments/table1.toml"), &[]).unwrap().manifest;
        let combinations = manifest.sweep.combinations();
        assert_eq!(combinations.len(), 3 * 3 * 12);
        for (model, variant, task) in combinations {
            let ModelSource::Hub(source) = &manifest.models[model].source else {
                panic!("{model} is of the hub")
            };
            let pinned = PinnedRepo {
                kind: RepoKind::Model,
                id: source.repo.clone(),
                commit: source.revision.clone(),
            };
            let base = BaseSource::Directory(PathBuf::new(), ModelIdentity::Hub(pinned), Dtype::F32);
            let block = manifest.variants[variant.unwrap()].block.name();
            let place = Place { base: base.public_name("anything").unwrap(), block, task };
            assert!(published::score(place).is_some(), "{place:?}");
        }
    }

    #[test]
    fn local_files_go_by_their_declared_name_and_a_base_trained_here_is_nobodys() {
        let files = ModelIdentity::Files { files: Default::default() };
        let local = BaseSource::Directory(PathBuf::from("somewhere"), files, Dtype::F32);
        assert_eq!(local.public_name("qwen2.5-1.5b"), Some("qwen2.5-1.5b"));
        let mut search = fixture::of_paper("Qwen2.5-1.5B").searches.remove(0);
        assert!(score(&search).is_some());
        search.public_base = None;
        assert!(score(&search).is_none());
    }

    #[test]
    fn only_what_was_done_as_in_the_paper_is_laid_beside_it() {
        let searches = fixture::of_paper("llama-3.2-3b-instruct").searches;
        let mut search = searches.into_iter().find(|search| search.block == "jet").unwrap();
        assert_eq!(speedup(&search).map(|cell| cell.num_replaced), Some(11));
        search.stop = StopCriterion::Never {};
        assert!(speedup(&search).is_none() && score(&search).is_some());
        assert_eq!(cost(&search).map(|cost| (cost.bld_hours, cost.greedy_hours)), Some((4.0, 3.0)));
        search.strategy = SearchStrategy::Uniform {};
        assert!(score(&search).is_none() && cost(&search).is_none());
    }
}
