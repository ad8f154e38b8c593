//! Scores answers with a Python script of the user.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dtr_core::error::{Error, Result};
use dtr_core::files::{Digest, read_text_file};
use dtr_sandbox::{Sandbox, ScoringScript};
use dtr_text::metric::AnswerScore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::GenerativeItem;
use super::verdict_cache::VerdictCache;
use crate::hub::local_or_cached_path;

/// A Python script that scores answers. It runs in the sandbox, once for each different input.
///
/// The script reads an object from standard input, in JSON. Its keys are `text` (what the model wrote),
/// `answer` (the text after the filters), `target`, `references` and `row` (all columns of the row). The last
/// line that the script prints is the score: a number from 0 to 1, `true` or `false`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AnswerScript {
    /// The file of the script, as a path relative to the manifest or as `hf://datasets/…`.
    #[schemars(extend("format" = "path"))]
    pub file: String,
    /// The arguments of the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

impl AnswerScript {
    /// Returns a copy with an empty `file`.
    pub(super) fn without_files(&self) -> Self {
        Self { file: String::new(), ..self.clone() }
    }
}

/// The parts of an item that only a script reads.
#[derive(Clone, Debug)]
pub struct ScriptItem {
    /// The correct answer.
    pub target: String,
    /// The row of the item, in JSON.
    pub row: String,
}

/// An item with its answer, as the script reads it.
#[derive(Serialize)]
struct ScriptInput<'a> {
    text: &'a str,
    answer: &'a str,
    target: &'a str,
    references: &'a [String],
    row: &'a RawValue,
}

/// Runs the script of a task. A script runs once for each different input.
pub(super) struct ScriptScorer {
    script: ScoringScript,
    sandbox: Option<Arc<Sandbox>>,
    known: Mutex<VerdictCache>,
}

impl ScriptScorer {
    /// Reads the script. Creates a scorer without a sandbox.
    ///
    /// # Errors
    /// Fails if the script cannot be read.
    pub fn new(script: &AnswerScript) -> Result<Self> {
        let path = local_or_cached_path(&script.file)?;
        let name = Path::new(&script.file).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let source = read_text_file(&path)?;
        let script = ScoringScript { name, source, arguments: script.arguments.clone() };
        Ok(Self { script, sandbox: None, known: Mutex::default() })
    }

    /// Returns the same scorer with a sandbox, and with the scores that earlier processes stored.
    pub fn with_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox: Some(sandbox), known: Mutex::new(VerdictCache::of_user()), ..self }
    }

    /// Returns the sandbox. `None` if there is none.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_deref()
    }

    /// Scores answers to `items`. An answer is the text that the model wrote, and the text after the filters.
    ///
    /// # Errors
    /// Fails if there is no sandbox, if no process can be started, or if the script gives no score for an
    /// answer.
    pub fn score(&self, items: &[&GenerativeItem], answers: &[(&str, &str)]) -> Result<Vec<AnswerScore>> {
        let Some(sandbox) = &self.sandbox else {
            return Err(Error::failed("cannot run the script: there is no sandbox"));
        };
        let inputs: Vec<String> = items
            .iter()
            .zip(answers)
            .map(|(item, answer)| script_input(item, answer))
            .collect::<Result<_>>()?;
        let keys: Vec<Digest> = inputs.iter().map(|input| sandbox.score_key(&self.script, input)).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = BTreeSet::new();
        let new: Vec<usize> = (0..keys.len())
            .filter(|&index| known.score(&keys[index]).is_none() && seen.insert(keys[index]))
            .collect();
        let new_inputs: Vec<&str> = new.iter().map(|&index| inputs[index].as_str()).collect();
        let mut scored = Vec::with_capacity(new.len());
        for (index, score) in new.into_iter().zip(sandbox.run_script(&self.script, &new_inputs)?) {
            scored.push((keys[index], score.map_err(|cause| self.no_score(items[index], &cause))?));
        }
        known.store(&scored);
        let value = |key| known.score(key).expect("the score was known or computed");
        Ok(keys
            .iter()
            .map(|key| AnswerScore { value: value(key), classes: None, parts: BTreeMap::new() })
            .collect())
    }

    fn no_score(&self, item: &GenerativeItem, cause: &str) -> Error {
        let name = &self.script.name;
        Error::failed(format!("cannot score the answer to item `{}` with `{name}`: {cause}", item.id))
            .hint("make the script print a number from 0 to 1, `true` or `false` for every answer")
    }
}

fn script_input(item: &GenerativeItem, (text, answer): &(&str, &str)) -> Result<String> {
    let Some(ScriptItem { target, row }) = &item.script else {
        return Err(Error::failed(format!("the item `{}` has no row", item.id)));
    };
    let row = serde_json::from_str(row);
    let row = row.map_err(|cause| Error::failed("cannot read the row's JSON").with_source(cause))?;
    let input = ScriptInput { text, answer, target, references: &item.references, row };
    Ok(serde_json::to_string(&input).expect("texts are plain JSON"))
}
