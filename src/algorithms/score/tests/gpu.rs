//! Tests that a GPU's scores are close to the CPU's, and the same to the bit in each run.

use super::*;
use dtr_ops::cuda_devices;

/// The largest difference between a log-likelihood on a GPU and on the CPU, for a base in f32.
const TOLERANCE: f64 = 1e-3;

#[test]
fn log_likelihoods_are_close_to_the_cpu_and_reproducible() {
    let Some(device) = cuda_devices().into_iter().next() else {
        eprintln!("SKIPPED: there is no CUDA device");
        return;
    };
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mini");
    let read = |device: &Device| Base::read(&mini, device).unwrap();
    let (here, there) = (read(&Device::flex()), read(&device));
    let requests = ScoringRequests::new(&here.tokenizer, recall_items(), Metric::Acc, 128).unwrap();
    for variant in variants() {
        let twins_of = |base: &Base| twins(&variant, &base.decoder);
        let (twins_here, twins_there) = (twins_of(&here), twins_of(&there));
        for layers in [&[][..], &[0], &[2, 5]] {
            let mask: Mask = layers.iter().copied().collect();
            let score = |base: &Base, twins: &Twins| {
                let scored = Scorer::new(&base.decoder, Some(twins), &requests).score(&Mask::empty(), &mask);
                let items = scored.unwrap().items.into_iter();
                items.flat_map(|item| item.log_likelihoods).collect::<Vec<f64>>()
            };
            let (ours, theirs) = (score(&there, &twins_there), score(&here, &twins_here));
            let most = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(most <= TOLERANCE, "{variant:?} {layers:?}: {most}");
            assert_eq!(ours, score(&there, &twins_there), "{variant:?} {layers:?}");
        }
    }
}
