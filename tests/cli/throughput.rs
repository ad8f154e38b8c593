//! Timings through the door: what is timed, what its state holds, and that it is timed once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use polars::prelude::*;

/// Few tokens and runs of the bundled base: what is looked at here is not how fast it is.
const SMALL: [&str; 6] = [
    "throughput.contexts=[16, 200]",
    "throughput.batch-sizes=[1, 3]",
    "throughput.new-tokens=3",
    "throughput.prefill-chunk=64",
    "throughput.repeats=3",
    r#"sweep.variant=["gla", "jet"]"#,
];

fn dtr(command: &str, results: &Path, more: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut program = Command::new(env!("CARGO_BIN_EXE_dtr"));
    program.arg(command).arg(root.join("experiments/throughput-mini.toml"));
    program.arg("--results").arg(results).args(SMALL.iter().flat_map(|set| ["--set", set])).args(more);
    program
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn summary(mut sweep: Command) -> serde_json::Value {
    let output: Output = sweep.arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    variant: Option<String>,
    context: u64,
    batch_size: u64,
    layers: String,
    decode: [f64; 3],
    prefill: [f64; 3],
    speedup: f64,
    cache_bytes: u64,
    state_bytes: u64,
    runs: u32,
}

fn rows(results: &Path) -> Vec<Row> {
    let path = results.join("tables/throughput-mini/throughput.parquet");
    let frame = ParquetReader::new(fs::File::open(path).unwrap()).finish().unwrap();
    let column = |name: &str| frame.column(name).unwrap().clone();
    let string = |name: &str, at: usize| column(name).str().unwrap().get(at).map(str::to_owned);
    let count = |name: &str, at: usize| column(name).u64().unwrap().get(at).unwrap();
    let number = |name: &str, at: usize| column(name).f64().unwrap().get(at).unwrap();
    let row = |at: usize| Row {
        variant: string("variant", at),
        context: count("context", at),
        batch_size: count("batch_size", at),
        layers: string("layers", at).unwrap(),
        decode: ["decode_low", "decode", "decode_high"].map(|name| number(name, at)),
        prefill: ["prefill_low", "prefill", "prefill_high"].map(|name| number(name, at)),
        speedup: number("decode_speedup", at),
        cache_bytes: count("cache_bytes", at),
        state_bytes: count("state_bytes", at),
        runs: column("runs").u32().unwrap().get(at).unwrap(),
    };
    (0..frame.height()).map(row).collect()
}

#[test]
fn bases_and_hybrids_are_timed_once_at_every_size() {
    let results = tempfile::tempdir().unwrap();
    let sweep = |more: &[&str]| summary(dtr("sweep", results.path(), more));
    let first = sweep(&[]);
    // The base, and two variants with 4 and 8 layers replaced, at four sizes.
    assert_eq!(first["done"], 4 + 2 * 2 * 4);
    let rows = rows(results.path());
    let systems: BTreeSet<_> = rows
        .iter()
        .map(|row| (row.variant.clone(), row.layers.clone(), row.context, row.batch_size))
        .collect();
    assert_eq!((rows.len(), systems.len()), (20, 20));
    let sets: BTreeSet<&str> = rows.iter().map(|row| row.layers.as_str()).collect();
    // As the strategy `uniform` replaces 4 of 8 layers.
    assert_eq!(sets.into_iter().collect::<Vec<_>>(), ["", "0,1,2,3,4,5,6,7", "1,3,5,7"]);
    for row in &rows {
        let num_full = 8 - row.layers.split(',').filter(|layer| !layer.is_empty()).count() as u64;
        // Keys and values of 2 heads of width 32, 4 bytes a number.
        assert_eq!(row.cache_bytes, 2 * num_full * 2 * 32 * row.context * row.batch_size * 4, "{row:?}");
        for [low, median, high] in [row.decode, row.prefill] {
            assert!(0.0 < low && low <= median && median <= high && high.is_finite(), "{row:?}");
        }
        assert_eq!(row.runs, 3);
        let is_like = |other: &&Row| (other.context, other.batch_size) == (row.context, row.batch_size);
        let base = rows.iter().filter(is_like).find(|other| other.variant.is_none()).unwrap();
        assert_eq!(row.speedup, row.decode[1] / base.decode[1]);
        let small = rows.iter().find(|other| {
            (&other.variant, &other.layers) == (&row.variant, &row.layers)
                && (other.context, other.batch_size) == (16, 1)
        });
        assert_eq!(row.state_bytes, small.unwrap().state_bytes * row.batch_size, "whatever the context");
        assert_eq!(row.state_bytes == 0, row.variant.is_none());
    }
    // Of GLA the state is a matrix for each head: 4 heads, keys and values of width 32.
    let gla = rows.iter().find(|row| row.variant.as_deref() == Some("gla") && row.batch_size == 1).unwrap();
    assert_eq!(gla.state_bytes, 4 * 4 * 32 * 32 * 4);
    assert!(results.path().join("figures/throughput-mini/throughput-mini.svg").is_file());

    let again = sweep(&[]);
    assert_eq!((&again["done"], &again["remembered"]), (&serde_json::json!(0), &serde_json::json!(20)));
    let more = sweep(&["--set", "throughput.contexts=[16, 24, 200]"]);
    assert_eq!((&more["done"], &more["remembered"]), (&serde_json::json!(10), &serde_json::json!(20)));
}

#[test]
fn another_machine_has_timings_of_its_own() {
    let results = tempfile::tempdir().unwrap();
    let one = ["--set", "sweep.variant=[]", "--set", "throughput.batch-sizes=[1]"];
    let threads = |count: &str| {
        let mut sweep = dtr("sweep", results.path(), &one);
        sweep.env("RAYON_NUM_THREADS", count);
        summary(sweep)["done"].clone()
    };
    assert_eq!([threads("1"), threads("2"), threads("1")], [2, 2, 0].map(|count| serde_json::json!(count)));
    // The report shows what every machine timed.
    assert_eq!(rows(results.path()).len(), 4);
}

#[test]
fn a_plan_shows_what_is_timed_and_the_memory_it_takes() {
    let results = tempfile::tempdir().unwrap();
    let output = dtr("plan", results.path(), &[]).output().unwrap();
    let plan = text(&output.stdout);
    assert!(plan.contains("throughput mini jet replaced=8 context=200 batch-size=3"), "{plan}");
    // 4 runs of 4 sizes: 1 and 3 prompts of 16 and of 200 tokens and 3 more; five systems.
    let tokens = 5 * 4 * 4 * (19 + 203);
    assert!(plan.contains(&format!("throughput   {},{} tokens", tokens / 1000, tokens % 1000)), "{plan}");
    assert!(plan.contains("MiB to time"), "{plan}");
}
