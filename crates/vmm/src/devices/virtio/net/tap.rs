//! A tap interface: one frame a read or write, behind a virtio header if it was made with IFF_VNET_HDR.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::frames::{Broken, FRAME_MAX, Frames};
use crate::error::{ErrorCode, Result, VmmError};

// linux/if_tun.h, the same on every architecture that KVM guests of this VMM are made on; libc has them not.
const TUNGETIFF: libc::Ioctl = 0x8004_54d2;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0;
const TUNGETVNETHDRSZ: libc::Ioctl = 0x8004_54d7;

/// Longest virtio header that a tap is made with.
const HEADER_MAX: usize = 32;

pub(super) struct Tap {
    file: File,
    /// Length of the virtio header of each frame, 0 without one.
    header: usize,
    /// A header, and a byte more than any frame has, by which a longer one is found out.
    buffer: [u8; HEADER_MAX + FRAME_MAX + 1],
    /// Frames that came and were none, or went and were not taken.
    dropped: u64,
}

impl Tap {
    /// # Errors
    ///
    /// [`ErrorCode::Config`] if the descriptor is no tap, or one that puts packet information before its frames.
    pub(super) fn new(fd: OwnedFd) -> Result<Self> {
        let refused =
            |what: &str| VmmError::new(ErrorCode::Config, format!("the network's descriptor {what}"));
        let flags =
            interface_flags(fd.as_fd()).ok_or_else(|| refused("is neither a stream socket nor a tap"))?;
        if flags & libc::IFF_TAP == 0 {
            return Err(refused("is a tun, which carries no Ethernet frames; make a tap"));
        }
        if flags & libc::IFF_NO_PI == 0 {
            return Err(refused("is a tap with packet information; make it with IFF_NO_PI"));
        }
        let header = if flags & libc::IFF_VNET_HDR == 0 {
            0
        } else {
            // The guest was offered no offloads: the host is to hand over frames as they are on a wire.
            let length = plain_frames(fd.as_fd()).and_then(|length| usize::try_from(length).ok());
            length
                .filter(|length| *length <= HEADER_MAX)
                .ok_or_else(|| refused("is a tap with a virtio header of unknown length"))?
        };
        fcntl_getfl(&fd)
            .and_then(|flags| fcntl_setfl(&fd, flags | OFlags::NONBLOCK))
            .map_err(VmmError::wrap(ErrorCode::Io, "making the network's tap nonblocking"))?;
        Ok(Self { file: fd.into(), header, buffer: [0; HEADER_MAX + FRAME_MAX + 1], dropped: 0 })
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Reads one frame. False if there is none, or no room.
    pub(super) fn receive(&mut self, into: &mut Frames) -> std::result::Result<bool, Broken> {
        if !into.has_room() {
            return Ok(false);
        }
        let end = self.header.saturating_add(FRAME_MAX + 1);
        let room = self.buffer.get_mut(..end).unwrap_or_default();
        loop {
            match self.file.read(room) {
                Ok(length) => {
                    let frame = room.get(self.header..length).unwrap_or_default();
                    if !into.push(&[frame]) {
                        self.dropped = self.dropped.wrapping_add(1);
                    }
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(Broken),
            }
        }
    }

    /// Writes frames for as long as the interface takes them. One that it refuses is lost, as on a wire.
    pub(super) fn send(&mut self, outbox: &mut Frames) -> std::result::Result<(), Broken> {
        while let Some(frame) = outbox.front()? {
            let end = self.header.saturating_add(frame.len());
            let Some(bytes) = self.buffer.get_mut(..end) else { return Err(Broken) };
            let Some((header, body)) = bytes.split_at_mut_checked(self.header) else { return Err(Broken) };
            header.fill(0);
            body.copy_from_slice(frame);
            match self.file.write(bytes) {
                Ok(_) => outbox.pop(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The interface was removed. Anything else, such as an interface that is down, may pass.
                Err(error) if error.raw_os_error() == Some(libc::EBADFD) => return Err(Broken),
                Err(_) => {
                    self.dropped = self.dropped.wrapping_add(1);
                    outbox.pop();
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The flags that the interface was made with, IFF_TAP and others, if it is one.
fn interface_flags(fd: BorrowedFd<'_>) -> Option<libc::c_int> {
    // SAFETY: all zeros is a value of this structure of integers and addresses.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes an `ifreq`, which this is; a descriptor that is no tap refuses the call.
    let status = unsafe { libc::ioctl(fd.as_raw_fd(), TUNGETIFF, &raw mut request) };
    // SAFETY: TUNGETIFF has set the flags.
    (status == 0).then(|| unsafe { request.ifr_ifru.ifru_flags }.into())
}

/// Has a tap with virtio headers hand over nothing that would need one: no segmentation, no checksums left to do. Returns the
/// headers' length.
fn plain_frames(fd: BorrowedFd<'_>) -> Option<libc::c_int> {
    let mut length: libc::c_int = 0;
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    let plain = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETOFFLOAD, 0) } == 0;
    // SAFETY: the kernel writes an integer, which this is.
    let known = unsafe { libc::ioctl(fd.as_raw_fd(), TUNGETVNETHDRSZ, &raw mut length) } == 0;
    (plain && known).then_some(length)
}
