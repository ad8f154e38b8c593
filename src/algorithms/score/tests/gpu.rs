//! Tests that a GPU and the CPU compute nearly the same log-likelihoods. Also tests that a GPU computes the
//! same bits in each run.

use super::*;
use dtr_model::Twins;
use dtr_ops::open_cuda_devices;

/// The largest accepted difference between log-likelihoods on a GPU and on the CPU, for a base in f32.
const TOLERANCE: f64 = 1e-3;

/// Returns the bundled base twice: on the CPU and on a GPU. Returns `None` if there is no GPU.
fn bundled_bases() -> Option<[BaseModel; 2]> {
    let Some(device) = open_cuda_devices().into_iter().next() else {
        eprintln!("SKIPPED: there is no CUDA device");
        return None;
    };
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini");
    Some([Device::flex(), device].map(|device| BaseModel::read(&mini, &device).unwrap()))
}

/// Returns the largest difference between two log-likelihoods at the same index.
fn largest_difference(ours: &[f64], theirs: &[f64]) -> f64 {
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn log_likelihoods_are_close_to_the_cpu_and_reproducible() {
    let Some([here, there]) = bundled_bases() else { return };
    let requests = ScoringRequests::new(&here.tokenizer, recall_items(), Metric::Acc, 128).unwrap();
    for variant in variants() {
        let twins_of = |base: &BaseModel| twins(&variant, &base.decoder);
        let (twins_here, twins_there) = (twins_of(&here), twins_of(&there));
        for layers in [&[][..], &[0], &[2, 5]] {
            let mask: Mask = layers.iter().copied().collect();
            let score = |base: &BaseModel, twins: &Twins| {
                let scored = Scorer::new(&base.decoder, Some(twins), &requests).score(&Mask::empty(), &mask);
                let items = scored.unwrap().items.into_iter();
                items.flat_map(|item| item.log_likelihoods().to_vec()).collect::<Vec<f64>>()
            };
            let (ours, theirs) = (score(&there, &twins_there), score(&here, &twins_here));
            let most = largest_difference(&ours, &theirs);
            assert!(most <= TOLERANCE, "{variant:?} {layers:?}: {most}");
            assert_eq!(ours, score(&there, &twins_there), "{variant:?} {layers:?}");
        }
    }
}

#[test]
fn candidates_that_share_a_pass_have_the_log_likelihoods_of_the_cpu() {
    let Some([here, there]) = bundled_bases() else { return };
    let requests = ScoringRequests::new(&here.tokenizer, recall_items(), Metric::Acc, 128).unwrap();
    let incumbent = Mask::empty().with_layer(3);
    let masks: Vec<Mask> = [0, 1, 4, 5, 7].map(|layer| incumbent.with_layer(layer)).into();
    let candidates: Vec<Candidate<'_>> =
        masks.iter().map(|mask| Candidate { incumbent: &incumbent, mask, prune_below: None }).collect();
    for variant in variants() {
        let score = |base: &BaseModel| -> Vec<Vec<f64>> {
            let twins = twins(&variant, &base.decoder);
            let mut scorer = Scorer::new(&base.decoder, Some(&twins), &requests);
            let scored = scorer.score_with_pruning(&candidates).unwrap().into_iter();
            let items = |one: ScoredCandidate| match one.score {
                CandidateScore::Complete(result) => result.items,
                CandidateScore::Pruned { .. } => panic!("a candidate without a threshold is never pruned"),
            };
            scored
                .map(|one| items(one).into_iter().flat_map(|item| item.log_likelihoods().to_vec()).collect())
                .collect()
        };
        for ((ours, theirs), mask) in score(&there).iter().zip(score(&here)).zip(&masks) {
            let most = largest_difference(ours, &theirs);
            assert!(most <= TOLERANCE, "{variant:?} {mask:?}: {most}");
        }
    }
}
