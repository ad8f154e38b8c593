//! Loads the items of a task whose rows are in files. Templates turn each row into a prompt, its choices and
//! a label.

use std::ops::ControlFlow;

use super::jinja::Templates;
use super::rows::{ColumnSelection, Row, for_each_row};
use super::{Choices, FileTask, Item, Split, SplitPolicy};
use dtr_core::error::Error;
use dtr_core::files::format_bytes;
use dtr_core::memory_guard::with_memory_limit;

/// Names of a task's templates.
const PROMPT: &str = "prompt";
const CONTINUATION: &str = "continuation";
const CHOICES: &str = "choices";
const LABEL: &str = "label";

/// The maximum total size of the texts of one split, in bytes.
const MAX_SPLIT_BYTES: usize = 1 << 30;

/// The file with the rows of a split.
pub struct SplitFile<'a> {
    /// Path or hub location of the file.
    pub path: &'a str,
    /// Whether the file's rows are divided between the validation and the test split.
    pub is_divided: bool,
}

/// Returns the file with the rows of `split`.
pub fn split_file(task: &FileTask, split: Split) -> SplitFile<'_> {
    match (&task.validation, split) {
        (Some(validation), Split::Train | Split::Validation) => {
            SplitFile { path: validation, is_divided: false }
        }
        (validation, _) => {
            let is_divided = validation.is_none() && task.splits == SplitPolicy::HeldOut;
            SplitFile { path: &task.test, is_divided }
        }
    }
}

/// Loads the items of one split of `task`, in the order of their rows. The train split is empty.
///
/// # Errors
/// Fails if the file cannot be read or has no items of the split. Also fails if a template fails for a row,
/// or if a row's label is not one of the row's choices. These two errors name the row.
pub(super) fn load_items(task: &FileTask, split: Split) -> Result<Vec<Item>, Error> {
    let max_items = match split {
        Split::Train => return Ok(Vec::new()),
        Split::Validation => task.validation_items.unwrap_or(usize::MAX),
        Split::Test => task.test_items.unwrap_or(usize::MAX),
    };
    let SplitFile { path, is_divided } = split_file(task, split);
    let templates = parse_templates(task)?;
    let columns = ColumnSelection { names: templates.identifiers().clone(), includes_json: is_divided };
    let builder = ItemBuilder { has_prompt_per_choice: templates.uses_choice(PROMPT), templates, task };
    let mut budget = TextBudget(MAX_SPLIT_BYTES);
    let mut items = Vec::new();
    for_each_row(path, &columns, &mut |index, row| {
        let position = format!("row {} of `{path}`", index + 1);
        if !is_divided || assign_split(&row)? == split {
            let work = format!("rendering the task's templates for {position}");
            let item = with_memory_limit(work, || builder.build(index, split, &row))
                .and_then(|item| budget.spend(&item).map(|()| item));
            items.push(item.map_err(|error| {
                Error::manifest(format!("cannot make an item of {position}")).with_source(error)
            })?);
        }
        Ok(if items.len() < max_items { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    if items.is_empty() {
        return Err(Error::manifest(format!("`{path}` has no {split} items")));
    }
    Ok(items)
}

/// The total size that the texts of the remaining items of a split may have, in bytes.
struct TextBudget(usize);

impl TextBudget {
    fn spend(&mut self, item: &Item) -> Result<(), Error> {
        let texts = item.choices.iter().chain(&item.prompts).chain([&item.prompt]);
        let num_bytes: usize = texts.map(String::len).sum();
        self.0 = self.0.checked_sub(num_bytes).ok_or_else(|| {
            Error::manifest(format!(
                "the split's texts are longer than {}",
                format_bytes(MAX_SPLIT_BYTES as u64)
            ))
            .hint("shorten the texts of the templates, or lower `validation-items` or `test-items`")
        })?;
        Ok(())
    }
}

/// Assigns a row to the validation split or to the test split, by the hash of the row.
fn assign_split(row: &Row) -> Result<Split, Error> {
    Ok(match blake3::hash(row.to_json()?.as_bytes()).as_bytes()[0] % 2 {
        0 => Split::Validation,
        _ => Split::Test,
    })
}

struct ItemBuilder<'a> {
    templates: Templates,
    /// Whether the prompt uses the variable `choice`.
    has_prompt_per_choice: bool,
    task: &'a FileTask,
}

impl ItemBuilder<'_> {
    fn build(&self, index: usize, split: Split, row: &Row) -> Result<Item, Error> {
        let choices = self.choices(row)?;
        let render_for_each_choice = |template: &str| -> Result<Vec<String>, Error> {
            choices.iter().map(|choice| self.templates.render(template, row, Some(choice))).collect()
        };
        let (prompt, prompts) = match self.has_prompt_per_choice {
            true => (String::new(), render_for_each_choice(PROMPT)?),
            false => (self.templates.render(PROMPT, row, None)?, Vec::new()),
        };
        let label = self.label(row, &choices)?;
        let choices = match self.task.continuation {
            Some(_) => render_for_each_choice(CONTINUATION)?,
            None => choices,
        };
        Ok(Item { id: format!("{split}/{index:05}"), prompt, prompts, choices, label })
    }

    fn choices(&self, row: &Row) -> Result<Vec<String>, Error> {
        match &self.task.choices {
            Choices::Fixed(choices) => Ok(choices.clone()),
            Choices::Each(_) => {
                let (texts, _) = self.templates.evaluate(CHOICES, row)?;
                let texts = texts.try_iter().into_iter().flatten();
                Ok(texts.filter_map(|text| text.as_str().map(str::to_owned)).collect())
            }
        }
    }

    fn label(&self, row: &Row, choices: &[String]) -> Result<usize, Error> {
        let (label, text) = self.templates.evaluate(LABEL, row)?;
        let index = match label.as_usize() {
            Some(index) => Some(index).filter(|index| *index < choices.len()),
            None => choices.iter().position(|choice| *choice == text),
        };
        index
            .ok_or_else(|| Error::manifest(format!("the label {text} is not one of the choices {choices:?}")))
    }
}

fn parse_templates(task: &FileTask) -> Result<Templates, Error> {
    let mut templates = Templates::new();
    templates.add(PROMPT, &task.prompt)?;
    if let Some(continuation) = &task.continuation {
        templates.add(CONTINUATION, continuation)?;
    }
    if let Choices::Each(expression) = &task.choices {
        templates.add_list_expression(CHOICES, expression)?;
    }
    templates.add_expression(LABEL, &task.label)?;
    Ok(templates)
}
