//! The model card of an exported hybrid that was trained after its search.

use std::fmt::Write;

use super::ExportFormat;
use super::model_card::{layer_list, percent};
use super::trained_hybrid::{TrainedHybrid, TrainedScores, TrainingKind};
use super::usage::{header, usage};

/// Returns the model card as Markdown with a YAML header for the Hugging Face hub.
pub(super) fn tuned_model_card(
    hybrid: &TrainedHybrid<'_>,
    scores: &TrainedScores,
    format: ExportFormat,
) -> String {
    let (cell, search) = (hybrid.cell, hybrid.search());
    let mut text = format!("{}# {} {}\n\n", header(format), cell.labels.to_line(), hybrid.label());
    text += "A hybrid of full and linear attention by Distill-then-Replace (arXiv 2601.11667). For each layer, \
             a linear twin was distilled from the attention block. A search then replaced layers by their \
             twins, guided by the validation score of the task. ";
    text += match hybrid.kind() {
        TrainingKind::LogitDistil => {
            "Last, the hybrid was trained to predict as its base does, by the Kullback-Leibler divergence over \
             the whole vocabulary.\n\n"
        }
        TrainingKind::Finetune => "Last, the hybrid was fine-tuned on the train split of the task.\n\n",
    };
    let variant = serde_json::to_string(&search.variant).expect("settings are plain JSON");
    let _ = write!(
        text,
        "| | |\n| --- | --- |\n| base | `{}` |\n| variant | `{variant}` |\n| replaced layers | {} (counted \
         from 0) |\n| training | `{}` |\n\n",
        cell.labels.model,
        layer_list(&scores.layers),
        hybrid.recipe_json(),
    );
    text += "## Scores\n\n| | test |\n| --- | --- |\n";
    for (name, score) in &scores.scores {
        let _ = writeln!(text, "| {name} | {} |", percent(*score));
    }
    text += "\n## Keys\n\n`dtr show KEY` prints a record.\n\n| | |\n| --- | --- |\n";
    for (name, key) in [
        ("twins", search.twins.key),
        ("search", hybrid.search_cell().key),
        ("training", hybrid.training_cell().key),
        ("scores", cell.key()),
    ] {
        let _ = writeln!(text, "| {name} | `{key}` |");
    }
    text + "\n" + &usage(format, &scores.layers)
}
