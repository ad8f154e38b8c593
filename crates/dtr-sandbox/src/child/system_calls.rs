//! System calls that seccomp denies: the network, new processes, and everything that reaches other processes
//! or the settings of the machine.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

/// System calls that are denied whatever their arguments are.
const DENIED: &[c_long] = &[
    // The network.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_tkill,
    // Objects that outlive the process.
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Properties of files, which Landlock does not restrict. Landlock's versions 1 and 2 do not restrict
    // `truncate` either.
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_quotactl,
    // The kernel and the machine.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

/// System calls that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const DENIED_BY_ARCHITECTURE: &[c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
];
#[cfg(target_arch = "aarch64")]
const DENIED_BY_ARCHITECTURE: &[c_long] = &[];

/// The first number of the x32 interface, a second set of numbers for the same system calls.
#[cfg(target_arch = "x86_64")]
const X32_BIT: i64 = 0x4000_0000;
/// The number of `fchmodat2`, which older C libraries do not name.
const FCHMODAT2: i64 = 452;

/// Commands of system calls that are denied. The second argument of such a call is the command. With these
/// commands, a program chooses a process to which the kernel sends signals about a file.
const OWNER_COMMANDS: &[(c_long, &[u64])] = &[
    (libc::SYS_fcntl, &[libc::F_SETOWN as u64, F_SETOWN_EX, F_SETSIG]),
    (libc::SYS_ioctl, &[FIOSETOWN, SIOCSPGRP]),
];
// The numbers of Linux' headers `asm-generic/fcntl.h` and `asm-generic/sockios.h`.
const F_SETSIG: u64 = 10;
const F_SETOWN_EX: u64 = 15;
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;

/// System calls whose first argument is the process to change.
const SETTINGS_OF_PROCESSES: &[c_long] = &[
    libc::SYS_prlimit64,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Restricts this process. Tells whether the filters are in force.
pub(super) fn restrict() -> bool {
    let apply = || -> Result<(), Box<dyn std::error::Error>> {
        // A filter cannot see the arguments of `clone3`. With ENOSYS, the C library falls back to `clone`.
        let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
        seccompiler::apply_filter(&filter(clone3, libc::ENOSYS)?)?;
        seccompiler::apply_filter(&filter(denied_calls()?, libc::EPERM)?)?;
        Ok(())
    };
    apply().is_ok()
}

fn filter(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, errno, ARCHITECTURE)?.try_into()
}

fn denied_calls() -> Result<Rules, seccompiler::BackendError> {
    let always = DENIED.iter().chain(DENIED_BY_ARCHITECTURE).copied().chain([FCHMODAT2]);
    let mut rules: Rules = always.map(|number| (number, Vec::new())).collect();
    let own = u64::from(std::process::id());
    let (is_thread, unix) = (libc::CLONE_THREAD as u64, libc::AF_UNIX as u64);
    // No other process has the id of this process, so a signal to this id reaches no other process.
    rules.insert(libc::SYS_kill, vec![argument(0, SeccompCmpOp::Ne, own)?]);
    rules.insert(libc::SYS_tgkill, vec![argument(0, SeccompCmpOp::Ne, own)?]);
    rules.insert(libc::SYS_clone, vec![argument(0, SeccompCmpOp::MaskedEq(is_thread), 0)?]);
    rules.insert(libc::SYS_socketpair, vec![argument(0, SeccompCmpOp::Ne, unix)?]);
    // This process must end when its parent ends.
    let death_signal = libc::PR_SET_PDEATHSIG as u64;
    rules.insert(libc::SYS_prctl, vec![argument(0, SeccompCmpOp::Eq, death_signal)?]);
    for (number, commands) in OWNER_COMMANDS {
        let rule = |command: &u64| argument(1, SeccompCmpOp::Eq, *command);
        rules.insert(*number, commands.iter().map(rule).collect::<Result<_, _>>()?);
    }
    // The program may change settings of its own process, for which the id 0 stands.
    for number in SETTINGS_OF_PROCESSES {
        rules.insert(*number, vec![argument(0, SeccompCmpOp::Ne, 0)?]);
    }
    #[cfg(target_arch = "x86_64")]
    add_x32(&mut rules);
    Ok(rules)
}

/// Returns a rule that matches a call if `operator` holds between its argument `index` and `value`.
fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
}

/// Denies the same system calls in the x32 interface, for all arguments. The numbers 512 to 547 exist only in
/// this interface.
#[cfg(target_arch = "x86_64")]
fn add_x32(rules: &mut Rules) {
    let common = rules.keys().copied().collect::<Vec<_>>().into_iter();
    rules.extend(common.chain(512..=547).map(|number| (number | X32_BIT, Vec::new())));
    for number in [libc::SYS_clone3, libc::SYS_clone] {
        rules.insert(number | X32_BIT, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile() {
        assert!(!filter(denied_calls().unwrap(), libc::EPERM).unwrap().is_empty());
    }
}
