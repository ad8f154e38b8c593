//! Compares the statistics of the report with scipy and statsmodels.

use std::fs;

use dtr::stats::{
    RankCorrelationTest, benjamini_hochberg, kendall_tau_b, mcnemar_exact, overlap_p_value, paired_bootstrap,
    spearman_rho, wilson_interval,
};
use dtr_core::seed::Seed;
use serde::Deserialize;

use crate::support::fixture;

#[derive(Deserialize)]
struct Expected {
    /// Each entry holds the number of correct answers, the number of items, the confidence level, the lower
    /// bound and the upper bound.
    wilson: Vec<(u64, u64, f64, f64, f64)>,
    /// Each entry holds two counts and the p-value. The first count covers the items that only the first
    /// system answered correctly. The second count covers the items that only the second system did.
    mcnemar: Vec<(u64, u64, f64)>,
    false_discovery: Vec<Family>,
    orders: Vec<Orders>,
    /// Each entry holds the sizes of the intersection, the first set, the second set and the population, and
    /// the p-value.
    overlaps: Vec<(u64, u64, u64, u64, f64)>,
    /// Each entry begins with the two counts of [`mcnemar`](Self::mcnemar). The number of all items, the
    /// confidence level, the lower bound and the upper bound follow.
    bootstraps: Vec<(u64, u64, u64, f64, f64, f64)>,
}

#[derive(Deserialize)]
struct Family {
    p: Vec<f64>,
    q: Vec<f64>,
}

#[derive(Deserialize)]
struct Orders {
    first: Vec<f64>,
    second: Vec<f64>,
    tau: f64,
    rho: f64,
    tau_p: f64,
    rho_p: f64,
}

fn expected() -> Expected {
    serde_json::from_slice(&fs::read(fixture("statistics.json")).unwrap()).unwrap()
}

#[track_caller]
fn check(name: &str, computed: f64, expected: f64, bound: f64) {
    assert!((computed - expected).abs() <= bound, "{name}: {computed} against {expected}");
}

#[test]
fn wilson_intervals_are_those_of_scipy_and_statsmodels() {
    for (correct, total, confidence, low, high) in expected().wilson {
        let computed = wilson_interval(correct, total, confidence);
        check(&format!("{correct}/{total}, low"), computed.0, low, 1e-12);
        check(&format!("{correct}/{total}, high"), computed.1, high, 1e-12);
    }
}

#[test]
fn mcnemar_p_values_are_those_of_statsmodels() {
    for (first, second, p_value) in expected().mcnemar {
        check(&format!("({first}, {second})"), mcnemar_exact(first, second) / p_value, 1.0, 1e-10);
    }
}

#[test]
fn false_discovery_rates_are_those_of_statsmodels() {
    for family in expected().false_discovery {
        let computed = benjamini_hochberg(&family.p);
        assert_eq!(computed.len(), family.q.len());
        computed.iter().zip(&family.q).for_each(|(computed, q)| check("q", *computed, *q, 1e-12));
    }
}

#[test]
fn rank_correlations_are_those_of_scipy() {
    let check = |name: &str, computed: RankCorrelationTest, (coefficient, p_value): (f64, f64)| {
        check(name, computed.coefficient, coefficient, 1e-12);
        // dtr estimates the p-value from 1,000 permutations. The bound is four standard errors plus 0.001.
        let bound = 4.0 * (p_value * (1.0 - p_value) / 1000.0).sqrt() + 0.001;
        check(&format!("{name}, p"), computed.p_value, p_value, bound);
    };
    for (index, orders) in expected().orders.into_iter().enumerate() {
        let tau = kendall_tau_b(&orders.first, &orders.second, Seed(3)).unwrap();
        check(&format!("tau-b of {index}"), tau, (orders.tau, orders.tau_p));
        let rho = spearman_rho(&orders.first, &orders.second, Seed(3)).unwrap();
        check(&format!("rho of {index}"), rho, (orders.rho, orders.rho_p));
    }
}

#[test]
fn an_order_of_ties_alone_has_no_rank_correlation() {
    for ranks in [&[2.0, 2.0, 2.0][..], &[1.0], &[]] {
        let order: Vec<f64> = (0..ranks.len()).map(|rank| rank as f64).collect();
        assert_eq!(kendall_tau_b(ranks, &order, Seed(0)), None);
        assert_eq!(spearman_rho(&order, ranks, Seed(0)), None);
    }
}

#[test]
fn p_values_of_overlaps_are_those_of_scipy() {
    for (shared, first, second, total, p_value) in expected().overlaps {
        let computed = overlap_p_value(shared, first, second, total).unwrap();
        check(&format!("{shared} of {first} and {second}"), computed / p_value, 1.0, 1e-9);
    }
    assert_eq!(overlap_p_value(1, 5, 1, 4), None);
}

#[test]
fn bootstrap_intervals_are_those_of_scipy() {
    for (first, second, total, confidence, low, high) in expected().bootstraps {
        let computed = paired_bootstrap(first, second, total, confidence, Seed(0));
        // The quantiles in dtr and in scipy come from different random draws. They may differ by one item.
        let bound = 1.01 / total as f64;
        check(&format!("({first}, {second}) of {total}, low"), computed.0, low, bound);
        check(&format!("({first}, {second}) of {total}, high"), computed.1, high, bound);
        assert_eq!(computed, paired_bootstrap(first, second, total, confidence, Seed(0)));
    }
    assert_eq!(paired_bootstrap(0, 0, 0, 0.95, Seed(0)), (-1.0, 1.0));
}
