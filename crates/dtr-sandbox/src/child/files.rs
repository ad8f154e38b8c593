//! The files of the sandboxed process: a small root file system in a mount namespace, and Landlock rules.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};

use super::ChildConfig;

/// Folders of shared libraries and the loader's index, which may be symbolic links.
const SYSTEM_LIBRARIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"];
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];
/// The options of the file system in which the program writes.
const WORK_OPTIONS: &std::ffi::CStr = c"size=256m,nr_inodes=4096,mode=0777";
const ROOT_OPTIONS: &std::ffi::CStr = c"size=1m,mode=0755";

/// Replaces the root of the mount namespace by a temporary file system. This file system holds system
/// libraries, a few devices and the interpreter's files, all read-only, and an empty folder for the program.
pub(super) fn enter_small_root(config: &ChildConfig) -> io::Result<()> {
    // The process may change to another user later. That user must be able to read these folders.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let root = &config.work_folder;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", root, "tmpfs", flags, ROOT_OPTIONS)?;
    for path in SYSTEM_LIBRARIES.iter().chain(&DEVICES).map(Path::new) {
        add_system_path(root, path)?;
    }
    for path in &config.readable {
        add_path(root, path)?;
    }
    let work_folder = inside(root, &config.work_folder);
    fs::create_dir_all(&work_folder)?;
    mount("tmpfs", &work_folder, "tmpfs", flags, WORK_OPTIONS)?;
    mount_remount(root, MountFlags::BIND | MountFlags::RDONLY | flags, c"")?;
    std::env::set_current_dir(root)?;
    // With both arguments equal, the old root covers the new root until the old root is unmounted.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn add_system_path(root: &Path, path: &Path) -> io::Result<()> {
    match fs::read_link(path) {
        Ok(target) => symlink(target, inside(root, path)),
        Err(_) if path.exists() => add_path(root, path),
        Err(_) => Ok(()),
    }
}

/// Mounts a file or folder at its own path below `root`, read-only.
fn add_path(root: &Path, path: &Path) -> io::Result<()> {
    let target = inside(root, path);
    if target.exists() || !path.exists() {
        return Ok(());
    }
    if path.is_dir() {
        fs::create_dir_all(&target)?;
    } else {
        fs::create_dir_all(target.parent().unwrap_or(root))?;
        fs::write(&target, "")?;
    }
    mount_bind(path, &target)?;
    if path.starts_with("/dev") {
        return Ok(());
    }
    // A remount in a user namespace must keep the restrictions of the original mount.
    let kept = kept_flags(statvfs(&target)?.f_flag);
    Ok(mount_remount(&target, MountFlags::BIND | MountFlags::RDONLY | kept, c"")?)
}

fn kept_flags(flags: StatVfsMountFlags) -> MountFlags {
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    pairs.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, flag)| flag).collect()
}

/// Restricts this process with Landlock to reading the interpreter's files and to writing in its own folder.
/// Returns the version of Landlock in force, or 0 without Landlock.
pub(super) fn restrict(config: &ChildConfig) -> u32 {
    match apply_rules(config) {
        Ok(RestrictionStatus { ruleset: RulesetStatus::NotEnforced, .. }) | Err(_) => 0,
        Ok(RestrictionStatus { landlock: LandlockStatus::Available { effective_abi, .. }, .. }) => {
            effective_abi as u32
        }
        Ok(_) => 0,
    }
}

fn apply_rules(config: &ChildConfig) -> Result<RestrictionStatus, RulesetError> {
    // On an older kernel, rights that the kernel does not know are left out.
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?;
    let read_folder = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
    let read_file = AccessFs::ReadFile | AccessFs::Execute;
    let system = SYSTEM_LIBRARIES.iter().map(Path::new);
    for path in config.readable.iter().map(PathBuf::as_path).chain(system) {
        let access = if path.is_dir() { read_folder } else { read_file };
        if let Ok(file) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(file, access))?;
        }
    }
    for device in DEVICES {
        if let Ok(file) = PathFd::new(device) {
            rules = rules.add_rule(PathBeneath::new(file, AccessFs::ReadFile | AccessFs::WriteFile))?;
        }
    }
    if let Ok(file) = PathFd::new(&config.work_folder) {
        rules = rules.add_rule(PathBeneath::new(file, AccessFs::from_all(abi)))?;
    }
    rules.restrict_self()
}
