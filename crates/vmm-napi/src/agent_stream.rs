//! The socket pair of the agent stream.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair,
    sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force},
};

use crate::failure::Failure;

/// Send buffer asked for, in bytes; without CAP_NET_ADMIN the kernel grants at most net.core.wmem_max.
pub const SEND_BUFFER_BYTES: usize = 1 << 20;

/// Both ends of an agent stream, nonblocking and close-on-exec.
#[derive(Debug)]
pub struct AgentStream {
    /// For Node.js.
    pub node_end: OwnedFd,
    /// For the VMM.
    pub vmm_end: OwnedFd,
    /// How many of the initial bytes already wait in the VMM's end.
    pub bytes_written: usize,
}

impl AgentStream {
    /// Connects two sockets and writes as much of `initial_bytes` as the kernel takes.
    ///
    /// # Errors
    /// FIRN_IO if the sockets cannot be made or written.
    pub fn create(initial_bytes: &[u8]) -> Result<Self, Failure> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (node_end, vmm_end) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(Failure::io("create the agent stream"))?;
        for end in [&node_end, &vmm_end] {
            set_socket_send_buffer_size_force(end, SEND_BUFFER_BYTES)
                .or_else(|_| set_socket_send_buffer_size(end, SEND_BUFFER_BYTES))
                .map_err(Failure::io("size the agent stream's buffer"))?;
        }
        let bytes_written = write_some(&node_end, initial_bytes)?;
        Ok(Self { node_end, vmm_end, bytes_written })
    }
}

fn write_some(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Failure> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match send(socket, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => written = written.saturating_add(count),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(Failure::io("write the initial bytes of the agent stream")(error)),
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn small_initial_bytes_wait_in_the_vmm_end() {
        let stream = AgentStream::create(b"resume record").unwrap();
        assert_eq!(stream.bytes_written, 13);
        let mut received = [0; 13];
        UnixStream::from(stream.vmm_end).read_exact(&mut received).unwrap();
        assert_eq!(&received, b"resume record");
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_caller() {
        let bytes: Vec<u8> = (0..8_u32 << 20).map(|index| index.to_le_bytes()[1]).collect();
        let stream = AgentStream::create(&bytes).unwrap();
        assert!(stream.bytes_written > 64 << 10, "{}", stream.bytes_written);
        assert!(stream.bytes_written < bytes.len());
        drop(stream.node_end);
        let mut received = Vec::new();
        UnixStream::from(stream.vmm_end).read_to_end(&mut received).unwrap();
        assert!(received == bytes[..stream.bytes_written]);
    }
}
