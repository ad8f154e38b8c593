//! The sandbox on systems other than Linux: it runs no programs.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use dtr_core::error::{Error, Result};
use serde::de::DeserializeOwned;

use crate::layers::SandboxLayers;
use crate::program::Job;
use crate::sandbox::{AttackResult, Sandbox};
use crate::verdict::Verdict;

pub(crate) fn find_cgroup_parent() -> Option<PathBuf> {
    None
}

pub(crate) fn count_tasks() -> u64 {
    0
}

pub(crate) fn make_readable(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn unsupported() -> Error {
    Error::environment("cannot confine Python programs: this system is not Linux")
        .hint("run this command on Linux, or in a Linux virtual machine")
}

/// Prints that the system is not supported, and ends the process.
pub fn child_main(_arguments: impl IntoIterator<Item = OsString>) -> ! {
    eprintln!("{}", unsupported().to_line());
    std::process::exit(125)
}

impl Sandbox {
    pub(crate) fn find_layers(&self) -> Result<SandboxLayers> {
        Err(unsupported())
    }

    pub(crate) fn judge(&self, _job: Job) -> Result<Verdict> {
        Err(unsupported())
    }

    pub(crate) fn answer<T: DeserializeOwned>(&self, _job: Job) -> Result<std::result::Result<T, String>> {
        Err(unsupported())
    }

    /// Fails: only Linux is supported.
    ///
    /// # Errors
    /// Fails always.
    pub fn probe_attacks(&self) -> Result<Vec<AttackResult>> {
        Err(unsupported())
    }
}
