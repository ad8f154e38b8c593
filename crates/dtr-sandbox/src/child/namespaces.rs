//! Namespaces of the sandboxed process: its own users, mounts, network, IPC objects and host name.
//!
//! There is no PID namespace. It would need a further process. It would also add nothing, since seccomp
//! already denies new processes and signals to other processes.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};

/// Enters as many new namespaces as the system allows. Returns their names.
pub(super) fn unshare_all(is_root: bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    // The superuser can create the other namespaces without a user namespace.
    if !is_root && enter_user_namespace().is_ok() {
        names.push("user");
    }
    let others = [
        ("mount", CloneFlags::CLONE_NEWNS),
        ("net", CloneFlags::CLONE_NEWNET),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
    ];
    names.extend(others.into_iter().filter(|(_, flag)| unshare(*flag).is_ok()).map(|(name, _)| name));
    names
}

/// Enters a user namespace in which this process keeps its user and group ids.
fn enter_user_namespace() -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}
