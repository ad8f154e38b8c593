//! Loads the items of a multiple-choice task whose rows are in files. Templates turn each row into a prompt,
//! its choices and a label.

use super::few_shot::Example;
use super::jinja::Templates;
use super::rows::Row;
use super::split_rows::ItemBuilder;
use super::{Choices, FileTask, Item, Split};
use dtr_core::error::{Error, Result};

/// Names of a task's templates.
const PROMPT: &str = "prompt";
const CONTINUATION: &str = "continuation";
const CHOICES: &str = "choices";
const LABEL: &str = "label";

/// Loads the items of one split of `task`, in the order of their rows.
///
/// # Errors
/// Fails if the task has no file of the split, or if a file cannot be read or has no items of the split. Also
/// fails if a template fails for a row, or if a row's label is not one of the row's choices. These two errors
/// name the row.
pub(super) fn load_items(task: &FileTask, split: Split) -> Result<Vec<Item>> {
    let templates = parse_templates(task)?;
    let has_prompt_per_choice = templates.uses_choice(PROMPT);
    task.files().build_items(split, &ChoiceItemBuilder { templates, has_prompt_per_choice, task })
}

struct ChoiceItemBuilder<'a> {
    templates: Templates,
    /// Whether the prompt uses the variable `choice`.
    has_prompt_per_choice: bool,
    task: &'a FileTask,
}

impl ItemBuilder for ChoiceItemBuilder<'_> {
    type Item = Item;

    fn templates(&self) -> &Templates {
        &self.templates
    }

    fn is_item(&self, _row: &Row) -> Result<bool> {
        Ok(true)
    }

    fn num_bytes(item: &Item) -> usize {
        let texts = item.choices.iter().chain(&item.prompts).chain([&item.prompt]);
        texts.map(String::len).sum()
    }

    fn build(&self, id: String, row: &Row, examples: &[&Row]) -> Result<Item> {
        let examples: Vec<Example> =
            examples.iter().map(|example| self.example(example)).collect::<Result<_>>()?;
        let examples = self.task.shots.as_ref().map_or(String::new(), |shots| shots.format(&examples));
        let choices = self.choices(row)?;
        let label = self.label(row, &choices)?;
        let render_prompt = |choice| Ok(examples.clone() + &self.templates.render(PROMPT, row, choice)?);
        let (prompt, prompts) = match self.has_prompt_per_choice {
            true => {
                let prompts = choices.iter().map(|choice| render_prompt(Some(choice.as_str())));
                (String::new(), prompts.collect::<Result<Vec<_>>>()?)
            }
            false => (render_prompt(None)?, Vec::new()),
        };
        let choices = match self.task.continuation {
            Some(_) => choices.iter().map(|choice| self.continuation(row, choice)).collect::<Result<_>>()?,
            None => choices,
        };
        Ok(Item { id, prompt, prompts, choices, label })
    }
}

impl ChoiceItemBuilder<'_> {
    /// Renders the prompt and the correct choice of a row, for a few-shot example.
    fn example(&self, row: &Row) -> Result<Example> {
        let choices = self.choices(row)?;
        let correct = &choices[self.label(row, &choices)?];
        let choice = self.has_prompt_per_choice.then_some(correct.as_str());
        let target = match self.task.continuation {
            Some(_) => self.continuation(row, correct)?,
            None => correct.clone(),
        };
        Ok(Example { prompt: self.templates.render(PROMPT, row, choice)?, target })
    }

    fn continuation(&self, row: &Row, choice: &str) -> Result<String> {
        self.templates.render(CONTINUATION, row, Some(choice))
    }

    fn choices(&self, row: &Row) -> Result<Vec<String>> {
        match &self.task.choices {
            Choices::Fixed(choices) => Ok(choices.clone()),
            Choices::Each(_) => self.templates.evaluate_list(CHOICES, row),
        }
    }

    fn label(&self, row: &Row, choices: &[String]) -> Result<usize> {
        let (label, text) = self.templates.evaluate(LABEL, row)?;
        let index = match label.as_usize() {
            Some(index) => Some(index).filter(|index| *index < choices.len()),
            None => choices.iter().position(|choice| *choice == text),
        };
        index
            .ok_or_else(|| Error::manifest(format!("the label {text} is not one of the choices {choices:?}")))
    }
}

fn parse_templates(task: &FileTask) -> Result<Templates> {
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
