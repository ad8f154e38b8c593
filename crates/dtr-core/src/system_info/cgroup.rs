//! Memory limits of control groups, versions 1 and 2.

use std::fs;
use std::path::Path;

use procfs::ProcessCGroups;

/// The controller and the name of the file with the memory limit, for each version of control groups. The
/// first pair is for version 2, in which paths name no controller. The second pair is for version 1.
const LIMIT_FILES: [(&str, &str); 2] = [("", "memory.max"), ("memory", "memory.limit_in_bytes")];

/// Returns the lowest memory limit, in bytes, among the control groups `groups` of a process and their
/// ancestors. `root` is the folder in which the control groups are mounted.
pub(super) fn memory_limit(groups: ProcessCGroups, root: &Path) -> Option<u64> {
    let groups: Vec<_> = groups.into_iter().collect();
    let limits = LIMIT_FILES.iter().filter_map(|(controller, file)| {
        let is_controlled = |controllers: &[String]| match controller.is_empty() {
            true => controllers.iter().all(String::is_empty),
            false => controllers.iter().any(|name| name == controller),
        };
        let group = groups.iter().find(|group| is_controlled(&group.controllers))?;
        let root = root.join(controller);
        let folder = root.join(group.pathname.trim_start_matches('/'));
        let ancestors = folder.ancestors().take_while(|folder| folder.starts_with(&root));
        let limit = |folder: &Path| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        ancestors.filter_map(limit).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use procfs::FromRead;

    use super::*;

    #[test]
    fn the_lowest_limit_of_a_group_and_its_ancestors_holds() {
        let root = tempfile::tempdir().unwrap();
        let limit =
            |groups: &str| memory_limit(ProcessCGroups::from_read(groups.as_bytes()).unwrap(), root.path());
        let job = root.path().join("jobs/one");
        fs::create_dir_all(&job).unwrap();
        fs::write(job.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit("0::/jobs/one\n"), None);
        fs::write(root.path().join("jobs/memory.max"), "4096\n").unwrap();
        assert_eq!(limit("0::/jobs/one\n"), Some(4096));
        let old = root.path().join("memory/job");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("memory.limit_in_bytes"), "1024\n").unwrap();
        assert_eq!(limit("5:cpu:/x\n4:memory:/job\n0::/jobs/one\n"), Some(1024));
    }
}
