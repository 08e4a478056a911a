//! Starting a `firn-vmm` process.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use firn_vmm::control::ControlSocket;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::failure::Failure;
use crate::stderr_tail::StderrTail;

/// A process reads its control socket at once; one that has not for this long hangs.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// A running process and the ends of what connects it to us.
#[derive(Debug)]
pub struct Spawned {
    /// The process; must be waited for.
    pub child: Child,
    /// Refers to the process even after its number is used again; readable when it has ended.
    pub pidfd: OwnedFd,
    /// Our end of its standard input.
    pub control: ControlSocket,
    /// Our end of its standard error.
    pub stderr: StderrTail,
}

/// Starts `binary` with an empty environment, a control socket as standard input, and nothing else of ours: every descriptor
/// of this process is close-on-exec. The standard library uses posix_spawn for this, which does not copy Node's page tables.
///
/// # Errors
/// FIRN_VMM_SPAWN if the program cannot be started, FIRN_IO if there are no descriptors left.
pub fn spawn(binary: &str) -> Result<Spawned, Failure> {
    let (control, theirs) = ControlSocket::pair()?;
    set_socket_timeout(&control, Timeout::Send, Some(SEND_TIMEOUT))
        .map_err(Failure::io("set up a control socket"))?;
    let mut child = Command::new(binary)
        .env_clear()
        .stdin(Stdio::from(theirs.into_fd()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new("FIRN_VMM_SPAWN", format!("start {binary}: {error}")))?;
    match attach(&mut child) {
        Ok((pidfd, stderr)) => Ok(Spawned { child, pidfd, control, stderr }),
        Err(failure) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(failure)
        }
    }
}

fn attach(child: &mut Child) -> Result<(OwnedFd, StderrTail), Failure> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure::internal("the process has no number"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(Failure::io("open a pidfd of firn-vmm"))?;
    let stderr = child.stderr.take().ok_or_else(|| Failure::internal("standard error is not piped"))?;
    let stderr = OwnedFd::from(stderr);
    fcntl_setfl(&stderr, OFlags::NONBLOCK).map_err(Failure::io("set up standard error of firn-vmm"))?;
    Ok((pidfd, StderrTail::new(stderr)))
}
