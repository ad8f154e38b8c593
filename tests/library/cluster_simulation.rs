//! The simulator of `examples/cluster_simulation` agrees with makespans that can be computed by hand.

#[path = "../../examples/cluster_simulation/simulator.rs"]
mod simulator;
#[path = "../../examples/cluster_simulation/work.rs"]
mod work;

use simulator::{Cluster, lower_bound, simulate};
use work::{BaseWork, PRUNED_COST, SearchWork};

/// Returns a search of rounds with `sizes` candidates. The first candidate of each round is complete, and the
/// others are pruned.
fn search(candidate_seconds: f64, sizes: &[usize]) -> SearchWork {
    let round = |size: &usize| (0..*size).map(|index| index == 0).collect();
    let rounds = sizes.iter().map(round).collect();
    SearchWork { candidate_seconds, rounds, seconds_before: 10.0, seconds_after: 20.0 }
}

fn base(searches: Vec<SearchWork>) -> BaseWork {
    BaseWork { distil_seconds: 100.0, load_seconds: 0.0, searches }
}

fn cluster(num_gpus: usize, helps: bool) -> Cluster {
    Cluster { num_gpus, max_workers: 1000, helps }
}

fn assert_near(one: f64, other: f64) {
    assert!((one - other).abs() < 1e-6, "{one} is not {other}");
}

#[test]
fn one_gpu_takes_as_long_as_all_work() {
    let bases = [base(vec![search(1.0, &[5, 4]), search(4.0, &[3])]), base(vec![search(2.0, &[1])])];
    // 5 candidates cost 1 + 4 * 0.5, 4 cost 2.5, and 3 cost 2.
    let work = 100.0 + (30.0 + 5.5) + (30.0 + 4.0 * 2.0) + 100.0 + (30.0 + 2.0);
    let outcome = simulate(&bases, cluster(1, false));
    assert_near(outcome.makespan, work);
    assert_near(outcome.busy, work);
    assert_near(lower_bound(&bases, cluster(1, false)), work);
    assert_near(simulate(&bases, cluster(1, true)).makespan, work);
}

#[test]
fn many_gpus_take_as_long_as_the_longest_chain() {
    let bases = [base(vec![search(1.0, &[5, 4]), search(40.0, &[3])]), base(vec![search(2.0, &[1])])];
    let chain = 100.0 + 30.0 + 40.0 * 2.0;
    assert_near(simulate(&bases, cluster(100, false)).makespan, chain);
    assert_near(lower_bound(&bases, cluster(100, false)), chain);
}

#[test]
fn two_gpus_divide_each_group_of_long_candidates() {
    // Without help, a round of 3 candidates costs 1 + 2 * 0.5. Each of two processes takes 6 of the 12 parts of
    // the first candidate, and of the other two candidates.
    let empty = || SearchWork { seconds_before: 0.0, seconds_after: 0.0, ..search(10.0, &[]) };
    let bases = [base(vec![search(10.0, &[3]), empty()])];
    let helped = simulate(&bases, cluster(2, true));
    assert_near(helped.makespan, 100.0 + 30.0 + 10.0 * (1.0 + 2.0 * PRUNED_COST) / 2.0);
    assert_eq!(helped.num_helped, 12);
    // Candidates of up to two seconds are not worth help.
    let short = [base(vec![search(2.0, &[3]), empty()])];
    assert_eq!(simulate(&short, cluster(2, true)).num_helped, 0);
}

#[test]
fn no_schedule_beats_the_bound_and_help_never_costs_more_than_a_share() {
    for num_gpus in [1, 2, 3, 8, 50, 300] {
        for max_workers in [2, 16, 300] {
            let searches = (0..40).map(|index| search(f64::from(index % 7), &[12, 11, 10, 3])).collect();
            let bases = [base(searches), base((0..3).map(|_| search(30.0, &[20, 19])).collect())];
            let run = |helps| {
                let cluster = Cluster { num_gpus, max_workers, helps };
                let (outcome, bound) = (simulate(&bases, cluster), lower_bound(&bases, cluster));
                assert!(outcome.makespan >= bound - 1e-6, "{cluster:?}: {outcome:?} beats {bound}");
                let held = outcome.busy + outcome.idle;
                assert!(held <= outcome.makespan * num_gpus as f64 + 1e-6, "{cluster:?}: {outcome:?}");
                outcome
            };
            let (alone, helped) = (run(false), run(true));
            assert!(helped.makespan <= alone.makespan * 1.2, "{num_gpus} {max_workers}");
            assert!(alone.max_running <= num_gpus && alone.num_helped == 0);
        }
    }
}
