//! Tests of students that diverge, and of students that each train only some layers of a base.

use std::fs;
use std::ops::Range;

use burn::tensor::Tensor;

use dtr_core::checkpoint::CheckpointFile;
use dtr_core::count::Count;
use dtr_core::seed::Seed;
use dtr_model::optimizer::AdamWConfig;
use dtr_model::testing::{decoder, variants};
use dtr_model::{ParamMut, Parameters};

use super::*;

const NUM_STEPS: u64 = 4;

fn config(learning_rate: f64) -> DistilConfig {
    DistilConfig {
        token_budget: Count(NUM_STEPS * 32),
        sequence_length: 16,
        batch_size: 2,
        optimizer: AdamWConfig { learning_rate, ..AdamWConfig::default() },
        seed: Seed(0),
    }
}

/// Returns a batch of 2 sequences of 16 tokens.
fn batch(offset: u32) -> Vec<Vec<u32>> {
    (0..2).map(|row| (0..16).map(|at| (7 * row + 3 * at + offset) % 50).collect()).collect()
}

/// Trains a student. Before the step `changed_step`, applies `change` to the parameters of layer 1's twin.
/// Returns the number of steps.
fn train(
    learning_rate: f64,
    changed_step: u64,
    change: &dyn Fn(&str, Tensor<1>) -> Tensor<1>,
) -> Result<u64> {
    let base = decoder(false, false);
    let folder = tempfile::tempdir().unwrap();
    let config = config(learning_rate);
    let checkpoint = CheckpointFile::new(folder.path().join("twins"), "test");
    let layers = 0..base.config.num_layers;
    let mut students =
        vec![Student::new_or_resume("gla", &variants()[0], &base, layers, &config, &checkpoint).unwrap()];
    for step in 0..NUM_STEPS {
        if step == changed_step {
            students[0].stack_trainers()[1].stack.visit(&mut |name, mut param: ParamMut<'_>| {
                let changed = change(name, param.flat());
                param.set(changed);
            });
        }
        train_step(&base, &mut students, &batch(0), step, NUM_STEPS);
    }
    students.remove(0).finish().map(|distilled| distilled.result.steps)
}

#[test]
fn an_unchanged_student_trains_to_the_end() {
    assert_eq!(train(1e-3, NUM_STEPS, &|_, values| values).unwrap(), NUM_STEPS);
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_that_names_variant_layer_and_step() {
    let error = train(1e-3, 2, &|_, values| values * f32::NAN).unwrap_err().to_line();
    let expected =
        "the loss of `gla` in layer 1 is NaN at step 2 (hint: lower `distil.optimizer.learning-rate`)";
    assert_eq!(error, expected);
}

/// Each step computes the loss first and updates the parameters afterwards. No step follows the last update,
/// so only the norm of the gradient shows the overflow.
#[test]
fn a_gradient_that_overflows_in_the_last_step_is_an_error() {
    let huge = |name: &str, values: Tensor<1>| if name.contains("o_proj") { values * 1e14 } else { values };
    let error = train(1e-3, NUM_STEPS - 1, &huge).unwrap_err().to_line();
    assert!(error.starts_with("the gradient norm of `gla` in layer 1 is inf at step 3"), "{error}");
}

#[test]
fn a_loss_a_thousand_times_the_outputs_variance_is_an_error() {
    let large = |name: &str, values: Tensor<1>| if name.contains("o_proj") { values * 1e4 } else { values };
    let error = train(1e-3, 2, &large).unwrap_err().to_line();
    assert!(
        error.starts_with("the loss of `gla` in layer 1 is ") && error.contains("it diverges at step 2"),
        "{error}"
    );
}

#[test]
fn layers_trained_one_range_at_a_time_are_the_same_to_the_bit() {
    let base = decoder(false, false);
    let num_layers = base.config.num_layers;
    let folder = tempfile::tempdir().unwrap();
    let config = config(1e-3);
    for (name, variant) in ["gla", "gdn", "jet"].into_iter().zip(&variants()) {
        let distil = |layers: Range<usize>| {
            let checkpoint = CheckpointFile::new(folder.path().join(format!("{name} {layers:?}")), "test");
            let mut students =
                vec![Student::new_or_resume(name, variant, &base, layers, &config, &checkpoint).unwrap()];
            for step in 0..NUM_STEPS {
                train_step(&base, &mut students, &batch(step as u32), step, NUM_STEPS);
            }
            students.remove(0).finish().unwrap()
        };
        let file = |distilled: &DistilledTwins, name: &str| {
            distilled.write_twins(&folder.path().join(name)).unwrap();
            fs::read(folder.path().join(name)).unwrap()
        };
        let at_once = distil(0..num_layers);
        let in_turn = distil(0..1).append_layers(distil(1..num_layers));
        assert_eq!(in_turn.result, at_once.result, "{name}");
        assert_eq!(file(&in_turn, "in-turn"), file(&at_once, "at-once"), "{name}");
        assert_eq!(at_once.result.layers.len(), num_layers);
    }
}
