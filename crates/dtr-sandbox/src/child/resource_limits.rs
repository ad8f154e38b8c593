//! Resource limits of the sandboxed process. The Python runner adds the limits of memory.
//!
//! The limit of stacks is not set here. At the start of a program, glibc reads this limit and gives the stack
//! of each thread that much address space.

use rustix::process::{Resource, Rlimit, setrlimit};

use super::ChildConfig;

/// The most bytes of one file.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// The most open files.
const MAX_OPEN_FILES: u64 = 64;

/// Sets the limits. Tells whether all are in force.
pub(super) fn set(config: &ChildConfig) -> bool {
    let limits = [
        (Resource::Cpu, config.cpu_seconds),
        (Resource::Fsize, MAX_FILE_BYTES),
        (Resource::Nofile, MAX_OPEN_FILES),
        (Resource::Core, 0),
        (Resource::Nproc, config.max_tasks),
        (Resource::Memlock, 0),
    ];
    limits.into_iter().all(|(resource, limit)| {
        // The limit in force may be lower already, and only the superuser may raise it.
        let lower =
            |limit: u64| rustix::process::getrlimit(resource).maximum.map_or(limit, |hard| hard.min(limit));
        // At the soft limit of processor time, SIGXCPU ends the program and tells the parent the cause.
        let hard = if resource == Resource::Cpu { limit + 1 } else { limit };
        setrlimit(resource, Rlimit { current: Some(lower(limit)), maximum: Some(lower(hard)) }).is_ok()
    })
}
