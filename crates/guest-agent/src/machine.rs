//! What a session asks of the machine that it runs on.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::process::{Pid, WaitStatus};

use crate::AgentError;

/// The machine under a [`Session`](crate::session::Session).
pub trait Machine {
    /// Whether a doorbell answered.
    fn has_doorbell(&self) -> bool;

    /// Rings the doorbell. When this returns, the machine may have been cloned.
    fn ring(&mut self, event: u32);

    /// How often [`ring`](Self::ring) has returned.
    fn ring_count(&self) -> u32;

    /// Mounts the app disk at the app folder.
    ///
    /// # Errors
    ///
    /// If there is no disk, or it cannot be mounted.
    fn mount_app(&mut self) -> Result<(), AgentError>;

    /// An open `cgroup.procs` of the function's cgroup, for a process to move to; `None` if it is to stay where the agent is.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    fn function_cgroup(&self) -> Result<Option<File>, AgentError>;

    /// Stops every task of the function, whose main process is `runtime`; returns when all stand still.
    ///
    /// # Errors
    ///
    /// If one does not stop.
    fn freeze(&mut self, runtime: Option<Pid>) -> Result<(), AgentError>;

    /// Lets every task of the function go on.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn thaw(&mut self, runtime: Option<Pid>) -> Result<(), AgentError>;

    /// Kills every task of the function, frozen or not.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn kill(&mut self, runtime: Pid) -> Result<(), AgentError>;

    /// Leaves as little as possible in memory for a snapshot to keep.
    ///
    /// # Errors
    ///
    /// If the kernel's controls are missing.
    fn clean_memory(&mut self) -> Result<(), AgentError>;

    /// Gives the kernel's random number generator a new seed, and then tells the processes that follow the generation file.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn reseed(&mut self, seed: &[u8; 64]) -> Result<(), AgentError>;

    /// Gives the machine a host name and a boot id of its own, that follow from the generation of a resume.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn set_identity(&mut self, generation: &[u8; 16]) -> Result<(), AgentError>;

    /// The processes of the function that do not reseed themselves after a resume, apart from its runtime, each as "name (process id)".
    fn unseeded_processes(&self, runtime: Pid) -> Vec<String>;

    /// Whether the function was killed for want of memory since this was last asked.
    fn ran_out_of_memory(&mut self) -> bool;

    /// Most memory that the function had since it was started, in KiB; 0 if that is not known.
    fn memory_peak_kib(&self) -> u32;

    /// Sets the wall clock.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, or the time does not exist.
    fn set_clock(&mut self, seconds: u32, nanoseconds: u32) -> Result<(), AgentError>;

    /// A descriptor that is readable when some child has ended, if this machine takes in orphans.
    fn child_events(&self) -> Option<BorrowedFd<'_>>;

    /// Takes in children that have ended. Says how the runtime ended, if it was among them.
    fn reap(&mut self, runtime: Pid) -> Option<WaitStatus>;
}
