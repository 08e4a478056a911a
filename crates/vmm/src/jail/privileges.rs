//! Users, groups and capabilities.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Uid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::error::{ErrorCode, Result, VmmError};

/// Becomes this user and group, with no other group, and no way back: the saved ids change too. This process has one thread.
///
/// Returns what was being done when it failed.
pub(super) fn become_user(uid: u32, gid: u32) -> std::result::Result<(), (&'static str, Errno)> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&[]).map_err(|error| ("leave all groups", error))?;
    set_thread_res_gid(gid, gid, gid).map_err(|error| ("become the group", error))?;
    set_thread_res_uid(uid, uid, uid).map_err(|error| ("become the user", error))?;
    // Changing the user gives this up, and with it the files in /proc/self that are still to be opened; it is given up for good
    // at the end.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(|error| ("own /proc/self again", error))
}

/// Takes every capability out of reach of whatever this process might execute.
///
/// Returns what was being done when it failed.
pub(super) fn empty_bounding_set() -> std::result::Result<(), (&'static str, Errno)> {
    for capability in CapabilitySet::all() {
        match remove_capability_from_bounding_set(capability) {
            // A process without CAP_SETPCAP cannot, and need not: no_new_privs keeps it from gaining any. The kernel answers EINVAL
            // for capabilities that it does not know.
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
            Err(error) => return Err(("give up a capability for good", error)),
        }
    }
    Ok(())
}

/// Does something that the kernel is to remember as done without CAP_SYS_ADMIN. This process has one thread.
pub(super) fn without_system_admin<T>(action: impl FnOnce() -> T) -> Result<T> {
    let failed = |doing| VmmError::wrap::<Errno>(ErrorCode::Io, doing);
    let all = capabilities(None).map_err(failed("look up capabilities"))?;
    let fewer = CapabilitySets { effective: all.effective - CapabilitySet::SYS_ADMIN, ..all };
    set_capabilities(None, fewer).map_err(failed("lay a capability down"))?;
    let outcome = action();
    set_capabilities(None, all).map_err(failed("take a capability up again"))?;
    Ok(outcome)
}

/// Gives up all capabilities, gaining privileges by exec, being traced by its equals, and core dumps, which would hold guest memory.
pub(super) fn give_up() -> Result<()> {
    let failed = |doing| VmmError::wrap::<Errno>(ErrorCode::Io, doing);
    clear_ambient_capability_set().map_err(failed("give up inherited capabilities"))?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(failed("give up capabilities"))?;
    set_no_new_privs(true).map_err(failed("give up gaining privileges"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("give up being dumpable"))
}
