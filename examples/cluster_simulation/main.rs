//! Simulates Table 1 of the paper on clusters of 8, 64 and 512 GPUs, as the jobs of `dtr submit` would run
//! it. Prints the makespan beside its lower bound, and the load of the shared folder.
//!
//! `cargo run --release --example cluster_simulation`

mod shared_folder;
mod simulator;
mod work;
mod workload;

use std::path::Path;

use dtr_core::error::Result;

use crate::shared_folder::{count_files, requests_per_second};
use crate::simulator::{Cluster, lower_bound, simulate};
use crate::work::BaseWork;

const HOUR: f64 = 3600.0;

fn main() -> Result<()> {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/published");
    let bases = workload::table1(&results)?;
    for (name, base) in &bases {
        let seconds = base.searches.iter().map(|search| search.seconds_alone() / HOUR);
        println!(
            "{name}: distillation {:.2} h, {} searches {:.1} h, the longest {:.2} h",
            base.distil_seconds / HOUR,
            base.searches.len(),
            seconds.clone().sum::<f64>(),
            seconds.fold(0.0, f64::max)
        );
    }
    let bases: Vec<BaseWork> = bases.into_iter().map(|(_, base)| base).collect();
    println!("files: at most {}\n", count_files(&bases));
    println!(
        "{:>5}{:>9}{:>6}{:>9}{:>9}{:>7}{:>8}{:>9}{:>9}{:>12}",
        "GPUs", "workers", "help", "hours", "bound", "ratio", "idle", "helped", "waiting", "requests/s"
    );
    for num_gpus in [8, 64, 512] {
        for (max_workers, helps) in [(16, false), (16, true), (512, false), (512, true)] {
            print_row(&bases, Cluster { num_gpus, max_workers, helps });
        }
    }
    Ok(())
}

/// Prints the simulation of one cluster.
fn print_row(bases: &[BaseWork], cluster: Cluster) {
    let (outcome, bound) = (simulate(bases, cluster), lower_bound(bases, cluster));
    println!(
        "{:>5}{:>9}{:>6}{:>9.2}{:>9.2}{:>7.2}{:>7.0}%{:>9}{:>9}{:>12.0}",
        cluster.num_gpus,
        cluster.max_workers,
        if cluster.helps { "yes" } else { "no" },
        outcome.makespan / HOUR,
        bound / HOUR,
        outcome.makespan / bound,
        100.0 * outcome.idle / (outcome.idle + outcome.busy),
        outcome.num_helped,
        outcome.max_waiting,
        requests_per_second(&outcome),
    );
}
