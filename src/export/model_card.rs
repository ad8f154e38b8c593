//! The model card of an exported hybrid: its layers, scores, search, provenance and usage.
//!
//! A card contains no dates and no paths, so that the same search always gives the same card.

use std::fmt::Write;

use super::usage::{header, usage};
use super::{ExportFormat, ExportedHybrid, HybridSelector};
use crate::algorithms::search::{RoundWinner, SearchStrategy, StopCriterion};
use crate::data::SplitPolicy;
use crate::stages::{BaseSource, ModelIdentity};

/// Returns the model card as Markdown with a YAML header for the Hugging Face hub.
pub(super) fn model_card(hybrid: &ExportedHybrid<'_>, format: ExportFormat) -> String {
    let mut text = header(format);
    let usage = usage(format, &hybrid.chosen.layers);
    for part in [description(hybrid), scores(hybrid), trajectory(hybrid), cell_keys(hybrid), usage] {
        text += part.trim_end();
        text += "\n\n";
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

pub(super) fn percent(score: f64) -> String {
    format!("{:.1} %", 100.0 * score)
}

pub(super) fn layer_list(layers: &[u32]) -> String {
    match layers {
        [] => "none".to_owned(),
        layers => layers.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn description(hybrid: &ExportedHybrid<'_>) -> String {
    let (labels, result) = (&hybrid.cell.labels, hybrid.result);
    let variant = serde_json::to_string(&hybrid.job.variant).expect("a variant is plain JSON");
    let name = |label: &Option<String>| label.clone().unwrap_or_default();
    let mut text = format!("# {}\n\n", labels.to_line());
    text += match hybrid.chosen.layers.as_slice() {
        [] => "The base itself: the search replaced no layer.",
        _ => "A hybrid of full and linear attention by Distill-then-Replace (arXiv 2601.11667).",
    };
    text += " For each layer, a linear twin was distilled from the attention block. A search then replaced \
             one layer after another by its twin, guided by the validation score of the task.\n\n| | |\n| \
             --- | --- |\n";
    let rows = [
        ("base", format!("`{}`, {} layers", labels.model, result.num_layers)),
        ("variant", format!("`{}`: `{variant}`", name(&labels.variant))),
        ("task", format!("`{}`", name(&labels.task))),
        ("replaced layers", format!("{} (counted from 0)", layer_list(&hybrid.chosen.layers))),
        ("selected as", selected_as(hybrid.selected).to_owned()),
        ("stop rule", stop_rule(hybrid)),
    ];
    for (key, value) in rows {
        let _ = writeln!(text, "| {key} | {value} |");
    }
    for (key, value) in &labels.axes {
        let _ = writeln!(text, "| `{key}` | {value} |");
    }
    text
}

fn selected_as(selected: HybridSelector) -> &'static str {
    match selected {
        HybridSelector::Opt => "`M_opt`, the last accepted hybrid, with the most replaced layers",
        HybridSelector::Best => "`M_best`, the hybrid with the highest validation score",
    }
}

fn stop_rule(hybrid: &ExportedHybrid<'_>) -> String {
    let rule = match &hybrid.job.stop {
        StopCriterion::MaxRelativeDrop(drop) => {
            format!("a validation score with a relative drop of at most {} from the base's", percent(*drop))
        }
        StopCriterion::MinScore(score) => format!("a validation score of at least {}", percent(*score)),
        StopCriterion::Never {} => "none: all layers are replaced".to_owned(),
    };
    match hybrid.result.threshold {
        Some(threshold) => format!("{rule}; threshold {}", percent(threshold)),
        None => rule,
    }
}

fn scores(hybrid: &ExportedHybrid<'_>) -> String {
    let (result, chosen) = (hybrid.result, hybrid.chosen);
    let mut text = format!(
        "## Scores\n\n| | validation, {} items | test |\n| --- | --- | --- |\n",
        result.validation_items
    );
    for (name, validation, test) in
        [("base", result.base, &result.base_test), ("this model", chosen.validation, &chosen.test)]
    {
        let _ = writeln!(text, "| {name} | {} | {} |", percent(validation), percent(test.score));
    }
    text += match hybrid.job.task.split_policy() {
        None => "\nThe search did not use the test split.\n",
        Some(SplitPolicy::HeldOut) => {
            "\nThe two splits are halves of one labelled split. The search did not use the test half.\n"
        }
        Some(SplitPolicy::AsPublished) => {
            "\nBoth splits have the same items, so the test scores are biased by selection.\n"
        }
    };
    text
}

fn trajectory(hybrid: &ExportedHybrid<'_>) -> String {
    let mut text = format!(
        "## Search\n\n{}\n\n| round | layer | validation | |\n| --- | --- | --- | --- |\n",
        strategy_description(&hybrid.job.strategy)
    );
    for round in &hybrid.result.rounds {
        let status = round_status(hybrid, round);
        let layer = round.layer.map_or_else(|| layer_list(&round.layers), |layer| layer.to_string());
        let _ = writeln!(text, "| {} | {layer} | {} | {status} |", round.round, percent(round.score));
    }
    text
}

/// Describes the search strategy and the rows of the table of rounds.
fn strategy_description(strategy: &SearchStrategy) -> String {
    match strategy {
        SearchStrategy::Greedy {} => "Each round tried to replace each remaining layer. The table shows the best layer of each round.".to_owned(),
        SearchStrategy::Uniform {} => {
            "Each round replaced one more layer, with the replaced layers evenly spaced. If the hybrid of \
             a round does not extend the hybrid of the row above, the table lists all its replaced layers."
                .to_owned()
        }
        SearchStrategy::Random { seed } => {
            format!("Each round replaced one more layer, in a random order (seed {}).", seed.0)
        }
        SearchStrategy::LocalImportance {} => {
            "Each layer was first replaced alone. The search then replaced layers in the order of these scores.".to_owned()
        }
        SearchStrategy::Impact {} => {
            "Layers were replaced in the order of their impact scores: the accuracy that linear probes lose \
             if only that layer is replaced."
                .to_owned()
        }
        SearchStrategy::Beam { width } => format!(
            "Each round tried each remaining layer for each of the {width} best hybrids of the previous \
             round. The table shows the best hybrid of each round. If it does not extend the hybrid of \
             the row above, the table lists all its replaced layers."
        ),
    }
}

/// Returns the status of a round. The status is `replaced` if the exported hybrid replaces all layers of the
/// round's winner. Otherwise, the status tells whether the search accepted the winner.
fn round_status(hybrid: &ExportedHybrid<'_>, round: &RoundWinner) -> &'static str {
    let chosen = &hybrid.chosen.layers;
    match (round.accepted, round.layers.iter().all(|layer| chosen.contains(layer))) {
        (_, true) => "replaced",
        (true, false) if round.layers.len() > chosen.len() => "accepted after this hybrid",
        (true, false) => "accepted, but not part of this hybrid",
        (false, false) => "ended the search",
    }
}

fn cell_keys(hybrid: &ExportedHybrid<'_>) -> String {
    let mut text = String::from("## Keys\n\n`dtr show KEY` prints a record.\n\n| | |\n| --- | --- |\n");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | `{value}` |");
    };
    match &hybrid.job.base {
        BaseSource::Trained { cell, .. } | BaseSource::Finetuned { cell, .. } => {
            row("base", cell.key.to_string())
        }
        BaseSource::Stored { identity: ModelIdentity::Files { files, .. }, .. } => {
            for (file, digest) in files {
                row(&format!("`{file}` of the base, blake3"), digest.to_string());
            }
        }
        BaseSource::Stored { identity: ModelIdentity::Hub(pinned), .. } => row("base", pinned.to_string()),
        BaseSource::Stored { identity: ModelIdentity::HubFile { repo, file }, .. } => {
            row("base", repo.uri(file));
        }
    }
    row("twins", hybrid.job.twins.key.to_string());
    row("search", hybrid.cell.key().to_string());
    row("test score of the base", hybrid.result.base_test.cell.key.to_string());
    row("test score of this model", hybrid.chosen.test.cell.key.to_string());
    text
}
