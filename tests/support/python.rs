//! Finds a Python installation with the packages that a test needs.

use std::path::Path;
use std::process::{Command, Output};

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

/// Returns the command for the Python that the environment variable `variable` names, if that Python has the
/// packages of the file `requirements`. Otherwise, returns the reason why there is no such Python.
pub fn find_python(variable: &str, requirements: &str) -> Result<Command, String> {
    let python = std::env::var_os(variable).unwrap_or_else(|| "python3".into());
    let check = Command::new(&python)
        .args(["-c", CHECK_REQUIREMENTS])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(requirements))
        .output();
    let missing = match &check {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout),
        _ => return Err(format!("`{}` cannot be run; set {variable}", python.to_string_lossy())),
    };
    match missing.trim() {
        "" => Ok(Command::new(python)),
        missing => Err(format!("`{}` lacks {missing}; see {requirements}", python.to_string_lossy())),
    }
}

/// Asserts that a program ended with exit code 0.
pub fn assert_success(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
