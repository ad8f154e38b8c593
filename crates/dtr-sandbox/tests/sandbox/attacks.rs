//! Attacks on the sandbox. The attackers are the user of the tests, an ordinary user, and a process that may
//! not create namespaces, as in a container.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use dtr_sandbox::{
    AttackResult, ConfinementPolicy, Program, ProgramLimits, Sandbox, SandboxLayers, VerdictStatus,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::skipped::report_skipped;
use crate::support::{child_program, python, sandbox};

/// An ordinary user, without rights.
const ORDINARY_USER: u32 = 1000;

/// Makes system calls fail in this thread and in the processes that it starts.
fn deny(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) {
    let architecture: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture)
        .and_then(TryInto::try_into)
        .unwrap();
    seccompiler::apply_filter(&filter).unwrap();
}

fn deny_calls(calls: &[i64], errno: i32) {
    deny(calls.iter().map(|call| (*call, Vec::new())).collect(), errno);
}

/// Denies the system calls that the default seccomp profile of moby/profiles denies to containers without
/// CAP_SYS_ADMIN.
fn refuse_namespaces() {
    let calls = [
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
    ];
    deny_calls(&calls, libc::EPERM);
    let flags = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWCGROUP,
    ];
    let rule = |flag: i32| {
        let flag = flag as u64;
        let operator = SeccompCmpOp::MaskedEq(flag);
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, operator, flag).unwrap();
        SeccompRule::new(vec![condition]).unwrap()
    };
    deny(BTreeMap::from([(libc::SYS_clone, flags.into_iter().map(rule).collect())]), libc::EPERM);
    deny_calls(&[libc::SYS_clone3], libc::ENOSYS);
}

fn assert_held(layers: &SandboxLayers, attacks: &[AttackResult]) {
    assert_eq!(attacks.len(), 10);
    let lost: Vec<_> = attacks.iter().filter(|attack| !attack.is_held).collect();
    assert!(lost.is_empty(), "with {layers}: {lost:?}");
}

#[test]
fn every_attack_is_held() {
    let Some(sandbox) = sandbox() else { return };
    assert!(sandbox.layers().is_confined());
    assert_held(sandbox.layers(), &sandbox.probe_attacks().unwrap());
}

#[test]
fn every_attack_is_held_where_namespaces_are_refused() {
    if sandbox().is_none() {
        return;
    }
    refuse_namespaces();
    let Some(sandbox) = sandbox() else { return };
    assert_eq!(sandbox.layers().namespaces, Vec::<String>::new());
    assert_held(sandbox.layers(), &sandbox.probe_attacks().unwrap());
}

/// Runs the attacks as an ordinary user. Returns the layers, or `None` if the test is skipped.
fn attack_as_ordinary_user() -> Option<SandboxLayers> {
    if !rustix::process::geteuid().is_root() {
        report_skipped("only the superuser can become another user");
        return None;
    }
    // The user may not be able to read the build folder.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("dtr-sandbox-child");
    fs::copy(child_program(), &program).unwrap();
    let as_user = |program: &Path| {
        let mut command = Command::new(program);
        command.uid(ORDINARY_USER).gid(ORDINARY_USER).current_dir("/").env("HOME", "/nowhere");
        command
    };
    let pythons = [python()?, "/usr/bin/python3".into(), "/usr/local/bin/python3".into()];
    let runs = |python: &&std::path::PathBuf| {
        as_user(python).args(["-c", ""]).output().is_ok_and(|output| output.status.success())
    };
    let Some(python) = pythons.iter().find(runs) else {
        report_skipped("an ordinary user can run no Python");
        return None;
    };
    let output = as_user(&program).arg("attack").arg(python).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    #[derive(serde::Deserialize)]
    struct Report {
        layers: SandboxLayers,
        attacks: Vec<AttackResult>,
    }
    let Report { layers, attacks } = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(layers.uid, ORDINARY_USER);
    assert_held(&layers, &attacks);
    Some(layers)
}

#[test]
fn every_attack_of_an_ordinary_user_is_held() {
    if sandbox().is_some() {
        attack_as_ordinary_user();
    }
}

#[test]
fn every_attack_of_an_ordinary_user_is_held_where_namespaces_are_refused() {
    if sandbox().is_none() {
        return;
    }
    refuse_namespaces();
    if let Some(layers) = attack_as_ordinary_user() {
        assert_eq!(layers.namespaces, Vec::<String>::new());
    }
}

#[test]
fn a_machine_that_confines_nothing_is_refused_unless_the_user_accepts() {
    let Some(python) = python() else { return };
    refuse_namespaces();
    deny_calls(&[libc::SYS_landlock_create_ruleset], libc::ENOSYS);
    deny_calls(&[libc::SYS_seccomp], libc::ENOSYS);
    let new = |policy| Sandbox::new(child_program(), &python, ProgramLimits::default(), policy);
    let error = new(ConfinementPolicy::Require).err().unwrap();
    assert_eq!(error.kind(), dtr_core::error::ErrorKind::Environment);
    let line = error.to_line();
    assert!(line.starts_with("cannot confine Python programs: missing Landlock"), "{line}");
    assert!(line.contains("seccomp") && line.contains("virtual machine"), "{line}");
    let sandbox = new(ConfinementPolicy::AcceptUnsafe).unwrap();
    assert!(!sandbox.layers().is_confined());
    let verdict = sandbox.run_program(&Program::Plain("assert True".to_owned())).unwrap();
    assert_eq!(verdict.status, VerdictStatus::Pass);
}

#[test]
fn a_program_is_refused_when_a_layer_has_gone() {
    let Some(sandbox) = sandbox() else { return };
    if sandbox.layers().landlock_abi == 0 {
        return report_skipped("this machine has no Landlock");
    }
    deny_calls(&[libc::SYS_landlock_create_ruleset], libc::ENOSYS);
    let verdict = sandbox.run_program(&Program::Plain(String::new())).unwrap();
    assert_eq!((verdict.status, verdict.reference_status), (VerdictStatus::Refused, None));
    let cause = verdict.cause.unwrap();
    assert!(cause.contains("the layers changed from `Landlock ABI"), "{cause}");
}
