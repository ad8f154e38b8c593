//! Items of a file's rows: templates make each row a prompt, its choices and the right one.

use super::jinja::Jinja;
use super::rows::{self, Row};
use super::{Item, Split};
use crate::hub;
use crate::manifest::{Choices, FileTask, Splits};
use dtr_core::error::Error;
use dtr_core::files::format_bytes;
use dtr_core::memory_guard::with_memory_limit;

/// The names of a task's templates.
const PROMPT: &str = "prompt";
const CONTINUATION: &str = "continuation";

/// The file that the rows of `split` come from, and whether it is cut in two.
pub fn file_of_split(task: &FileTask, split: Split) -> (&str, bool) {
    match (&task.validation, split) {
        (Some(validation), Split::Train | Split::Validation) => (validation, false),
        (validation, _) => (&task.test, validation.is_none() && task.splits == Splits::HeldOut),
    }
}

/// The items of one split of `task`, in the order of their rows; it has no train split.
///
/// # Errors
/// A manifest error that names the row where a template fails or the label is none of the choices.
pub(super) fn items(task: &FileTask, split: Split) -> Result<Vec<Item>, Error> {
    let most = match split {
        Split::Train => Some(0),
        Split::Validation => task.validation_items,
        Split::Test => task.test_items,
    };
    let (path, is_cut) = file_of_split(task, split);
    let recipe = Recipe { jinja: &jinja(task)?, task };
    let rows = rows::read(&hub::local_path(path)?)?.into_iter().enumerate();
    let owned = rows.filter(|(_, row)| !is_cut || owner(row) == split);
    let mut left = Left(MOST_TEXT);
    let items: Vec<Item> = owned
        .take(most.unwrap_or(usize::MAX))
        .map(|(index, row)| {
            let place = format!("row {} of `{path}`", index + 1);
            with_memory_limit(format!("what the task's templates make of {place}"), || {
                recipe.item(index, split, &row)
            })
            .and_then(|item| left.take(&item).map(|()| item))
            .map_err(|error| Error::manifest(format!("{place} makes no item")).with_source(error))
        })
        .collect::<Result<_, _>>()?;
    if items.is_empty() && split != Split::Train {
        return Err(Error::manifest(format!("`{path}` has no {split} items")));
    }
    Ok(items)
}

/// The most bytes of texts of one split.
const MOST_TEXT: usize = 1 << 30;

/// Bytes that are left for texts.
struct Left(usize);

impl Left {
    fn take(&mut self, item: &Item) -> Result<(), Error> {
        let texts = item.choices.iter().chain(&item.prompts).chain([&item.prompt]);
        let bytes: usize = texts.map(String::len).sum();
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            Error::manifest(format!("the split's texts are more than {}", format_bytes(MOST_TEXT as u64)))
                .hint("shorten what the templates make, or take fewer items")
        })?;
        Ok(())
    }
}

/// The split that a row of an undivided file belongs to.
fn owner(row: &Row) -> Split {
    let text = serde_json::to_string(row).expect("a row is plain JSON");
    match blake3::hash(text.as_bytes()).as_bytes()[0] % 2 {
        0 => Split::Validation,
        _ => Split::Test,
    }
}

/// What makes items of rows.
struct Recipe<'a> {
    jinja: &'a Jinja,
    task: &'a FileTask,
}

impl Recipe<'_> {
    fn item(&self, index: usize, split: Split, row: &Row) -> Result<Item, Error> {
        let failed = |what: &str| {
            let message = format!("its {what} cannot be made");
            move |cause: minijinja::Error| Error::manifest(message).with_source(cause)
        };
        let choices = self.choices(row).map_err(failed("choices"))?;
        let each = |template: &str| -> Result<Vec<String>, minijinja::Error> {
            choices.iter().map(|choice| self.jinja.render(template, row, Some(choice))).collect()
        };
        let by_choice = self.jinja.speaks_of_choice(PROMPT);
        let (prompt, prompts) = match by_choice {
            true => (String::new(), each(PROMPT).map_err(failed("prompt"))?),
            false => (self.jinja.render(PROMPT, row, None).map_err(failed("prompt"))?, Vec::new()),
        };
        let label = self.label(row, &choices, failed("label"))?;
        let choices = match self.task.continuation {
            Some(_) => each(CONTINUATION).map_err(failed("continuation"))?,
            None => choices,
        };
        Ok(Item { id: format!("{split}/{index:05}"), prompt, prompts, choices, label })
    }

    fn choices(&self, row: &Row) -> Result<Vec<String>, minijinja::Error> {
        match &self.task.choices {
            Choices::Fixed(choices) => Ok(choices.clone()),
            Choices::Each(expression) => {
                let list = self.jinja.evaluate(expression, row)?;
                list.try_iter()?.map(|choice| Ok(choice.to_string())).collect()
            }
        }
    }

    fn label(
        &self,
        row: &Row,
        choices: &[String],
        failed: impl FnOnce(minijinja::Error) -> Error,
    ) -> Result<usize, Error> {
        let label = self.jinja.evaluate(&self.task.label, row).map_err(failed)?;
        let position = match label.as_usize() {
            Some(index) => Some(index).filter(|index| *index < choices.len()),
            None => choices.iter().position(|choice| *choice == label.to_string()),
        };
        position
            .ok_or_else(|| Error::manifest(format!("its label {label} is none of its choices {choices:?}")))
    }
}

/// Reads the templates of a task.
fn jinja(task: &FileTask) -> Result<Jinja, Error> {
    let mut jinja = Jinja::new();
    let named = [(PROMPT, Some(&task.prompt)), (CONTINUATION, task.continuation.as_ref())];
    for (name, text) in named.into_iter().filter_map(|(name, text)| text.map(|text| (name, text))) {
        jinja.add(name, text).map_err(|cause| {
            Error::manifest(format!("the task's `{name}` is not a template")).with_source(cause)
        })?;
    }
    Ok(jinja)
}
