//! What the tests of devices share: a guest that drives them through MMIO, with its queues in guest memory.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use vm_memory::bitmap::AtomicBitmap;
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{Bytes, GuestAddress, GuestRegionMmap};

use super::interrupt::InterruptLine;
use super::{DeviceOptions, Devices, DevicesState, DiskImage, MmioOutcome, Watched};
use crate::error::Result;
use crate::layout::{MEMORY_BASE, RAM_BASE, Slot};
use crate::memory::GuestMemory;

pub(crate) const MEMORY_SIZE: usize = 16 << 20;

/// An interrupt line that remembers what was raised.
#[derive(Default)]
pub(crate) struct RecordedInterrupts(Mutex<Vec<u32>>);

impl RecordedInterrupts {
    /// The interrupts raised since the last call, in order.
    pub(crate) fn taken(&self) -> Vec<u32> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl InterruptLine for RecordedInterrupts {
    fn raise(&self, spi: u32) -> Result<()> {
        self.0.lock().unwrap().push(spi);
        Ok(())
    }
}

pub(crate) fn memory() -> GuestMemory {
    let bitmap = AtomicBitmap::new(MEMORY_SIZE, NonZeroUsize::new(4096).unwrap());
    let region = MmapRegionBuilder::new_with_bitmap(MEMORY_SIZE, Some(bitmap))
        .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
        .with_mmap_flags(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE)
        .build()
        .unwrap();
    let region = GuestRegionMmap::new(region, GuestAddress(MEMORY_BASE)).unwrap();
    GuestMemory::from_regions(vec![region]).unwrap()
}

/// A disk image with these contents.
pub(crate) fn disk(contents: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(contents).unwrap();
    file
}

/// The agent stream: the device's end, and the controller's, which does not block.
pub(crate) fn stream() -> (OwnedFd, UnixStream) {
    let (device, controller) = UnixStream::pair().unwrap();
    controller.set_nonblocking(true).unwrap();
    (device.into(), controller)
}

pub(crate) fn options(root_disk: &[u8]) -> DeviceOptions {
    DeviceOptions::new(root_image(disk(root_disk)))
}

pub(crate) fn root_image(file: File) -> DiskImage {
    DiskImage::root(file).unwrap()
}

pub(crate) struct Guest {
    pub(crate) devices: Devices,
    pub(crate) memory: GuestMemory,
    pub(crate) interrupts: Arc<RecordedInterrupts>,
    free: u64,
}

impl Guest {
    pub(crate) fn boot(options: DeviceOptions) -> Self {
        Self::try_boot(options).unwrap()
    }

    pub(crate) fn try_boot(options: DeviceOptions) -> Result<Self> {
        Self::boot_in(memory(), options)
    }

    /// A guest in this memory, of [`MEMORY_SIZE`].
    pub(crate) fn boot_in(memory: GuestMemory, options: DeviceOptions) -> Result<Self> {
        let interrupts = Arc::new(RecordedInterrupts::default());
        let devices = Devices::new(memory.clone(), interrupts.clone(), options)?;
        Ok(Self { devices, memory, interrupts, free: RAM_BASE })
    }

    /// A guest in a copy of this one's memory, with devices of the state.
    pub(crate) fn restore(&self, options: DeviceOptions, state: &DevicesState) -> Result<Self> {
        let memory = memory();
        let mut bytes = vec![0; MEMORY_SIZE];
        self.memory.read_slice(&mut bytes, GuestAddress(MEMORY_BASE)).unwrap();
        memory.write_slice(&bytes, GuestAddress(MEMORY_BASE)).unwrap();
        let interrupts = Arc::new(RecordedInterrupts::default());
        let devices = Devices::restore(memory.clone(), interrupts.clone(), options, state)?;
        Ok(Self { devices, memory, interrupts, free: self.free })
    }

    /// A guest in this one's memory, with other devices.
    pub(crate) fn with_devices(&self, devices: Devices) -> Self {
        Self { devices, memory: self.memory.clone(), interrupts: self.interrupts.clone(), free: self.free }
    }

    /// Waits until this descriptor of the devices is readable, and has them do what is to be done then.
    pub(crate) fn wait_for(&mut self, what: Watched) {
        let fd = self.devices.watched_fd(what).unwrap().unwrap();
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd of ours.
        assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 10_000) }, 1, "nothing of {what:?} in 10 s");
        self.devices.on_ready(what).unwrap();
        self.devices.drain().unwrap();
    }

    /// Unused guest memory.
    pub(crate) fn allocate(&mut self, size: usize) -> u64 {
        let address = self.free;
        self.free += u64::try_from(size).unwrap().next_multiple_of(64);
        assert!(self.free < MEMORY_BASE + MEMORY_SIZE as u64);
        address
    }

    pub(crate) fn read(&mut self, slot: Slot, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.devices.read(slot.address() + offset, &mut data).unwrap();
        u32::from_le_bytes(data)
    }

    pub(crate) fn write(&mut self, slot: Slot, offset: u64, value: u32) {
        let outcome = self.devices.write(slot.address() + offset, &value.to_le_bytes()).unwrap();
        assert_eq!(outcome, MmioOutcome::Done);
    }

    /// Lets the guest run on, and what it has asked of its disks be answered.
    pub(crate) fn resume(&mut self, generation: [u8; 16]) {
        self.devices.resume(generation).unwrap();
        self.devices.drain().unwrap();
    }

    pub(crate) fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    pub(crate) fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).unwrap();
    }

    /// Climbs to FEATURES_OK, accepting everything that is offered.
    pub(crate) fn negotiate(&mut self, slot: Slot) {
        for status in [0, 1, 3] {
            self.write(slot, 0x70, status);
        }
        for select in [0, 1] {
            self.write(slot, 0x14, select);
            let features = self.read(slot, 0x10);
            self.write(slot, 0x24, select);
            self.write(slot, 0x20, features);
        }
        self.write(slot, 0x70, 0xb);
        assert_eq!(self.read(slot, 0x70), 0xb);
    }

    /// Sets a queue up, with its largest size.
    pub(crate) fn start_queue(&mut self, slot: Slot, index: u32) -> Ring {
        self.write(slot, 0x30, index);
        let size = u16::try_from(self.read(slot, 0x34)).unwrap();
        self.start_queue_of(slot, index, size)
    }

    /// Sets a queue up.
    pub(crate) fn start_queue_of(&mut self, slot: Slot, index: u32, size: u16) -> Ring {
        self.write(slot, 0x30, index);
        let table = self.allocate(16 * usize::from(size));
        let available = self.allocate(6 + 2 * usize::from(size));
        let used = self.allocate(6 + 8 * usize::from(size));
        self.write(slot, 0x38, size.into());
        for (offset, address) in [(0x80, table), (0x90, available), (0xa0, used)] {
            self.write(slot, offset, u32::try_from(address & 0xffff_ffff).unwrap());
            self.write(slot, offset + 4, u32::try_from(address >> 32).unwrap());
        }
        self.write(slot, 0x44, 1);
        assert_eq!(self.read(slot, 0x44), 1);
        Ring { slot, index, size, table, available, used, descriptor: 0, offered: 0, seen: 0 }
    }

    /// Brings a device up.
    pub(crate) fn start(&mut self, slot: Slot, queues: u32) -> Vec<Ring> {
        self.negotiate(slot);
        let rings = (0..queues).map(|index| self.start_queue(slot, index)).collect();
        self.write(slot, 0x70, 0xf);
        assert_eq!(self.read(slot, 0x70), 0xf);
        rings
    }
}

/// A buffer of a chain: address, length, whether the device writes it.
pub(crate) type Buffer = (u64, usize, bool);

/// The driver's side of a queue.
#[derive(Clone)]
pub(crate) struct Ring {
    pub(crate) slot: Slot,
    pub(crate) index: u32,
    pub(crate) size: u16,
    pub(crate) table: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
    descriptor: u16,
    offered: u16,
    seen: u16,
}

impl Ring {
    /// Writes one entry of the descriptor table.
    pub(crate) fn describe(
        &self,
        guest: &Guest,
        index: u16,
        address: u64,
        length: u32,
        flags: u16,
        next: u16,
    ) {
        let mut descriptor = address.to_le_bytes().to_vec();
        descriptor.extend(length.to_le_bytes());
        descriptor.extend(flags.to_le_bytes());
        descriptor.extend(next.to_le_bytes());
        guest.put(self.table + 16 * u64::from(index), &descriptor);
    }

    /// The descriptor that the next chain starts at.
    pub(crate) fn next_descriptor(&self) -> u16 {
        self.descriptor
    }

    /// Makes a chain available that starts at a descriptor.
    pub(crate) fn publish(&mut self, guest: &Guest, head: u16) {
        let entry = self.available + 4 + 2 * u64::from(self.offered % self.size);
        guest.put(entry, &head.to_le_bytes());
        self.offered = self.offered.wrapping_add(1);
        guest.put(self.available + 2, &self.offered.to_le_bytes());
    }

    /// Makes a chain of these buffers available; returns its head.
    pub(crate) fn offer(&mut self, guest: &Guest, buffers: &[Buffer]) -> u16 {
        let head = self.descriptor;
        for (position, (address, length, device_writes)) in buffers.iter().enumerate() {
            let index = self.descriptor;
            self.descriptor = (index + 1) % self.size;
            let has_next = position + 1 < buffers.len();
            let flags = u16::from(has_next) | u16::from(*device_writes) << 1;
            self.describe(guest, index, *address, u32::try_from(*length).unwrap(), flags, self.descriptor);
        }
        self.publish(guest, head);
        head
    }

    /// Notifies the device, and waits for what a disk answers.
    pub(crate) fn notify(&self, guest: &mut Guest) {
        self.notify_only(guest);
        guest.devices.drain().unwrap();
    }

    pub(crate) fn notify_only(&self, guest: &mut Guest) {
        guest.write(self.slot, 0x50, self.index);
    }

    /// What the device gave back since the last call: heads and bytes written.
    pub(crate) fn completed(&mut self, guest: &Guest) -> Vec<(u16, usize)> {
        let end = u16::from_le_bytes(guest.bytes(self.used + 2, 2).try_into().unwrap());
        let mut completed = Vec::new();
        while self.seen != end {
            let entry = guest.bytes(self.used + 4 + 8 * u64::from(self.seen % self.size), 8);
            let head = u32::from_le_bytes(entry[..4].try_into().unwrap());
            let written = u32::from_le_bytes(entry[4..].try_into().unwrap());
            completed.push((u16::try_from(head).unwrap(), usize::try_from(written).unwrap()));
            self.seen = self.seen.wrapping_add(1);
        }
        completed
    }
}
