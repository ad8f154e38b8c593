//! The model card of an exported hybrid that was trained after its search.

use std::fmt::Write;

use super::ExportFormat;
use super::model_card::{layer_list, percent};
use super::usage::{header, usage};
use crate::stages::tuned_score::TunedScoreResult;
use crate::stages::{Cell, TunedScoreJob};

/// Returns the model card as Markdown with a YAML header for the Hugging Face hub.
pub(super) fn tuned_model_card(
    cell: &Cell,
    job: &TunedScoreJob,
    scores: &TunedScoreResult,
    format: ExportFormat,
) -> String {
    let mut text =
        format!("{}# {} {}\n\n", header(format), cell.labels.to_line(), job.training.hybrid.label());
    text += "A hybrid of full and linear attention by Distill-then-Replace (arXiv 2601.11667). For each layer, \
             a linear twin was distilled from the attention block. A search then replaced layers by their \
             twins, guided by the validation score of the task. Last, the hybrid was trained to predict as its \
             base does, by the Kullback-Leibler divergence over the whole vocabulary.\n\n";
    let json = |value: serde_json::Result<String>| value.expect("settings are plain JSON");
    let _ = write!(
        text,
        "| | |\n| --- | --- |\n| base | `{}` |\n| variant | `{}` |\n| replaced layers | {} (counted from 0) \
         |\n| training | `{}` |\n\n",
        cell.labels.model,
        json(serde_json::to_string(&job.search.variant)),
        layer_list(&scores.layers),
        json(serde_json::to_string(&job.training.recipe)),
    );
    text += "## Scores\n\n| | test |\n| --- | --- |\n";
    let names = ["base", "the hybrid before the last training", "this model"];
    for (name, score) in names.into_iter().zip(scores.scores()) {
        let _ = writeln!(text, "| {name} | {} |", percent(score.score));
    }
    text += "\n## Keys\n\n`dtr show KEY` prints a record.\n\n| | |\n| --- | --- |\n";
    for (name, key) in [
        ("twins", job.search.twins.key),
        ("search", job.training.search.key),
        ("training", job.tuned.key),
        ("scores", cell.key()),
    ] {
        let _ = writeln!(text, "| {name} | `{key}` |");
    }
    text + "\n" + &usage(format, &scores.layers)
}
