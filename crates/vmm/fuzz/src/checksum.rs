//! The checksum that a forger puts right.

use twox_hash::XxHash64;

/// Of all of Firn's files.
pub fn checksum(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}
