//! A disk, section 5.2 of the specification: read-only, or a scratch disk.
//!
//! Requests are served one after the other in the thread that asks, so none is ever half done: a request is in the available
//! ring, or it is answered. One that the rate limit holds back stays in the ring. Only a FLUSH is answered later; a snapshot
//! waits for it.

use std::fs::File;
use std::os::fd::RawFd;
use std::time::Instant;

use rustix::fs::{FlockOperation, OFlags, fcntl_getfl, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_ID_BYTES,
    VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
    VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use vm_memory::GuestAddress;

use super::chain::{Buffers, Chain};
use super::device::VirtioDevice;
use super::disk;
use super::flushes::Flushes;
use super::image::{DiskImage, SECTOR};
use super::mmio::TransportState;
use super::queue::{QueueFault, VirtQueue};
use crate::devices::limits::RateLimit;
use crate::devices::rate_limiter::RateLimiter;
use crate::error::{ErrorCode, Result, VmmError};
use crate::memory::GuestMemory;

const QUEUE_SIZE: u16 = 128;
/// Most data segments of a request: a queue's worth of descriptors without header and status.
const SEGMENTS_MAX: u32 = 126;
/// Most bytes of a segment; the largest page of any guest.
const SEGMENT_SIZE_MAX: u32 = 64 << 10;
/// Most bytes of a request, and so of all that an honest driver, whose requests share the queue's descriptors, has under way. A
/// notification moves up to as much again before the rest waits for the next turn: whoever wants to stop the vCPU waits for that long.
const REQUEST_MAX: u64 = SEGMENTS_MAX as u64 * SEGMENT_SIZE_MAX as u64;
/// Type, reserved and sector, bytes.
const HEADER_SIZE: usize = 16;

/// State of a disk in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockState {
    /// Capacity that the guest was told, in sectors of 512 bytes.
    pub capacity: u64,
    /// Registers and queue.
    pub transport: TransportState,
}

/// What the guest may do with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::devices) enum Access {
    Read,
    ReadWrite,
}

/// A disk.
pub(in crate::devices) struct Block {
    id: &'static str,
    disk: Option<File>,
    access: Access,
    capacity: u64,
    limiter: RateLimiter,
    held_until: Option<Instant>,
    /// Of a disk that can be written; at most a queue's worth of requests.
    flushes: Option<Flushes>,
    bytes_read: u64,
    bytes_written: u64,
}

/// What became of a request.
enum Served {
    /// It is answered, with so many bytes written into its buffers.
    Answered(u32),
    /// It is a FLUSH, whose status goes to this address later.
    Later(GuestAddress),
}

impl Block {
    /// A disk named `id` (at most 20 bytes) with the contents of an image, or of capacity 0 without one. An image that is written
    /// to must not be another microVM's.
    pub(in crate::devices) fn new(
        id: &'static str,
        image: Option<DiskImage>,
        access: Access,
        limit: &RateLimit,
    ) -> Result<Self> {
        let flushes = match (&image, access) {
            (Some(DiskImage { file, .. }), Access::ReadWrite) => {
                claim(file, id)?;
                Some(Flushes::new(file, id)?)
            }
            _ => None,
        };
        Ok(Self {
            id,
            access,
            capacity: image.as_ref().map_or(0, |image| image.sectors),
            disk: image.map(|image| image.file),
            limiter: RateLimiter::new(limit),
            held_until: None,
            flushes,
            bytes_read: 0,
            bytes_written: 0,
        })
    }

    /// Capacity in sectors of 512 bytes.
    pub(in crate::devices) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes read from the image into guest memory.
    pub(in crate::devices) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Bytes written from guest memory to the image.
    pub(in crate::devices) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    fn bytes_moved(&self) -> u64 {
        self.bytes_read.wrapping_add(self.bytes_written)
    }

    /// Readable when a FLUSH is done and waits to be answered.
    pub(in crate::devices) fn flush_fd(&self) -> Option<RawFd> {
        self.flushes.as_ref().map(Flushes::fd)
    }

    /// Waits until a FLUSH that is under way, if there is one, can be answered; returns whether there is one.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotRefused`] if that takes longer than until the deadline.
    pub(in crate::devices) fn wait_for_flush(&self, deadline: Instant) -> Result<bool> {
        match &self.flushes {
            Some(flushes) if flushes.count() > 0 => flushes.wait(deadline).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Answers every FLUSH that is done.
    pub(in crate::devices) fn answer_flushes(
        &mut self,
        queues: &mut [VirtQueue],
        memory: &GuestMemory,
    ) -> std::result::Result<(), QueueFault> {
        match (&mut self.flushes, queues) {
            (Some(flushes), [queue]) => flushes.answer(queue, memory),
            _ => Ok(()),
        }
    }

    /// Serves one request.
    fn serve(&mut self, chain: Chain<'_>) -> Served {
        let last = chain.last_writable;
        let data_length = chain.writable.len().checked_sub(1);
        let Some((data, status)) = data_length.and_then(|length| chain.writable.split(length)) else {
            return Served::Answered(0);
        };
        let length = data.len();
        let outcome = match chain.readable.split(HEADER_SIZE) {
            None => VIRTIO_BLK_S_IOERR,
            Some((header, payload)) => {
                let mut bytes = [0; HEADER_SIZE];
                header.copy_to(&mut bytes);
                let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = bytes;
                match (u32::from_le_bytes([t0, t1, t2, t3]), &self.flushes, last) {
                    (VIRTIO_BLK_T_FLUSH, Some(_), Some(status)) => return Served::Later(status),
                    (kind, ..) => self.execute(kind, u64::from_le_bytes(sector), data, payload),
                }
            }
        };
        let [code, ..] = outcome.to_le_bytes();
        status.copy_from(&[code]);
        Served::Answered(u32::try_from(length).unwrap_or(u32::MAX).saturating_add(1))
    }

    fn execute(&mut self, kind: u32, sector: u64, data: Buffers<'_>, payload: Buffers<'_>) -> u32 {
        match (kind, self.access) {
            (VIRTIO_BLK_T_IN, _) => self.read(sector, data),
            (VIRTIO_BLK_T_OUT, Access::ReadWrite) => self.write(sector, payload),
            (VIRTIO_BLK_T_OUT, Access::Read) => VIRTIO_BLK_S_IOERR,
            (VIRTIO_BLK_T_FLUSH, _) => VIRTIO_BLK_S_OK,
            (VIRTIO_BLK_T_GET_ID, _) => self.identify(&data),
            _ => VIRTIO_BLK_S_UNSUPP,
        }
    }

    fn read(&mut self, sector: u64, data: Buffers<'_>) -> u32 {
        let length = data.len() as u64;
        let Some((disk, offset)) = self.at(sector, length) else { return VIRTIO_BLK_S_IOERR };
        if disk::read_exact_at(disk, data, offset).is_err() {
            return VIRTIO_BLK_S_IOERR;
        }
        self.bytes_read = self.bytes_read.wrapping_add(length);
        VIRTIO_BLK_S_OK
    }

    fn write(&mut self, sector: u64, payload: Buffers<'_>) -> u32 {
        let length = payload.len() as u64;
        let Some((disk, offset)) = self.at(sector, length) else { return VIRTIO_BLK_S_IOERR };
        if disk::write_all_at(disk, payload, offset).is_err() {
            return VIRTIO_BLK_S_IOERR;
        }
        self.bytes_written = self.bytes_written.wrapping_add(length);
        VIRTIO_BLK_S_OK
    }

    /// The image, and the offset in it of a request for so many bytes, if those are whole sectors of the disk.
    fn at(&self, sector: u64, length: u64) -> Option<(&File, u64)> {
        let end = sector.checked_add(length / SECTOR)?;
        let is_sound = length.is_multiple_of(SECTOR) && end <= self.capacity && length <= REQUEST_MAX;
        if is_sound { Some((self.disk.as_ref()?, sector.checked_mul(SECTOR)?)) } else { None }
    }

    fn identify(&self, data: &Buffers<'_>) -> u32 {
        let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
        for (to, from) in id.iter_mut().zip(self.id.bytes()) {
            *to = from;
        }
        data.copy_from(&id);
        VIRTIO_BLK_S_OK
    }
}

impl VirtioDevice for Block {
    const ID: u32 = 2;
    const QUEUE_SIZES: &'static [u16] = &[QUEUE_SIZE];

    fn features(&self) -> u64 {
        let access = match self.access {
            Access::Read => VIRTIO_BLK_F_RO,
            Access::ReadWrite => VIRTIO_BLK_F_FLUSH,
        };
        1 << access | 1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_SIZE_MAX
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.capacity.to_le_bytes().to_vec();
        config.extend(SEGMENT_SIZE_MAX.to_le_bytes());
        config.extend(SEGMENTS_MAX.to_le_bytes());
        config
    }

    fn notified(
        &mut self,
        _queue: usize,
        queues: &mut [VirtQueue],
        memory: &GuestMemory,
    ) -> std::result::Result<(), QueueFault> {
        self.answer_flushes(queues, memory)?;
        let [queue] = queues else { return Ok(()) };
        self.held_until = None;
        let before = self.bytes_moved();
        for _ in 0..queue.size() {
            // An honest driver has no more requests under way than the queue has descriptors. One that is not honest waits.
            let is_full =
                self.flushes.as_ref().is_some_and(|flushes| flushes.count() >= usize::from(QUEUE_SIZE));
            if is_full || !queue.has_available(memory) {
                break;
            }
            let is_spent = self.bytes_moved().wrapping_sub(before) >= REQUEST_MAX;
            self.held_until = if is_spent { Some(Instant::now()) } else { self.limiter.held_until() };
            if self.held_until.is_some() {
                break;
            }
            let Some(taken) = queue.take(memory)? else { break };
            let moved = self.bytes_moved();
            let served = taken.chain.map_or(Served::Answered(0), |chain| self.serve(chain));
            self.limiter.charge(self.bytes_moved().wrapping_sub(moved));
            match served {
                Served::Answered(written) => queue.complete(memory, taken.head, written)?,
                Served::Later(status) => {
                    if let Some(flushes) = &mut self.flushes {
                        flushes.begin(taken.head, status);
                    }
                }
            }
        }
        Ok(())
    }

    fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// What is being flushed is; whoever asked for it does not want to hear of it any more.
    fn reset(&mut self) {
        self.held_until = None;
        if let Some(flushes) = &mut self.flushes {
            flushes.forget();
        }
    }
}

/// Checks that a file can be written to, and keeps other microVMs from it.
fn claim(file: &File, id: &str) -> Result<()> {
    let flags = fcntl_getfl(file)
        .map_err(VmmError::wrap(ErrorCode::Io, format!("reading how the image of disk {id} is open")))?;
    if !flags.contains(OFlags::RDWR) || flags.contains(OFlags::APPEND) {
        return Err(VmmError::new(
            ErrorCode::Config,
            format!("the image of disk {id} is not open for reading and writing anywhere; open it so"),
        ));
    }
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(VmmError::new(
            ErrorCode::Config,
            format!("the image of disk {id} is in use by another microVM; give each a copy of its own"),
        )),
        // A file system that has no locks protects nothing, and works.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::testing::{Buffer, Guest, Ring, disk, options, root_image};
    use crate::devices::{DeviceOptions, Watched};
    use crate::layout::{MEMORY_BASE, Slot};

    const IN: u32 = 0;
    const OK: u8 = 0;
    const IOERR: u8 = 1;
    const UNSUPP: u8 = 2;

    fn image() -> Vec<u8> {
        (0..64 * 512u32).map(|index| u8::try_from(index % 251).unwrap()).collect()
    }

    fn guest() -> (Guest, Ring) {
        let mut guest = Guest::boot(options(&image()));
        let ring = guest.start(Slot::RootDisk, 1).remove(0);
        (guest, ring)
    }

    /// Makes a request with these data buffers; returns its status.
    fn request(guest: &mut Guest, ring: &mut Ring, kind: u32, sector: u64, data: &[Buffer]) -> u8 {
        let header = guest.allocate(16);
        let status = guest.allocate(1);
        guest.put(header, &[&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat());
        guest.put(status, &[0xff]);
        let mut buffers = vec![(header, 16, false)];
        buffers.extend(data);
        buffers.push((status, 1, true));
        let head = ring.offer(guest, &buffers);
        ring.notify(guest);
        let written: usize = data.iter().filter(|buffer| buffer.2).map(|buffer| buffer.1).sum();
        assert_eq!(ring.completed(guest), [(head, written + 1)]);
        guest.bytes(status, 1)[0]
    }

    #[test]
    fn reads_sectors_into_scattered_buffers() {
        let (mut guest, mut ring) = guest();
        let (first, second) = (guest.allocate(512), guest.allocate(1024));
        let data = [(first, 100, true), (second, 924, true)];
        assert_eq!(request(&mut guest, &mut ring, IN, 3, &data), OK);
        assert_eq!(guest.bytes(first, 100), image()[1536..1636]);
        assert_eq!(guest.bytes(second, 924), image()[1636..2560]);
        assert_eq!(guest.devices.counters().disk_bytes_read, 1024);
        assert_eq!(guest.interrupts.taken(), [Slot::RootDisk.spi()]);
    }

    #[test]
    fn a_request_may_be_cut_into_descriptors_anyhow() {
        let (mut guest, mut ring) = guest();
        let header = guest.allocate(16);
        let rest = guest.allocate(513);
        let buffers = [(header, 5, false), (header + 5, 11, false), (rest, 513, true)];
        ring.offer(&guest, &buffers);
        ring.notify(&mut guest);
        assert_eq!(guest.bytes(rest, 512), image()[..512]);
        assert_eq!(guest.bytes(rest + 512, 1), [OK]);
    }

    #[test]
    fn what_the_vmm_writes_is_in_the_bitmap_of_guest_memory() {
        use vm_memory::bitmap::Bitmap;
        use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};
        let (mut guest, mut ring) = guest();
        let data = guest.allocate(64 << 10).next_multiple_of(4096) + 4096;
        let offset = usize::try_from(data - MEMORY_BASE).unwrap();
        let is_dirty = |guest: &Guest, offset| {
            guest
                .memory
                .iter()
                .next()
                .unwrap()
                .bitmap()
                .as_ref()
                .is_some_and(|bitmap| bitmap.dirty_at(offset))
        };
        assert!(!is_dirty(&guest, offset));
        request(&mut guest, &mut ring, IN, 0, &[(data, 512, true)]);
        assert!(is_dirty(&guest, offset));
        assert!(!is_dirty(&guest, offset + 4096));
    }

    #[test]
    fn reads_beyond_the_end_or_of_parts_of_sectors_fail() {
        let (mut guest, mut ring) = guest();
        let data = guest.allocate(1024);
        for (sector, length) in [(63, 1024), (64, 512), (u64::MAX, 512), (u64::MAX / 512 + 1, 512), (0, 100)]
        {
            assert_eq!(request(&mut guest, &mut ring, IN, sector, &[(data, length, true)]), IOERR);
        }
        assert_eq!(request(&mut guest, &mut ring, IN, 63, &[(data, 512, true)]), OK);
    }

    #[test]
    fn only_reading_identifying_and_flushing_are_supported() {
        let (mut guest, mut ring) = guest();
        let data = guest.allocate(512);
        assert_eq!(request(&mut guest, &mut ring, 1, 0, &[(data, 512, false)]), IOERR);
        assert_eq!(request(&mut guest, &mut ring, 4, 0, &[]), OK);
        assert_eq!(request(&mut guest, &mut ring, 11, 0, &[(data, 16, false)]), UNSUPP);
        assert_eq!(request(&mut guest, &mut ring, 8, 0, &[(data, 20, true)]), OK);
        assert_eq!(guest.bytes(data, 20), *b"firn-root\0\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn an_image_that_shrank_is_an_error_of_the_request() {
        let image = disk(&image());
        let mut guest = Guest::boot(DeviceOptions::new(root_image(image.try_clone().unwrap())));
        let mut ring = guest.start(Slot::RootDisk, 1).remove(0);
        image.set_len(512).unwrap();
        let data = guest.allocate(1024);
        assert_eq!(request(&mut guest, &mut ring, IN, 0, &[(data, 1024, true)]), IOERR);
    }

    #[test]
    fn more_than_an_honest_driver_has_under_way_is_served_in_turns() {
        const LENGTH: u32 = 4 << 20;
        let image = disk(&[]);
        image.set_len(LENGTH.into()).unwrap();
        let mut guest = Guest::boot(DeviceOptions::new(root_image(image)));
        let mut ring = guest.start(Slot::RootDisk, 1).remove(0);
        let (header, data, status) = (guest.allocate(16), guest.allocate(4 << 20), guest.allocate(1));
        ring.describe(&guest, 0, header, 16, 1, 1);
        ring.describe(&guest, 1, data, LENGTH, 3, 2);
        ring.describe(&guest, 2, status, 1, 2, 0);
        for _ in 0..5 {
            ring.publish(&guest, 0);
        }
        ring.notify(&mut guest);
        assert_eq!(ring.completed(&guest).len(), 2, "8 MiB");
        guest.wait_for(Watched::Timer);
        assert_eq!(ring.completed(&guest).len(), 2);
        guest.wait_for(Watched::Timer);
        assert_eq!(ring.completed(&guest).len(), 1);
        assert_eq!(guest.devices.counters().disk_bytes_read, 5 * u64::from(LENGTH));
    }

    #[test]
    fn malformed_chains_are_given_back_unwritten() {
        let (mut guest, mut ring) = guest();
        let header = guest.allocate(16);
        let outside = MEMORY_BASE + (1 << 40);
        let chains: [&[Buffer]; 4] = [
            &[(header, 16, false)],
            &[(header, 16, false), (outside, 512, true)],
            &[(header, 16, false), (u64::MAX - 4, 512, true)],
            &[(header, 16, true), (header, 16, false)],
        ];
        for buffers in chains {
            let head = ring.offer(&guest, buffers);
            ring.notify(&mut guest);
            assert_eq!(ring.completed(&guest), [(head, 0)]);
        }
        assert_eq!(guest.read(Slot::RootDisk, 0x70), 0xf, "the device goes on");
    }

    #[test]
    fn a_chain_that_is_a_loop_ends() {
        let (mut guest, mut ring) = guest();
        let buffer = guest.allocate(512);
        ring.describe(&guest, 0, buffer, 512, 3, 0);
        ring.publish(&guest, 0);
        ring.notify(&mut guest);
        assert_eq!(ring.completed(&guest).len(), 1);
        // An indirect table whose entries name themselves.
        ring.describe(&guest, 1, buffer, 0x1000, 4, 0);
        guest.put(buffer, &[0; 16]);
        guest.put(buffer + 12, &[1, 0, 0, 0]);
        ring.publish(&guest, 1);
        ring.notify(&mut guest);
        assert_eq!(ring.completed(&guest).len(), 1);
    }

    #[test]
    fn the_app_disk_gets_its_capacity_with_a_resume() {
        let mut guest = Guest::boot(options(&[0; 512]));
        guest.start(Slot::AppDisk, 1);
        assert_eq!(guest.read(Slot::AppDisk, 0x100), 0);
        let generation = guest.read(Slot::AppDisk, 0xfc);
        let state = guest.devices.save().unwrap();

        let with_app = || DeviceOptions { app_disk: Some(disk(&image())), ..options(&[0; 512]) };
        let mut restored = guest.restore(with_app(), &state).unwrap();
        assert!(restored.interrupts.taken().is_empty());
        restored.devices.resume([1; 16]).unwrap();
        assert_eq!(restored.interrupts.taken(), [Slot::Generation.spi(), Slot::AppDisk.spi()]);
        assert_eq!(restored.read(Slot::AppDisk, 0x60), 2);
        assert_eq!(restored.read(Slot::AppDisk, 0x100), 64);
        assert_ne!(restored.read(Slot::AppDisk, 0xfc), generation);

        restored.write(Slot::AppDisk, 0x64, 2);
        let state = restored.devices.save().unwrap();
        let mut clone = restored.restore(with_app(), &state).unwrap();
        clone.devices.resume([2; 16]).unwrap();
        assert_eq!(clone.interrupts.taken(), [Slot::Generation.spi()], "the capacity is the snapshot's");
    }

    #[test]
    fn images_that_cannot_be_disks_are_refused() {
        for file in [disk(&[0; 100]), File::open("/").unwrap()] {
            assert_eq!(DiskImage::new(file, "x").err().unwrap().code, ErrorCode::Config);
        }
        let mut guest = Guest::boot(options(&[0; 512]));
        let state = guest.devices.save().unwrap();
        let error = guest.restore(options(&[0; 1024]), &state).err().unwrap();
        assert_eq!(error.code, ErrorCode::SnapshotIncompatible);
    }
}
