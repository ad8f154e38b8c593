//! The few-shot examples of a task: rows with their correct answers, in front of the question.

use std::ops::ControlFlow;
use std::sync::Arc;

use dtr_text::few_shot::{ShotSampler, ShotSelection};
use minijinja::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

use super::jinja::Templates;
use super::rows::{ColumnSelection, Row, for_each_row};
use dtr_core::error::{Error, Result};
use dtr_core::files::format_bytes;
use dtr_core::jinja::parse_value;
use dtr_core::seed::Seed;

/// The seed of the few-shot examples in lm-evaluation-harness.
const HARNESS_SEED: u32 = 1234;

/// The maximum total size of the rows of examples, in bytes.
const MAX_ROWS_BYTES: usize = 1 << 30;

/// The few-shot examples in front of each question.
///
/// An example is a row to which the task's templates apply, followed by its correct answer. The examples of a
/// row depend on the number of the row in its file, and not on which rows are scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shots {
    /// The number of examples in each prompt.
    #[schemars(range(min = 1, max = 1_000))]
    pub count: usize,
    /// The file whose rows are examples, as a path relative to the manifest or as `hf://datasets/…`. If a
    /// task's own file is given, a row is never an example for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub from: Option<String>,
    /// Rows that are examples, in place of `from`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<serde_json::Map<String, serde_json::Value>>,
    /// The expression that decides which rows of `from` can be examples, such as `"task_id in [2, 3, 4]"`. The
    /// default is all rows.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Which rows are the examples of a question.
    #[serde(default)]
    pub sampler: ShotSelection,
    /// The seed of the sampler `harness`.
    #[serde(default = "default_seed")]
    pub seed: Seed,
    /// The text before the first example.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The text between a prompt and its answer.
    #[serde(default = "default_target_delimiter")]
    pub target_delimiter: String,
    /// The text after each example.
    #[serde(default = "default_delimiter")]
    pub delimiter: String,
}

fn default_seed() -> Seed {
    Seed(HARNESS_SEED)
}

fn default_target_delimiter() -> String {
    " ".to_owned()
}

fn default_delimiter() -> String {
    "\n\n".to_owned()
}

/// The prompt and the correct answer of an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub prompt: String,
    pub target: String,
}

impl Shots {
    /// Returns the text of `examples`, which precedes the prompt of a question.
    pub(super) fn format(&self, examples: &[Example]) -> String {
        let texts = examples
            .iter()
            .map(|Example { prompt, target }| [prompt, &self.target_delimiter, target, &self.delimiter]);
        let mut text = self.description.clone();
        texts.flatten().for_each(|part| text += part);
        text
    }
}

/// Selects the few-shot examples for the rows of a file, one row after the other.
pub(super) struct ExampleSelector {
    rows: Vec<Row>,
    /// The JSON of each of `rows`, if the examples come from the file of the questions. An example must
    /// differ from its question, and the comparison uses the JSON.
    own_rows: Option<Vec<String>>,
    sampler: ShotSampler,
}

impl ExampleSelector {
    /// Reads the rows that can be examples. `path` is the file of the questions, and `columns` are the
    /// columns that the task's templates use.
    ///
    /// # Errors
    /// Fails if the file of the examples cannot be read, or if its rows take too much memory. Also fails if
    /// `shots` has both `from` and `rows`, or neither.
    pub fn read(shots: &Shots, path: &str, columns: &ColumnSelection) -> Result<Self> {
        let is_own_file = shots.from.as_deref() == Some(path);
        let columns = ColumnSelection { includes_json: is_own_file, ..columns.clone() };
        let rows = match (&shots.from, shots.rows.is_empty()) {
            (Some(from), true) => read_rows(from, columns, shots.condition.as_deref())?,
            (None, false) => shots.rows.iter().map(inline_row).collect::<Result<_>>()?,
            _ => {
                return Err(Error::manifest(
                    "cannot select few-shot examples: `shots` needs `from` or `rows`",
                )
                .hint("set one of the two keys"));
            }
        };
        let own_rows = is_own_file.then(|| rows.iter().map(Row::to_json).collect()).transpose()?;
        let sampler = ShotSampler::new(shots.sampler, shots.seed.0.into(), rows.len(), shots.count);
        Ok(Self { rows, own_rows, sampler })
    }

    /// Returns the examples for `question`, which must be the next row of the questions' file.
    ///
    /// # Errors
    /// Fails if there are too few rows for the examples.
    pub fn select(&mut self, question: &Row) -> Result<Vec<&Row>> {
        let selected = match &self.own_rows {
            None => self.sampler.draw()?,
            Some(own_rows) => {
                let question = question.to_json()?;
                self.sampler.draw_without(|row| own_rows[row] == question)?
            }
        };
        Ok(selected.into_iter().map(|row| &self.rows[row]).collect())
    }
}

/// The name under which [`read_rows`] compiles the condition as a template.
const CONDITION: &str = "where";

/// Reads the rows of a file for which `condition` holds.
fn read_rows(path: &str, mut columns: ColumnSelection, condition: Option<&str>) -> Result<Vec<Row>> {
    let mut templates = Templates::new();
    if let Some(condition) = condition {
        templates.add_condition(CONDITION, condition)?;
        columns.names.extend(templates.identifiers().iter().cloned());
    }
    let (mut rows, mut num_bytes) = (Vec::new(), 0_usize);
    for_each_row(path, &columns, &mut |_, row| {
        if condition.is_some() && !templates.is_true(CONDITION, &row)? {
            return Ok(ControlFlow::Continue(()));
        }
        num_bytes += row.to_json().map_or(0, |json| json.len());
        if num_bytes > MAX_ROWS_BYTES {
            let limit = format_bytes(MAX_ROWS_BYTES as u64);
            return Err(Error::manifest(format!("the rows of `{path}` are longer than {limit}"))
                .hint("name a shorter file in `shots`"));
        }
        rows.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

fn inline_row(row: &serde_json::Map<String, serde_json::Value>) -> Result<Row> {
    let columns: Arc<[String]> = row.keys().cloned().collect();
    let value = |(name, value): (&String, &serde_json::Value)| {
        let json = to_raw_value(value).expect("a value of a manifest is plain JSON");
        Ok((name.clone(), parse_value(&json)?))
    };
    let values = row.iter().map(value).collect::<std::result::Result<Vec<_>, serde_json::Error>>();
    let values =
        values.map_err(|cause| Error::manifest("cannot read a row of `shots`").with_source(cause))?;
    Ok(Row { values: Value::from_pairs(values), columns })
}
