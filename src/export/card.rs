//! A hybrid's model card: what it is, how it was found, what it scored, how to use it. The same bytes for the
//! same records: no dates, no paths.

use std::fmt::Write;

use super::{Finding, Which};
use crate::algorithms::search::Round;
use crate::algorithms::search::{SearchStrategy, StopCriterion};
use crate::data::SplitPolicy;
use crate::plan::{BaseSource, ModelIdentity};

/// The card's text, Markdown under the header that the Hugging Face hub reads.
pub(super) fn card(finding: &Finding<'_>) -> String {
    let mut text = String::from(
        "---\nlibrary_name: dtr\ntags: [hybrid, linear-attention, distill-then-replace]\n---\n\n",
    );
    for part in [what(finding), scores(finding), trajectory(finding), cells(finding), usage(finding)] {
        text += part.trim_end();
        text += "\n\n";
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn percent(score: f64) -> String {
    format!("{:.1} %", 100.0 * score)
}

fn layers(layers: &[u32]) -> String {
    match layers {
        [] => "none".to_owned(),
        layers => layers.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn what(finding: &Finding<'_>) -> String {
    let (labels, result) = (&finding.cell.labels, finding.result);
    let variant = serde_json::to_string(finding.variant).expect("a variant is plain JSON");
    let name = |label: &Option<String>| label.clone().unwrap_or_default();
    let mut text = format!("# {}\n\n", labels.line());
    text += match finding.chosen.layers.as_slice() {
        [] => "The base itself: no layer could be replaced.",
        _ => "A hybrid of full and linear attention by Distill-then-Replace (arXiv 2601.11667).",
    };
    text += " Each layer's attention has taught a linear twin, and layers were replaced, one more at a time, for as long \
             as the task's validation score allowed.\n\n| | |\n| --- | --- |\n";
    let rows = [
        ("base", format!("`{}`, {} layers", labels.model, result.num_layers)),
        ("variant", format!("`{}`: `{variant}`", name(&labels.variant))),
        ("task", format!("`{}`", name(&labels.task))),
        ("replaced layers", format!("{} (counted from 0)", layers(&finding.chosen.layers))),
        ("chosen as", chosen_as(finding.which).to_owned()),
        ("stop rule", stop_rule(finding)),
    ];
    for (key, value) in rows {
        let _ = writeln!(text, "| {key} | {value} |");
    }
    for (key, value) in &labels.axes {
        let _ = writeln!(text, "| `{key}` | {value} |");
    }
    text
}

fn chosen_as(which: Which) -> &'static str {
    match which {
        Which::Opt => "`M_opt`, the most layers replaced within the stop rule",
        Which::Best => "`M_best`, the highest validation score",
    }
}

fn stop_rule(finding: &Finding<'_>) -> String {
    let rule = match &finding.work.stop {
        StopCriterion::MaxRelativeDrop(drop) => format!("at most {} below the base's score", percent(*drop)),
        StopCriterion::MinScore(score) => format!("a score of at least {}", percent(*score)),
        StopCriterion::Never {} => "none: every layer is replaced".to_owned(),
    };
    match finding.result.threshold {
        Some(threshold) => format!("{rule}; threshold {}", percent(threshold)),
        None => rule,
    }
}

fn scores(finding: &Finding<'_>) -> String {
    let (result, chosen) = (finding.result, finding.chosen);
    let mut text = format!(
        "## Scores\n\n| | validation, {} items | test |\n| --- | --- | --- |\n",
        result.validation_items
    );
    for (name, validation, test) in
        [("base", result.base, &result.base_test), ("this model", chosen.validation, &chosen.test)]
    {
        let _ = writeln!(text, "| {name} | {} | {} |", percent(validation), percent(test.score));
    }
    text += match finding.work.task.split_policy() {
        None => "\nThe search never saw the test split.\n",
        Some(SplitPolicy::HeldOut) => {
            "\nThe two splits are halves of one labelled split; the search never saw the test half.\n"
        }
        Some(SplitPolicy::AsPublished) => {
            "\nThe two splits are the same items: what is reported was selected on.\n"
        }
    };
    text
}

fn trajectory(finding: &Finding<'_>) -> String {
    let mut text = format!(
        "## How it was found\n\n{}\n\n| round | layer | validation | |\n| --- | --- | --- | --- |\n",
        strategy(&finding.work.strategy)
    );
    for round in &finding.result.rounds {
        let fate = fate(finding, round);
        let layer = round.layer.map_or_else(|| layers(&round.layers), |layer| layer.to_string());
        let _ = writeln!(text, "| {} | {layer} | {} | {fate} |", round.round, percent(round.score));
    }
    text
}

/// What each round did, and what the table shows of it.
fn strategy(strategy: &SearchStrategy) -> String {
    match strategy {
        SearchStrategy::Greedy {} => "In each round every layer still full was tried; the best is shown.".to_owned(),
        SearchStrategy::Uniform {} => {
            "In each round one layer more, spread evenly; all are shown where they are not those of the round before \
             and one more."
                .to_owned()
        }
        SearchStrategy::Random { seed } => {
            format!("One layer more in each round, in an order drawn at random (seed {}).", seed.0)
        }
        SearchStrategy::LocalImportance {} => {
            "Every layer was tried alone, and replaced in the order of these scores.".to_owned()
        }
        SearchStrategy::Impact {} => {
            "Layers were replaced in the order of their impact scores: what linear probes lose of the right answers \
             where that layer alone is replaced."
                .to_owned()
        }
        SearchStrategy::Beam { width } => format!(
            "Each round tried every layer more for each of the {width} best hybrids of the round before. The best is \
             shown, with all its layers where it does not grow from the one above."
        ),
    }
}

/// What became of a round's hybrid.
fn fate(finding: &Finding<'_>, round: &Round) -> &'static str {
    let chosen = &finding.chosen.layers;
    match (round.accepted, round.layers.iter().all(|layer| chosen.contains(layer))) {
        (_, true) => "replaced",
        (true, false) if round.layers.len() > chosen.len() => "replaced later than in this model",
        (true, false) => "replaced, then given up",
        (false, false) => "ended the search",
    }
}

fn cells(finding: &Finding<'_>) -> String {
    let mut text = String::from("## Keys\n\n`dtr explain KEY` shows each record.\n\n| | |\n| --- | --- |\n");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | `{value}` |");
    };
    match &finding.work.base {
        BaseSource::Pretrained(key) => row("base", key.to_string()),
        BaseSource::Directory(_, ModelIdentity::Files { files }, _) => {
            for (file, digest) in files {
                row(&format!("base's `{file}`, blake3"), digest.to_string());
            }
        }
        BaseSource::Directory(_, ModelIdentity::Hub(pinned), _) => row("base", pinned.to_string()),
    }
    row("twins", finding.work.twins.to_string());
    row("search", finding.cell.key.to_string());
    row("test score of the base", finding.result.base_test.cell.to_string());
    row("test score of this model", finding.chosen.test.cell.to_string());
    text
}

fn usage(finding: &Finding<'_>) -> String {
    let mut text = String::from("## Use\n\n    dtr generate THIS-DIRECTORY \"Text to go on from\"\n\n");
    if !finding.chosen.layers.is_empty() {
        text += "`layer_types` in `config.json` names the linear layers and `dtr` says what they are; their weights are \
                 those below `linear_attn`. The classes of transformers do not know these layers: they would draw the \
                 missing attention at random.\n";
    }
    text
}
