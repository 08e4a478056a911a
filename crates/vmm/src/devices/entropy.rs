//! Random bytes from the host's kernel.

use std::io;

use crate::error::{ErrorCode, Result, VmmError};

/// `N` (at most 256) random bytes, by `getrandom(2)`; works in a jail without /dev.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    const { assert!(N <= 256, "getrandom may be interrupted only above 256 bytes") };
    let mut bytes = [0; N];
    // SAFETY: the buffer is ours and as long as we say.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    if usize::try_from(filled).is_ok_and(|filled| filled == N) {
        return Ok(bytes);
    }
    let error = io::Error::last_os_error();
    Err(VmmError::new(ErrorCode::Io, format!("getting random bytes from the kernel: {error}")))
}
