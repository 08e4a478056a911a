//! The file systems of the guest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::AgentError;

/// Where the function's files are.
pub const APP_FOLDER: &str = "/srv";

const APP_DEVICE: &str = "/dev/vdb";
/// Capacity of the app disk in sectors of 512 bytes, as the kernel sees it.
const APP_SECTORS: &str = "/sys/block/vdb/size";

const SCRATCH_DEVICE: &str = "/dev/vdc";
const SCRATCH_SECTORS: &str = "/sys/block/vdc/size";
const SCRATCH_FOLDER: &str = "/tmp";

/// How long the kernel may take to notice a disk that was attached to the running machine.
const APP_DISK_LIMIT: Duration = Duration::from_secs(10);

/// Pause between two looks at the capacity of the app disk.
const APP_DISK_POLL: Duration = Duration::from_millis(2);

/// Mounts what every Linux program expects.
///
/// # Errors
///
/// If one of them cannot be mounted; what the kernel has mounted already is no error.
pub fn mount_system() -> Result<(), AgentError> {
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let device = MountFlags::NOSUID | MountFlags::NOEXEC;
    let scratch = MountFlags::NOSUID | MountFlags::NODEV;
    mount_one("devtmpfs", "/dev", device, c"mode=0755")?;
    mount_one("proc", "/proc", plain, c"hidepid=invisible")?;
    mount_one("sysfs", "/sys", plain, c"")?;
    mount_one("tmpfs", "/run", scratch, c"mode=0755")?;
    mount_one("tmpfs", "/tmp", scratch, c"mode=1777")?;
    mount_one("cgroup2", "/sys/fs/cgroup", plain, c"")?;
    for (name, value) in [
        // The timers of housekeeping that would dirty pages of an idle clone.
        ("vm/stat_interval", "120"),
        ("vm/dirty_writeback_centisecs", "0"),
    ] {
        let _ = fs::write(Path::new("/proc/sys").join(name), value);
    }
    // Huge pages would make a snapshot keep 2 MiB where 4 KiB were written.
    let _ = fs::write("/sys/kernel/mm/transparent_hugepage/enabled", "never");
    let _ = fs::create_dir("/dev/shm");
    mount_one("tmpfs", "/dev/shm", scratch, c"mode=1777")
}

fn mount_one(kind: &str, target: &str, flags: MountFlags, data: &std::ffi::CStr) -> Result<(), AgentError> {
    match mount(kind, target, kind, flags, Some(data)) {
        // The kernel mounts /dev by itself when it is configured so.
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(error) => {
            Err(AgentError::System { action: format!("mount {kind} at {target}"), source: error.into() })
        }
    }
}

/// Mounts the scratch disk at `/tmp`, for everybody to write to. Without one, `/tmp` stays in memory.
///
/// Nothing is flushed to this disk before a snapshot, and need not be. A write that is not on the disk yet is a dirty page of the
/// guest's memory, which the snapshot has; a request that the device has taken is done before the machine counts as stopped. The
/// host copies the disk while the machine stands still, so disk and memory are of the same moment, and a clone that gets both goes on
/// as if nothing had happened. It must get both: with the disk as it was formatted, it would read blocks that were never written.
///
/// # Errors
///
/// If there is a disk that cannot be mounted, or `/tmp` cannot be opened to everybody.
pub fn mount_scratch_disk() -> Result<(), AgentError> {
    let sectors = fs::read_to_string(SCRATCH_SECTORS).unwrap_or_default();
    if sectors.is_empty() || sectors.trim() == "0" {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    // No thread that writes empty tables, and no flushes: nobody reads this disk after a crash.
    mount(SCRATCH_DEVICE, SCRATCH_FOLDER, "ext4", flags, Some(c"noinit_itable,nobarrier"))
        .map_err(AgentError::system(format!("mount {SCRATCH_DEVICE} as ext4 at {SCRATCH_FOLDER}")))?;
    fs::set_permissions(SCRATCH_FOLDER, fs::Permissions::from_mode(0o1777))
        .map_err(AgentError::system(format!("let everybody write to {SCRATCH_FOLDER}")))
}

/// Mounts the app disk. Its capacity is 0 until a function is deployed, so it is waited for.
///
/// # Errors
///
/// [`AgentError::Deadline`] if no disk was attached, [`AgentError::System`] if it holds no erofs.
pub fn mount_app_disk() -> Result<(), AgentError> {
    let deadline = Instant::now() + APP_DISK_LIMIT;
    loop {
        let sectors = fs::read_to_string(APP_SECTORS)
            .map_err(AgentError::system(format!("read {APP_SECTORS}: this machine has no app disk")))?;
        if sectors.trim() != "0" {
            break;
        }
        if Instant::now() > deadline {
            return Err(AgentError::Deadline {
                awaited: "attaching an app disk with a capacity".into(),
                limit: APP_DISK_LIMIT,
            });
        }
        sleep(APP_DISK_POLL);
    }
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount(APP_DEVICE, APP_FOLDER, "erofs", flags, None::<&std::ffi::CStr>)
        .map_err(AgentError::system(format!("mount {APP_DEVICE} as erofs at {APP_FOLDER}")))
}
