//! The real machine: a Firn guest in which the agent is PID 1.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use rustix::time::{ClockId, Timespec, clock_settime};

use crate::AgentError;
use crate::cgroup::Cgroup;
use crate::doorbell::Doorbell;
use crate::entropy::reseed_kernel;
use crate::generation::{GENERATION_FILE, Generation};
use crate::identity::Identity;
use crate::machine::Machine;
use crate::memory::{available_bytes, clean_memory};
use crate::mounts::mount_app_disk;
use crate::runtime_process::read_some;
use crate::sys::child_events;

/// A booted guest with its file systems mounted.
pub struct GuestMachine {
    doorbell: Option<Doorbell>,
    cgroup: Cgroup,
    random: File,
    generation: Generation,
    identity: Identity,
    child_events: OwnedFd,
}

impl GuestMachine {
    /// Finds what a guest consists of. The second value says why there is no doorbell, if so.
    ///
    /// # Errors
    ///
    /// If the function's cgroup, `/dev/urandom` or the generation file is missing: without them nothing may run.
    pub fn assemble() -> Result<(Self, Option<AgentError>), AgentError> {
        let (doorbell, missing) = match Doorbell::probe(Path::new("/proc/device-tree")) {
            Ok(doorbell) => (Some(doorbell), None),
            Err(error) => (None, Some(error)),
        };
        let cgroup = Cgroup::create(Path::new("/sys/fs/cgroup"), "function")?;
        cgroup.limit_memory(available_bytes(Path::new("/proc")));
        let machine = Self {
            doorbell,
            cgroup,
            random: File::options()
                .write(true)
                .open("/dev/urandom")
                .map_err(AgentError::system("open /dev/urandom"))?,
            generation: Generation::create(Path::new(GENERATION_FILE))?,
            identity: Identity::establish(),
            child_events: child_events().map_err(AgentError::system("listen for ended children"))?,
        };
        Ok((machine, missing))
    }

    /// The cgroup of the function.
    pub fn open_function_cgroup(&self) -> Result<File, AgentError> {
        self.cgroup.open_procs()
    }
}

impl Machine for GuestMachine {
    fn has_doorbell(&self) -> bool {
        self.doorbell.is_some()
    }

    fn ring(&mut self, event: u32) {
        if let Some(doorbell) = &mut self.doorbell {
            doorbell.ring(event, 0);
        }
    }

    fn ring_count(&self) -> u32 {
        self.doorbell.as_ref().map_or(0, Doorbell::count)
    }

    fn mount_app(&mut self) -> Result<(), AgentError> {
        mount_app_disk()
    }

    fn function_cgroup(&self) -> Result<Option<File>, AgentError> {
        self.open_function_cgroup().map(Some)
    }

    fn freeze(&mut self, _runtime: Option<Pid>) -> Result<(), AgentError> {
        self.cgroup.freeze()
    }

    fn thaw(&mut self, _runtime: Option<Pid>) -> Result<(), AgentError> {
        self.cgroup.thaw()
    }

    fn kill(&mut self, _runtime: Pid) -> Result<(), AgentError> {
        self.cgroup.kill()
    }

    fn clean_memory(&mut self) -> Result<(), AgentError> {
        clean_memory(Path::new("/proc"))
    }

    fn reseed(&mut self, seed: &[u8; 64]) -> Result<(), AgentError> {
        reseed_kernel(&self.random, seed)?;
        self.generation.advance()
    }

    fn set_identity(&mut self, generation: &[u8; 16]) -> Result<(), AgentError> {
        self.identity.renew(generation)
    }

    fn unseeded_processes(&self, runtime: Pid) -> Vec<String> {
        self.cgroup.unseeded_processes(Path::new("/proc"), runtime)
    }

    fn ran_out_of_memory(&mut self) -> bool {
        self.cgroup.ran_out_of_memory()
    }

    fn memory_peak_kib(&self) -> u32 {
        self.cgroup.memory_peak_kib()
    }

    fn set_clock(&mut self, seconds: u32, nanoseconds: u32) -> Result<(), AgentError> {
        let time = Timespec { tv_sec: i64::from(seconds), tv_nsec: i64::from(nanoseconds) };
        clock_settime(ClockId::Realtime, time).map_err(AgentError::system("set the wall clock"))
    }

    fn child_events(&self) -> Option<BorrowedFd<'_>> {
        Some(self.child_events.as_fd())
    }

    fn reap(&mut self, runtime: Pid) -> Option<WaitStatus> {
        let mut drained = [0; 1024];
        while read_some(self.child_events.as_fd(), &mut drained).is_some_and(|bytes| !bytes.is_empty()) {}
        let mut found = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == runtime {
                found = Some(status);
            }
        }
        found
    }
}
