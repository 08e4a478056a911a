//! The scratch disk, and the rate limits of disks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::worker::{DiskThreads, Jobs};
use crate::devices::testing::{Buffer, Guest, Ring, disk, options};
use crate::devices::{DeviceOptions, RateLimit, TokenBucket, Watched};
use crate::error::ErrorCode;
use crate::layout::{MEMORY_BASE, Slot};

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const OK: u8 = 0;
const IOERR: u8 = 1;
const SECTORS: usize = 64;

/// The same open file twice, so that a test sees what a guest writes.
fn image() -> (File, File) {
    let image = disk(&[0x11; SECTORS * 512]);
    (image.try_clone().unwrap(), image)
}

fn with(scratch_disk: File) -> DeviceOptions {
    DeviceOptions { scratch_disk: Some(scratch_disk), ..options(&[0; 512]) }
}

fn guest(scratch_disk: File) -> (Guest, Ring) {
    let mut guest = Guest::boot(with(scratch_disk));
    let ring = guest.start(Slot::Scratch, 1).remove(0);
    (guest, ring)
}

/// Makes a request available; returns where its status will be.
fn offer(guest: &mut Guest, ring: &mut Ring, kind: u32, sector: u64, data: &[Buffer]) -> u64 {
    let header = guest.allocate(16);
    let status = guest.allocate(1);
    guest.put(header, &[&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat());
    guest.put(status, &[0xff]);
    let buffers = [&[(header, 16, false)], data, &[(status, 1, true)]].concat();
    ring.offer(guest, &buffers);
    status
}

fn request(guest: &mut Guest, ring: &mut Ring, kind: u32, sector: u64, data: &[Buffer]) -> u8 {
    let status = offer(guest, ring, kind, sector, data);
    ring.notify(guest);
    assert_eq!(ring.completed(guest).len(), 1);
    guest.bytes(status, 1)[0]
}

#[test]
fn what_is_written_from_scattered_buffers_is_in_the_image_and_is_read_back() {
    let (ours, theirs) = image();
    let (mut guest, mut ring) = guest(theirs);
    let data = guest.allocate(2048);
    guest.put(data, &[0xab; 300]);
    guest.put(data + 1000, &[0xcd; 724]);
    let pieces = [(data, 300, false), (data + 1000, 724, false)];
    assert_eq!(request(&mut guest, &mut ring, OUT, 5, &pieces), OK);
    assert_eq!(request(&mut guest, &mut ring, FLUSH, 0, &[]), OK);

    let mut expected = vec![0x11; SECTORS * 512];
    expected[2560..2860].fill(0xab);
    expected[2860..3584].fill(0xcd);
    let mut bytes = vec![0; SECTORS * 512];
    ours.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == expected);

    let back = guest.allocate(1024);
    assert_eq!(request(&mut guest, &mut ring, IN, 5, &[(back, 1024, true)]), OK);
    assert_eq!(guest.bytes(back, 1024), expected[2560..3584]);
    let counters = guest.devices.counters().unwrap();
    assert_eq!((counters.disk_bytes_written, counters.disk_bytes_read), (1024, 1024));
}

#[test]
fn a_disk_says_whether_it_can_be_written() {
    let (mut guest, _ring) = guest(image().1);
    let features = |guest: &mut Guest, slot| {
        guest.write(slot, 0x14, 0);
        guest.read(slot, 0x10)
    };
    assert_eq!(features(&mut guest, Slot::Scratch), 1 << 9 | 1 << 2 | 1 << 1, "FLUSH");
    assert_eq!(features(&mut guest, Slot::RootDisk), 1 << 5 | 1 << 2 | 1 << 1, "RO");
    assert_eq!(guest.read(Slot::Scratch, 0x100), 64);
}

#[test]
fn writes_beyond_the_end_of_parts_of_sectors_or_from_outside_memory_change_nothing() {
    let (ours, theirs) = image();
    let (mut guest, mut ring) = guest(theirs);
    let data = guest.allocate(1024);
    guest.put(data, &[0xee; 1024]);
    for (sector, length) in [(63, 1024), (64, 512), (u64::MAX, 512), (u64::MAX / 512 + 1, 512), (0, 100)] {
        assert_eq!(request(&mut guest, &mut ring, OUT, sector, &[(data, length, false)]), IOERR);
    }
    let status = offer(&mut guest, &mut ring, OUT, 0, &[(MEMORY_BASE + (1 << 40), 512, false)]);
    ring.notify(&mut guest);
    assert_eq!(ring.completed(&guest)[0].1, 0);
    assert_eq!(guest.bytes(status, 1), [0xff]);
    let mut bytes = vec![0; SECTORS * 512];
    ours.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == [0x11; SECTORS * 512]);
    assert_eq!(ours.metadata().unwrap().len(), 64 * 512);
}

#[test]
fn an_image_that_others_have_or_that_cannot_be_written_is_refused() {
    let refusal = |file| Guest::try_boot(with(file)).map(|_| ()).unwrap_err();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scratch");
    std::fs::write(&path, [0; 1024]).unwrap();
    let open =
        |read, write, append| File::options().read(read).write(write).append(append).open(&path).unwrap();
    let error = refusal(open(true, false, false));
    assert!(error.code == ErrorCode::Config && error.message.contains("writing"), "{error}");
    assert_eq!(refusal(open(false, true, false)).code, ErrorCode::Config);
    assert_eq!(refusal(open(true, true, true)).code, ErrorCode::Config);
    assert_eq!(refusal(disk(&[0; 100])).code, ErrorCode::Config);

    let (first, _ring) = guest(open(true, true, false));
    let error = refusal(open(true, true, false));
    assert!(error.code == ErrorCode::Config && error.message.contains("another microVM"), "{error}");
    drop(first);
    guest(open(true, true, false));
}

#[test]
fn a_restore_brings_a_disk_of_the_same_size_or_is_refused() {
    let (mut source, mut ring) = guest(image().1);
    let data = source.allocate(512);
    assert_eq!(request(&mut source, &mut ring, OUT, 1, &[(data, 512, false)]), OK);
    let state = source.devices.save().unwrap();
    assert_eq!(state.optional.scratch_disk.as_ref().unwrap().capacity, 64);

    let refusal = |options| source.restore(options, &state).err().unwrap();
    for (options, what) in [(options(&[0; 512]), "none was passed"), (with(disk(&[0; 512])), "has 1")] {
        let error = refusal(options);
        assert!(error.code == ErrorCode::SnapshotIncompatible && error.message.contains(what), "{error}");
    }
    let without = Guest::boot(options(&[0; 512])).devices.save().unwrap();
    let error = source.restore(with(image().1), &without).err().unwrap();
    assert_eq!(error.code, ErrorCode::SnapshotIncompatible);

    let mut clone = source.restore(with(disk(&[0x22; SECTORS * 512])), &state).unwrap();
    assert_eq!(clone.devices.save().unwrap(), state);
    clone.devices.resume([1; 16]).unwrap();
    let back = clone.allocate(512);
    assert_eq!(request(&mut clone, &mut ring, IN, 0, &[(back, 512, true)]), OK);
    assert_eq!(clone.bytes(back, 512), [0x22; 512]);
}

#[test]
fn a_microvm_without_a_scratch_disk_has_a_spare_slot() {
    let mut guest = Guest::boot(options(&[0; 512]));
    assert_eq!(guest.read(Slot::Scratch, 0x00), 0x7472_6976);
    assert_eq!(guest.read(Slot::Scratch, 0x08), 0);
    guest.write(Slot::Scratch, 0x70, 1);
    assert_eq!(guest.read(Slot::Scratch, 0x70), 0);
}

#[test]
fn an_error_of_the_image_is_one_of_the_request() {
    let (ours, theirs) = image();
    let (mut guest, mut ring) = guest(theirs);
    ours.set_len(0).unwrap();
    let data = guest.allocate(512);
    assert_eq!(request(&mut guest, &mut ring, IN, 0, &[(data, 512, true)]), IOERR, "truncated by its owner");
    assert_eq!(request(&mut guest, &mut ring, OUT, 0, &[(data, 512, false)]), OK, "and written again");
}

#[test]
fn requests_beyond_a_limit_wait_in_the_ring_and_go_on_by_the_timer() {
    let bucket = Some(TokenBucket { per_second: 100, burst: 1 });
    let mut limited = with(image().1);
    limited.limits.scratch_disk = RateLimit { operations: bucket, bytes: None };
    let mut guest = Guest::boot(limited);
    let mut ring = guest.start(Slot::Scratch, 1).remove(0);
    let data = guest.allocate(512);
    let start = Instant::now();
    for sector in 0..9 {
        offer(&mut guest, &mut ring, OUT, sector, &[(data, 512, false)]);
    }
    ring.notify(&mut guest);
    let mut done = ring.completed(&guest).len();
    assert!(done < 9);
    while done < 9 {
        guest.wait_for(Watched::Timer);
        done += ring.completed(&guest).len();
    }
    assert!(start.elapsed() >= Duration::from_millis(80), "{:?}", start.elapsed());
}

#[test]
fn bytes_are_limited_by_what_was_moved_and_held_requests_survive_a_snapshot() {
    let bucket = Some(TokenBucket { per_second: 1, burst: 1024 });
    let mut limited = with(image().1);
    limited.limits.scratch_disk = RateLimit { bytes: bucket, operations: None };
    let mut source = Guest::boot(limited);
    let mut ring = source.start(Slot::Scratch, 1).remove(0);
    let data = source.allocate(512);
    source.put(data, &[0x77; 512]);
    // Requests that are refused move nothing.
    for (kind, sector) in [(OUT, 64), (OUT, 0), (OUT, 1)] {
        offer(&mut source, &mut ring, kind, sector, &[(data, 512, false)]);
    }
    let held = offer(&mut source, &mut ring, OUT, 2, &[(data, 512, false)]);
    ring.notify(&mut source);
    assert_eq!(ring.completed(&source).len(), 3);
    let state = source.devices.save().unwrap();

    let (ours, theirs) = image();
    let mut clone = source.restore(with(theirs), &state).unwrap();
    clone.resume([1; 16]);
    assert_eq!(ring.completed(&clone).len(), 1);
    assert_eq!(clone.bytes(held, 1), [OK]);
    let mut bytes = [0; 512];
    ours.read_exact_at(&mut bytes, 1024).unwrap();
    assert_eq!(bytes, [0x77; 512]);
}

#[test]
fn limits_of_the_read_only_disks_hold_too() {
    let bucket = Some(TokenBucket { per_second: 1, burst: 1 });
    for slot in [Slot::RootDisk, Slot::AppDisk] {
        let mut limited = DeviceOptions { app_disk: Some(image().1), ..options(&[0; 1024]) };
        let limit = RateLimit { operations: bucket, bytes: None };
        (limited.limits.root_disk, limited.limits.app_disk) = (limit, limit);
        let mut guest = Guest::boot(limited);
        let mut ring = guest.start(slot, 1).remove(0);
        let data = guest.allocate(512);
        for _ in 0..2 {
            offer(&mut guest, &mut ring, IN, 0, &[(data, 512, true)]);
        }
        ring.notify(&mut guest);
        assert_eq!(ring.completed(&guest).len(), 1);
    }
}

/// Options with threads of which one does nothing until the sender is dropped or used.
fn with_busy(scratch_disk: File, busy: impl Fn(&DiskThreads) -> Arc<Jobs>) -> (DeviceOptions, Sender<()>) {
    let threads = DiskThreads::start().unwrap();
    let (release, gate) = channel();
    busy(&threads).push(Box::new(move || {
        let _released = gate.recv();
    }));
    (DeviceOptions { disk_threads: Some(threads), ..with(scratch_disk) }, release)
}

fn wait_for_flush(guest: &Guest) {
    while !guest.devices.is_flushing() {
        std::thread::yield_now();
    }
}

#[test]
fn a_flush_that_is_under_way_is_answered_before_a_snapshot() {
    let (options, release) = with_busy(image().1, DiskThreads::flush);
    let mut source = Guest::boot(options);
    let mut ring = source.start(Slot::Scratch, 1).remove(0);
    let first = offer(&mut source, &mut ring, FLUSH, 0, &[]);
    let second = offer(&mut source, &mut ring, FLUSH, 0, &[]);
    ring.notify_only(&mut source);
    wait_for_flush(&source);
    assert_eq!(ring.completed(&source), []);
    drop(release);
    source.devices.save().unwrap();
    assert_eq!(ring.completed(&source).iter().map(|(_, written)| *written).collect::<Vec<_>>(), [1, 1]);
    assert_eq!([source.bytes(first, 1), source.bytes(second, 1)], [[OK], [OK]]);
    assert_eq!(source.interrupts.taken(), [Slot::Scratch.spi()]);
}

#[test]
fn a_flush_that_a_reset_has_overtaken_is_not_answered() {
    let (options, release) = with_busy(image().1, DiskThreads::flush);
    let mut guest = Guest::boot(options);
    let mut ring = guest.start(Slot::Scratch, 1).remove(0);
    let status = offer(&mut guest, &mut ring, FLUSH, 0, &[]);
    ring.notify_only(&mut guest);
    wait_for_flush(&guest);
    let mut ring = guest.start(Slot::Scratch, 1).remove(0);
    drop(release);
    guest.devices.save().unwrap();
    assert_eq!(ring.completed(&guest), []);
    assert_eq!(guest.bytes(status, 1), [0xff]);
    assert_eq!(request(&mut guest, &mut ring, FLUSH, 0, &[]), OK);
}

#[test]
fn a_flush_keeps_no_other_request_waiting() {
    let (options, release) = with_busy(image().1, DiskThreads::flush);
    let mut guest = Guest::boot(options);
    let mut ring = guest.start(Slot::Scratch, 1).remove(0);
    let data = guest.allocate(512);
    let flush = offer(&mut guest, &mut ring, FLUSH, 0, &[]);
    let read = offer(&mut guest, &mut ring, IN, 0, &[(data, 512, true)]);
    ring.notify_only(&mut guest);
    while ring.completed(&guest).is_empty() {
        std::thread::yield_now();
    }
    assert_eq!([guest.bytes(read, 1), guest.bytes(flush, 1)], [[OK], [0xff]]);
    drop(release);
    guest.devices.drain().unwrap();
    assert_eq!(guest.bytes(flush, 1), [OK]);
}

#[test]
fn a_guest_whose_disk_takes_long_is_answered_by_every_register_and_by_other_devices() {
    let (options, release) = with_busy(image().1, DiskThreads::transfer);
    let mut guest = Guest::boot(options);
    let mut ring = guest.start(Slot::Scratch, 1).remove(0);
    let data = guest.allocate(512);
    let status = offer(&mut guest, &mut ring, IN, 0, &[(data, 512, true)]);
    ring.notify_only(&mut guest);
    assert_eq!(guest.read(Slot::Scratch, 0x70), 0xf);
    assert_eq!(guest.read(Slot::RootDisk, 0x08), 2);
    ring.notify_only(&mut guest);
    assert_eq!(guest.bytes(status, 1), [0xff]);
    drop(release);
    guest.devices.drain().unwrap();
    assert_eq!(guest.bytes(status, 1), [OK]);
    assert_eq!(guest.interrupts.taken(), [Slot::Scratch.spi()]);
}

#[test]
fn a_microvm_that_stands_still_takes_nothing_more_from_its_queue() {
    let (options, release) = with_busy(image().1, DiskThreads::transfer);
    let mut guest = Guest::boot(options);
    let mut ring = guest.start(Slot::Scratch, 1).remove(0);
    let data = guest.allocate(512);
    let status = offer(&mut guest, &mut ring, IN, 0, &[(data, 512, true)]);
    ring.notify_only(&mut guest);
    guest.devices.hold().unwrap();
    drop(release);
    let state = guest.devices.save().unwrap();
    assert_eq!(state.optional.scratch_disk.unwrap().transport.queues[0].next_available, 0);
    assert_eq!(guest.bytes(status, 1), [0xff]);
    guest.resume([1; 16]);
    assert_eq!(guest.bytes(status, 1), [OK]);
}

#[test]
fn a_request_that_a_reset_has_overtaken_before_it_was_taken_is_not_answered() {
    let (options, release) = with_busy(image().1, DiskThreads::transfer);
    let mut guest = Guest::boot(options);
    let mut ring = guest.start(Slot::Scratch, 1).remove(0);
    let data = guest.allocate(512);
    let status = offer(&mut guest, &mut ring, IN, 0, &[(data, 512, true)]);
    ring.notify_only(&mut guest);
    let mut ring = guest.start(Slot::Scratch, 1).remove(0);
    drop(release);
    guest.devices.drain().unwrap();
    assert_eq!((ring.completed(&guest), guest.bytes(status, 1)), (vec![], vec![0xff]));
    assert_eq!(request(&mut guest, &mut ring, IN, 0, &[(data, 512, true)]), OK);
}
