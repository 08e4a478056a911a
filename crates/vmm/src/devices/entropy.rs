//! Random bytes from the host's kernel.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::{ErrorCode, Result, VmmError};

/// `N` random bytes, by `getrandom(2)`; works in a jail without /dev.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Fills `bytes` with random bytes.
pub(super) fn fill(bytes: &mut [u8]) -> Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        // A signal may cut short what is longer than 256 bytes, and vCPU threads are stopped by signals.
        match getrandom(&mut *rest, GetRandomFlags::empty()) {
            Ok(filled) => rest = rest.get_mut(filled..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => {
                return Err(VmmError::wrap(ErrorCode::Io, "getting random bytes from the kernel")(error));
            }
        }
    }
    Ok(())
}
