//! The main job through the door: a sweep of a tiny base at a small budget, run again, changed, and read by
//! someone who does not trust it. `faults/` kills it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use polars::prelude::*;

/// A base of 4 layers, two variants, two tasks: seconds.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests/small.toml");

/// A folder for the small manifest's results.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_dtr"));
        program.arg(command).arg(MANIFEST).arg("--results").arg(self.path("results")).args(more);
        program
    }

    fn dtr(&self, command: &str, more: &[&str]) -> Output {
        self.command(command, more).output().unwrap()
    }

    fn sweep(&self, more: &[&str]) -> Output {
        let output = self.dtr("sweep", more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn summary(&self, more: &[&str]) -> serde_json::Value {
        let mut all = vec!["--json"];
        all.extend(more);
        serde_json::from_slice(&self.sweep(&all).stdout).unwrap()
    }

    fn table(&self, name: &str) -> DataFrame {
        let file = fs::File::open(self.path(&format!("results/tables/small/{name}.parquet"))).unwrap();
        ParquetReader::new(file).finish().unwrap()
    }

    /// Bytes of the page of all tables and figures.
    fn page(&self) -> Vec<u8> {
        fs::read(self.path("results/tables/small/index.html")).unwrap()
    }

    /// Bytes of all tables and figures whose content does not speak of time.
    fn outcome(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in ["results/tables/small", "results/figures/small"] {
            for entry in fs::read_dir(self.path(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if !["stages.parquet", "cost.parquet", "table2.parquet", "index.html"].contains(&&*name) {
                    files.insert(name, fs::read(path).unwrap());
                }
            }
        }
        files
    }

    fn score_cells(&self) -> usize {
        walk(&self.path("results/cells-v1/score")).iter().filter(|path| path.ends_with("record.json")).count()
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn a_sweep_is_done_once_and_remembered() {
    let bench = Bench::new();
    let first = bench.sweep(&[]);
    let table = text(&first.stdout);
    assert!(
        table.contains("recall") && table.contains("gdn") && table.contains("searches.parquet"),
        "{table}"
    );
    let (outcome, page) = (bench.outcome(), bench.page());
    let cost = bench.table("cost");
    let hours =
        |name: &str| -> Vec<f64> { cost.column(name).unwrap().f64().unwrap().into_no_null_iter().collect() };
    let (distil, search, total) = (hours("distil_hours"), hours("search_hours"), hours("total_hours"));
    assert_eq!(total.len(), 4, "a row for each search");
    assert!((0..4).all(|at| distil[at] > 0.0 && search[at] > 0.0 && total[at] == distil[at] + search[at]));
    assert_eq!(cost.column("pretrain_hours").unwrap().null_count(), 0, "the base was trained here");

    let before = std::time::Instant::now();
    let second = bench.summary(&[]);
    assert!(before.elapsed().as_secs_f64() < 5.0, "a remembered sweep is quick");
    assert_eq!(second["done"], 0);
    assert_eq!(second["remembered"], 7);
    assert!(bench.outcome() == outcome, "tables and figures are the same bytes");
    assert!(bench.page() == page, "the page is the same bytes");

    // Presentation changes nothing that is kept.
    assert_eq!(bench.summary(&["--set", "report.confidence=0.9"])["done"], 0);

    // Another threshold searches anew over remembered scores; only new masks are scored.
    let known = bench.score_cells();
    let stricter = bench.summary(&["--set", "search.stop={ max-relative-drop = 0.01 }"]);
    assert_eq!(stricter["done"], 4);
    let added = bench.score_cells() - known;
    // At most the test scores of `M_best` and `M_opt` of the four searches, where they end elsewhere.
    assert!(added <= 8, "a stricter threshold scored {added} masks anew");

    // Another task takes the twins as they are.
    let task = bench.dtr("plan", &["--json", "--set", r#"sweep.task=["recall", "facts", "topic"]"#]);
    let plan: serde_json::Value = serde_json::from_slice(&task.stdout).unwrap();
    assert_eq!(plan["to-do"]["cells"], serde_json::json!({ "search": 2 }));
    // The base, four rounds and three test scores, for each of the two.
    assert_eq!(plan["to-do"]["evaluations_at_most"], 2 * (1 + 4 + 3 + 2 + 1 + 3));
}

/// Variant, task, round, layer and the column `value` of each row.
fn rows(frame: &DataFrame, value: &str) -> Vec<(String, String, u32, u32, f64)> {
    let [variant, task, round, layer, score] =
        ["variant", "task", "round", "layer", value].map(|name| frame.column(name).unwrap().clone());
    (0..frame.height())
        .map(|at| {
            (
                variant.str().unwrap().get(at).unwrap().to_owned(),
                task.str().unwrap().get(at).unwrap().to_owned(),
                round.cast(&DataType::UInt32).unwrap().u32().unwrap().get(at).unwrap(),
                layer.cast(&DataType::UInt32).unwrap().u32().unwrap().get(at).unwrap(),
                score.f64().unwrap().get(at).unwrap(),
            )
        })
        .collect()
}

/// The search as the paper has it, over the recorded trials alone: no candidate could have won, not even with every
/// item right that it was not asked.
#[test]
fn the_recorded_trials_give_the_recorded_trajectory() {
    let bench = Bench::new();
    bench.sweep(&["--set", "search.stop={ max-relative-drop = 0.5 }"]);
    let (trials, rounds) =
        (rows(&bench.table("trials"), "score_upper"), rows(&bench.table("trajectories"), "score"));
    assert!(rounds.len() >= 4 && trials.len() > rounds.len());
    for (variant, task, round, layer, score) in &rounds {
        let mut candidates: Vec<(u32, f64)> = trials
            .iter()
            .filter(|trial| (&trial.0, &trial.1, &trial.2) == (variant, task, round))
            .map(|trial| (trial.3, trial.4))
            .collect();
        assert_eq!(candidates.len() as u32, 4 - (round - 1), "every remaining layer was tried");
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        assert_eq!(candidates[0], (*layer, *score));
    }
}

#[test]
fn a_search_that_drops_candidates_finds_what_a_plain_one_finds() {
    let (pruned, plain) = (Bench::new(), Bench::new());
    let stop = "search.stop={ never = {} }";
    pruned.sweep(&["--set", stop]);
    plain.sweep(&["--set", stop, "--set", "search.prune=false"]);
    let score = |bench: &Bench| rows(&bench.table("trajectories"), "score");
    assert_eq!(score(&pruned), score(&plain));
    let chosen = |bench: &Bench| {
        let table = bench.table("searches");
        let columns = ["variant", "task", "p_best", "layers", "p_opt", "layers_opt", "p_base"];
        columns.map(|name| table.column(name).unwrap().clone())
    };
    assert_eq!(chosen(&pruned), chosen(&plain));
    let (trials, dropped) = (plain.table("trials"), pruned.table("trials"));
    assert_eq!(trials.column("score").unwrap().null_count(), 0);
    assert!(dropped.column("score").unwrap().null_count() > 0, "something was dropped");
    let (least, most) = (rows(&dropped, "score_lower"), rows(&dropped, "score_upper"));
    for ((trial, least), most) in rows(&trials, "score").iter().zip(&least).zip(&most) {
        assert_eq!((trial.2, trial.3), (least.2, least.3));
        assert!((least.4..=most.4).contains(&trial.4), "{trial:?} {least:?} {most:?}");
    }
}

/// Search strategies as an axis: greedy against those that the paper compares it with, and a beam.
const STRATEGIES: &str = r#"sweep.axes."search.strategy"=[{ greedy = {} }, { uniform = {} },
    { random = { seed = 0 } }, { random = { seed = 1 } }, { local-importance = {} }, { impact = {} }, { beam = { width = 6 } }]"#;

#[test]
fn strategies_are_an_axis_and_share_their_scores() {
    let bench = Bench::new();
    let set = |set: &'static str| ["--set", set];
    let (one, never) = (set(r#"sweep.variant=["gdn"]"#), set("search.stop={ never = {} }"));
    let few = [&one[..], &never, &set(r#"sweep.task=["topic"]"#), &set("search.prune=false")].concat();
    let all = [&few[..], &["--set", STRATEGIES]].concat();

    // The base, the candidates and three test scores of each search, and the most that they can be is what they are.
    let plan = bench.dtr("plan", &[&["--json"][..], &all].concat());
    let plan: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    let counts = [10, 4, 4, 4, 4 + 3, 4, 4 + 6 + 4 + 1].map(|candidates| 1 + candidates + 3);
    assert_eq!(plan["to-do"]["evaluations_at_most"], counts.iter().sum::<i32>());
    bench.sweep(&all);
    let table = bench.table("searches");
    let axes: Vec<String> = strings(&table, "axes");
    let names =
        ["beam:width=6", "greedy", "impact", "local-importance", "random:seed=0", "random:seed=1", "uniform"];
    assert_eq!(axes, names.map(|name| format!("search.strategy={name}")));
    let evaluations = table.column("evaluations").unwrap().u64().unwrap().clone();
    assert_eq!(evaluations.into_no_null_iter().sum::<u64>(), counts.iter().sum::<i32>() as u64);

    let rounds = bench.table("trajectories");
    let replaced = rounds.column("num_replaced").unwrap().u32().unwrap().clone();
    let replaced: Vec<u32> = replaced.into_no_null_iter().collect();
    assert_eq!(
        replaced,
        [1, 2, 3, 4].repeat(7),
        "each strategy has a row for each number of replaced layers"
    );
    let layers = strings(&rounds, "layers");
    assert_eq!(layers[24..], ["2", "1,3", "0,2,3", "0,1,2,3"], "uniform");
    let scores = rounds.column("score").unwrap().f64().unwrap().clone();
    let scores: Vec<f64> = scores.into_no_null_iter().collect();
    let mut known = BTreeMap::new();
    for (layers, score) in layers.iter().zip(&scores) {
        assert_eq!(known.entry(layers).or_insert(score), &score, "{layers}: one mask, one score");
    }
    // The beam tried every mask, so that no other had to be scored; of the test split, what each search chose.
    let chosen = ["layers", "layers_opt"].map(|column| strings(&table, column)).concat();
    let judged: BTreeSet<String> = chosen.into_iter().chain([String::new()]).collect();
    assert_eq!(bench.score_cells(), 16 + judged.len());

    // With candidates dropped, and then a strategy by itself: all that it asks for is remembered or was dropped.
    let pruned = bench.summary(&[&all[..], &set("search.prune=true")].concat());
    assert_eq!((&pruned["done"], bench.score_cells()), (&serde_json::json!(2), 16 + judged.len()));
    assert_eq!(strings(&bench.table("trajectories"), "layers"), layers);
    let export = ["--axis", "search.strategy=uniform"];
    let hybrid = bench.path("hybrid");
    let exported = bench.dtr("export", &[&[hybrid.to_str().unwrap()][..], &export, &all].concat());
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let card = fs::read_to_string(hybrid.join("README.md")).unwrap();
    assert!(card.contains("spread evenly") && card.contains("| 2 | 1, 3 |"), "{card}");
}

fn strings(frame: &DataFrame, column: &str) -> Vec<String> {
    frame.column(column).unwrap().str().unwrap().iter().flatten().map(str::to_owned).collect()
}

#[test]
fn a_plan_says_why() {
    let bench = Bench::new();
    let fresh = text(&bench.dtr("plan", &[]).stdout);
    assert_eq!(fresh.matches("never done").count(), 1, "{fresh}");
    assert_eq!(fresh.matches("waits for").count(), 6, "{fresh}");
    bench.sweep(&[]);
    let same = text(&bench.dtr("plan", &[]).stdout);
    assert!(!same.contains("to do"), "{same}");
    let changed = text(&bench.dtr("plan", &["--set", r#"distil.token-budget="8k""#]).stdout);
    assert!(changed.contains("recipe.token-budget: 4000 -> 8000"), "{changed}");
}

/// What a hybrid answers to a prompt, as `dtr generate` prints it.
fn answer(directory: &Path) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_dtr"))
        .arg("generate")
        .arg(directory)
        .args(["the lamp is in the", "--max-tokens", "20", "--temperature", "0.8", "--seed", "4", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_found_hybrid_is_exported_and_runs() {
    let bench = Bench::new();
    let (whole, base) = (bench.path("hybrids/whole"), bench.path("hybrids/base"));
    let export = |directory: &Path, more: &[&str]| {
        let mut arguments = vec![directory.to_str().unwrap()];
        arguments.extend(more);
        bench.dtr("export", &arguments)
    };
    let never = ["--set", "search.stop={ never = {} }", "--set", r#"sweep.task=["recall"]"#];
    let early = export(&whole, &[&["--variant", "gdn"][..], &never].concat());
    assert_eq!(early.status.code(), Some(3));
    assert!(text(&early.stderr).contains("dtr sweep"), "{}", text(&early.stderr));

    bench.sweep(&never);
    let several = export(&whole, &never);
    assert_eq!(several.status.code(), Some(2));
    assert!(text(&several.stderr).contains("tiny gla recall"), "{}", text(&several.stderr));

    let exported = export(&whole, &[&["--variant", "gdn", "--json"][..], &never].concat());
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let said: serde_json::Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert_eq!(said["layers"], serde_json::json!([0, 1, 2, 3]));
    let config = fs::read_to_string(whole.join("config.json")).unwrap();
    assert_eq!(config.matches("linear_attention").count(), 4, "{config}");
    let card = fs::read_to_string(whole.join("README.md")).unwrap();
    assert!(card.contains("# tiny gdn recall") && card.contains("| 4 |"), "{card}");
    assert_eq!(answer(&whole)["tokens"], 20);

    // A score that no hybrid reaches leaves the base.
    let none = ["--set", "search.stop={ min-score = 1.0 }", "--set", r#"sweep.task=["recall"]"#];
    bench.sweep(&none);
    let exported = export(&base, &[&["--variant", "gdn"][..], &none].concat());
    assert!(text(&exported.stderr).contains("this is the base"), "{}", text(&exported.stderr));
    assert_ne!(answer(&base), answer(&whole));

    // A hybrid is no base to begin from; the base is.
    let path = |directory: &Path| format!("models.tiny.source={{ path = {directory:?} }}");
    let refused = bench.dtr("plan", &["--set", &path(&whole)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("holds a hybrid, not a base: 4 of its 4"),
        "{}",
        text(&refused.stderr)
    );
    assert!(bench.dtr("plan", &["--set", &path(&base)]).status.success());
}

#[test]
fn missing_cells_are_named_with_the_command_that_makes_them() {
    let bench = Bench::new();
    let report = bench.dtr("report", &[]);
    assert_eq!(report.status.code(), Some(3));
    assert!(text(&report.stderr).contains("dtr sweep"), "{}", text(&report.stderr));
}

#[test]
fn a_manifest_that_is_wrong_ends_with_2_before_anything_runs() {
    let bench = Bench::new();
    let output = bench.dtr("sweep", &["--set", "distil.tokn-budget=5"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("token-budget"), "{}", text(&output.stderr));
    assert!(!bench.path("results").exists());
}

#[test]
fn a_trajectory_is_timed_as_it_was_found() {
    let bench = Bench::new();
    let sets = [
        "throughput.contexts=[8]",
        r#"throughput.layers={ trajectory = { task = "facts" } }"#,
        "throughput.replaced={ every = 2 }",
        "throughput.repeats=2",
        "throughput.new-tokens=2",
        "search.stop={ never = {} }",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    // A base, two distillations, four searches; timings of the base and of two hybrids of each variant.
    assert_eq!(bench.summary(&sets)["done"], 1 + 2 + 4 + 1 + 4);
    let timed = bench.table("throughput");
    let names = |frame: &DataFrame| -> Vec<(Option<String>, Option<String>, String)> {
        let column = |name: &str| frame.column(name).unwrap().str().unwrap().clone();
        let (variant, task, layers) = (column("variant"), column("task"), column("layers"));
        let owned = |text: Option<&str>| text.map(str::to_owned);
        (0..frame.height())
            .map(|at| (owned(variant.get(at)), owned(task.get(at)), layers.get(at).unwrap().to_owned()))
            .collect()
    };
    let found: BTreeSet<_> = names(&bench.table("trajectories")).into_iter().collect();
    let timed = names(&timed);
    assert_eq!(timed[0], (None, None, String::new()));
    assert!(
        timed[1..].iter().all(|one| one.1.as_deref() == Some("facts") && found.contains(one)),
        "{timed:?}"
    );
    assert_eq!(bench.summary(&sets)["done"], 0);
}
