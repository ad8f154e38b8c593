//! The Python interpreter that runs programs, and the files that it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use dtr_core::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Prints the interpreter's version, program file, library folders and loaded libraries as JSON.
const INSPECTION: &str = r#"
import json, os, sys, sysconfig
numpy_version = site_packages = None
try:
    import numpy
    numpy_version = numpy.__version__
    site_packages = os.path.dirname(os.path.dirname(os.path.realpath(numpy.__file__)))
except Exception:
    pass
import _ctypes, _decimal, _hashlib, _random, math
libraries = set()
try:
    for line in open("/proc/self/maps"):
        path = line.split(maxsplit=5)[5:]
        if path and path[0].startswith("/"):
            libraries.add(path[0].strip())
except OSError:
    pass
executable = getattr(sys, "_base_executable", None) or sys.executable
print(json.dumps({
    "version": sys.version, "numpy_version": numpy_version, "site_packages": site_packages,
    "executable": os.path.realpath(executable),
    "library_folders": sorted({os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}),
    "libraries": sorted(libraries),
}))
"#;

/// A Python interpreter: its version, and the files that it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PythonInterpreter {
    /// The text of `sys.version`.
    pub version: String,
    /// The version of numpy, if the interpreter has numpy.
    pub numpy_version: Option<String>,
    /// The folder that contains numpy.
    pub site_packages: Option<PathBuf>,
    /// The file of the interpreter itself. In a virtual environment, this is the file of the base
    /// interpreter.
    pub(crate) executable: PathBuf,
    pub(crate) library_folders: Vec<PathBuf>,
    pub(crate) libraries: Vec<PathBuf>,
}

impl PythonInterpreter {
    /// Asks the interpreter `python`, a path or a name in `PATH`, about itself. Runs it without a sandbox.
    ///
    /// # Errors
    /// Fails when the interpreter cannot be run, or is older than Python 3.
    pub fn inspect(python: &Path) -> Result<Self> {
        let hint = "install Python 3, or name an interpreter that works";
        let fail = |cause: String| {
            Error::environment(format!("cannot run Python `{}`: {cause}", python.display())).hint(hint)
        };
        let output = Command::new(python)
            .args(["-c", INSPECTION])
            .output()
            .map_err(|cause| fail(cause.to_string()))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let last_line = stderr.lines().last().unwrap_or_default().to_owned();
            return Err(fail(format!("{}: {last_line}", output.status)));
        }
        serde_json::from_slice(&output.stdout).map_err(|cause| fail(cause.to_string()))
    }

    /// Returns the files and folders that the interpreter reads.
    pub(crate) fn readable_paths(&self) -> Vec<PathBuf> {
        let own = [&self.executable].into_iter().chain(&self.library_folders).chain(&self.libraries);
        own.chain(&self.site_packages).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_missing_interpreter_names_it() {
        let error = PythonInterpreter::inspect(Path::new("/no/such/python")).unwrap_err();
        assert!(error.to_line().starts_with("cannot run Python `/no/such/python`: "), "{}", error.to_line());
    }
}
