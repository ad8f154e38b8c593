//! Prints for each map how many of its own roads, written as text and decoded, equal themselves, and how many
//! the baseline completes.
//!
//! Usage: `cargo run --release -p dtr-opendrive --example measure_maps -- MAP.xodr...`

use dtr_opendrive::baseline::baseline;
use dtr_opendrive::check::check_map;
use dtr_opendrive::gap::{Neighbors, PromptOptions, gaps, prompt};
use dtr_opendrive::metric::{Tolerance, score_answer};
use dtr_opendrive::read::MapFile;
use dtr_opendrive::text::encode;

fn main() {
    let verbose = std::env::var_os("VERBOSE").is_some();
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("the map can be read");
        let file = MapFile::from_bytes(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        let map = &file.map;
        let (mut equal, mut solved, mut prompts, mut answers) = (0, 0, Vec::new(), Vec::new());
        let gaps = gaps(map);
        for gap in &gaps {
            let neighbors = Neighbors::of(map, gap).expect("the gap has neighbours");
            let hidden = map.road(&gap.road).expect("the road exists");
            let question = prompt(map, gap, &PromptOptions::default()).expect("the gap has neighbours");
            let answer = encode(hidden, gap, &neighbors, false);
            let score = score_answer(map, gap, &neighbors, hidden, &answer, &Tolerance::default());
            equal += usize::from(score.success);
            let simple = baseline(gap, &neighbors);
            let simple_score = score_answer(map, gap, &neighbors, hidden, &simple, &Tolerance::default());
            solved += usize::from(simple_score.success);
            if verbose && !simple_score.success {
                println!(
                    "--- baseline {}\n{question}\n{simple}\n-\n{answer}\n{:?}",
                    gap.road, simple_score.parts
                );
            }
            if !score.success {
                println!("--- {}\n{question}\n{answer}\n{:?}", gap.road, score.parts);
            }
            prompts.push(question.len());
            answers.push(answer.len());
        }
        let quantiles = |lengths: &mut Vec<usize>| {
            lengths.sort_unstable();
            let at = |part: usize| {
                lengths.get((lengths.len() * part / 100).min(lengths.len().max(1) - 1)).copied()
            };
            format!("{:?}/{:?}/{:?}", at(50).unwrap_or(0), at(90).unwrap_or(0), at(100).unwrap_or(0))
        };
        let name = path.rsplit('/').next().unwrap_or(&path);
        let mut rules = std::collections::BTreeMap::<_, usize>::new();
        for finding in check_map(map) {
            *rules.entry(finding.rule.name()).or_default() += 1;
        }
        println!(
            "{name}: {} roads, {} items, {equal} equal, {solved} by the baseline; prompt {} answer {} bytes (median/90 %/most); {rules:?}",
            map.roads.len(),
            gaps.len(),
            quantiles(&mut prompts),
            quantiles(&mut answers),
        );
    }
}
