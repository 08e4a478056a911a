//! The host's end of the agent stream: a nonblocking stream socket, and the bytes of the guest that it did not take yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use vm_memory::{ReadVolatile, VolatileMemoryError, WriteVolatile};

use super::super::chain::Buffers;
use crate::error::{ErrorCode, Result, VmmError};

/// What came of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// That many bytes, at least one.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The other end will not send any more.
    End,
    /// The stream failed.
    Broken,
}

/// The stream failed: the other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// A stream that may be closed.
#[derive(Default)]
pub(super) struct HostStream {
    socket: Option<UnixStream>,
    /// Bytes that wait to be written.
    waiting: VecDeque<u8>,
    /// A read has found nothing, and nothing has been heard of the socket since: one more would find nothing again.
    is_drained: bool,
}

impl HostStream {
    pub(super) fn new(fd: Option<OwnedFd>) -> Result<Self> {
        let socket = fd.map(nonblocking).transpose()?;
        Ok(Self { socket, ..Self::default() })
    }

    pub(super) fn fd(&self) -> Option<RawFd> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether bytes wait to be written.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Goes on over another descriptor; what waits is written to that.
    pub(super) fn replace(&mut self, fd: OwnedFd) -> Result<()> {
        self.socket = Some(nonblocking(fd)?);
        self.is_drained = false;
        Ok(())
    }

    /// Something may be there to be read.
    pub(super) fn wake(&mut self) {
        self.is_drained = false;
    }

    /// Whether it is worth reading.
    pub(super) fn may_have_bytes(&self) -> bool {
        self.is_open() && !self.is_drained
    }

    /// Closes the stream and forgets what waits.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    /// Tells the other end that the guest will not send any more.
    pub(super) fn end(&self) {
        if let Some(socket) = &self.socket {
            // Fails only when the other end is gone, which the next read finds out.
            let _gone = socket.shutdown(Shutdown::Write);
        }
    }

    /// Writes bytes of the guest, as many as the stream takes; the others wait. Returns how many were written.
    pub(super) fn write(&mut self, data: &Buffers<'_>) -> std::result::Result<usize, Broken> {
        let mut total = 0usize;
        for slice in data.slices() {
            let mut rest = slice.offset(0).map_err(|_| Broken)?;
            while !rest.is_empty() && !self.is_waiting() {
                let Some(socket) = &mut self.socket else { break };
                match socket.write_volatile(&rest).map_err(io_error) {
                    Ok(written) => {
                        total = total.saturating_add(written);
                        rest = rest.offset(written).map_err(|_| Broken)?;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => return Err(Broken),
                }
            }
            let mut remainder = vec![0; rest.len()];
            rest.copy_to(&mut remainder);
            self.waiting.extend(remainder);
        }
        Ok(total)
    }

    /// Writes what waits, as much as the stream takes. Returns how many bytes were written.
    pub(super) fn flush(&mut self) -> std::result::Result<usize, Broken> {
        let mut total = 0usize;
        while let Some(socket) = &mut self.socket
            && let (rest @ [_, ..], _) = self.waiting.as_slices()
        {
            match socket.write(rest) {
                Ok(written) => {
                    total = total.saturating_add(written);
                    self.waiting.drain(..written.min(self.waiting.len()));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Err(Broken),
            }
        }
        Ok(total)
    }

    /// Reads into guest memory, at most as much as there is room.
    pub(super) fn read(&mut self, room: &Buffers<'_>) -> Reading {
        let Some(socket) = &mut self.socket else {
            return Reading::Nothing;
        };
        let mut total = 0usize;
        for slice in room.slices() {
            let reading = loop {
                let Ok(mut slice) = slice.offset(0) else { return Reading::Broken };
                match socket.read_volatile(&mut slice).map_err(io_error) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => break other,
                }
            };
            match reading {
                Ok(read) => {
                    total = total.saturating_add(read);
                    if read < slice.len() {
                        return if total == 0 { Reading::End } else { Reading::Bytes(total) };
                    }
                }
                // What was read before the stream failed still counts; the next read fails again.
                Err(_) if total > 0 => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_drained = true;
                    return Reading::Nothing;
                }
                Err(_) => return Reading::Broken,
            }
        }
        if total == 0 { Reading::Nothing } else { Reading::Bytes(total) }
    }

    /// Whether a read would return something, be it the end.
    pub(super) fn is_readable(&self) -> bool {
        self.poll(libc::POLLIN) & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) != 0
    }

    /// Whether the other end is gone: it neither sends nor receives.
    pub(super) fn is_hung_up(&self) -> bool {
        self.poll(0) & (libc::POLLHUP | libc::POLLERR) != 0
    }

    fn poll(&self, events: libc::c_short) -> libc::c_short {
        let Some(fd) = self.fd() else { return 0 };
        let mut poll = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one pollfd of ours; a timeout of 0 does not wait.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        if ready > 0 { poll.revents } else { 0 }
    }
}

fn nonblocking(fd: OwnedFd) -> Result<UnixStream> {
    let socket = UnixStream::from(fd);
    socket
        .set_nonblocking(true)
        .map_err(VmmError::wrap(ErrorCode::Io, "making the agent stream nonblocking"))?;
    Ok(socket)
}

fn io_error(error: VolatileMemoryError) -> io::Error {
    match error {
        VolatileMemoryError::IOError(error) => error,
        other => io::Error::other(other),
    }
}
