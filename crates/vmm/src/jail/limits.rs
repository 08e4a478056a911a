//! Resource limits, which hold whatever else fails.

use rustix::process::{Resource, Rlimit, setrlimit};

use super::report::JailLevel;
use crate::error::{ErrorCode, Result, VmmError};

/// Descriptors: a request brings at most 64, a machine has some twenty of its own.
const DESCRIPTORS_MAX: u64 = 512;
/// A file's length in bytes. Snapshots go to descriptors that the controller opened, 8 GiB and a table at most, and scratch disks
/// are written where they lie; this keeps a VMM that was taken over from filling a disk with one of them.
const FILE_SIZE_MAX: u64 = 64 << 30;
/// Threads of a user of its own: 8 vCPUs, one main thread, and some room.
const THREADS_MAX: u64 = 64;

/// Sets the limits, soft and hard.
///
/// The number of threads is limited by user, so only where the process has one of its own; anywhere else the seccomp filter and, where
/// there is one, the cgroup are what limits it.
///
/// # Errors
/// FIRN_IO if one cannot be set.
pub fn apply(level: JailLevel) -> Result<()> {
    let mut limits = vec![
        (Resource::Core, 0),
        (Resource::Nofile, DESCRIPTORS_MAX),
        (Resource::Fsize, FILE_SIZE_MAX),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ];
    if level == JailLevel::Root {
        limits.push((Resource::Nproc, THREADS_MAX));
    }
    for (resource, limit) in limits {
        // A limit that is lower already cannot be raised, and need not be.
        let limit = rustix::process::getrlimit(resource).maximum.map_or(limit, |hard| hard.min(limit));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .map_err(VmmError::wrap(ErrorCode::Io, format!("limit {resource:?} to {limit}")))?;
    }
    Ok(())
}
