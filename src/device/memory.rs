//! How much memory a process may hold at most, as Linux tells.

use std::fs;
use std::path::Path;

/// The file of a control group's limit: of the second version of control groups, and of the first.
const LIMITS: [(&str, &str); 2] = [("", "memory.max"), ("memory", "memory.limit_in_bytes")];

/// Bytes of memory and swap that this process may fill, whatever else lies there now; none where the system does not
/// tell.
pub fn memory_bytes() -> Option<u64> {
    let [memory, swap] = totals(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let limit = group.and_then(|group| limit(&group, Path::new("/sys/fs/cgroup")));
    Some(limit.map_or(memory, |limit| limit.min(memory)) + swap)
}

/// Bytes of memory and of swap of a machine.
fn totals(status: &str) -> Option<[u64; 2]> {
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some([kibibytes("MemTotal:")? * 1024, kibibytes("SwapTotal:")? * 1024])
}

/// The lowest limit of the control groups that a process is in, by its own list of them.
fn limit(groups: &str, root: &Path) -> Option<u64> {
    let path = |controller: &str| {
        let of = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            controllers.split(',').any(|one| one == controller).then_some(parts.next()?.to_owned())
        };
        groups.lines().find_map(of)
    };
    let limits = LIMITS.iter().filter_map(|(controller, file)| {
        let root = root.join(controller);
        let folder = root.join(path(controller)?.trim_start_matches('/'));
        let folders = folder.ancestors().take_while(|folder| folder.starts_with(&root));
        let read = |folder: &Path| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        folders.filter_map(read).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_swap_are_read_from_the_systems_status() {
        let status = "MemTotal:       2048 kB\nMemFree:  1 kB\nSwapTotal:  512 kB\n";
        assert_eq!(totals(status), Some([2 << 20, 1 << 19]));
        assert_eq!(totals("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_holds() {
        let root = tempfile::tempdir().unwrap();
        let job = root.path().join("jobs/one");
        fs::create_dir_all(&job).unwrap();
        fs::write(job.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit("0::/jobs/one\n", root.path()), None);
        fs::write(root.path().join("jobs/memory.max"), "4096\n").unwrap();
        assert_eq!(limit("0::/jobs/one\n", root.path()), Some(4096));
        let old = root.path().join("memory/job");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("memory.limit_in_bytes"), "1024\n").unwrap();
        assert_eq!(limit("5:cpu:/x\n4:memory:/job\n0::/jobs/one\n", root.path()), Some(1024));
    }
}
