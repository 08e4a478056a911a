//! An empty root file system.

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

/// Where the empty file system is mounted before it becomes the root. Every host has it, because /proc/self is needed before.
const MOUNT_POINT: &str = "/proc";

/// Makes an empty, read-only file system the root of this process, which must be in a mount namespace of its own, and lets go of
/// every other one.
///
/// Returns what was being done when it failed.
pub(super) fn empty() -> Result<(), (&'static str, rustix::io::Errno)> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Mounts made here must not show outside.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| ("make the mounts private", error))?;
    mount("firn-vmm", MOUNT_POINT, "tmpfs", flags, c"size=4k,nr_inodes=1,mode=555")
        .map_err(|error| ("mount an empty file system", error))?;
    chdir(MOUNT_POINT).map_err(|error| ("enter the empty file system", error))?;
    // The old root comes to lie over the new one (pivot_root(2)), and is taken away.
    pivot_root(".", ".").map_err(|error| ("make the empty file system the root", error))?;
    unmount(".", UnmountFlags::DETACH).map_err(|error| ("let go of the old root", error))?;
    chdir("/").map_err(|error| ("enter the new root", error))?;
    mount_remount("/", flags | MountFlags::RDONLY | MountFlags::BIND, c"")
        .map_err(|error| ("make the new root read-only", error))
}
