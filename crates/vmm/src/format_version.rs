//! The version at the head of each of Firn's files.

use crate::error::{ErrorCode, Result, VmmError};

/// Checks that a file is of the one version that this VMM reads.
///
/// # Errors
/// FIRN_SNAPSHOT_INCOMPATIBLE naming the file and both versions: the snapshot is sound, and not for this VMM.
pub(crate) fn check(file: &str, version: u32, own: u32) -> Result<()> {
    if version == own {
        return Ok(());
    }
    Err(VmmError::new(
        ErrorCode::SnapshotIncompatible,
        format!("{file}: version {version}, and this VMM reads version {own}; rebuild the snapshot"),
    ))
}
