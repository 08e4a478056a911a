//! Devices over guest memory of 4 MiB, without KVM.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};

use firn_vmm::devices::{DeviceOptions, Devices, DiskImage, InterruptLine};
use firn_vmm::error::Result;
use firn_vmm::layout::{MEMORY_BASE, Slot};
use firn_vmm::memory::{GuestMemory, GuestMemoryOptions, MemoryStack};
use vm_memory::{Bytes, GuestAddress};

pub const MEMORY_SIZE: u64 = 4 << 20;
/// Bytes of each disk.
const DISK_SIZE: usize = 32 << 10;

struct NoInterrupts;

impl InterruptLine for NoInterrupts {
    fn raise(&self, _spi: u32) -> Result<()> {
        Ok(())
    }
}

pub fn interrupts() -> Arc<dyn InterruptLine> {
    Arc::new(NoInterrupts)
}

pub fn memory() -> MemoryStack {
    MemoryStack::anonymous(GuestMemoryOptions { size: MEMORY_SIZE, track_writes: false }).unwrap()
}

/// An image of bytes that are not zero. The same file each time: disks are read-only.
fn disk() -> File {
    static DISK: OnceLock<File> = OnceLock::new();
    let disk = DISK.get_or_init(|| file_of(&[0xd1; DISK_SIZE]));
    disk.try_clone().unwrap()
}

/// A file with these contents, in memory.
pub fn file_of(bytes: &[u8]) -> File {
    let fd = rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(fd);
    file.write_all(bytes).unwrap();
    file
}

/// The other ends of what devices are connected to.
pub struct Ends {
    /// Of the agent stream.
    pub controller: UnixStream,
    /// Of the network card's link.
    pub peer: UnixStream,
}

/// Descriptors for every device, and their other ends.
pub fn options(leaf: bool) -> (DeviceOptions, Ends) {
    let (stream, controller) = pair();
    let (link, peer) = pair();
    let options = DeviceOptions {
        app_disk: Some(disk()),
        scratch_disk: Some(file_of(&[0x5c; DISK_SIZE])),
        link: Some(link),
        stream: Some(stream),
        rng: true,
        mac: Some([2, 0, 0, 0, 0, 1]),
        leaf,
        ..DeviceOptions::new(DiskImage::root(disk()).unwrap())
    };
    (options, Ends { controller, peer })
}

fn pair() -> (OwnedFd, UnixStream) {
    let (device, end) = UnixStream::pair().unwrap();
    end.set_nonblocking(true).unwrap();
    (device.into(), end)
}

pub fn put(memory: &GuestMemory, address: u64, bytes: &[u8]) {
    // An input may name any address; only what is there can be written.
    let _outside = memory.write_slice(bytes, GuestAddress(address));
}

pub fn read(devices: &mut Devices, slot: Slot, offset: u64) -> u32 {
    let mut data = [0; 4];
    devices.read(slot.address() + offset, &mut data).unwrap();
    u32::from_le_bytes(data)
}

pub fn write(devices: &mut Devices, slot: Slot, offset: u64, value: u32) {
    devices.write(slot.address() + offset, &value.to_le_bytes()).unwrap();
}

/// A queue where the driver put it.
#[derive(Clone, Copy)]
pub struct Ring {
    pub slot: Slot,
    pub index: u32,
    pub table: u64,
    pub available: u64,
    pub used: u64,
}

/// Brings a device up with `queues` queues of at most 16 entries, 4 KiB of guest memory from `at` on for each.
pub fn start(devices: &mut Devices, slot: Slot, queues: u32, at: u64) -> Vec<Ring> {
    for status in [0, 1, 3] {
        write(devices, slot, 0x70, status);
    }
    for select in [0, 1] {
        write(devices, slot, 0x14, select);
        let features = read(devices, slot, 0x10);
        write(devices, slot, 0x24, select);
        write(devices, slot, 0x20, features);
    }
    write(devices, slot, 0x70, 0xb);
    let rings = (0..queues).map(|index| {
        let table = at + u64::from(index) * 4096;
        let ring = Ring { slot, index, table, available: table + 0x400, used: table + 0x800 };
        write(devices, slot, 0x30, index);
        let size = read(devices, slot, 0x34).min(16);
        write(devices, slot, 0x38, size);
        for (offset, address) in [(0x80, ring.table), (0x90, ring.available), (0xa0, ring.used)] {
            write(devices, slot, offset, u32::try_from(address & 0xffff_ffff).unwrap());
            write(devices, slot, offset + 4, u32::try_from(address >> 32).unwrap());
        }
        write(devices, slot, 0x44, 1);
        ring
    });
    let rings = rings.collect();
    write(devices, slot, 0x70, 0xf);
    rings
}

/// The root disk answers as it should, once it is reset: whatever was done before, the devices still work.
pub fn assert_disk_works(devices: &mut Devices, memory: &GuestMemory) {
    let ring = start(devices, Slot::RootDisk, 1, MEMORY_BASE + (3 << 20))[0];
    let (header, data) = (ring.table + 0xc00, ring.table + 0x1000);
    put(memory, header, &[0; 16]);
    for (index, (address, length, flags, next)) in
        [(header, 16u32, 1u16, 1u16), (data, 512, 3, 2), (data + 512, 1, 2, 0)].into_iter().enumerate()
    {
        let descriptor =
            [&address.to_le_bytes()[..], &length.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
        put(memory, ring.table + 16 * index as u64, &descriptor.concat());
    }
    put(memory, ring.available, &[0, 0, 1, 0, 0, 0]);
    write(devices, Slot::RootDisk, 0x50, 0);
    devices.drain().unwrap();
    let mut answer = [0; 513];
    memory.read_slice(&mut answer, GuestAddress(data)).unwrap();
    assert!(answer[..512].iter().all(|byte| *byte == 0xd1) && answer[512] == 0, "the disk does not answer");
}
