//! The report page in a browser, and the tables in a Python notebook.
//!
//! The tests need Chromium, and Python with pinned packages. A test that lacks one of these programs or
//! packages reports itself as skipped.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::project::{Project, repository_root};
use crate::skipped::report_skipped;

/// The exit code of `report_page.py` if there is no browser.
const NO_BROWSER: i32 = 77;

/// A Python script that reads a requirements file and prints the requirements that this Python installation
/// does not meet.
const CHECK_REQUIREMENTS: &str = r#"
import sys
from importlib.metadata import PackageNotFoundError, version
for line in open(sys.argv[1]):
    name, wanted = line.strip().split("==")
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "none"
    if found != wanted:
        print(f"{name} {wanted} (found {found})", end=" ")
"#;

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

fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Returns the command for a Python with the packages of a requirements file, or the reason why there is no
/// such Python.
fn python(requirements: &str) -> Result<Command, String> {
    let python = std::env::var_os("DTR_PYTHON").unwrap_or_else(|| "python3".into());
    let check = Command::new(&python)
        .args(["-c", CHECK_REQUIREMENTS])
        .arg(repository_root().join(requirements))
        .output();
    let missing = match &check {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout),
        _ => return Err(format!("`{}` cannot be run; set DTR_PYTHON", python.to_string_lossy())),
    };
    match missing.trim() {
        "" => Ok(Command::new(python)),
        missing => Err(format!("`{}` lacks {missing}; see {requirements}", python.to_string_lossy())),
    }
}

#[test]
fn the_page_is_readable_in_a_browser() {
    let mut browser = match python("tests/cli/requirements.txt") {
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
    let mut notebook = match python("notebooks/requirements.txt") {
        Ok(python) => python,
        Err(reason) => return report_skipped(&reason),
    };
    notebook.arg(repository_root().join("notebooks/analysis.py")).env("DTR_TABLES", tables());
    assert_success(&notebook.output().unwrap());
}
