//! What is not finite, or diverges, ends a variant in the step where it occurs, and says where.

use burn::tensor::Tensor;

use super::*;
use dtr_core::checkpoint::Sealed;
use dtr_core::count::Count;
use dtr_core::seed::Seed;
use dtr_model::optim::AdamWConfig;
use dtr_model::testing::{decoder, variants};
use dtr_model::{ParamMut, Parameters};

const TOTAL: u64 = 4;

/// What became of a twin that learns at `rate`, if `spoil` has its way with layer 1's parameters before step `at`.
fn learn(rate: f64, at: u64, spoil: &dyn Fn(&str, Tensor<1>) -> Tensor<1>) -> Result<u64> {
    let base = decoder(false, false);
    let folder = tempfile::tempdir().unwrap();
    let recipe = DistilConfig {
        token_budget: Count(TOTAL * 32),
        sequence_length: 16,
        batch_size: 2,
        optimizer: AdamWConfig { learning_rate: rate, ..AdamWConfig::default() },
        seed: Seed(0),
    };
    let checkpoint = Sealed::new(folder.path().join("twins"), "test");
    let layers = 0..base.config.num_layers;
    let mut pupils = vec![Student::new("gla", &variants()[0], &base, layers, &recipe, &checkpoint).unwrap()];
    for step in 0..TOTAL {
        if step == at {
            pupils[0].lanes()[1].twin.visit(&mut |name, mut slot: ParamMut<'_>| {
                let spoilt = spoil(name, slot.flat());
                slot.set(spoilt);
            });
        }
        let batch: Vec<Vec<u32>> =
            (0..2).map(|row| (0..16).map(|at| (7 * row + 3 * at) % 50).collect()).collect();
        lesson(&base, &mut pupils, &batch, step, TOTAL);
    }
    pupils.remove(0).finish().map(|taught| taught.result.steps)
}

#[test]
fn a_sound_twin_learns_to_the_end() {
    assert_eq!(learn(1e-3, TOTAL, &|_, values| values).unwrap(), TOTAL);
}

#[test]
fn a_loss_that_is_not_finite_names_layer_and_variant_and_the_very_step() {
    let error = learn(1e-3, 2, &|_, values| values * f32::NAN).unwrap_err().to_line();
    let expected =
        "the loss of `gla` in layer 1 is NaN at step 2 (hint: lower `distil.optimizer.learning-rate`)";
    assert_eq!(error, expected);
}

/// In the last step of all no later loss would show it.
#[test]
fn a_gradient_that_overflows_while_its_loss_does_not_is_caught_in_the_last_step() {
    let huge = |name: &str, values: Tensor<1>| if name.contains("o_proj") { values * 1e14 } else { values };
    let error = learn(1e-3, TOTAL - 1, &huge).unwrap_err().to_line();
    assert!(error.starts_with("the gradient's norm of `gla` in layer 1 is inf at step 3"), "{error}");
}

#[test]
fn a_loss_beyond_all_that_the_lessons_explain_diverges() {
    let large = |name: &str, values: Tensor<1>| if name.contains("o_proj") { values * 1e4 } else { values };
    let error = learn(1e-3, 2, &large).unwrap_err().to_line();
    assert!(
        error.starts_with("the loss of `gla` in layer 1 is ") && error.contains("it diverges at step 2"),
        "{error}"
    );
}

/// Twins that learn in stretches of layers end as those that learn all at once, to the last bit.
#[test]
fn layers_that_learn_in_turn_end_as_all_at_once() {
    let base = decoder(false, false);
    let num_layers = base.config.num_layers;
    let folder = tempfile::tempdir().unwrap();
    let recipe = DistilConfig {
        token_budget: Count(TOTAL * 32),
        sequence_length: 16,
        batch_size: 2,
        optimizer: AdamWConfig { learning_rate: 1e-3, ..AdamWConfig::default() },
        seed: Seed(0),
    };
    for (name, variant) in ["gla", "gdn", "jet"].into_iter().zip(&variants()) {
        let teach = |layers: std::ops::Range<usize>| {
            let checkpoint = Sealed::new(folder.path().join(format!("{name} {layers:?}")), "test");
            let mut pupils = vec![Student::new(name, variant, &base, layers, &recipe, &checkpoint).unwrap()];
            for step in 0..TOTAL {
                let token = |row: u32, at: u32| (7 * row + 3 * at + step as u32) % 50;
                let batch: Vec<Vec<u32>> =
                    (0..2).map(|row| (0..16).map(|at| token(row, at)).collect()).collect();
                lesson(&base, &mut pupils, &batch, step, TOTAL);
            }
            pupils.remove(0).finish().unwrap()
        };
        let file = |taught: &Taught, name: &str| {
            taught.write_twins(&folder.path().join(name)).unwrap();
            std::fs::read(folder.path().join(name)).unwrap()
        };
        let at_once = teach(0..num_layers);
        let in_turn = teach(0..1).with(teach(1..num_layers));
        assert_eq!(in_turn.result, at_once.result, "{name}");
        assert_eq!(file(&in_turn, "in-turn"), file(&at_once, "at-once"), "{name}");
        assert_eq!(at_once.result.layers.len(), num_layers);
    }
}
