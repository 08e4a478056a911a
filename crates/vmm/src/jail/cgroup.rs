//! The cgroup (v2) of one VMM process. The controller makes it and sets the limits, the process moves itself into it before it gives
//! anything up, and the controller removes it when the process is reaped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::CgroupReport;

/// Where cgroup v2 is mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// Directories that are made here are called so, with the number of the process that made them and a number of its own.
const PREFIX: &str = "firn-vmm-";
/// A cgroup whose last process was reaped can be removed at once, but for work that the kernel has put off.
const REMOVAL_TRIES: u32 = 100;

/// What a cgroup is limited to; what is `None` is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CgroupLimits {
    /// Memory in bytes, page cache that the process was the first to need included.
    pub memory_bytes: Option<u64>,
    /// Whether what does not fit into memory may be swapped out, where the host has swap.
    pub is_memory_swapped: bool,
    /// Threads.
    pub pids: Option<u32>,
    /// Thousandths of a CPU.
    pub cpu_thousandths: Option<u32>,
}

/// A cgroup that was made for one process. Dropping it removes it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a cgroup below `parent`, or below this process's own, with these limits. `number` is unique in this process.
    ///
    /// A limit whose controller is not to be had below `parent` is left out; [`Cgroup::missing`] tells.
    ///
    /// # Errors
    /// A sentence that says why there is no cgroup: the host has none, or this process may not make one.
    pub fn create(parent: Option<&Path>, number: u64, limits: CgroupLimits) -> Result<Self, String> {
        let parent = match parent {
            Some(parent) => parent.to_owned(),
            None => own()?,
        };
        if !parent.join("cgroup.procs").exists() {
            return Err(format!("{} is no cgroup of version 2", parent.display()));
        }
        for controller in ["+memory", "+pids", "+cpu"] {
            // One by one: a host may lack some. Which ones work is seen by their files.
            let _lacking = fs::write(parent.join("cgroup.subtree_control"), controller);
        }
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("make the cgroup {}: {error}", path.display()))?;
        let cgroup = Self { path };
        cgroup.set("memory.max", limits.memory_bytes.map(|bytes| bytes.to_string()))?;
        // What does not fit into a limit that was asked for is to be an end, not a crawl.
        let swap = limits.memory_bytes.filter(|_| !limits.is_memory_swapped);
        cgroup.set("memory.swap.max", swap.map(|_| "0".to_owned()))?;
        cgroup.set("pids.max", limits.pids.map(|pids| pids.to_string()))?;
        let quota = limits.cpu_thousandths.map(|share| format!("{} 100000", u64::from(share) * 100));
        cgroup.set("cpu.max", quota)?;
        Ok(cgroup)
    }

    /// The limits of these that are not in force, a sentence each.
    pub fn missing(&self, limits: CgroupLimits) -> Vec<String> {
        let set = report(&self.path);
        let lacking = [
            ("memory", limits.memory_bytes.is_some() && !set.memory),
            ("pids", limits.pids.is_some() && !set.pids),
            ("cpu", limits.cpu_thousandths.is_some() && !set.cpu),
        ];
        let parent = self.path.parent().unwrap_or(&self.path).display();
        let sentence = |controller| {
            format!(
                "no {controller} limit: the host lacks this controller, or the cgroup {parent} may not hand it on, as one that has processes of its own may not"
            )
        };
        lacking.into_iter().filter(|(_, lacks)| *lacks).map(|(controller, _)| sentence(controller)).collect()
    }

    /// Limits memory to so many bytes from here on, where the cgroup can.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn limit_memory(&self, bytes: u64) -> Result<(), String> {
        self.set("memory.max", Some(bytes.to_string()))
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn set(&self, file: &str, value: Option<String>) -> Result<(), String> {
        let path = self.path.join(file);
        match value {
            Some(value) if path.exists() => fs::write(&path, &value)
                .map_err(|error| format!("write {value} to {}: {error}", path.display())),
            _ => Ok(()),
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..REMOVAL_TRIES {
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => return,
            }
        }
    }
}

/// Removes what controllers that have ended left below `parent`, or below this process's own cgroup. Returns whether that was all of it: a
/// cgroup stays in which something still runs, and a process may be ending for a while after its controller did.
pub fn remove_abandoned(parent: Option<&Path>) -> bool {
    let Some(parent) = parent.map(Path::to_owned).or_else(|| own().ok()) else { return true };
    let mut all = true;
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        if maker.is_some_and(|(maker, _)| !Path::new("/proc").join(maker).exists()) {
            all &= fs::remove_dir(entry.path()).is_ok();
        }
    }
    all
}

/// This process's own cgroup.
fn own() -> Result<PathBuf, String> {
    if !Path::new(MOUNT).join("cgroup.controllers").exists() {
        return Err(format!("this host has no cgroup v2 at {MOUNT}"));
    }
    let memberships = fs::read_to_string("/proc/self/cgroup")
        .map_err(|error| format!("read /proc/self/cgroup: {error}"))?;
    let path = memberships.lines().find_map(|line| line.strip_prefix("0::/"));
    path.map(|path| Path::new(MOUNT).join(path)).ok_or_else(|| "this process is in no cgroup v2".to_owned())
}

/// Moves this process into the cgroup.
pub(super) fn join(path: &Path) -> io::Result<CgroupReport> {
    fs::write(path.join("cgroup.procs"), "0")?;
    Ok(report(path))
}

/// Which limits the cgroup sets.
fn report(path: &Path) -> CgroupReport {
    let limited =
        |file: &str| fs::read_to_string(path.join(file)).is_ok_and(|value| !value.starts_with("max"));
    CgroupReport { memory: limited("memory.max"), pids: limited("pids.max"), cpu: limited("cpu.max") }
}
