//! On a full or read-only disk, errors have a hint, and finished cells are kept.
//!
//! The tests mount tmpfs disks in a mount namespace. The disks vanish when the test ends.

use std::process::{Command, Output};

use crate::project::{ONE_SEARCH, Project, repository_root};
use crate::skipped::report_skipped;

/// A shell function that runs a command and prints its exit code and standard error.
const TRY_FUNCTION: &str = r#"try() {
    code=0; eval "$1" > /dev/null 2> "$DISK.stderr" || code=$?; echo "code $code"; cat "$DISK.stderr"
}"#;

fn in_namespace(script: &str) -> Command {
    let mut program = Command::new("unshare");
    program.args(["--mount", "--map-root-user", "sh", "-e", "-c", script]);
    program
}

/// Runs a shell script that can mount a disk at `$DISK`. The variables `$SWEEP` and `$VERIFY` hold dtr
/// commands whose results folder is `$DISK`.
///
/// Returns `None` if this process may not mount a disk.
fn run_with_disk(project: &Project, script: &str) -> Option<Output> {
    let disk = project.results();
    std::fs::create_dir_all(&disk).unwrap();
    let mount = in_namespace("mount -t tmpfs tmpfs \"$DISK\"").env("DISK", &disk).output();
    if !mount.is_ok_and(|probe| probe.status.success()) {
        report_skipped("this process may not mount a disk");
        return None;
    }
    let manifest = repository_root().join("tests/manifests/small.toml");
    let settings: String = ONE_SEARCH.iter().map(|setting| format!(" --set '{setting}'")).collect();
    let command = |name: &str| {
        let program = env!("CARGO_BIN_EXE_dtr");
        format!("'{program}' {name} '{}' --results \"$DISK\"{settings}", manifest.display())
    };
    let mut program = in_namespace(&format!("{TRY_FUNCTION}\n{script}\n"));
    program.env("DISK", &disk).env("SWEEP", command("sweep")).env("VERIFY", command("verify"));
    Some(program.output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_full_disk_ends_the_sweep_and_keeps_finished_cells() {
    // After the first sweep, the script shrinks the disk. The disk then has room for small files, but not for
    // twins.
    let script = r#"
        mount -t tmpfs -o size=64m tmpfs "$DISK"
        try "$SWEEP" | head -1
        used=$(df -k "$DISK" | awk 'END { print $3 }')
        mount -o remount,size=$((used + 40))k "$DISK"
        other="--set distil.seed=9"
        echo full; try "$SWEEP $other"
        find "$DISK" -regex '.*/[0-9a-f]*\.json' | wc -l | sed 's/^/records /'
        mount -o remount,size=64m "$DISK"
        echo sound; try "$VERIFY --sample 1" | head -1
        echo again; try "$SWEEP $other"
        echo sound; try "$VERIFY $other --sample 3" | head -1"#;
    let project = Project::new();
    let Some(output) = run_with_disk(&project, script) else { return };
    let stdout = text(&output.stdout);
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..3], ["code 0", "full", "code 5"], "{stdout}{}", text(&output.stderr));
    for part in [
        "free disk space and run the same command again",
        "cannot write `",
        "No space left",
        "records 12\nsound\ncode 0\nagain\ncode 0\n",
        "2 cells done now, 1 cell cached",
    ] {
        assert!(stdout.contains(part), "`{part}` is missing: {stdout}");
    }
    assert!(stdout.trim_end().ends_with("sound\ncode 0"), "{stdout}");
}

#[test]
fn results_on_a_read_only_disk_are_read_and_a_sweep_names_the_folder() {
    let script = r#"
        mount -t tmpfs -o size=64m tmpfs "$DISK"
        try "$SWEEP" | head -1
        mount -o remount,ro "$DISK"
        try "$VERIFY --sample 1" | head -1
        echo then
        try "$SWEEP --set distil.seed=9""#;
    let project = Project::new();
    let Some(output) = run_with_disk(&project, script) else { return };
    let stdout = text(&output.stdout);
    let (before, after) = stdout.split_once("then\n").unwrap();
    assert_eq!(before, "code 0\ncode 0\n", "{}", text(&output.stderr));
    assert!(after.starts_with("code 5\n"), "{stdout}");
    assert!(after.contains("choose a folder that can be written"), "{stdout}");
    assert!(after.contains(&*project.results().to_string_lossy()), "{stdout}");
}
