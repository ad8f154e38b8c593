//! A disk that is full or cannot be written: told with what is needed, and what was finished stays.
//!
//! The disks are of memory, mounted in a namespace that ends with the test.

use std::process::{Command, Output};

use crate::project::{MANIFEST, ONE, Project, text};

/// Runs `script` where `$DISK` can be mounted and `$SWEEP` sweeps onto it; none where that is not allowed.
fn in_a_namespace(bench: &Project, script: &str) -> Option<Output> {
    let unshare = |script: &str| {
        let mut program = Command::new("unshare");
        program.args(["--mount", "--map-root-user", "sh", "-e", "-c", script]);
        program
    };
    let disk = bench.results();
    std::fs::create_dir_all(&disk).unwrap();
    let can = unshare("mount -t tmpfs tmpfs \"$DISK\"").env("DISK", &disk).output();
    if !can.is_ok_and(|probe| probe.status.success()) {
        eprintln!("SKIPPED: no disk can be mounted here");
        return None;
    }
    let sweep = |command: &str| {
        format!("'{}' {command} '{MANIFEST}' --results \"$DISK\" {}", env!("CARGO_BIN_EXE_dtr"), quoted(&ONE))
    };
    let mut program = unshare(script);
    program.env("DISK", &disk).env("SWEEP", sweep("sweep")).env("VERIFY", sweep("verify"));
    Some(program.output().unwrap())
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}' ")).collect()
}

/// Shell lines: `$SWEEP` with its exit code and talk between marks.
const TRY: &str = r#"try() { code=0; eval "$1" >/dev/null 2>"$DISK.said" || code=$?; echo "code $code"; cat "$DISK.said"; }"#;

#[test]
fn a_full_disk_is_told_and_costs_nothing_that_was_finished() {
    let bench = Project::new();
    // Once the first sweep is done there is room for a few small files, and no twins.
    let script = format!(
        r#"{TRY}
        mount -t tmpfs -o size=64m tmpfs "$DISK"
        try "$SWEEP" | head -1
        used=$(df -k "$DISK" | awk 'END {{ print $3 }}')
        mount -o remount,size=$((used + 40))k "$DISK"
        other="--set distil.seed=9"
        echo full; try "$SWEEP $other"
        find "$DISK/cells-v1" -name record.json | wc -l | sed 's/^/records /'
        mount -o remount,size=64m "$DISK"
        echo sound; try "$VERIFY --sample 1" | head -1
        echo again; try "$SWEEP $other"
        echo sound; try "$VERIFY $other --sample 3" | head -1"#
    );
    let Some(output) = in_a_namespace(&bench, &format!("{script}\n")) else { return };
    let said = text(&output.stdout);
    println!("{said}{}", text(&output.stderr));
    let parts: Vec<&str> = said.split(['\n']).collect();
    assert_eq!(parts[..3], ["code 0", "full", "code 5"], "{said}");
    assert!(said.contains("free disk space and run the same command again"), "{said}");
    assert!(said.contains("cannot write `") && said.contains("No space left"), "{said}");
    assert!(said.contains("records 12\nsound\ncode 0\nagain\ncode 0\n"), "what was finished stays: {said}");
    assert!(said.contains("2 cells done now, 1 cell remembered"), "{said}");
    assert!(said.trim_end().ends_with("sound\ncode 0"), "{said}");
}

#[test]
fn a_disk_that_cannot_be_written_is_told_and_read_all_the_same() {
    let bench = Project::new();
    let script = format!(
        r#"{TRY}
        mount -t tmpfs -o size=64m tmpfs "$DISK"
        try "$SWEEP" | head -1
        mount -o remount,ro "$DISK"
        try "$VERIFY --sample 1" | head -1
        echo then
        try "$SWEEP --set distil.seed=9""#
    );
    let Some(output) = in_a_namespace(&bench, &format!("{script}\n")) else { return };
    let said = text(&output.stdout);
    println!("{said}{}", text(&output.stderr));
    let (before, after) = said.split_once("then\n").unwrap();
    assert_eq!(before, "code 0\ncode 0\n");
    assert!(after.starts_with("code 5\n"), "{said}");
    assert!(after.contains("choose a folder that can be written"), "{said}");
    assert!(after.contains(&*bench.results().to_string_lossy()), "{said}");
}
