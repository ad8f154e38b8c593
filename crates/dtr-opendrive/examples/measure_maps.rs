//! Prints for each map how many of its own roads, written as text and decoded, equal themselves, and how many the
//! baseline completes. With the environment variable `VERBOSE`, prints what the baseline fails at.
//!
//! Usage: `cargo run --release -p dtr-opendrive --example measure_maps -- MAP.xodr...`

use std::collections::BTreeMap;

use dtr_opendrive::baseline::baseline;
use dtr_opendrive::check::check_map;
use dtr_opendrive::gap::{Neighbors, PromptOptions, gaps, prompt};
use dtr_opendrive::map::Map;
use dtr_opendrive::metric::{Tolerance, score_answer};
use dtr_opendrive::read::MapFile;
use dtr_opendrive::text::encode;

/// What is measured of one map.
#[derive(Default)]
struct Measured {
    equal: usize,
    solved: usize,
    prompts: Vec<usize>,
    answers: Vec<usize>,
}

fn measure(map: &Map, is_verbose: bool) -> Measured {
    let mut measured = Measured::default();
    for gap in &gaps(map) {
        let neighbors = Neighbors::of(map, gap).expect("the gap has neighbours");
        let hidden = map.road(&gap.road).expect("the road exists");
        let question = prompt(map, gap, &PromptOptions::default()).expect("the gap has neighbours");
        let (answer, simple) = (encode(hidden, gap, &neighbors, false), baseline(gap, &neighbors));
        let [own, by_baseline] = [&answer, &simple]
            .map(|text| score_answer(map, gap, &neighbors, hidden, text, &Tolerance::default()));
        measured.equal += usize::from(own.success);
        measured.solved += usize::from(by_baseline.success);
        if !own.success {
            println!("--- {}\n{question}\n{answer}\n{:?}", gap.road, own.parts);
        }
        if is_verbose && !by_baseline.success {
            println!("--- baseline {}\n{question}\n{simple}\n-\n{answer}\n{:?}", gap.road, by_baseline.parts);
        }
        measured.prompts.push(question.len());
        measured.answers.push(answer.len());
    }
    measured
}

/// The median, the 90 % quantile and the largest value.
fn quantiles(lengths: &mut [usize]) -> String {
    lengths.sort_unstable();
    let at = |part: usize| lengths.get((lengths.len() * part / 100).min(lengths.len().saturating_sub(1)));
    [50, 90, 100].map(|part| at(part).map_or_else(|| "-".to_owned(), usize::to_string)).join("/")
}

fn main() {
    let is_verbose = std::env::var_os("VERBOSE").is_some();
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("the map can be read");
        let file = MapFile::from_bytes(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        let Measured { equal, solved, mut prompts, mut answers } = measure(&file.map, is_verbose);
        let mut rules = BTreeMap::<_, usize>::new();
        for finding in check_map(&file.map) {
            *rules.entry(finding.rule.name()).or_default() += 1;
        }
        println!(
            "{}: {} roads, {} items, {equal} equal, {solved} by the baseline; prompt {} answer {} bytes \
             (median/90 %/most); broken rules {rules:?}",
            path.rsplit('/').next().unwrap_or(&path),
            file.map.roads.len(),
            prompts.len(),
            quantiles(&mut prompts),
            quantiles(&mut answers),
        );
    }
}
