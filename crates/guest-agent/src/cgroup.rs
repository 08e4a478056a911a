//! The cgroup in which everything of the function runs.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::AgentError;
use crate::generation::follows_generation;

/// How long the kernel may take to stop every task of the function.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

/// Pause between two looks at whether all tasks stand still.
const FREEZE_POLL: Duration = Duration::from_millis(1);

/// Tasks that a function may have.
const MAX_TASKS: &str = "1024";

/// Memory that a function never gets, in bytes: what the agent and the kernel need to go on, and to tell how the function ended.
const MEMORY_RESERVE_BYTES: u64 = 4 * 1024 * 1024;

/// A cgroup of version 2.
pub struct Cgroup {
    folder: PathBuf,
    memory_peak: Option<File>,
    /// How often the kernel has killed it for want of memory, as far as that was looked at.
    out_of_memory_kills: u64,
}

impl Cgroup {
    /// Makes the cgroup `name` below a mounted hierarchy.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made. A missing controller is no error.
    pub fn create(hierarchy: &Path, name: &str) -> Result<Self, AgentError> {
        let folder = hierarchy.join(name);
        for controller in ["+pids", "+memory"] {
            let _ = fs::write(hierarchy.join("cgroup.subtree_control"), controller);
        }
        fs::create_dir_all(&folder)
            .map_err(AgentError::system(format!("make the cgroup {}", folder.display())))?;
        let _ = fs::write(folder.join("pids.max"), MAX_TASKS);
        let memory_peak = File::open(folder.join("memory.peak")).ok();
        Ok(Self { folder, memory_peak, out_of_memory_kills: 0 })
    }

    /// Lets the function have what memory there is now, apart from a reserve. When it wants more, the kernel kills all of it, and
    /// nothing else.
    pub fn limit_memory(&self, available_bytes: u64) {
        let Some(limit) = available_bytes.checked_sub(MEMORY_RESERVE_BYTES) else { return };
        let _ = self.write("memory.max", &limit.to_string());
        let _ = self.write("memory.oom.group", "1");
    }

    /// Whether the kernel has killed the function for want of memory since this was last asked.
    pub fn ran_out_of_memory(&mut self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0);
        std::mem::replace(&mut self.out_of_memory_kills, kills) < kills
    }

    /// Most memory in use at a time since the cgroup was made, in KiB; 0 if the kernel does not say.
    pub fn memory_peak_kib(&self) -> u32 {
        let read = || {
            let mut text = [0; 24];
            let count = self.memory_peak.as_ref()?.read_at(&mut text, 0).ok()?;
            let bytes: u64 = std::str::from_utf8(text.get(..count)?).ok()?.trim().parse().ok()?;
            u32::try_from(bytes / 1024).ok()
        };
        read().unwrap_or(0)
    }

    /// Every process that does not follow the generation file, as "name (process id)", apart from this one.
    pub fn unseeded_processes(&self, proc: &Path, apart: Pid) -> Vec<String> {
        let ids = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        let apart = apart.as_raw_nonzero().to_string();
        let follows = |id: &str| {
            fs::read_to_string(proc.join(id).join("maps")).is_ok_and(|maps| follows_generation(&maps))
        };
        let others = ids.lines().filter(|id| *id != apart && !follows(id)).map(|id| {
            let name = fs::read_to_string(proc.join(id).join("comm")).unwrap_or_default();
            format!("{} (process {id})", name.trim_end())
        });
        others.collect()
    }

    /// Opens the file into which a process writes "0" to move here.
    pub fn open_procs(&self) -> Result<File, AgentError> {
        OpenOptions::new()
            .write(true)
            .open(self.folder.join("cgroup.procs"))
            .map_err(AgentError::system("open the function's cgroup.procs"))
    }

    /// Stops every task, and returns when all stand still.
    ///
    /// # Errors
    ///
    /// [`AgentError::Deadline`] if a task does not stop: it hangs in the kernel.
    pub fn freeze(&self) -> Result<(), AgentError> {
        self.write("cgroup.freeze", "1").map_err(AgentError::system("freeze the function"))?;
        let deadline = Instant::now() + FREEZE_LIMIT;
        loop {
            let events = fs::read_to_string(self.folder.join("cgroup.events"))
                .map_err(AgentError::system("read the function's cgroup.events"))?;
            if events.lines().any(|line| line == "frozen 1") {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(AgentError::Deadline {
                    awaited: "freezing the function".into(),
                    limit: FREEZE_LIMIT,
                });
            }
            sleep(FREEZE_POLL);
        }
    }

    /// Lets every task go on.
    pub fn thaw(&self) -> Result<(), AgentError> {
        self.write("cgroup.freeze", "0").map_err(AgentError::system("thaw the function"))
    }

    /// Kills every task, frozen ones too.
    pub fn kill(&self) -> Result<(), AgentError> {
        self.write("cgroup.kill", "1").map_err(AgentError::system("kill the function"))
    }

    fn write(&self, name: &str, value: &str) -> io::Result<()> {
        fs::write(self.folder.join(name), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_ran_out_of_memory_when_the_kernel_has_counted_one_more_kill() {
        let hierarchy = tempfile::tempdir().unwrap();
        let mut cgroup = Cgroup::create(hierarchy.path(), "function").unwrap();
        let events = |kills: u32| {
            let text = format!("low 0\nmax 7\noom 2\noom_kill {kills}\noom_group_kill 1\n");
            fs::write(hierarchy.path().join("function/memory.events"), text).unwrap();
        };
        assert!(!cgroup.ran_out_of_memory());
        events(0);
        assert!(!cgroup.ran_out_of_memory());
        events(2);
        assert!(cgroup.ran_out_of_memory());
        assert!(!cgroup.ran_out_of_memory());
    }

    #[test]
    fn a_limit_is_set_when_the_memory_there_is_is_known() {
        let hierarchy = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::create(hierarchy.path(), "function").unwrap();
        let limit = || fs::read_to_string(hierarchy.path().join("function/memory.max")).ok();
        cgroup.limit_memory(0);
        assert_eq!(limit(), None);
        cgroup.limit_memory(100 << 20);
        assert_eq!(limit(), Some((96_u64 << 20).to_string()));
    }
}
