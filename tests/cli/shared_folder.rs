//! Two hosts share a results folder. Two FUSE mounts of one folder stand for the hosts: the locks of each
//! mount exclude nobody on the other mount.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dtr::store::EventKind;

use crate::concurrency::STRICTER_STOP;
use crate::project::{Project, wait_until};
use crate::skipped::report_skipped;

/// A mount of a folder at another path, which lasts until the value is dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts `folder` at `path`. Returns `None` if this machine cannot.
    fn new(folder: &Path, path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mut bindfs = Command::new("bindfs");
        let status = bindfs.arg(folder).arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").arg("-u").arg(&self.0).status();
    }
}

/// Mounts the results folder of a project at two paths.
fn two_hosts(project: &Project) -> Option<[Mount; 2]> {
    fs::create_dir_all(project.results()).unwrap();
    let mount = |name: &str| Mount::new(&project.results(), project.path(name));
    let hosts = mount("host-a").and_then(|a| Some([a, mount("host-b")?]));
    if hosts.is_none() {
        report_skipped("bindfs is not installed, or this machine has no FUSE");
    }
    hosts
}

/// Returns how often cells were computed, and the number of these cells.
fn count_computations(project: &Project) -> (usize, usize) {
    let mut computations: BTreeMap<String, usize> = BTreeMap::new();
    for stage in ["pretrain", "distil", "search"] {
        for (folder, event) in project.events(stage) {
            let cell = match event.kind {
                EventKind::Started => folder.display().to_string(),
                EventKind::Scored(score) => score.to_string(),
                _ => continue,
            };
            *computations.entry(cell).or_default() += 1;
        }
    }
    (computations.values().sum(), computations.len())
}

#[test]
fn two_hosts_without_common_locks_write_the_tables_of_one_process() {
    let serial = Project::finished(&[]).copy();
    serial.sweep().sets(STRICTER_STOP).success();
    for _ in 0..10 {
        let project = Project::new();
        let Some(hosts) = two_hosts(&project) else { return };
        let settings: [&[&str]; 2] = [&[], STRICTER_STOP];
        let start =
            |(host, settings): (&Mount, &[&str])| project.command_in("sweep", &host.0).sets(settings).start();
        for mut sweep in hosts.iter().zip(settings).map(start).collect::<Vec<_>>() {
            wait_until("the end of a sweep", || sweep.has_ended());
            sweep.finish().assert_code(0);
        }
        drop(hosts);
        for name in ["small", "stricter"] {
            let is_equal = project.comparable_outputs_of(name) == serial.comparable_outputs_of(name);
            assert!(is_equal, "{name}: the outputs differ");
        }
        let (num_computations, num_cells) = count_computations(&project);
        assert!(
            num_computations * 10 <= num_cells * 11,
            "{num_computations} computations of {num_cells} cells"
        );
        project.command("verify").args(["--sample", "0"]).success();
        let is_left = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.ends_with(".lease") || name.contains(".dtr-tmp-")
        };
        assert!(!project.files("").iter().any(is_left), "a lease or a temporary file is left");
    }
}

/// Both hosts write the same report again and again.
#[test]
fn two_hosts_write_a_report_at_the_same_time() {
    let project = Project::finished(&[]).copy();
    let Some(hosts) = two_hosts(&project) else { return };
    for _ in 0..3 {
        let reports: Vec<_> =
            hosts.iter().chain(&hosts).map(|host| project.command_in("report", &host.0).start()).collect();
        reports.into_iter().for_each(|report| report.finish().assert_code(0));
    }
    drop(hosts);
    assert!(project.comparable_outputs() == Project::finished(&[]).comparable_outputs());
}
