//! Disks as a driver sees them.

use std::fs::File;

use crate::devices::testing::{Buffer, Guest, Ring, disk, options, root_image};
use crate::devices::{DeviceOptions, DiskImage};
use crate::error::ErrorCode;
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
    assert_eq!(guest.devices.counters().unwrap().disk_bytes_read, 1024);
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
        guest.memory.iter().next().unwrap().bitmap().as_ref().is_some_and(|bitmap| bitmap.dirty_at(offset))
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
    for (sector, length) in [(63, 1024), (64, 512), (u64::MAX, 512), (u64::MAX / 512 + 1, 512), (0, 100)] {
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
    assert_eq!(ring.completed(&guest).len(), 5);
    assert_eq!(guest.interrupts.taken().len(), 3, "one for 8 MiB");
    assert_eq!(guest.devices.counters().unwrap().disk_bytes_read, 5 * u64::from(LENGTH));
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
    let clone = restored.restore(with_app(), &state).unwrap();
    clone.devices.resume([2; 16]).unwrap();
    assert_eq!(clone.interrupts.taken(), [Slot::Generation.spi()], "the capacity is the snapshot's");
}

#[test]
fn images_that_cannot_be_disks_are_refused() {
    for file in [disk(&[0; 100]), File::open("/").unwrap()] {
        assert_eq!(DiskImage::new(file, "x").err().unwrap().code, ErrorCode::Config);
    }
    let guest = Guest::boot(options(&[0; 512]));
    let state = guest.devices.save().unwrap();
    let error = guest.restore(options(&[0; 1024]), &state).err().unwrap();
    assert_eq!(error.code, ErrorCode::SnapshotIncompatible);
}
