//! The report page in a browser, and the tables in a Python notebook.
//!
//! The tests need Chromium, and Python with pinned packages. A test that lacks one of these programs or
//! packages reports itself as skipped.

use std::path::PathBuf;

use crate::project::{Project, repository_root};
use crate::python::{assert_success, find_python};
use crate::skipped::report_skipped;

/// The exit code of `report_page.py` if there is no browser.
const NO_BROWSER: i32 = 77;

/// Settings with markup in the title, and with searches of several rounds. The page must show the markup as
/// text.
const SETTINGS: &[&str] = &[
    r#"report.title="<b>Small</b> & <script>throw new Error('it ran')</script>""#,
    "search.stop={ max-relative-drop = 0.5 }",
];

/// Returns the folder of tables of a finished sweep.
fn tables() -> PathBuf {
    Project::finished(SETTINGS).results().join("tables/small")
}

#[test]
fn the_page_is_readable_in_a_browser() {
    let mut browser = match find_python("DTR_PYTHON", "tests/cli/requirements.txt") {
        Ok(python) => python,
        Err(reason) => return report_skipped(&reason),
    };
    let script = repository_root().join("tests/cli/report_page.py");
    let output = browser.arg(script).arg(tables().join("index.html")).output().unwrap();
    match output.status.code() {
        Some(NO_BROWSER) => report_skipped(String::from_utf8_lossy(&output.stderr).trim()),
        _ => assert_success(&output),
    }
}

#[test]
fn the_notebook_runs_on_the_tables_of_a_sweep() {
    let mut notebook = match find_python("DTR_PYTHON", "notebooks/requirements.txt") {
        Ok(python) => python,
        Err(reason) => return report_skipped(&reason),
    };
    notebook.arg(repository_root().join("notebooks/analysis.py")).env("DTR_TABLES", tables());
    assert_success(&notebook.output().unwrap());
}
