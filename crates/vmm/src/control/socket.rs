//! A SOCK_SEQPACKET socket that carries one message a packet, with descriptors.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ErrorCode, Result, VmmError};

/// Largest packet in bytes; a longer one is a protocol error.
pub const PACKET_MAX: usize = 64 << 10;
/// Most descriptors that travel with one packet (the kernel's limit is 253).
const DESCRIPTORS_MAX: usize = 64;

/// One end of a control connection.
#[derive(Debug)]
pub struct ControlSocket {
    fd: OwnedFd,
}

/// A message with the descriptors that came with it.
#[derive(Debug)]
pub struct Received<T> {
    /// The message.
    pub message: T,
    /// Its descriptors, close-on-exec, in the sender's order.
    pub descriptors: Vec<OwnedFd>,
}

impl ControlSocket {
    /// Two connected ends, both close-on-exec.
    pub fn pair() -> Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(VmmError::wrap(ErrorCode::Io, "create a control socket"))?;
        Ok((Self { fd: a }, Self { fd: b }))
    }

    /// Takes over a descriptor that is such a socket.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Gives the descriptor away, for example to be a child's standard input.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Sends one message. Blocks while the other end's queue is full.
    ///
    /// # Errors
    /// FIRN_PROTOCOL if the message is too large, FIRN_IO if the other end is gone.
    pub fn send<T: Serialize>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let bytes = postcard::to_stdvec(message)
            .map_err(VmmError::wrap(ErrorCode::Protocol, "encode a control message"))?;
        if bytes.len() > PACKET_MAX || descriptors.len() > DESCRIPTORS_MAX {
            return Err(VmmError::new(
                ErrorCode::Protocol,
                format!(
                    "a control message of {} bytes with {} descriptors is too large",
                    bytes.len(),
                    descriptors.len()
                ),
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(VmmError::new(
                ErrorCode::Protocol,
                "the descriptors do not fit into a control message",
            ));
        }
        sendmsg(&self.fd, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)
            .map_err(VmmError::wrap(ErrorCode::Io, "send a control message"))?;
        Ok(())
    }

    /// Waits for a message; `None` when the other end is closed.
    ///
    /// # Errors
    /// FIRN_PROTOCOL if a packet is cut short or does not decode, FIRN_IO if the socket fails.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<Received<T>>> {
        let mut bytes = vec![0_u8; PACKET_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match recvmsg(
                &self.fd,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                other => break other.map_err(VmmError::wrap(ErrorCode::Io, "receive a control message"))?,
            }
        };
        let descriptors: Vec<OwnedFd> = ancillary
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        if received.bytes == 0 && descriptors.is_empty() {
            return Ok(None);
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(VmmError::new(ErrorCode::Protocol, "a control message was cut short"));
        }
        let payload = bytes.get(..received.bytes).unwrap_or_default();
        let message = postcard::from_bytes(payload)
            .map_err(VmmError::wrap(ErrorCode::Protocol, "decode a control message"))?;
        Ok(Some(Received { message, descriptors }))
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};

    use super::*;
    use crate::control::{CONTROL_VERSION, Descriptor, Request, RequestFrame};

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (a, b) = ControlSocket::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"layer").unwrap();
        let frame = RequestFrame {
            version: CONTROL_VERSION,
            id: 7,
            descriptors: vec![Descriptor::Layer],
            request: Request::Pause,
        };
        a.send(&frame, &[file.as_fd()]).unwrap();
        let mut received = b.receive::<RequestFrame>().unwrap().unwrap();
        assert_eq!(received.message, frame);
        let mut copy = std::fs::File::from(received.descriptors.remove(0));
        copy.seek(SeekFrom::Start(0)).unwrap();
        let mut text = String::new();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "layer");
    }

    #[test]
    fn a_closed_end_is_the_end_and_garbage_is_an_error() {
        let (a, b) = ControlSocket::pair().unwrap();
        rustix::net::send(&a.fd, &[0xff; 40], SendFlags::empty()).unwrap();
        assert_eq!(b.receive::<RequestFrame>().unwrap_err().code, ErrorCode::Protocol);
        drop(a);
        assert!(b.receive::<RequestFrame>().unwrap().is_none());
    }
}
