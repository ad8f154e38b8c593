//! The tasks of `experiments/base/harness.toml`. The program contains the text of this file, so that an
//! installed program can copy the tasks to a new manifest.

use super::spanned_value::{Content, SpannedValue};
use super::suggestions::{did_you_mean, quote_list};
use dtr_core::error::{Error, Result};

const HARNESS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/experiments/base/harness.toml"));

/// Returns the name and the text of each bundled task, in the order of the file.
///
/// The text is the task's table with its header and comments, exactly as in the file.
fn bundled_tasks() -> Vec<(String, &'static str)> {
    let file = SpannedValue::parse(HARNESS, 0).expect("the bundled tasks are valid TOML");
    let Some(Content::Table(tasks)) = file.find(&["tasks"]).map(|tasks| &tasks.content) else {
        unreachable!("the bundled file defines tasks");
    };
    let start = |task: &SpannedValue| line_start(task.key_or_value_span().range.start);
    let mut starts: Vec<(usize, &String)> = tasks.iter().map(|(name, task)| (start(task), name)).collect();
    starts.sort_unstable();
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([HARNESS.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|((start, name), end)| ((*name).clone(), HARNESS[*start..end].trim_end()))
        .collect()
}

/// Returns the text of the bundled task `name`.
///
/// # Errors
/// Fails if no bundled task has this name.
pub(super) fn bundled_task(name: &str) -> Result<&'static str> {
    let tasks = bundled_tasks();
    if let Some((_, text)) = tasks.iter().find(|(known, _)| known == name) {
        return Ok(text);
    }
    let names: Vec<&str> = tasks.iter().map(|(known, _)| known.as_str()).collect();
    let error =
        Error::manifest(format!("cannot find the task `{name}`: it is not one of {}", quote_list(&names)));
    Err(error.hint(did_you_mean(name, &names, "define a task of your own in the manifest, or choose one of")))
}

/// Returns the start of the line that contains the byte `index` of the file.
fn line_start(index: usize) -> usize {
    HARNESS[..index].rfind('\n').map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_defines_the_same_task_as_the_file() {
        let file: toml::Table = HARNESS.parse().unwrap();
        let all = file["tasks"].as_table().unwrap();
        let tasks = bundled_tasks();
        assert_eq!(tasks.len(), all.len());
        assert_eq!(tasks[0].0, "arc-easy", "the order is not that of the file");
        for (name, text) in tasks {
            let one: toml::Table = text.parse().unwrap();
            let defined = one["tasks"].as_table().unwrap();
            assert_eq!((defined.len(), &defined[&name]), (1, &all[&name]), "{name}");
            assert!(text.starts_with(&format!("[tasks.{name}.")) && HARNESS.contains(text), "{name}: {text}");
        }
    }

    #[test]
    fn an_unknown_task_is_refused_with_the_names_and_a_suggestion() {
        let error = format!("{:?}", miette::Report::new(bundled_task("arc-esay").unwrap_err()));
        assert!(error.contains("`pubmedqa`") && error.contains("did you mean `arc-easy`?"), "{error}");
    }
}
