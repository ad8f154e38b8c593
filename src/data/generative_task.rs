//! Tasks that a model answers by generating text: their configuration and their items.

use dtr_text::filter::TextFilter;
use dtr_text::metric::TextMetric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chat_prompt::{ChatMessages, ChatPrompt};
use super::code_test::{CodeTest, ItemTest, ItemTestBuilder};
use super::few_shot::{Example, Shots};
use super::jinja::Templates;
use super::opendrive::RoadItem;
use super::rows::Row;
use super::script_scorer::{AnswerScript, ScriptItem};
use super::split_rows::{ItemBuilder, TaskFiles};
use super::{Split, SplitPolicy};
use dtr_core::error::Result;

/// Names of a task's templates.
const PROMPT: &str = "prompt";
const TARGET: &str = "target";
const REFERENCES: &str = "references";
const CLASSES: &str = "classes";
const CONDITION: &str = "where";

/// A task whose items are rows of files, and whose answers the model generates as text, always with the most
/// likely token.
///
/// Files, templates and expressions are those of multiple-choice tasks. The text ends at a stop string, at the
/// model's end token, or after `max-tokens` tokens. The filters then extract the answer from the text, and the
/// metric compares the answer with the references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GenerativeTask {
    /// The file of train rows, as a path relative to the manifest or as `hf://datasets/…`. Only `[finetune]`
    /// reads this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub train: Option<String>,
    /// The file of validation rows, as a path relative to the manifest or as `hf://datasets/…`. Without this
    /// file, `splits` decides which rows of `test` are validation rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub validation: Option<String>,
    /// The file of test rows, as a path relative to the manifest or, for a file on the Hugging Face hub, as
    /// `hf://datasets/OWNER/NAME@REVISION/FILE`.
    #[schemars(extend("format" = "path"))]
    pub test: String,
    /// Which rows of `test` each split gets, if `validation` is absent.
    #[serde(default)]
    pub splits: SplitPolicy,
    /// The expression that decides which rows are items, such as `"task_id > 10"`. The default is all rows.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The maximum number of train items, taken from the first rows. The default is all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub train_items: Option<usize>,
    /// The maximum number of validation items, taken from the first rows. The default is all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub validation_items: Option<usize>,
    /// The maximum number of test items, taken from the first rows. The default is all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub test_items: Option<usize>,
    /// The template of the prompt, such as `"Question: {{ question }}\nAnswer:"`.
    pub prompt: String,
    /// The template of the correct answer. Few-shot examples end with this text. It is also the reference, if
    /// `references` is absent.
    pub target: String,
    /// The expression that gives the list of references of a row, such as `"answers"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// The expression that gives the list of all classes, which the metric `classification` needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// Strings at which the text ends. The answer does not include them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// The maximum number of tokens of the text.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_tokens: usize,
    /// The filters that extract the answer from the text, in the order in which they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<TextFilter>,
    /// How the answer is compared with the references. A task has one of the keys `metric`, `code` and `script`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TextMetric")]
    pub metric: Option<TextMetric>,
    /// How the answer is tested, if it is a Python program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CodeTest")]
    pub code: Option<CodeTest>,
    /// The Python script that scores the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AnswerScript")]
    pub script: Option<AnswerScript>,
    /// How the base's chat template renders prompts. Without this table, the model continues the prompt itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ChatPrompt")]
    pub chat: Option<ChatPrompt>,
    /// The few-shot examples in front of each question. The default is no examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Shots")]
    pub shots: Option<Shots>,
}

/// Returns the default of lm-evaluation-harness.
fn default_max_tokens() -> usize {
    256
}

impl GenerativeTask {
    /// Returns the task's files, and the settings that divide the rows into splits.
    pub fn files(&self) -> TaskFiles<'_> {
        TaskFiles {
            train: self.train.as_deref(),
            validation: self.validation.as_deref(),
            test: &self.test,
            splits: self.splits,
            train_items: self.train_items,
            validation_items: self.validation_items,
            test_items: self.test_items,
            shots: self.shots.as_ref(),
            tests: match &self.code {
                Some(CodeTest::Evalplus(test)) => Some(&test.tasks),
                _ => self.script.as_ref().map(|script| script.file.as_str()),
            },
        }
    }

    /// Returns a copy in which all settings of files and splits have fixed values.
    pub fn without_files(&self) -> Self {
        Self {
            train: None,
            validation: None,
            test: String::new(),
            splits: SplitPolicy::default(),
            train_items: None,
            validation_items: None,
            test_items: None,
            shots: None,
            code: self.code.as_ref().map(CodeTest::without_files),
            script: self.script.as_ref().map(AnswerScript::without_files),
            ..self.clone()
        }
    }
}

/// A question that the model answers by generating text.
#[derive(Clone, Debug)]
pub struct GenerativeItem {
    /// The item's stable identifier, for example `test/00017`.
    pub id: String,
    /// The text that the model continues. If `chat` is given, the text is empty until a base's chat template
    /// has rendered `chat`.
    pub prompt: String,
    /// The messages from which a chat template renders the prompt, if the task has `chat`.
    pub chat: Option<ChatMessages>,
    /// The answer that fine-tuning learns.
    pub target: String,
    /// The correct answers.
    pub references: Vec<String>,
    /// The names of all classes, for the metric `classification`.
    pub classes: Vec<String>,
    /// The test of the answer, if the answer is a program.
    pub test: Option<ItemTest>,
    /// What a script reads, if the task has one.
    pub script: Option<ScriptItem>,
    /// The hidden road, if the answer is a road.
    pub road: Option<RoadItem>,
}

/// Loads the items of one split of `task`, in the order of their rows.
///
/// # Errors
/// Fails if the task has no file of the split, or if a file cannot be read or has no items of the split. Also
/// fails if a template fails for a row. This error names the row.
pub fn load_generative_items(task: &GenerativeTask, split: Split) -> Result<Vec<GenerativeItem>> {
    let mut templates = parse_templates(task)?;
    let tests = task.code.as_ref().map(|test| ItemTestBuilder::new(test, &mut templates)).transpose()?;
    task.files().build_items(split, &GenerativeItemBuilder { templates, tests, task })
}

struct GenerativeItemBuilder<'a> {
    templates: Templates,
    /// Builds the tests of programs.
    tests: Option<ItemTestBuilder>,
    task: &'a GenerativeTask,
}

impl ItemBuilder for GenerativeItemBuilder<'_> {
    type Item = GenerativeItem;

    fn templates(&self) -> &Templates {
        &self.templates
    }

    fn needs_all_columns(&self) -> bool {
        self.task.script.is_some()
    }

    fn is_item(&self, row: &Row) -> Result<bool> {
        match self.task.condition {
            Some(_) => self.templates.is_true(CONDITION, row),
            None => Ok(true),
        }
    }

    fn num_bytes(item: &GenerativeItem) -> usize {
        let script = item.script.iter().flat_map(|script| [&script.target, &script.row]);
        let texts =
            item.references.iter().chain(&item.classes).chain([&item.prompt, &item.target]).chain(script);
        texts.map(String::len).sum()
    }

    fn build(&self, id: String, row: &Row, examples: &[&Row]) -> Result<GenerativeItem> {
        let examples: Vec<Example> =
            examples.iter().map(|example| self.example(example)).collect::<Result<_>>()?;
        let Example { prompt, target } = self.example(row)?;
        let shots = self.task.shots.as_ref();
        let (prompt, chat) = match &self.task.chat {
            Some(chat) => (String::new(), Some(chat.messages(shots, examples, prompt))),
            None => (shots.map_or(String::new(), |shots| shots.format(&examples)) + &prompt, None),
        };
        let list = |name, expression: &Option<String>| {
            expression.as_ref().map(|_| self.templates.evaluate_list(name, row)).transpose()
        };
        let script = self.task.script.as_ref();
        let script =
            script.map(|_| Ok(ScriptItem { target: target.clone(), row: row.to_json()? })).transpose()?;
        Ok(GenerativeItem {
            id,
            prompt,
            chat,
            script,
            references: list(REFERENCES, &self.task.references)?.unwrap_or_else(|| vec![target.clone()]),
            target,
            classes: list(CLASSES, &self.task.classes)?.unwrap_or_default(),
            test: self.tests.as_ref().map(|tests| tests.build(&self.templates, row)).transpose()?,
            road: None,
        })
    }
}

impl GenerativeItemBuilder<'_> {
    /// Renders the prompt and the correct answer of a row.
    fn example(&self, row: &Row) -> Result<Example> {
        let render = |name| self.templates.render(name, row, None);
        Ok(Example { prompt: render(PROMPT)?, target: render(TARGET)? })
    }
}

fn parse_templates(task: &GenerativeTask) -> Result<Templates> {
    let mut templates = Templates::new();
    templates.add(PROMPT, &task.prompt)?;
    templates.add(TARGET, &task.target)?;
    if let Some(condition) = &task.condition {
        templates.add_condition(CONDITION, condition)?;
    }
    for (name, expression) in [(REFERENCES, &task.references), (CLASSES, &task.classes)] {
        if let Some(expression) = expression {
            templates.add_list_expression(name, expression)?;
        }
    }
    Ok(templates)
}
