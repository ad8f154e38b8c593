//! Linear probes: how well hidden states tell items of different classes apart.
//!
//! A probe is a ridge regression onto the classes. It is trained and asked through inner products of states alone, so that
//! wide states cost no more than narrow ones.

/// Parts of the items, each judged by a probe that learnt from the others.
const NUM_FOLDS: usize = 5;

/// The ridge, as a share of the states' mean square.
const RIDGE: f64 = 0.1;

/// Inner products of the states of items with those of the same items, maybe from another model: a square of rows.
pub(super) struct Products(pub Vec<Vec<f64>>);

/// The share of items whose class is told rightly, by probes that did not learn from them: `learnt` are the products among
/// the states that probes learn from, `asked` those of the states that they are asked of with these.
pub(super) fn accuracy(classes: &[usize], learnt: &Products, asked: &Products) -> f64 {
    let correct = (0..NUM_FOLDS).map(|fold| num_correct(fold, classes, learnt, asked)).sum::<usize>();
    correct as f64 / classes.len() as f64
}

fn num_correct(fold: usize, classes: &[usize], learnt: &Products, asked: &Products) -> usize {
    let (judged, taught): (Vec<usize>, Vec<usize>) =
        (0..classes.len()).partition(|item| item % NUM_FOLDS == fold);
    let num_classes = classes.iter().max().map_or(0, |last| last + 1);
    let weights = train(num_classes, classes, &taught, learnt);
    let is_correct = |item: &&usize| {
        let products = |(place, other): (usize, &usize)| (asked.0[**item][*other], &weights.of_items[place]);
        let mut merits = weights.means.clone();
        for (product, weight) in taught.iter().enumerate().map(products) {
            merits.iter_mut().zip(weight).for_each(|(merit, weight)| *merit += product * weight);
        }
        first_of_the_best(&merits) == classes[**item]
    };
    judged.iter().filter(is_correct).count()
}

/// A trained probe: what it says before it sees a state, and what each taught item adds, class by class.
struct Weights {
    means: Vec<f64>,
    of_items: Vec<Vec<f64>>,
}

fn train(num_classes: usize, classes: &[usize], taught: &[usize], learnt: &Products) -> Weights {
    let count = taught.len().max(1) as f64;
    let of_class = |class: usize| taught.iter().filter(|item| classes[**item] == class).count() as f64;
    let means: Vec<f64> = (0..num_classes).map(|class| of_class(class) / count).collect();
    let ridge = RIDGE * taught.iter().map(|&item| learnt.0[item][item]).sum::<f64>() / count;
    let row = |&one: &usize| taught.iter().map(|&other| learnt.0[one][other]).collect();
    let mut square: Vec<Vec<f64>> = taught.iter().map(row).collect();
    // States that are all the same have no square, and the factors must exist all the same.
    (0..taught.len()).for_each(|at| square[at][at] += ridge.max(f64::EPSILON));
    let target = |item: &usize| {
        let is_of = |class: usize| if classes[*item] == class { 1.0 } else { 0.0 };
        means.iter().enumerate().map(|(class, mean)| is_of(class) - mean).collect()
    };
    let mut of_items: Vec<Vec<f64>> = taught.iter().map(target).collect();
    solve(&mut square, &mut of_items);
    Weights { means, of_items }
}

/// Solves `square x = right` by Cholesky's factors; `right` becomes `x`, row by row.
fn solve(square: &mut [Vec<f64>], right: &mut [Vec<f64>]) {
    let size = square.len();
    for row in 0..size {
        for column in 0..=row {
            let (one, other) = (&square[row][..column], &square[column][..column]);
            let rest = square[row][column] - one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
            // Rounding may take what is barely positive below 0.
            let factor = if row == column {
                rest.max(f64::MIN_POSITIVE).sqrt()
            } else {
                rest / square[column][column]
            };
            square[row][column] = factor;
        }
    }
    for row in 0..size {
        (0..row).for_each(|before| subtract(right, row, before, square[row][before]));
        right[row].iter_mut().for_each(|value| *value /= square[row][row]);
    }
    for row in (0..size).rev() {
        (row + 1..size).for_each(|after| subtract(right, row, after, square[after][row]));
        right[row].iter_mut().for_each(|value| *value /= square[row][row]);
    }
}

/// Takes `factor` times the row `other` from the row `row`.
fn subtract(right: &mut [Vec<f64>], row: usize, other: usize, factor: f64) {
    let taken = right[other].clone();
    right[row].iter_mut().zip(taken).for_each(|(value, taken)| *value -= factor * taken);
}

fn first_of_the_best(merits: &[f64]) -> usize {
    (0..merits.len()).fold(0, |best, class| if merits[class] > merits[best] { class } else { best })
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use dtr_core::seed::Seed;

    fn products(one: &[Vec<f64>], other: &[Vec<f64>]) -> Products {
        let product = |a: &Vec<f64>, b: &Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum();
        Products(one.iter().map(|a| other.iter().map(|b| product(a, b)).collect()).collect())
    }

    /// States of 90 items, of each class around a place of its own, and the classes.
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
    fn classes_that_lie_apart_are_told_and_such_as_do_not_are_guessed() {
        for (distance, expected) in [(8.0, 0.95..=1.0), (0.0, 0.15..=0.5)] {
            let (states, classes) = items(distance);
            let own = products(&states, &states);
            let share = accuracy(&classes, &own, &own);
            assert!(expected.contains(&share), "{share} at a distance of {distance}");
        }
    }

    #[test]
    fn a_probe_is_of_the_states_that_it_learnt_from() {
        let (states, classes) = items(8.0);
        let turned: Vec<Vec<f64>> = states.iter().map(|state| state.iter().map(|x| -x).collect()).collect();
        let (own, of_turned, across) =
            (products(&states, &states), products(&turned, &turned), products(&turned, &states));
        assert_eq!(accuracy(&classes, &of_turned, &of_turned), accuracy(&classes, &own, &own));
        assert!(accuracy(&classes, &own, &across) < 0.1, "what it learnt is the opposite");
    }

    #[test]
    fn states_that_are_all_the_same_give_the_commonest_class() {
        let own = Products(vec![vec![0.0; 30]; 30]);
        let classes: Vec<usize> = (0..30).map(|item| usize::from(item >= 20)).collect();
        assert_eq!(accuracy(&classes, &own, &own), 20.0 / 30.0);
    }

    #[test]
    fn equations_are_solved() {
        let square = vec![vec![4.0, 2.0, 1.0], vec![2.0, 5.0, 3.0], vec![1.0, 3.0, 6.0]];
        let mut right = vec![vec![1.0, 0.0], vec![2.0, -1.0], vec![3.0, 4.0]];
        let wanted = right.clone();
        solve(&mut square.clone(), &mut right);
        for (row, wanted) in square.iter().zip(&wanted) {
            for (column, wanted) in wanted.iter().enumerate() {
                let got: f64 = row.iter().zip(&right).map(|(factor, x)| factor * x[column]).sum();
                assert!((got - wanted).abs() < 1e-12, "{got} {wanted}");
            }
        }
    }
}
