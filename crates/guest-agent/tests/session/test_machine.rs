//! A machine in which freezing is done by signals, and the doorbell by a list.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use firn_guest_agent::AgentError;
use firn_guest_agent::machine::Machine;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, waitid, waitpid,
};

/// What the session did with the machine, in order.
pub type Deeds = Arc<Mutex<Vec<String>>>;

pub struct TestMachine {
    pub deeds: Deeds,
    pub rings: u32,
}

impl TestMachine {
    fn note(&self, deed: impl Into<String>) {
        self.deeds.lock().unwrap().push(deed.into());
    }

    fn signal(runtime: Option<Pid>, signal: Signal) {
        if let Some(pid) = runtime {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Machine for TestMachine {
    fn has_doorbell(&self) -> bool {
        true
    }

    fn ring(&mut self, event: u32) {
        self.note(format!("ring {event}"));
        self.rings += 1;
    }

    fn ring_count(&self) -> u32 {
        self.rings
    }

    fn mount_app(&mut self) -> Result<(), AgentError> {
        self.note("mount");
        Ok(())
    }

    fn function_cgroup(&self) -> Result<Option<std::fs::File>, AgentError> {
        Ok(None)
    }

    fn freeze(&mut self, runtime: Option<Pid>) -> Result<(), AgentError> {
        self.note("freeze");
        Self::signal(runtime, Signal::STOP);
        // The signal arrives a moment later.
        if let Some(pid) = runtime {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT);
        }
        Ok(())
    }

    fn thaw(&mut self, runtime: Option<Pid>) -> Result<(), AgentError> {
        self.note("thaw");
        Self::signal(runtime, Signal::CONT);
        Ok(())
    }

    fn kill(&mut self, runtime: Pid) -> Result<(), AgentError> {
        self.note("kill");
        let _ = kill_process(runtime, Signal::KILL);
        let _ = waitpid(Some(runtime), WaitOptions::empty());
        Ok(())
    }

    fn clean_memory(&mut self) -> Result<(), AgentError> {
        self.note("clean");
        Ok(())
    }

    fn reseed(&mut self, seed: &[u8; 64]) -> Result<(), AgentError> {
        self.note(format!("reseed {}", seed.iter().any(|byte| *byte != seed[0])));
        Ok(())
    }

    fn set_identity(&mut self, generation: &[u8; 16]) -> Result<(), AgentError> {
        self.note(format!("identity {}", generation[0]));
        Ok(())
    }

    fn unseeded_processes(&self, runtime: Pid) -> Vec<String> {
        let id = runtime.as_raw_nonzero();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        children.split_ascii_whitespace().map(|child| format!("child (process {child})")).collect()
    }

    fn ran_out_of_memory(&mut self) -> bool {
        false
    }

    fn memory_peak_kib(&self) -> u32 {
        4321
    }

    fn set_clock(&mut self, seconds: u32, nanoseconds: u32) -> Result<(), AgentError> {
        self.note(format!("clock {seconds}.{nanoseconds}"));
        Ok(())
    }

    fn child_events(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn reap(&mut self, runtime: Pid) -> Option<WaitStatus> {
        let (_, status) = waitpid(Some(runtime), WaitOptions::NOHANG).ok()??;
        Some(status)
    }
}
