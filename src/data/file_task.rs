//! Items of a task whose rows are in files: templates turn each row into a prompt, its choices and a label.

use super::jinja::Templates;
use super::rows::{self, JsonRow};
use super::{Choices, FileTask, Item, Split, SplitPolicy};
use crate::hub;
use dtr_core::error::Error;
use dtr_core::files::format_bytes;
use dtr_core::memory_guard::with_memory_limit;

/// Names of a task's templates.
const PROMPT: &str = "prompt";
const CONTINUATION: &str = "continuation";

/// The maximum total size, in bytes, of the texts of one split.
const MAX_SPLIT_BYTES: usize = 1 << 30;

/// Returns the file with the rows of `split`, and whether the file's rows are divided between two splits.
pub fn split_file(task: &FileTask, split: Split) -> (&str, bool) {
    match (&task.validation, split) {
        (Some(validation), Split::Train | Split::Validation) => (validation, false),
        (validation, _) => (&task.test, validation.is_none() && task.splits == SplitPolicy::HeldOut),
    }
}

/// Loads the items of one split of `task`, in the order of their rows. The train split is empty.
///
/// # Errors
/// A manifest error when a template fails for a row, or when a row's label is not one of its choices. The
/// error names the row.
pub(super) fn load_items(task: &FileTask, split: Split) -> Result<Vec<Item>, Error> {
    let max_items = match split {
        Split::Train => Some(0),
        Split::Validation => task.validation_items,
        Split::Test => task.test_items,
    };
    let (path, is_divided) = split_file(task, split);
    let builder = ItemBuilder { templates: &parse_templates(task)?, task };
    let rows = rows::read_rows(&hub::local_or_cached_path(path)?)?.into_iter().enumerate();
    let rows_of_split = rows.filter(|(_, row)| !is_divided || assign_split(row) == split);
    let mut budget = TextBudget(MAX_SPLIT_BYTES);
    let items: Vec<Item> = rows_of_split
        .take(max_items.unwrap_or(usize::MAX))
        .map(|(index, row)| {
            let position = format!("row {} of `{path}`", index + 1);
            let work = format!("rendering the task's templates for {position}");
            with_memory_limit(work, || builder.build(index, split, &row))
                .and_then(|item| budget.spend(&item).map(|()| item))
                .map_err(|error| {
                    Error::manifest(format!("cannot make an item of {position}")).with_source(error)
                })
        })
        .collect::<Result<_, _>>()?;
    if items.is_empty() && split != Split::Train {
        return Err(Error::manifest(format!("`{path}` has no {split} items")));
    }
    Ok(items)
}

/// The maximum number of bytes of the split's remaining texts.
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

/// Assigns a row of a divided file to one of the two splits, by the row's hash.
fn assign_split(row: &JsonRow) -> Split {
    let text = serde_json::to_string(row).expect("a row is plain JSON");
    match blake3::hash(text.as_bytes()).as_bytes()[0] % 2 {
        0 => Split::Validation,
        _ => Split::Test,
    }
}

/// Builds items from rows.
struct ItemBuilder<'a> {
    templates: &'a Templates,
    task: &'a FileTask,
}

impl ItemBuilder<'_> {
    fn build(&self, index: usize, split: Split, row: &JsonRow) -> Result<Item, Error> {
        let failed = |part: &str| {
            let message = format!("cannot compute its {part}");
            move |cause: minijinja::Error| Error::manifest(message).with_source(cause)
        };
        let choices = self.choices(row).map_err(failed("choices"))?;
        let render_for_each_choice = |template: &str| -> Result<Vec<String>, minijinja::Error> {
            choices.iter().map(|choice| self.templates.render(template, row, Some(choice))).collect()
        };
        let (prompt, prompts) = match self.templates.uses_choice(PROMPT) {
            true => (String::new(), render_for_each_choice(PROMPT).map_err(failed("prompt"))?),
            false => (self.templates.render(PROMPT, row, None).map_err(failed("prompt"))?, Vec::new()),
        };
        let label = self.label(row, &choices, failed("label"))?;
        let choices = match self.task.continuation {
            Some(_) => render_for_each_choice(CONTINUATION).map_err(failed("continuation"))?,
            None => choices,
        };
        Ok(Item { id: format!("{split}/{index:05}"), prompt, prompts, choices, label })
    }

    fn choices(&self, row: &JsonRow) -> Result<Vec<String>, minijinja::Error> {
        match &self.task.choices {
            Choices::Fixed(choices) => Ok(choices.clone()),
            Choices::Each(expression) => {
                let list = self.templates.evaluate(expression, row)?;
                list.try_iter()?.map(|choice| Ok(choice.to_string())).collect()
            }
        }
    }

    fn label(
        &self,
        row: &JsonRow,
        choices: &[String],
        failed: impl FnOnce(minijinja::Error) -> Error,
    ) -> Result<usize, Error> {
        let label = self.templates.evaluate(&self.task.label, row).map_err(failed)?;
        let index = match label.as_usize() {
            Some(index) => Some(index).filter(|index| *index < choices.len()),
            None => choices.iter().position(|choice| *choice == label.to_string()),
        };
        index.ok_or_else(|| {
            Error::manifest(format!("its label {label} is not one of its choices {choices:?}"))
        })
    }
}

fn parse_templates(task: &FileTask) -> Result<Templates, Error> {
    let mut templates = Templates::new();
    let texts = [(PROMPT, Some(&task.prompt)), (CONTINUATION, task.continuation.as_ref())];
    for (name, text) in texts.into_iter().filter_map(|(name, text)| text.map(|text| (name, text))) {
        templates.add(name, text).map_err(|cause| {
            Error::manifest(format!("the task's `{name}` is not a valid template")).with_source(cause)
        })?;
    }
    Ok(templates)
}
