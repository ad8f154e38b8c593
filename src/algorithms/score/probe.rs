//! Linear probes, which measure how well hidden states separate items of different classes.
//!
//! A probe is a ridge regression onto the classes. The regression needs only inner products of states, so its
//! cost hardly depends on the width of the states.

/// The number of folds of the cross-validation.
const NUM_FOLDS: usize = 5;

/// The strength of the regularisation, as a fraction of the states' mean squared length.
const RIDGE: f64 = 0.1;

/// The inner product of each state in one set with each state in another set, `[item][item]`. Each set holds
/// one state per item.
pub(super) struct GramMatrix(pub Vec<Vec<f64>>);

/// Returns the fraction of items whose class is predicted correctly by probes trained on other items.
///
/// Each item has a training state and a test state. `train` holds the inner products of the training states
/// with one another. `test` holds the inner products of the test states (rows) with the training states
/// (columns).
pub(super) fn cross_validated_accuracy(classes: &[usize], train: &GramMatrix, test: &GramMatrix) -> f64 {
    let correct = (0..NUM_FOLDS).map(|fold| num_correct(fold, classes, train, test)).sum::<usize>();
    correct as f64 / classes.len() as f64
}

/// Trains a probe on all folds except `fold`. Returns the number of items of `fold` whose class the probe
/// predicts correctly.
fn num_correct(fold: usize, classes: &[usize], train: &GramMatrix, test: &GramMatrix) -> usize {
    let (test_items, train_items): (Vec<usize>, Vec<usize>) =
        (0..classes.len()).partition(|item| item % NUM_FOLDS == fold);
    let num_classes = classes.iter().max().map_or(0, |last| last + 1);
    let probe = fit_probe(num_classes, classes, &train_items, train);
    let is_correct = |item: &&usize| {
        let mut scores = probe.means.clone();
        for (train_item, weights) in train_items.iter().zip(&probe.weights) {
            let product = test.0[**item][*train_item];
            scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += product * weight);
        }
        first_maximum(&scores) == classes[**item]
    };
    test_items.iter().filter(is_correct).count()
}

/// A trained probe. For a tested state, the score of a class is the class's frequency (`means`) plus one term
/// for each training item. This term is the inner product of the tested state and the item's state, times the
/// item's weight for the class.
struct Probe {
    /// The frequency of each class among the training items.
    means: Vec<f64>,
    /// The weights, `[training item][class]`.
    weights: Vec<Vec<f64>>,
}

fn fit_probe(num_classes: usize, classes: &[usize], items: &[usize], products: &GramMatrix) -> Probe {
    let count = items.len().max(1) as f64;
    let num_items_of = |class: usize| items.iter().filter(|item| classes[**item] == class).count() as f64;
    let means: Vec<f64> = (0..num_classes).map(|class| num_items_of(class) / count).collect();
    let ridge = RIDGE * items.iter().map(|&item| products.0[item][item]).sum::<f64>() / count;
    let row = |&one: &usize| items.iter().map(|&other| products.0[one][other]).collect();
    let mut matrix: Vec<Vec<f64>> = items.iter().map(row).collect();
    // The ridge is at least epsilon, so that the matrix can be factorised even if all states are zero.
    (0..items.len()).for_each(|index| matrix[index][index] += ridge.max(f64::EPSILON));
    let target = |item: &usize| {
        let indicator = |class: usize| if classes[*item] == class { 1.0 } else { 0.0 };
        means.iter().enumerate().map(|(class, mean)| indicator(class) - mean).collect()
    };
    let mut weights: Vec<Vec<f64>> = items.iter().map(target).collect();
    solve_cholesky(&mut matrix, &mut weights);
    Probe { means, weights }
}

/// Solves `matrix x = right` by Cholesky factorisation, in place: the factor overwrites `matrix`, and `x`
/// overwrites `right`.
fn solve_cholesky(matrix: &mut [Vec<f64>], right: &mut [Vec<f64>]) {
    let size = matrix.len();
    for row in 0..size {
        for column in 0..=row {
            let (one, other) = (&matrix[row][..column], &matrix[column][..column]);
            let rest = matrix[row][column] - one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
            let factor = if row == column {
                // Rounding errors can make a small positive number negative.
                rest.max(f64::MIN_POSITIVE).sqrt()
            } else {
                rest / matrix[column][column]
            };
            matrix[row][column] = factor;
        }
    }
    for row in 0..size {
        (0..row).for_each(|before| subtract_row(right, row, before, matrix[row][before]));
        right[row].iter_mut().for_each(|value| *value /= matrix[row][row]);
    }
    for row in (0..size).rev() {
        (row + 1..size).for_each(|after| subtract_row(right, row, after, matrix[after][row]));
        right[row].iter_mut().for_each(|value| *value /= matrix[row][row]);
    }
}

/// Subtracts `factor` times row `other` from row `row`.
fn subtract_row(right: &mut [Vec<f64>], row: usize, other: usize, factor: f64) {
    let subtrahend = right[other].clone();
    right[row].iter_mut().zip(subtrahend).for_each(|(value, other)| *value -= factor * other);
}

/// Returns the index of the largest score. If several scores are the largest, returns the first index.
fn first_maximum(scores: &[f64]) -> usize {
    (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use dtr_core::seed::Seed;

    fn products(one: &[Vec<f64>], other: &[Vec<f64>]) -> GramMatrix {
        let product = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum();
        GramMatrix(one.iter().map(|a| other.iter().map(|b| product(a, b)).collect()).collect())
    }

    /// Returns the states and the classes of 90 items. The states of each class are scattered around one
    /// point, which lies `distance` away from zero.
    fn items(distance: f64) -> (Vec<Vec<f64>>, Vec<usize>) {
        let mut rng = Seed(5).rng();
        let mut state = |item: usize| {
            let noise = |_| -> f64 { StandardNormal.sample(&mut rng) };
            let mut state: Vec<f64> = (0..6).map(noise).collect();
            state[item % 3] += distance;
            state
        };
        ((0..90).map(&mut state).collect(), (0..90).map(|item| item % 3).collect())
    }

    #[test]
    fn separate_classes_are_predicted_and_overlapping_classes_are_guessed() {
        for (distance, expected) in [(8.0, 0.95..=1.0), (0.0, 0.15..=0.5)] {
            let (states, classes) = items(distance);
            let own = products(&states, &states);
            let share = cross_validated_accuracy(&classes, &own, &own);
            assert!(expected.contains(&share), "{share} at a distance of {distance}");
        }
    }

    #[test]
    fn a_probe_depends_on_the_states_that_it_was_trained_on() {
        let (states, classes) = items(8.0);
        let negated: Vec<Vec<f64>> = states.iter().map(|state| state.iter().map(|x| -x).collect()).collect();
        let (own, of_negated, across) =
            (products(&states, &states), products(&negated, &negated), products(&negated, &states));
        assert_eq!(
            cross_validated_accuracy(&classes, &of_negated, &of_negated),
            cross_validated_accuracy(&classes, &own, &own)
        );
        assert!(
            cross_validated_accuracy(&classes, &own, &across) < 0.1,
            "a probe must mispredict the class of negated states"
        );
    }

    #[test]
    fn equal_states_give_the_most_frequent_class() {
        let own = GramMatrix(vec![vec![0.0; 30]; 30]);
        let classes: Vec<usize> = (0..30).map(|item| usize::from(item >= 20)).collect();
        assert_eq!(cross_validated_accuracy(&classes, &own, &own), 20.0 / 30.0);
    }

    #[test]
    fn cholesky_factorisation_solves_the_equations() {
        let square = vec![vec![4.0, 2.0, 1.0], vec![2.0, 5.0, 3.0], vec![1.0, 3.0, 6.0]];
        let mut right = vec![vec![1.0, 0.0], vec![2.0, -1.0], vec![3.0, 4.0]];
        let expected = right.clone();
        solve_cholesky(&mut square.clone(), &mut right);
        for (row, expected) in square.iter().zip(&expected) {
            for (column, expected) in expected.iter().enumerate() {
                let found: f64 = row.iter().zip(&right).map(|(factor, x)| factor * x[column]).sum();
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
        }
    }
}
