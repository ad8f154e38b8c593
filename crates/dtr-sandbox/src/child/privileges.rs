//! Gives up the rights of the superuser: the user id, the groups and all capabilities.

use dtr_core::error::{Error, Result};
use rustix::fs::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// The user and group id of `nobody`, which owns no files.
pub(crate) const NOBODY: u32 = 65534;

/// Drops all capabilities. If the process is the superuser and `can_change_user` is set, changes to the user
/// `nobody`. Returns the user id.
pub(super) fn drop_all(outer_uid: Uid, can_change_user: bool) -> Result<Uid> {
    let is_root = outer_uid.is_root();
    let drop = || -> rustix::io::Result<Uid> {
        if is_root {
            for capability in CapabilitySet::all().iter() {
                // A capability that this kernel does not know cannot be removed.
                let _ = rustix::thread::remove_capability_from_bounding_set(capability);
            }
        }
        let uid = if is_root && can_change_user { change_user()? } else { outer_uid };
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets)?;
        Ok(uid)
    };
    drop().map_err(|cause| Error::environment("cannot give up the superuser's rights").with_source(cause))
}

fn change_user() -> rustix::io::Result<Uid> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(uid)
}
