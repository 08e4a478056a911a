//! What a session asks of the machine that it runs on.

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

    /// Stops every task of the function; returns when all stand still.
    ///
    /// # Errors
    ///
    /// If one does not stop.
    fn freeze(&mut self) -> Result<(), AgentError>;

    /// Lets every task of the function go on.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn thaw(&mut self) -> Result<(), AgentError>;

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

    /// Gives the kernel's random number generator a new seed.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    fn reseed(&mut self, seed: &[u8; 64]) -> Result<(), AgentError>;

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
