//! Builds the items of a task's split from the rows of the task's files.

use std::ops::ControlFlow;

use super::few_shot::{ExampleSelector, Shots};
use super::jinja::Templates;
use super::rows::{ColumnSelection, Row, for_each_row};
use super::{Split, SplitPolicy};
use dtr_core::error::{Error, Result};
use dtr_core::files::format_bytes;
use dtr_core::memory_guard::with_memory_limit;

/// The maximum total size of the texts of one split, in bytes.
const MAX_SPLIT_BYTES: usize = 1 << 30;

/// The files of a task, and the settings that decide which rows belong to which split.
#[derive(Clone, Copy, Debug)]
pub struct TaskFiles<'a> {
    /// The file of train rows. `None` if the task has none.
    pub train: Option<&'a str>,
    /// The file of validation rows. `None` if `test` also holds the validation rows.
    pub validation: Option<&'a str>,
    /// The file of test rows.
    pub test: &'a str,
    /// Which rows of `test` each split gets, if `validation` is absent.
    pub splits: SplitPolicy,
    /// The maximum number of train items.
    pub train_items: Option<usize>,
    /// The maximum number of validation items.
    pub validation_items: Option<usize>,
    /// The maximum number of test items.
    pub test_items: Option<usize>,
    /// The few-shot examples.
    pub shots: Option<&'a Shots>,
    /// The file with the tests of programs, or with the script that scores answers. `None` if the task has no
    /// such file.
    pub tests: Option<&'a str>,
}

/// The file with the rows of a split.
pub struct SplitFile<'a> {
    /// Path or hub location of the file.
    pub path: &'a str,
    /// Whether the file's rows are divided between the validation and the test split.
    pub is_divided: bool,
}

impl<'a> TaskFiles<'a> {
    /// Returns the file with the rows of `split`.
    ///
    /// # Errors
    /// Fails for the train split if the task has no file of train rows.
    pub fn split_file(&self, split: Split) -> Result<SplitFile<'a>> {
        Ok(match (self.validation, split) {
            (_, Split::Train) => {
                let path = self.train.ok_or_else(|| {
                    Error::manifest("the task has no train items")
                        .hint("name the file of train rows in the task's key `train`")
                })?;
                SplitFile { path, is_divided: false }
            }
            (Some(validation), Split::Validation) => SplitFile { path: validation, is_divided: false },
            (validation, _) => {
                let is_divided = validation.is_none() && self.splits == SplitPolicy::HeldOut;
                SplitFile { path: self.test, is_divided }
            }
        })
    }

    /// Returns the maximum number of items of `split`, or `None` if there is no maximum.
    pub fn max_items(&self, split: Split) -> Option<usize> {
        match split {
            Split::Test => self.test_items,
            Split::Train => self.train_items,
            Split::Validation => self.validation_items,
        }
    }

    /// Returns the paths of the files from which the items of `split` are built.
    pub fn paths_of_split(&self, split: Split) -> impl Iterator<Item = &'a str> {
        let examples = self.shots.and_then(|shots| shots.from.as_deref());
        let file = self.split_file(split).ok();
        file.map(|file| file.path).into_iter().chain(examples).chain(self.tests)
    }

    /// Builds the items of `split` from its rows, in the order of the rows.
    ///
    /// # Errors
    /// Fails if a file cannot be read or has no items of the split. Also fails if `builder` fails for a row.
    /// This error names the row.
    pub(super) fn build_items<B: ItemBuilder>(&self, split: Split, builder: &B) -> Result<Vec<B::Item>> {
        let SplitFile { path, is_divided } = self.split_file(split)?;
        let is_own_example = self.shots.is_some_and(|shots| shots.from.as_deref() == Some(path));
        let includes_json = is_divided || is_own_example || builder.needs_all_columns();
        let names = builder.templates().identifiers().clone();
        let columns = ColumnSelection { names, includes_json };
        let read_examples = |shots| ExampleSelector::read(shots, path, &columns);
        let mut examples = self.shots.map(read_examples).transpose()?;
        let (mut budget, mut items) = (TextBudget(MAX_SPLIT_BYTES), Vec::new());
        let max_items = self.max_items(split).unwrap_or(usize::MAX);
        for_each_row(path, &columns, &mut |index, row| {
            let position = format!("row {} of `{path}`", index + 1);
            let explain =
                |error| Error::manifest(format!("cannot make an item of {position}")).with_source(error);
            if !builder.is_item(&row).map_err(explain)? {
                return Ok(ControlFlow::Continue(()));
            }
            // Rows of the other split draw examples too, because each draw affects the draws of later rows.
            // The examples of a row are therefore the same for each requested split.
            let examples = examples.as_mut().map_or(Ok(Vec::new()), |examples| examples.select(&row))?;
            if !is_divided || assign_split(&row)? == split {
                let work = format!("rendering the task's templates for {position}");
                let build = || builder.build(format!("{split}/{index:05}"), &row, &examples);
                let item = with_memory_limit(work, build)
                    .and_then(|item| budget.spend(B::num_bytes(&item)).map(|()| item));
                items.push(item.map_err(explain)?);
            }
            Ok(if items.len() < max_items { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        if items.is_empty() {
            return Err(Error::manifest(format!("`{path}` has no {split} items")));
        }
        Ok(items)
    }
}

/// Builds the items of a task from its rows.
pub(super) trait ItemBuilder {
    /// An item of the task.
    type Item;

    /// Returns the task's templates. A reader of Parquet files reads the columns that the templates name.
    fn templates(&self) -> &Templates;

    /// Returns whether items hold all columns of their rows.
    fn needs_all_columns(&self) -> bool {
        false
    }

    /// Returns whether a row is an item.
    fn is_item(&self, row: &Row) -> Result<bool>;

    /// Builds the item with the identifier `id` from its row. `examples` are the rows of its few-shot examples.
    fn build(&self, id: String, row: &Row, examples: &[&Row]) -> Result<Self::Item>;

    /// Returns the size of an item's texts in bytes.
    fn num_bytes(item: &Self::Item) -> usize;
}

/// The maximum total size of the texts of the items that are still to be built, in bytes.
struct TextBudget(usize);

impl TextBudget {
    fn spend(&mut self, num_bytes: usize) -> Result<()> {
        self.0 = self.0.checked_sub(num_bytes).ok_or_else(|| {
            Error::manifest(format!(
                "the split's texts are longer than {}",
                format_bytes(MAX_SPLIT_BYTES as u64)
            ))
            .hint("shorten the texts of the templates, or lower `train-items`, `validation-items` or `test-items`")
        })?;
        Ok(())
    }
}

/// Assigns a row to the validation split or to the test split, by the hash of the row.
fn assign_split(row: &Row) -> Result<Split> {
    Ok(match blake3::hash(row.to_json()?.as_bytes()).as_bytes()[0] % 2 {
        0 => Split::Validation,
        _ => Split::Test,
    })
}
