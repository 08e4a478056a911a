//! The file systems of the guest.

use std::fs;
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
