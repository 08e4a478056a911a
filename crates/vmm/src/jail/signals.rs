//! What the kernel does with signals that a process causes by itself.

use crate::error::{ErrorCode, Result, VmmError};

/// A fault ends the process at once and by its own signal, which the controller then sees and whose address the kernel can log: the
/// standard library's handlers first reset themselves, for which the filter ends the process by another. A write beyond the limit of a
/// file's length is an error of one request and not the end of the process.
///
/// # Errors
/// FIRN_IO if a signal cannot be set.
pub fn set_dispositions() -> Result<()> {
    for (signal, disposition) in
        [(libc::SIGSEGV, libc::SIG_DFL), (libc::SIGBUS, libc::SIG_DFL), (libc::SIGXFSZ, libc::SIG_IGN)]
    {
        // SAFETY: neither disposition installs a handler.
        if unsafe { libc::signal(signal, disposition) } == libc::SIG_ERR {
            let error = std::io::Error::last_os_error();
            return Err(VmmError::wrap(ErrorCode::Io, format!("set what signal {signal} does"))(error));
        }
    }
    Ok(())
}
