//! The sandboxed process: gives up its rights in a fixed order, then becomes the Python interpreter.
//!
//! The process has one thread, because it has just been started for this purpose.

mod files;
mod namespaces;
mod privileges;
mod resource_limits;
mod system_calls;

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dtr_core::error::{Error, Result};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::layers::SandboxLayers;

pub(crate) use privileges::NOBODY;

/// The exit code of a process that could not be confined or could not start Python.
const SETUP_FAILED: u8 = 125;

/// The configuration of a sandboxed process. Its parent passes the configuration as one argument, in JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChildConfig {
    /// The id of the process that started this process.
    pub parent: u32,
    pub python: PathBuf,
    pub runner: PathBuf,
    /// The only folder in which the program can write.
    pub work_folder: PathBuf,
    /// Files and folders that the interpreter reads.
    pub readable: Vec<PathBuf>,
    /// The control group that the process joins.
    pub cgroup: Option<PathBuf>,
    /// Whether a user without rights can read the interpreter.
    pub is_python_public: bool,
    pub cpu_seconds: u64,
    /// The most threads and processes of the user.
    pub max_tasks: u64,
    /// The layers that must be in force. Without them, the process reports its layers and ends.
    pub required: Option<SandboxLayers>,
}

/// Confines this process as its parent asks, and then becomes the Python interpreter.
///
/// `arguments` are the arguments after [`CHILD_SUBCOMMAND`](crate::CHILD_SUBCOMMAND). On failure, the process
/// prints the cause and ends.
pub fn child_main(arguments: impl IntoIterator<Item = OsString>) -> ! {
    let Err(error) = parse_config(arguments).and_then(|config| confine_and_run(&config));
    eprintln!("{}", error.to_line());
    std::process::exit(SETUP_FAILED.into())
}

fn parse_config(arguments: impl IntoIterator<Item = OsString>) -> Result<ChildConfig> {
    let invalid = || Error::manifest("cannot start a sandboxed process: its configuration is invalid");
    let argument = arguments.into_iter().next().ok_or_else(invalid)?;
    serde_json::from_slice(argument.as_encoded_bytes()).map_err(|cause| invalid().with_source(cause))
}

fn confine_and_run(config: &ChildConfig) -> Result<std::convert::Infallible> {
    let layers = confine(config)?;
    match &config.required {
        None => {
            println!("{}", serde_json::to_string(&layers).expect("layers are JSON"));
            std::process::exit(0)
        }
        Some(required) if *required != layers => Err(Error::environment(format!(
            "cannot confine the program: the layers changed from `{required}` to `{layers}`"
        ))),
        Some(_) => Err(exec_python(config)),
    }
}

fn confine(config: &ChildConfig) -> Result<SandboxLayers> {
    let cannot = |verb: &str, cause: rustix::io::Errno| {
        Error::environment(format!("cannot {verb} in the sandboxed process")).with_source(cause)
    };
    rustix::process::setsid().map_err(|cause| cannot("start a session", cause))?;
    let cgroup = config.cgroup.as_deref().is_some_and(join_cgroup);
    let outer_uid = rustix::process::geteuid();
    let mut namespaces = namespaces::unshare_all(outer_uid.is_root());
    if namespaces.contains(&"mount") && files::enter_small_root(config).is_err() {
        namespaces.retain(|name| *name != "mount");
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    std::env::set_current_dir(&config.work_folder)
        .map_err(|cause| Error::io("enter", &config.work_folder, cause))?;
    let can_change_user = namespaces.contains(&"mount") || config.is_python_public;
    let uid = privileges::drop_all(outer_uid, can_change_user)?;
    let rlimits = resource_limits::set(config);
    // A change of the user id resets the death signal, so this signal is set after the change.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|cause| cannot("follow the end of the parent", cause))?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(config.parent) {
        return Err(Error::interrupted());
    }
    rustix::thread::set_no_new_privs(true).map_err(|cause| cannot("give up new privileges", cause))?;
    let landlock_abi = files::restrict(config);
    let seccomp = system_calls::restrict();
    let namespaces = namespaces.into_iter().map(str::to_owned).collect();
    Ok(SandboxLayers { landlock_abi, namespaces, seccomp, cgroup, rlimits, uid: uid.as_raw() })
}

fn join_cgroup(cgroup: &Path) -> bool {
    fs::write(cgroup.join("cgroup.procs"), "0").is_ok()
}

/// Replaces this process by the interpreter. Returns only if that fails.
fn exec_python(config: &ChildConfig) -> Error {
    // The option `-I` would make Python ignore PYTHONHASHSEED. Its other effects are not needed, because the
    // environment has no other variable of Python.
    let cause = Command::new(&config.python)
        .args(["-s", "-S", "-B"])
        .arg(&config.runner)
        .env_clear()
        .env("HOME", &config.work_folder)
        .env("TMPDIR", &config.work_folder)
        .envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("PYTHONHASHSEED", "0")])
        .envs([("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1")])
        .exec();
    Error::io("run", &config.python, cause)
}
