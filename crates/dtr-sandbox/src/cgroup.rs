//! Control groups (cgroup v2), which limit the memory and the threads of one program. Not every system lets
//! this process create them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The bytes that a program's control group may use beyond the limit of the program's address space. The page
/// cache of the program's files, for example, needs such bytes.
const EXTRA_BYTES: u64 = 256 << 20;
/// The most threads and processes of one program.
const MAX_TASKS: &str = "64";

/// Returns the control group below which this process can limit memory and threads.
pub(crate) fn find_parent() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    find_parent_in(Path::new("/sys/fs/cgroup"), &groups)
}

/// Reads this process's control group from `groups`, the text of `/proc/self/cgroup`. Returns that group or
/// its nearest ancestor in which this process can limit memory and threads.
fn find_parent_in(root: &Path, groups: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = root.join(own.trim_start_matches('/'));
    let ancestors = own.ancestors().take_while(|folder| folder.starts_with(root));
    ancestors.filter(|folder| has_controllers(folder)).find(|folder| is_writable(folder)).map(Path::to_owned)
}

fn has_controllers(folder: &Path) -> bool {
    let controllers = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    ["memory", "pids"].iter().all(|name| controllers.split_whitespace().any(|other| other == *name))
}

fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!("dtr-probe-{}", std::process::id()));
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
}

/// A control group for one program. Dropping it ends its processes and removes it.
pub(crate) struct ProgramCgroup(PathBuf);

impl ProgramCgroup {
    /// Creates the control group `name` below `parent`.
    pub fn create(parent: &Path, name: &str, memory_bytes: u64) -> io::Result<Self> {
        let group = Self(parent.join(name));
        fs::create_dir(&group.0)?;
        fs::write(group.0.join("memory.max"), (memory_bytes + EXTRA_BYTES).to_string())?;
        fs::write(group.0.join("pids.max"), MAX_TASKS)?;
        // A kernel without swap accounting lacks this file.
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        Ok(group)
    }

    /// Returns the folder of the control group.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Tells whether the kernel killed a process of the group for lack of memory.
    pub fn is_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for ProgramCgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_group_that_passes_controllers_on_is_the_parent() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("user/app/job");
        fs::create_dir_all(&own).unwrap();
        let groups = "1:name=systemd:/x\n0::/user/app/job\n";
        assert_eq!(find_parent_in(root.path(), groups), None);
        fs::write(root.path().join("user/cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        fs::write(own.join("cgroup.subtree_control"), "memory\n").unwrap();
        assert_eq!(find_parent_in(root.path(), groups), Some(root.path().join("user")));
        assert_eq!(find_parent_in(root.path(), "4:memory:/x\n"), None);
    }

    #[test]
    fn a_kill_for_lack_of_memory_is_seen_in_the_events() {
        let root = tempfile::tempdir().unwrap();
        let group = ProgramCgroup::create(root.path(), "one", 1 << 20).unwrap();
        assert_eq!(fs::read_to_string(group.path().join("memory.max")).unwrap(), "269484032");
        assert!(!group.is_out_of_memory());
        fs::write(group.path().join("memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
        assert!(group.is_out_of_memory());
    }
}
