//! Writes the text of a new manifest. The comments in this text tell the user how to change the manifest.

use super::bundled_tasks::bundled_task;
use super::{Dtype, ModelSource};
use crate::algorithms::distil::DistilConfig;
use dtr_core::error::Result;

/// A sample of web text on which the twins of most bases can learn. Its download needs no account of the
/// Hugging Face hub.
const OPEN_CORPUS: &str = "hf://datasets/HuggingFaceFW/fineweb-edu@main/sample/10BT/000_00000.parquet";

/// The user's choices for a new manifest. All paths are relative to the folder of the manifest.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// The name of the experiment and of its base.
    pub name: String,
    /// The source of the base.
    pub source: ModelSource,
    /// The number format of the base.
    pub dtype: Dtype,
    /// The length of the base's context in tokens, if it is known. No training sequence is longer than the
    /// context.
    pub max_positions: Option<usize>,
    /// The names of bundled tasks.
    pub tasks: Vec<String>,
    /// The files of the corpus. If the list is empty, the corpus is an open dataset of the hub.
    pub corpus: Vec<String>,
}

impl NewManifest {
    /// Returns the text of the manifest. The manifest extends no other file.
    ///
    /// # Errors
    /// Fails if a name in `tasks` is not the name of a bundled task.
    pub fn to_toml(&self) -> Result<String> {
        let tasks = self.tasks.iter().map(|task| bundled_task(task)).collect::<Result<Vec<_>>>()?;
        let parts = [
            self.head(),
            self.model(),
            VARIANTS.to_owned(),
            format!("{TASKS_COMMENT}{}", tasks.join("\n\n")),
            self.corpus(),
            self.distillation(),
            SEARCH.to_owned(),
            self.sweep(),
        ];
        Ok(parts.map(|part| part.trim_end().to_owned() + "\n").join("\n"))
    }

    fn head(&self) -> String {
        let name = &self.name;
        format!(
            "\
# An experiment that `dtr init` wrote. `dtr plan` estimates its cost, and `dtr sweep` runs it.
# The name is part of the names of its tables and figures.
name = {}
question = {}
",
            quote(name),
            quote(&format!(
                "Which layers of {name} can be replaced by linear attention for 5 % of its score?"
            ))
        )
    }

    fn model(&self) -> String {
        let dtype = match self.dtype {
            Dtype::F32 => {
                "\
# `f32` runs on every device. On a GPU, `bf16` takes half the memory and is several times faster.
dtype = \"f32\""
            }
            Dtype::Bf16 => {
                "\
# `bf16` needs a GPU. Write `f32` to compute on a CPU.
dtype = \"bf16\""
            }
        };
        let source_comment = match &self.source {
            ModelSource::Hub(_) => HUB_COMMENT,
            _ => LOCAL_COMMENT,
        };
        format!("{source_comment}[models.{}]\nsource = {}\n{dtype}\n", self.key(), source_text(&self.source))
    }

    fn corpus(&self) -> String {
        let (comment, paths) = match self.corpus.as_slice() {
            [] => (OPEN_CORPUS_COMMENT, vec![quote(OPEN_CORPUS)]),
            files => (FILES_COMMENT, files.iter().map(|file| quote(file)).collect()),
        };
        format!("{comment}[corpus.source.files]\npaths = {}\n", list(&paths))
    }

    fn distillation(&self) -> String {
        let default = DistilConfig::default();
        let length =
            self.max_positions.map_or(default.sequence_length, |max| max.min(default.sequence_length));
        format!(
            "\
# How the twins learn. 100M tokens is the budget of the paper; a smaller one takes proportionally less time.
# If the memory does not suffice, lower `batch-size`.
[distil]
token-budget = \"{}\"
sequence-length = {length}
batch-size = {}
",
            default.token_budget, default.batch_size
        )
    }

    fn sweep(&self) -> String {
        let tasks: Vec<String> = self.tasks.iter().map(|task| quote(task)).collect();
        format!(
            "\
# The combinations that run: every model with every variant on every task. Remove a name to leave it out.
[sweep]
model = [{}]
variant = [\"gla\", \"gdn\", \"jet\"]
task = {}
",
            quote(&self.name),
            list(&tasks)
        )
    }

    /// Returns the base's name as a key of a TOML table.
    fn key(&self) -> String {
        if self.name.contains('.') { quote(&self.name) } else { self.name.clone() }
    }
}

const LOCAL_COMMENT: &str = "\
# The base, whose attention is replaced. `path` names a directory in the Hugging Face format, and `gguf` names
# a GGUF file. Paths start from the folder of this file.
";

const HUB_COMMENT: &str = "\
# The base, whose attention is replaced. `dtr sweep` downloads it. Put a commit in place of a branch in
# `revision` to keep the base fixed.
";

const VARIANTS: &str = "\
# The linear blocks that replace attention: GLA, Gated DeltaNet and JetBlock. All of them learn from one pass
# of the base. To try fewer, shorten `variant` in `[sweep]`.
[variants.gla]
block = { gla = {} }

[variants.gdn]
block = { gdn = {} }

[variants.jet]
block = { jet = {} }
";

const TASKS_COMMENT: &str = "\
# The tasks, which decide the layers that are replaced. For a task of your own, copy a table under a new name,
# and change its files, its prompt, its choices and its label.
";

const OPEN_CORPUS_COMMENT: &str = "\
# The text from which the twins learn: a sample of open web text, which `dtr sweep` downloads. Name files of
# your own that resemble the texts of your tasks; `column` is the text column of JSON and Parquet files.
";

const FILES_COMMENT: &str = "\
# The text from which the twins learn. `column` is the text column of JSON and Parquet files (default `text`).
# A plain text is divided into paragraphs unless `document` says otherwise.
";

const SEARCH: &str = "\
# A greedy search replaces one layer after the other. It stops when the validation score is 5 % below the
# score of the base. `stop = { never = {} }` replaces all layers, and shows the whole trade-off.
[search]
strategy = { greedy = {} }
stop = { max-relative-drop = 0.05 }
";

/// Returns a source as an inline table. The keys of a repository are in the same order as in the manual.
fn source_text(source: &ModelSource) -> String {
    let ModelSource::Hub(model) = source else {
        return toml::Value::try_from(source).expect("a source can be written as TOML").to_string();
    };
    let file = model.file.as_ref().map(|file| format!(", file = {}", quote(file))).unwrap_or_default();
    format!("{{ hub = {{ repo = {}, revision = {}{file} }} }}", quote(&model.repo), quote(&model.revision))
}

/// Returns `text` as a TOML string.
fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Returns a TOML list of values. If there are several values, each value has its own line.
fn list(values: &[String]) -> String {
    match values {
        [] | [_] => format!("[{}]", values.concat()),
        many => format!("[\n{}]", many.iter().map(|value| format!("    {value},\n")).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{HubModel, load_manifest};

    fn new_manifest(source: ModelSource) -> NewManifest {
        NewManifest {
            name: "base-1.5b".to_owned(),
            source,
            dtype: Dtype::Bf16,
            max_positions: Some(128),
            tasks: vec!["hellaswag".to_owned(), "arc-easy".to_owned()],
            corpus: vec!["a \"b\".txt".to_owned(), "c.txt".to_owned()],
        }
    }

    #[test]
    fn the_text_loads_as_the_manifest_that_was_asked_for() {
        let hub = HubModel {
            repo: "lab/base".to_owned(),
            revision: "v1".to_owned(),
            file: Some("q/x.gguf".to_owned()),
            config: None,
        };
        for source in [ModelSource::Gguf("/x.gguf".to_owned()), ModelSource::Hub(hub)] {
            let new = new_manifest(source);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new.toml");
            std::fs::write(&path, new.to_toml().unwrap()).unwrap();
            let manifest = load_manifest(&path, &[]).unwrap().manifest;
            assert_eq!(manifest.name.as_deref(), Some("base-1.5b"));
            let model = &manifest.models["base-1.5b"];
            assert_eq!((&model.source, model.dtype), (&new.source, Dtype::Bf16));
            assert_eq!(manifest.distil, DistilConfig { sequence_length: 128, ..DistilConfig::default() });
            assert_eq!(manifest.sweep.task, ["hellaswag", "arc-easy"]);
            assert_eq!(manifest.sweep.combinations().len(), 6);
            let crate::data::CorpusSource::Files(files) = manifest.corpus.source else { panic!("no files") };
            let paths = [r#"a "b".txt"#, "c.txt"].map(|name| folder.path().join(name).display().to_string());
            assert_eq!(files.paths, paths);
        }
    }

    #[test]
    fn every_table_has_a_comment_and_no_line_is_too_long() {
        let hub = HubModel { repo: "a/b".into(), revision: "main".into(), file: None, config: None };
        for source in [ModelSource::Path("b".to_owned()), ModelSource::Hub(hub)] {
            let text =
                NewManifest { corpus: Vec::new(), tasks: vec!["boolq".into()], ..new_manifest(source) };
            let text = text.to_toml().unwrap();
            for header in
                ["[models.", "[variants.gla", "[tasks.", "[corpus.", "[distil]", "[search]", "[sweep]"]
            {
                let before = &text[..text.find(header).unwrap_or_else(|| panic!("{header} is missing"))];
                let line = before.trim_end_matches('\n').lines().last().unwrap();
                assert!(line.starts_with("# "), "{header} has no comment: {line}");
            }
            let long = text.lines().find(|line| line.starts_with('#') && line.chars().count() > 110);
            assert_eq!(long, None);
        }
    }
}
