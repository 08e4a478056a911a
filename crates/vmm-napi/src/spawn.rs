//! Starting a `firn-vmm` process.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, Command, Stdio};
use std::time::Duration;

use firn_vmm::control::ControlSocket;
use firn_vmm::jail::ProcessHandle;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::failure::Failure;
use crate::jail::{Granted, JailWish};
use crate::stderr_tail::StderrTail;

/// A process reads its control socket at once; one that has not for this long hangs.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// A running process and the ends of what connects it to us.
#[derive(Debug)]
pub struct Spawned {
    /// The process; must be waited for.
    pub process: ProcessHandle,
    /// Our end of its standard input.
    pub control: ControlSocket,
    /// Our end of its standard error.
    pub stderr: StderrTail,
    /// What it was given for its jail; to be kept until it is reaped.
    pub granted: Granted,
}

/// Starts `binary` with an empty environment, a control socket as standard input, a process group of its own, and nothing else of ours: every
/// descriptor of this process is close-on-exec. The standard library uses posix_spawn for this, which does not copy Node's page tables.
///
/// # Errors
/// FIRN_VMM_SPAWN if the program cannot be started, FIRN_JAIL_UNAVAILABLE if there is no user left for it, FIRN_IO if there are no
/// descriptors left.
pub fn spawn(binary: &str, jail: &JailWish) -> Result<Spawned, Failure> {
    let granted = jail.grant()?;
    let (control, theirs) = ControlSocket::pair()?;
    set_socket_timeout(&control, Timeout::Send, Some(SEND_TIMEOUT))
        .map_err(Failure::io("set up a control socket"))?;
    let mut child = Command::new(binary)
        .args(granted.options.to_arguments())
        .env_clear()
        .stdin(Stdio::from(theirs.into_fd()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::new("FIRN_VMM_SPAWN", format!("start {binary}: {error}")))?;
    let stderr = child.stderr.take();
    let process = ProcessHandle::new(child).map_err(Failure::io("open a pidfd of firn-vmm"))?;
    match tail(stderr) {
        Ok(stderr) => Ok(Spawned { process, control, stderr, granted }),
        Err(failure) => {
            let mut process = process;
            drop(control);
            let _reaped = process.wait();
            Err(failure)
        }
    }
}

fn tail(stderr: Option<ChildStderr>) -> Result<StderrTail, Failure> {
    let stderr = stderr.ok_or_else(|| Failure::internal("standard error is not piped"))?;
    let stderr = OwnedFd::from(stderr);
    fcntl_setfl(&stderr, OFlags::NONBLOCK).map_err(Failure::io("set up standard error of firn-vmm"))?;
    Ok(StderrTail::new(stderr))
}
