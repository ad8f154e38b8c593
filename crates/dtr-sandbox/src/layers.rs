//! The layers of protection around a program.

use std::fmt;

use dtr_core::error::Error;
use serde::{Deserialize, Serialize};

/// The layers of protection around a program. The sandboxed process itself reports the layers that are in
/// force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLayers {
    /// The version of Landlock that confines files, or 0 without Landlock.
    pub landlock_abi: u32,
    /// The namespaces of the process: `user`, `mount`, `net`, `ipc`, `uts`.
    pub namespaces: Vec<String>,
    /// Whether seccomp denies sockets, new processes, and signals to other processes.
    pub seccomp: bool,
    /// Whether a control group of version 2 limits memory and threads.
    pub cgroup: bool,
    /// Whether resource limits are in force.
    pub rlimits: bool,
    /// The user id of the process, in the namespace in which the sandbox was started.
    pub uid: u32,
}

impl SandboxLayers {
    /// Tells whether the layers deny the network, confine writes, and let the parent kill everything that the
    /// program started.
    pub fn is_confined(&self) -> bool {
        self.missing().is_empty()
    }

    fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.iter().any(|namespace| namespace == name)
    }

    /// Returns the layers that confinement needs and that are not in force.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.landlock_abi == 0 && !self.has_namespace("mount") {
            missing.push("Landlock or a mount namespace, either of which confines files");
        }
        if !self.seccomp {
            missing.push("seccomp, which denies the network and new processes");
        }
        if !self.rlimits {
            missing.push("resource limits");
        }
        missing
    }

    /// Returns the error for a machine that cannot confine programs.
    pub(crate) fn to_error(&self) -> Error {
        Error::environment(format!("cannot confine Python programs: missing {}", self.missing().join("; ")))
            .hint(
                "use Linux 5.13 or newer with `landlock` in its `lsm=` list, or start the container with \
                 `--security-opt seccomp=unconfined`, or run in a virtual machine",
            )
    }
}

impl fmt::Display for SandboxLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let landlock = match self.landlock_abi {
            0 => "no Landlock".to_owned(),
            abi => format!("Landlock ABI {abi}"),
        };
        let namespaces = match self.namespaces.as_slice() {
            [] => "no namespaces".to_owned(),
            names => format!("namespaces {}", names.join(" ")),
        };
        let is_set = |is_set: bool, name: &str| if is_set { name.to_owned() } else { format!("no {name}") };
        let (seccomp, cgroup) = (is_set(self.seccomp, "seccomp"), is_set(self.cgroup, "control group"));
        let rlimits = is_set(self.rlimits, "resource limits");
        write!(f, "{landlock}, {namespaces}, {seccomp}, {cgroup}, {rlimits}, user {}", self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> SandboxLayers {
        SandboxLayers { landlock_abi: 1, seccomp: true, rlimits: true, ..SandboxLayers::default() }
    }

    #[test]
    fn landlock_or_a_mount_namespace_confines_files() {
        assert!(container().is_confined());
        let no_landlock = SandboxLayers { landlock_abi: 0, ..container() };
        assert!(!no_landlock.is_confined());
        assert!(SandboxLayers { namespaces: vec!["mount".into()], ..no_landlock }.is_confined());
    }

    #[test]
    fn the_error_names_the_missing_layers_and_the_remedies() {
        let error = SandboxLayers { rlimits: true, ..SandboxLayers::default() }.to_error();
        let line = error.to_line();
        for part in ["Landlock", "mount namespace", "seccomp", "`lsm=`", "virtual machine"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!error.to_string().contains("resource limits"), "{line}");
    }
}
