//! The version at the head of each of Firn's files.

use crate::error::{ErrorCode, Result, VmmError};

/// Checks that this VMM reads a file of this version: any from 1 to `newest`.
///
/// # Errors
/// FIRN_SNAPSHOT_INCOMPATIBLE naming the file, its version and those that are read: the snapshot is sound, and not for this VMM.
pub(crate) fn check(file: &str, version: u32, newest: u32) -> Result<()> {
    if (1..=newest).contains(&version) {
        return Ok(());
    }
    Err(VmmError::new(
        ErrorCode::SnapshotIncompatible,
        format!("{file}: version {version}, and this VMM reads versions 1 to {newest}; rebuild the snapshot"),
    ))
}
