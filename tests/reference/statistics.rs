//! The statistics of reports against scipy and statsmodels.

use std::fs;

use dtr::stats::{
    RankCorrelation, benjamini_hochberg, kendall_tau_b, mcnemar_exact, overlap_p_value, paired_bootstrap,
    spearman_rho, wilson_interval,
};
use dtr_core::seed::Seed;
use serde::Deserialize;

use crate::support::fixture;

#[derive(Deserialize)]
struct Expected {
    /// Right answers, items, confidence; the interval.
    wilson: Vec<(u64, u64, f64, f64, f64)>,
    /// Items that only one system, and only the other, answered right; the p-value.
    mcnemar: Vec<(u64, u64, f64)>,
    false_discovery: Vec<Family>,
    orders: Vec<Orders>,
    /// Shared, first, second, total; the p-value.
    overlaps: Vec<(u64, u64, u64, u64, f64)>,
    /// Items that only one system, and only the other, answered right; items, confidence; the interval.
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
fn check(what: &str, ours: f64, theirs: f64, bound: f64) {
    assert!((ours - theirs).abs() <= bound, "{what}: {ours} against {theirs}");
}

#[test]
fn wilson_intervals_are_those_of_scipy_and_statsmodels() {
    for (correct, total, confidence, low, high) in expected().wilson {
        let ours = wilson_interval(correct, total, confidence);
        check(&format!("{correct}/{total}, low"), ours.0, low, 1e-12);
        check(&format!("{correct}/{total}, high"), ours.1, high, 1e-12);
    }
}

#[test]
fn mcnemar_p_values_are_those_of_statsmodels() {
    for (first, second, theirs) in expected().mcnemar {
        check(&format!("({first}, {second})"), mcnemar_exact(first, second) / theirs, 1.0, 1e-10);
    }
}

#[test]
fn false_discovery_rates_are_those_of_statsmodels() {
    for family in expected().false_discovery {
        let ours = benjamini_hochberg(&family.p);
        assert_eq!(ours.len(), family.q.len());
        ours.iter().zip(&family.q).for_each(|(ours, theirs)| check("q", *ours, *theirs, 1e-12));
    }
}

#[test]
fn agreements_of_orders_are_those_of_scipy() {
    let check = |what: &str, ours: RankCorrelation, (measure, p_value): (f64, f64)| {
        check(what, ours.coefficient, measure, 1e-12);
        // Both are shares of drawn orders, ours of 1,000: four standard errors, and the one that is there.
        let bound = 4.0 * (p_value * (1.0 - p_value) / 1000.0).sqrt() + 0.001;
        check(&format!("{what}, p"), ours.p_value, p_value, bound);
    };
    for (index, orders) in expected().orders.into_iter().enumerate() {
        let tau = kendall_tau_b(&orders.first, &orders.second, Seed(3)).unwrap();
        check(&format!("tau-b of {index}"), tau, (orders.tau, orders.tau_p));
        let rho = spearman_rho(&orders.first, &orders.second, Seed(3)).unwrap();
        check(&format!("rho of {index}"), rho, (orders.rho, orders.rho_p));
    }
}

#[test]
fn orders_of_which_one_says_nothing_have_no_agreement() {
    for ranks in [&[2.0, 2.0, 2.0][..], &[1.0], &[]] {
        let others: Vec<f64> = (0..ranks.len()).map(|rank| rank as f64).collect();
        assert_eq!(kendall_tau_b(ranks, &others, Seed(0)), None);
        assert_eq!(spearman_rho(&others, ranks, Seed(0)), None);
    }
}

#[test]
fn overlaps_by_chance_are_those_of_scipy() {
    for (shared, first, second, total, theirs) in expected().overlaps {
        let ours = overlap_p_value(shared, first, second, total).unwrap();
        check(&format!("{shared} of {first} and {second}"), ours / theirs, 1.0, 1e-9);
    }
    assert_eq!(overlap_p_value(1, 5, 1, 4), None);
}

#[test]
fn bootstrap_intervals_are_those_of_scipy() {
    for (first, second, total, confidence, low, high) in expected().bootstraps {
        let ours = paired_bootstrap(first, second, total, confidence, Seed(0));
        // Quantiles of draws: they differ by no more than an item in a few hundred.
        let bound = 1.01 / total as f64;
        check(&format!("({first}, {second}) of {total}, low"), ours.0, low, bound);
        check(&format!("({first}, {second}) of {total}, high"), ours.1, high, bound);
        assert_eq!(ours, paired_bootstrap(first, second, total, confidence, Seed(0)));
    }
    assert_eq!(paired_bootstrap(0, 0, 0, 0.95, Seed(0)), (-1.0, 1.0));
}
