//! What a VMM process gives up before it looks at anything from outside.

use std::fs::File;

use crate::error::{ErrorCode, Result, VmmError};

/// What must be opened before the process gives it up.
#[derive(Debug)]
pub struct Kept {
    /// /proc/self/pagemap: a process that is not dumpable cannot open its own.
    pub pagemap: File,
}

/// Closes every descriptor but the first three (the parent may have left some open), and gives up gaining privileges by exec,
/// being traced by its equals, and core dumps, which would hold guest memory.
///
/// Call this first in `main`, before any other descriptor is open.
pub fn confine() -> Result<Kept> {
    // SAFETY: nothing of this process owns a descriptor yet beyond the standard ones, which stay open.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } != 0 {
        let error = std::io::Error::last_os_error();
        return Err(VmmError::wrap(ErrorCode::Io, "close inherited descriptors")(error));
    }
    let pagemap =
        File::open("/proc/self/pagemap").map_err(VmmError::wrap(ErrorCode::Io, "open /proc/self/pagemap"))?;
    rustix::thread::set_no_new_privs(true)
        .map_err(VmmError::wrap(ErrorCode::Io, "give up gaining privileges"))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(VmmError::wrap(ErrorCode::Io, "give up being dumpable"))?;
    Ok(Kept { pagemap })
}
