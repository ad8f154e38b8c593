//! What readers do with results: look at the page in a browser, and ask the tables in Python.
//!
//! Neither is needed to build or run anything, so a machine without them passes, and says what it skipped.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What `page.py` exits with where there is no browser.
const SKIPPED: i32 = 77;

/// Names what a Python lacks of a file of requirements; silent when it has all.
const LACKS: &str = r#"
import sys
from importlib.metadata import PackageNotFoundError, version
for line in open(sys.argv[1]):
    name, wanted = line.strip().split("==")
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "none"
    if found != wanted:
        print(f"{name} {wanted} (there is {found})", end=" ")
"#;

/// Titles are text, whatever is in them.
const TITLE: &str = r#"report.title="<b>Small</b> & <script>throw new Error('it ran')</script>""#;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The tables of a small sweep, which is done once.
fn tables() -> PathBuf {
    static RESULTS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let results = RESULTS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut sweep = Command::new(env!("CARGO_BIN_EXE_dtr"));
        sweep.arg("sweep").arg(root("tests/manifests/small.toml")).arg("--results").arg(folder.path());
        succeed(
            &sweep
                .args(["--set", TITLE, "--set", "search.stop={ max-relative-drop = 0.5 }"])
                .output()
                .unwrap(),
        );
        folder
    });
    results.path().join("tables/small")
}

fn succeed(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Past the test runner, which keeps what passing tests print.
fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// A Python with the packages that a file pins, or why there is none.
fn python(requirements: &str) -> Result<Command, String> {
    let python = std::env::var_os("DTR_PYTHON").unwrap_or_else(|| "python3".into());
    let asked = Command::new(&python).args(["-c", LACKS]).arg(root(requirements)).output();
    let lacks = match &asked {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout),
        _ => return Err(format!("`{}` does not run; DTR_PYTHON names another", python.to_string_lossy())),
    };
    match lacks.trim() {
        "" => Ok(Command::new(python)),
        lacks => Err(format!("`{}` lacks {lacks}; see {requirements}", python.to_string_lossy())),
    }
}

#[test]
fn the_page_reads_well_in_a_browser() {
    let mut browser = match python("tests/cli/requirements.txt") {
        Ok(python) => python,
        Err(why) => return skip("the page in a browser", &why),
    };
    let output =
        browser.arg(root("tests/cli/report_page.py")).arg(tables().join("index.html")).output().unwrap();
    match output.status.code() {
        Some(SKIPPED) => skip("the page in a browser", String::from_utf8_lossy(&output.stderr).trim()),
        _ => succeed(&output),
    }
}

#[test]
fn the_notebook_holds_on_a_sweeps_tables() {
    let mut notebook = match python("notebooks/requirements.txt") {
        Ok(python) => python,
        Err(why) => return skip("the notebook", &why),
    };
    succeed(&notebook.arg(root("notebooks/analysis.py")).env("DTR_TABLES", tables()).output().unwrap());
}
