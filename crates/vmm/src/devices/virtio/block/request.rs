//! A request of a guest.

use std::fs::File;

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use vm_memory::GuestAddress;

use super::image::SECTOR;
use super::{Access, Block, REQUEST_MAX, transfer};
use crate::devices::virtio::chain::{Buffers, Chain};

/// Type, reserved and sector, bytes.
const HEADER_SIZE: usize = 16;

/// What a guest asks for.
pub(super) enum Asked<'m> {
    /// Something to carry out.
    Now(Request<'m>),
    /// To make durable what it has written; the status goes to this address.
    Flush(GuestAddress),
}

/// A request that was read and checked, and is not carried out yet.
pub(super) struct Request<'m> {
    head: u16,
    epoch: u64,
    work: Work<'m>,
    /// Where the status goes, if there is room for one.
    status: Option<Buffers<'m>>,
    /// Bytes that the chain has room for before the status.
    room: usize,
}

/// What is left to do.
enum Work<'m> {
    /// Nothing: this is the status.
    None(u32),
    /// To read sectors from this offset of the image on.
    Read(Buffers<'m>, u64),
    /// To write them.
    Write(Buffers<'m>, u64),
}

/// What goes back to the driver.
pub(super) struct Answer {
    pub(super) head: u16,
    /// [`Block`]'s when the request was taken.
    pub(super) epoch: u64,
    /// Bytes written into the chain.
    pub(super) written: u32,
    /// Bytes read from the image.
    pub(super) bytes_read: u64,
    /// Bytes written to it.
    pub(super) bytes_written: u64,
}

impl<'m> Request<'m> {
    /// Reads a chain.
    pub(super) fn read(block: &Block, head: u16, chain: Chain<'m>) -> Asked<'m> {
        let last = chain.last_writable;
        let room = chain.writable.len().saturating_sub(1);
        let (data, status) = match chain.writable.split(room) {
            Some((data, status)) if status.len() == 1 => (data, Some(status)),
            _ => (Buffers::default(), None),
        };
        let work = match (&status, chain.readable.split(HEADER_SIZE)) {
            (None, _) | (_, None) => Work::None(VIRTIO_BLK_S_IOERR),
            (Some(_), Some((header, payload))) => {
                let mut bytes = [0; HEADER_SIZE];
                header.copy_to(&mut bytes);
                let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = bytes;
                let (kind, sector) = (u32::from_le_bytes([t0, t1, t2, t3]), u64::from_le_bytes(sector));
                match (kind, block.access, last) {
                    (VIRTIO_BLK_T_FLUSH, Access::ReadWrite, Some(status)) => return Asked::Flush(status),
                    _ => Work::of(block, kind, sector, data, payload),
                }
            }
        };
        Asked::Now(Self { head, epoch: block.epoch, work, status, room })
    }

    /// Carries the request out. Takes as long as the image does.
    pub(super) fn perform(self, image: Option<&File>) -> Answer {
        let (mut bytes_read, mut bytes_written) = (0, 0);
        let outcome = match (self.work, image) {
            (Work::None(code), _) => code,
            (_, None) => VIRTIO_BLK_S_IOERR,
            (Work::Read(data, offset), Some(image)) => {
                let length = data.len() as u64;
                match transfer::read_exact_at(image, data, offset) {
                    Ok(()) => {
                        bytes_read = length;
                        VIRTIO_BLK_S_OK
                    }
                    Err(_) => VIRTIO_BLK_S_IOERR,
                }
            }
            (Work::Write(payload, offset), Some(image)) => {
                let length = payload.len() as u64;
                match transfer::write_all_at(image, payload, offset) {
                    Ok(()) => {
                        bytes_written = length;
                        VIRTIO_BLK_S_OK
                    }
                    Err(_) => VIRTIO_BLK_S_IOERR,
                }
            }
        };
        let written = match self.status {
            None => 0,
            Some(status) => {
                let [code, ..] = outcome.to_le_bytes();
                status.copy_from(&[code]);
                u32::try_from(self.room).unwrap_or(u32::MAX).saturating_add(1)
            }
        };
        Answer { head: self.head, epoch: self.epoch, written, bytes_read, bytes_written }
    }
}

impl<'m> Work<'m> {
    fn of(block: &Block, kind: u32, sector: u64, data: Buffers<'m>, payload: Buffers<'m>) -> Self {
        let at = |length: usize| offset(block, sector, length as u64);
        match (kind, block.access) {
            (VIRTIO_BLK_T_IN, _) => match at(data.len()) {
                Some(offset) => Self::Read(data, offset),
                None => Self::None(VIRTIO_BLK_S_IOERR),
            },
            (VIRTIO_BLK_T_OUT, Access::ReadWrite) => match at(payload.len()) {
                Some(offset) => Self::Write(payload, offset),
                None => Self::None(VIRTIO_BLK_S_IOERR),
            },
            (VIRTIO_BLK_T_OUT, Access::Read) => Self::None(VIRTIO_BLK_S_IOERR),
            (VIRTIO_BLK_T_FLUSH, _) => Self::None(VIRTIO_BLK_S_OK),
            (VIRTIO_BLK_T_GET_ID, _) => {
                let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
                for (to, from) in id.iter_mut().zip(block.id.bytes()) {
                    *to = from;
                }
                data.copy_from(&id);
                Self::None(VIRTIO_BLK_S_OK)
            }
            _ => Self::None(VIRTIO_BLK_S_UNSUPP),
        }
    }
}

/// The offset in the image of a request for so many bytes, if those are whole sectors of the disk.
fn offset(block: &Block, sector: u64, length: u64) -> Option<u64> {
    let end = sector.checked_add(length / SECTOR)?;
    let is_sound = length.is_multiple_of(SECTOR) && end <= block.capacity && length <= REQUEST_MAX;
    if is_sound { sector.checked_mul(SECTOR) } else { None }
}
