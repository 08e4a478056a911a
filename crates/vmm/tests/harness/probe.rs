//! Runs `firn-jail-probe`, and hears what became of its attempt.
#![allow(dead_code, reason = "no test uses all of it")]

use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use firn_vmm::control::{ControlSocket, Event, Message};
use firn_vmm::error::VmmError;
use firn_vmm::jail::{JailLevel, JailOptions, JailReport, ProcessHandle};

/// What came of an attempt.
#[derive(Debug)]
pub struct Probe {
    pub jail: Result<JailReport, VmmError>,
    pub said: String,
    /// /proc/PID/limits, at its end.
    pub limits: String,
    pub status: ExitStatus,
}

impl Probe {
    pub fn was_killed_by_filter(&self) -> bool {
        self.said.is_empty() && self.status.signal() == Some(libc::SIGSYS)
    }

    pub fn was_refused(&self) -> bool {
        self.said.starts_with("refused")
    }

    /// Whether another process is out of reach, or not even there, whatever is asked of it.
    pub fn was_denied_a_process(&self) -> bool {
        [libc::EPERM, libc::ESRCH].map(refusal).contains(&self.said)
    }

    /// The limit of this name, soft and hard.
    pub fn limit(&self, name: &str) -> Vec<&str> {
        let line = self.limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).collect()
    }
}

/// What is said of an attempt that the kernel has refused so.
fn refusal(error: i32) -> String {
    format!("refused: {}", std::io::Error::from_raw_os_error(error))
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn own_ids() -> (u32, u32) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = 2_000_000_000 + std::process::id() % 10_000 * 2_000 + NEXT.fetch_add(1, Ordering::Relaxed);
    (id, id)
}

pub fn options(level: Option<JailLevel>) -> JailOptions {
    JailOptions { level, ids: Some(own_ids()), cgroup: None }
}

pub fn probe(options: &JailOptions, extra: &[&str]) -> Probe {
    probe_in(options, extra, |command| command)
}

/// Runs it on a host that `prepare` has made another one for it.
pub fn probe_in(
    options: &JailOptions,
    extra: &[&str],
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Probe {
    let (own, mut process) = start_in(options, extra, prepare);
    let jail = loop {
        let Some(mut received) = own.receive::<Message>().unwrap() else {
            panic!("the probe said nothing: {}", process.wait().unwrap())
        };
        match received.message {
            Message::Successor { pid } => process.succeed(pid, received.descriptors.remove(0)).unwrap(),
            Message::Jailed(report) => break Ok(report),
            Message::Event(Event::Failed(error)) => break Err(error),
            other => panic!("{other:?}"),
        }
    };
    let mut text = [0; 1024];
    let (length, _) = rustix::net::recv(own.as_fd(), &mut text, rustix::net::RecvFlags::empty()).unwrap();
    let said = String::from_utf8_lossy(&text[..length]).into_owned();
    // It is there until the process is reaped.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid())).unwrap();
    Probe { jail, said, limits, status: process.wait().unwrap() }
}

/// Starts it, and does not listen.
pub fn start(options: &JailOptions, extra: &[&str]) -> (ControlSocket, ProcessHandle) {
    start_in(options, extra, |command| command)
}

fn start_in(
    options: &JailOptions,
    extra: &[&str],
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> (ControlSocket, ProcessHandle) {
    let (own, other) = ControlSocket::pair().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firn-jail-probe"));
    let child = prepare(&mut command)
        .args(options.to_arguments())
        .args(extra)
        .env_clear()
        .stdin(Stdio::from(other.into_fd()))
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    // It holds the other end of the socket, whose end is waited for.
    drop(command);
    (own, ProcessHandle::new(child).unwrap())
}
