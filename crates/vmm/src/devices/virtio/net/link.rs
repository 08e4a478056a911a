//! What the guest's network card is plugged into: a stream socket, a tap, or nothing.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::fs::FileType;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use super::frames::{Broken, Frames};
use super::tap::Tap;
use crate::error::{ErrorCode, Result, VmmError};

/// A link. It never blocks.
pub(super) enum Link {
    /// The cable is not plugged in.
    Down,
    /// Frames, each behind its length in four bytes, big-endian: what passt, and QEMU's `-netdev stream`, speak.
    Stream(UnixStream),
    /// A tap interface of the host.
    Tap(Box<Tap>),
}

impl Link {
    /// Finds out what a descriptor is.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Config`] if it is neither a stream socket nor a tap.
    pub(super) fn new(fd: Option<OwnedFd>) -> Result<Self> {
        let Some(fd) = fd else { return Ok(Self::Down) };
        let status = rustix::fs::fstat(&fd)
            .map_err(VmmError::wrap(ErrorCode::Io, "finding out what the network's descriptor is"))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Socket if socket_type(&fd) == Ok(SocketType::STREAM) => {
                let stream = UnixStream::from(fd);
                stream
                    .set_nonblocking(true)
                    .map_err(VmmError::wrap(ErrorCode::Io, "making the network's socket nonblocking"))?;
                Ok(Self::Stream(stream))
            }
            FileType::CharacterDevice => Tap::new(fd).map(Box::new).map(Self::Tap),
            _ => Err(VmmError::new(
                ErrorCode::Config,
                "the network's descriptor is neither a stream socket nor a tap",
            )),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        !matches!(self, Self::Down)
    }

    pub(super) fn fd(&self) -> Option<RawFd> {
        match self {
            Self::Down => None,
            Self::Stream(stream) => Some(stream.as_raw_fd()),
            Self::Tap(tap) => Some(tap.as_fd().as_raw_fd()),
        }
    }

    /// Reads what there is, once. False if there is nothing, or no room for it.
    pub(super) fn receive(&mut self, into: &mut Frames) -> std::result::Result<bool, Broken> {
        match self {
            Self::Down => Ok(false),
            Self::Tap(tap) => tap.receive(into),
            Self::Stream(stream) => loop {
                return match into.fill(|space| stream.read(space)) {
                    Ok(0) => Err(Broken),
                    Ok(_) => Ok(true),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                    Err(_) => Err(Broken),
                };
            },
        }
    }

    /// Sends what waits in `outbox`, as much as the link takes. What is left begins with a frame of which `started` bytes are
    /// sent; it is there as a whole, because a snapshot may have to send it anew.
    pub(super) fn send(
        &mut self,
        outbox: &mut Frames,
        started: &mut usize,
    ) -> std::result::Result<(), Broken> {
        match self {
            Self::Down => Ok(()),
            Self::Tap(tap) => tap.send(outbox),
            Self::Stream(stream) => loop {
                let rest = outbox.waiting().get(*started..).unwrap_or_default();
                if rest.is_empty() {
                    return Ok(());
                }
                match stream.write(rest) {
                    Ok(0) => return Err(Broken),
                    Ok(written) => *started = started.saturating_add(written),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(_) => return Err(Broken),
                }
                // Frames that are sent as a whole make room for others.
                while let Some(frame) = outbox.front()? {
                    let length = frame.len().saturating_add(4);
                    if *started < length {
                        break;
                    }
                    *started -= length;
                    outbox.pop();
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn what_carries_no_frames_is_refused() {
        let datagram = UnixDatagram::unbound().unwrap();
        let file = tempfile::tempfile().unwrap();
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        for fd in [OwnedFd::from(datagram), file.into(), null.into()] {
            assert_eq!(Link::new(Some(fd)).err().unwrap().code, ErrorCode::Config);
        }
        assert!(!Link::new(None).unwrap().is_up());
    }
}
