//! Why a process ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::failure::Failure;

/// The signal by which the kernel ends a process for a system call that its filter forbids.
const SIGSYS: i32 = rustix::process::Signal::SYS.as_raw();

/// Why a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    Closed,
    /// The guest switched itself off.
    Stopped,
    /// The guest reset itself.
    Reset,
    /// The VMM said what was wrong.
    Failed(Failure),
    /// It ended without a word on the control socket, or never started.
    Crashed(Failure),
}

impl Ending {
    /// A process that ended by itself.
    pub fn crashed(pid: u32, status: ExitStatus, last_words: &str) -> Self {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("with exit status {code}"),
            (None, Some(SIGSYS)) => {
                format!(
                    "by signal {SIGSYS}, SIGSYS: it made a system call that its jail forbids, so that it is either broken or taken over; the kernel's log has a line of type=1326 with the number of the call"
                )
            }
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => "for an unknown reason".to_owned(),
        };
        let words = if last_words.is_empty() {
            "it wrote nothing to standard error".to_owned()
        } else {
            format!("the end of its standard error: {last_words}")
        };
        Self::Crashed(Failure::new(
            "FIRN_VMM_CRASHED",
            format!("firn-vmm (process {pid}) ended {how}; {words}"),
        ))
    }

    /// How JavaScript calls it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Stopped => "stopped",
            Self::Reset => "reset",
            Self::Failed(_) => "failed",
            Self::Crashed(_) => "crashed",
        }
    }

    /// What went wrong, if something did.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) | Self::Crashed(failure) => Some(failure),
            Self::Closed | Self::Stopped | Self::Reset => None,
        }
    }

    /// What a request gets that was not answered, or comes too late.
    pub fn for_requests(&self) -> Failure {
        match self {
            Self::Closed => Failure::closed(),
            Self::Stopped => Failure::new("FIRN_VMM_STOPPED", "the guest has switched itself off"),
            Self::Reset => Failure::new("FIRN_VMM_STOPPED", "the guest has reset itself"),
            Self::Failed(failure) | Self::Crashed(failure) => failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_tells_status_and_last_words() {
        let ending = Ending::crashed(17, ExitStatus::from_raw(3 << 8), "thread panicked");
        assert_eq!(
            ending.failure().unwrap().to_string(),
            "FIRN_VMM_CRASHED: firn-vmm (process 17) ended with exit status 3; the end of its standard error: thread panicked"
        );
        let ending = Ending::crashed(17, ExitStatus::from_raw(9), "");
        assert!(ending.failure().unwrap().to_string().contains("by signal 9"));
        let ending = Ending::crashed(17, ExitStatus::from_raw(31), "");
        let text = ending.failure().unwrap().to_string();
        assert!(
            text.starts_with("FIRN_VMM_CRASHED: firn-vmm (process 17) ended by signal 31, SIGSYS: "),
            "{text}"
        );
    }
}
