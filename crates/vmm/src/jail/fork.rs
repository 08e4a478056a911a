//! Forking into new namespaces, which a process cannot enter itself: a PID namespace is for children only.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Which side of a fork this is.
pub(super) enum Side {
    /// The process that forked: the child's number and a descriptor of it.
    Parent(u32, OwnedFd),
    /// The new process.
    Child,
}

/// Forks into the namespaces of `flags`; the child is the caller's own, or its sibling if `flags` has CLONE_PARENT.
///
/// # Safety
/// This process must have one thread: the child has a copy of that one alone, and locks that others hold would stay held.
unsafe fn clone(flags: libc::c_int, exit_signal: libc::c_int) -> io::Result<Side> {
    let mut descriptor: libc::c_int = -1;
    let arguments = libc::clone_args {
        flags: u64::from((flags | libc::CLONE_PIDFD).cast_unsigned()),
        pidfd: (&raw mut descriptor) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(exit_signal.cast_unsigned()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: without CLONE_VM and with a stack of 0 this is fork(2), which is sound in a process of one thread.
    let number =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match u32::try_from(number) {
        Ok(0) => Ok(Side::Child),
        // SAFETY: the kernel has put a new descriptor there, which is nobody else's.
        Ok(number) => Ok(Side::Parent(number, unsafe { OwnedFd::from_raw_fd(descriptor) })),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// The end of a pipe by which the child learns that it is on its own.
#[derive(Debug)]
pub(super) struct Handover(File);

impl Handover {
    /// Waits until the process that forked has nothing more to say, so that this comes before what this one says. Returns whether it has
    /// announced this one: nobody knows of it otherwise.
    pub(super) fn wait(&self) -> io::Result<bool> {
        let mut said = Vec::new();
        (&self.0).read_to_end(&mut said)?;
        Ok(!said.is_empty())
    }
}

/// The other end of that pipe; dropped without a word, it ends the child.
#[derive(Debug)]
pub(super) struct Announcement(OwnedFd);

impl Announcement {
    /// The child has been announced.
    pub(super) fn made(&self) {
        // A child that has ended by now is the controller's to notice.
        let _ended = write_all(self.0.as_fd(), &[1]);
    }
}

/// What came of [`into_sibling`].
pub(super) enum Forked {
    /// This is the process that forked: announce the other one and end.
    Launcher(u32, OwnedFd, Announcement),
    /// This is the process that stays, if it is announced.
    Successor(Handover),
}

/// Forks a process that takes this one's place: its parent is this one's.
///
/// The caller, still the launcher, must keep the announcement until it has said what it has to say.
///
/// # Safety
/// This process must have one thread.
pub(super) unsafe fn into_sibling(namespaces: libc::c_int) -> io::Result<Forked> {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: by this function's contract.
    match unsafe { clone(namespaces | libc::CLONE_PARENT, 0) }? {
        Side::Parent(number, descriptor) => Ok(Forked::Launcher(number, descriptor, Announcement(write_end))),
        Side::Child => {
            drop(write_end);
            Ok(Forked::Successor(Handover(read_end.into())))
        }
    }
}

/// Runs `attempt` in a child, and returns the error that it had.
///
/// # Safety
/// This process must have one thread.
pub(super) unsafe fn rehearse(
    attempt: impl FnOnce() -> Result<(), String>,
) -> io::Result<Result<(), String>> {
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC)?;
    // SAFETY: by this function's contract.
    match unsafe { clone(0, libc::SIGCHLD) }? {
        Side::Parent(number, _descriptor) => {
            drop(write_end);
            let mut said = String::new();
            File::from(read_end).read_to_string(&mut said)?;
            let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
            waitpid(pid, WaitOptions::empty())?;
            Ok(match said.strip_prefix(REHEARSED) {
                Some("") => Ok(()),
                Some(error) => Err(error.to_owned()),
                None => Err("the child that tried ended without a word".to_owned()),
            })
        }
        Side::Child => {
            let said = match attempt() {
                Ok(()) => REHEARSED.to_owned(),
                Err(error) => format!("{REHEARSED}{error}"),
            };
            // If nobody reads there is nobody to tell.
            let _nobody = write_all(write_end.as_fd(), said.as_bytes());
            // SAFETY: ends the child at once; what the parent would do at its end is not for the child to do.
            unsafe { libc::_exit(0) }
        }
    }
}

/// What a child says first, so that silence is not taken for success.
const REHEARSED: &str = "rehearsed:";

fn write_all(pipe: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(pipe, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}
