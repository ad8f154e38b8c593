//! Functions that read a file as rows of a task or as documents of a corpus.

use std::path::Path;

use dtr::data::documents::for_each_document;
use dtr::data::{Choices, DocumentUnit, FileCorpus, FileTask, Metric, SplitPolicy, Task, TaskSource};
use dtr::data::{Split, load_items};
use dtr_core::error::Result;

use crate::refusals::Refusals;
use crate::temp_folder::TempFolder;

/// A row that tasks and corpora accept.
pub const VALID_ROW: &str = "{\"question\": \"q\", \"label\": \"yes\", \"text\": \"t\"}\n";

/// Creates a task over the rows of a file.
pub fn task(path: &Path) -> FileTask {
    FileTask {
        train: None,
        train_items: None,
        validation: None,
        test: path.display().to_string(),
        splits: SplitPolicy::AsPublished,
        validation_items: None,
        test_items: None,
        prompt: "{{ question }}".to_owned(),
        continuation: None,
        choices: Choices::Fixed(vec!["yes".to_owned(), "no".to_owned()]),
        label: "label".to_owned(),
        metric: Metric::Acc,
        shots: None,
    }
}

/// Reads the items of a task and returns their number.
pub fn count_task_items(task: FileTask) -> Result<usize> {
    load_items(&Task { source: TaskSource::File(task) }, Split::Test).map(|items| items.len())
}

/// Reads the rows of a file for a task, and returns the number of test items. The task's templates use no
/// column. The reader still reads every column, because the split of a row depends on all columns of the row.
pub fn count_rows(path: &Path) -> Result<usize> {
    let splits = SplitPolicy::HeldOut;
    count_task_items(FileTask { prompt: "q".to_owned(), label: "0".to_owned(), splits, ..task(path) })
}

/// Reads the documents of a file and returns their number.
pub fn count_documents(path: &Path, document: DocumentUnit) -> Result<usize> {
    let corpus = FileCorpus {
        paths: vec![path.display().to_string()],
        column: "text".to_owned(),
        document,
        separator: String::new(),
    };
    let mut count = 0;
    for_each_document(&corpus, &mut |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Checks that the readers of tasks and of corpora refuse a file. The errors must contain the path of the
/// file and all of `texts`. A `.txt` file is read only as a corpus, because tasks do not read plain text.
pub fn check_file_is_refused(refusals: &mut Refusals, name: &str, bytes: &[u8], texts: &[&str]) {
    let folder = TempFolder::new();
    let path = folder.write(name, bytes);
    let (file, start) = (path.display().to_string(), String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
    let texts = [&[file.as_str()], texts].concat();
    if !name.contains(".txt") {
        refusals.check(&format!("task {name} {start}"), &texts, || count_task_items(task(&path)));
    }
    let case = format!("corpus {name} {start}");
    refusals.check(&case, &texts, || count_documents(&path, DocumentUnit::Paragraph));
}
