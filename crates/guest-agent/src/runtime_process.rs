//! The process in which the function runs: started, talked to, listened to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use firn_protocol::v2::{RuntimeCommand, RuntimeResume};
use firn_protocol::{FrameDecoder, ProtocolError, frame};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd, ioctl_fionbio, read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::set_no_new_privs;

use crate::AgentError;
use crate::outbox::Outbox;

/// Size of the message that opens the gate, in bytes: less than what a pipe holds.
pub const MAX_ENVIRONMENT_BYTES: usize = 60 * 1024;

/// The variables that name a runtime's descriptors to it: the bridge, the gate, the log.
const DESCRIPTOR_VARIABLES: [&str; 3] = ["FIRN_BRIDGE_FD", "FIRN_GATE_FD", "FIRN_LOG_FD"];

/// How to start the runtime.
pub struct RuntimeSpec {
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment, to which the numbers of the inherited descriptors are added.
    pub environment: Vec<(OsString, OsString)>,
    /// User and group to run as; `None` for the agent's own.
    pub user: Option<u32>,
    /// The folder to start in.
    pub folder: PathBuf,
    /// Whether it gets a bridge, a gate and a log pipe.
    pub has_bridge: bool,
    /// An open `cgroup.procs` of the cgroup to move to; `None` to stay.
    pub cgroup: Option<File>,
}

/// A runtime that was started. Its output descriptors are not blocking.
pub struct RuntimeProcess {
    /// Its process id.
    pub pid: Pid,
    /// Readable when the process has ended.
    pub ended: OwnedFd,
    /// The stream of messages in both directions, if it is one that speaks so.
    pub bridge: Option<Bridge>,
    /// What it prints, with the invocation that printed it, as frames; `None` once it has closed this.
    pub log: Option<OwnedFd>,
    /// Frames from `log`.
    pub logged: FrameDecoder,
    /// What else it prints; `None` once it has closed this.
    pub stdout: Option<OwnedFd>,
    /// What it complains; `None` once it has closed this.
    pub stderr: Option<OwnedFd>,
}

/// The agent's end of a bridge.
pub struct Bridge {
    /// Does not block.
    pub socket: OwnedFd,
    /// Frames on their way to the runtime.
    pub commands: Outbox,
    /// Frames from it.
    pub reports: FrameDecoder,
    gate: OwnedFd,
}

/// The runtime's ends of bridge, gate and log pipe, in the order of [`DESCRIPTOR_VARIABLES`].
type InheritedEnds = [OwnedFd; 3];

impl RuntimeProcess {
    /// Starts the runtime.
    ///
    /// # Errors
    ///
    /// If a descriptor or the process cannot be made, or the program cannot be executed.
    pub fn start(spec: RuntimeSpec) -> Result<Self, AgentError> {
        Self::try_start(spec).map_err(AgentError::system("start the runtime process"))
    }

    fn try_start(spec: RuntimeSpec) -> io::Result<Self> {
        let (bridge, log, inherited) = match spec.has_bridge {
            true => Bridge::make().map(|(bridge, log, ends)| (Some(bridge), Some(log), Some(ends)))?,
            false => (None, None, None),
        };
        let (stdout, its_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, its_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        for descriptor in [&stdout, &stderr] {
            ioctl_fionbio(descriptor, true)?;
        }
        let mut command = Command::new(&spec.program);
        command.args(&spec.arguments).env_clear().envs(spec.environment).current_dir(&spec.folder);
        for (name, descriptor) in DESCRIPTOR_VARIABLES.iter().zip(inherited.iter().flatten()) {
            command.env(name, std::os::fd::AsRawFd::as_raw_fd(descriptor).to_string());
        }
        command.stdin(Stdio::null()).stdout(its_stdout).stderr(its_stderr);
        if let Some(user) = spec.user {
            command.uid(user).gid(user);
        }
        let cgroup = spec.cgroup;
        // SAFETY: between fork and exec the closure makes system calls only: no allocation, no lock.
        unsafe {
            command.pre_exec(move || {
                if let Some(procs) = &cgroup {
                    write(procs, b"0")?;
                }
                for descriptor in inherited.iter().flatten() {
                    fcntl_setfd(descriptor, FdFlags::empty())?;
                }
                set_no_new_privs(true)?;
                Ok(())
            });
        }
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        let ended = pidfd_open(pid, PidfdFlags::empty())?;
        let (stdout, stderr) = (Some(stdout), Some(stderr));
        Ok(Self { pid, ended, bridge, log, logged: FrameDecoder::new(), stdout, stderr })
    }
}

impl Bridge {
    /// Makes a bridge: the agent's end, its end of the log pipe, and what the runtime inherits.
    fn make() -> io::Result<(Self, OwnedFd, InheritedEnds)> {
        let (socket, its_socket) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let (its_gate, gate) = pipe_with(PipeFlags::CLOEXEC)?;
        let (log, its_log) = pipe_with(PipeFlags::CLOEXEC)?;
        for descriptor in [&socket, &log] {
            ioctl_fionbio(descriptor, true)?;
        }
        // Above the numbers that become standard input, output and error.
        let inherited = [
            fcntl_dupfd_cloexec(&its_socket, 10)?,
            fcntl_dupfd_cloexec(&its_gate, 10)?,
            fcntl_dupfd_cloexec(&its_log, 10)?,
        ];
        let bridge = Self { socket, commands: Outbox::default(), reports: FrameDecoder::new(), gate };
        Ok((bridge, log, inherited))
    }

    /// Queues a command and sends as much as the bridge takes.
    ///
    /// # Errors
    ///
    /// If the command is too long for a frame. That the process is gone is noticed elsewhere.
    pub fn send(&mut self, command: &RuntimeCommand) -> Result<(), ProtocolError> {
        self.commands.push(command)?;
        self.flush();
        Ok(())
    }

    /// Sends as much as the bridge takes.
    pub fn flush(&mut self) {
        let _ = self.commands.flush(self.socket.as_fd());
    }

    /// Lets a quiesced runtime go on, with a new seed and the variables of its environment.
    ///
    /// # Errors
    ///
    /// If the process is gone, or the variables are longer than [`MAX_ENVIRONMENT_BYTES`].
    pub fn open_gate(&self, seed: &[u8], environment: BTreeMap<String, String>) -> Result<(), AgentError> {
        let framed = frame(&RuntimeResume { entropy: seed.to_vec(), environment })?;
        if framed.len() > MAX_ENVIRONMENT_BYTES {
            return Err(AgentError::Unexpected(format!(
                "the environment of a resume record takes {} bytes: {MAX_ENVIRONMENT_BYTES} are possible",
                framed.len()
            )));
        }
        // The pipe is empty, and holds this: it is written at once and as a whole.
        write(&self.gate, &framed).map_err(AgentError::system("write to the runtime's gate"))?;
        Ok(())
    }
}

/// Reads once from a descriptor that does not block. `None` if nothing is there now; an empty slice at the end.
pub fn read_some<'buffer>(descriptor: BorrowedFd<'_>, buffer: &'buffer mut [u8]) -> Option<&'buffer [u8]> {
    loop {
        match read(descriptor, &mut *buffer) {
            Ok(count) => return Some(buffer.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return None,
            // The peer is gone: nothing more will come.
            Err(_) => return Some(&[]),
        }
    }
}
