//! Scratch disk, random numbers and rate limits on KVM, with a guest that drives the devices by itself.
#![cfg(target_arch = "aarch64")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod harness;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, UNIX_EPOCH};

use firn_vmm::ErrorCode;
use firn_vmm::control::{BootRequest, Descriptor, Request};
use firn_vmm::devices::{DeviceLimits, RateLimit, TokenBucket};
use firn_vmm::layout::Slot;
use harness::script::{BUFFERS, Queue, Script};
use harness::{Vmm, boot_request, file_with, host_page_size};

const SCRATCH: Queue = Queue::of(Slot::Scratch, 0);
const RNG: Queue = Queue::of(Slot::Rng, 0);

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
/// A status that is not written yet, and that of a request that went well, in a word of ones.
const PENDING: u32 = u32::MAX;
const OK: u32 = 0xffff_ff00;
const SIZE: usize = 64 * 512;

fn with_scratch(image: &[u8], request: BootRequest, disk: &File) -> Vmm {
    Vmm::boot_with(image, request, &[(Descriptor::ScratchDisk, disk)]).unwrap()
}

fn bytes_at(disk: &File, offset: u64) -> [u8; 512] {
    let mut bytes = [0; 512];
    disk.read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

/// As a controller does while a microVM stands still, to keep what belongs to its snapshot.
fn copy_of(disk: &File) -> File {
    let mut bytes = vec![0; SIZE];
    disk.read_exact_at(&mut bytes, 0).unwrap();
    file_with(&bytes)
}

#[test]
fn a_scratch_disk_is_written_and_each_clone_goes_on_with_a_copy_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let (written, back) = (BUFFERS, BUFFERS + 4096);
    let mut script = Script::new();
    script.start(Slot::Scratch, 1).fill(written, &[0xab; 512]);
    script.request(SCRATCH, WRITE, 5, written, 512);
    let flushed = script.request(SCRATCH, FLUSH, 0, 0, 0);
    script.notify(SCRATCH).wait_used(SCRATCH, 2).ring(2, flushed);
    script.request(SCRATCH, READ, 5, back, 512);
    script.notify(SCRATCH).wait_used(SCRATCH, 3).ring(2, back + 508);
    script.fill(written, &[0xcd; 512]);
    let overwritten = script.request(SCRATCH, WRITE, 5, written, 512);
    script.notify(SCRATCH).wait_used(SCRATCH, 4).ring(2, overwritten);

    let disk = file_with(&[0x11; SIZE]);
    let mut source = with_scratch(&script.image(), boot_request(), &disk);
    assert_eq!(source.doorbell(), (2, OK));
    assert_eq!(bytes_at(&disk, 5 * 512), [0xab; 512]);
    assert_eq!(bytes_at(&disk, 6 * 512), [0x11; 512]);
    let base = source.snapshot(None, directory.path(), "base");
    let copies = [copy_of(&disk), copy_of(&disk)];

    let other_size = file_with(&[0; 512]);
    // Opened anew, as another controller would: what shares an open file shares its lock, too.
    let in_use =
        File::options().read(true).write(true).open(format!("/proc/self/fd/{}", disk.as_raw_fd())).unwrap();
    for (disk, code) in [
        (None, ErrorCode::SnapshotIncompatible),
        (Some(&other_size), ErrorCode::SnapshotIncompatible),
        (Some(&in_use), ErrorCode::Config),
    ] {
        let files: Vec<_> = disk.into_iter().map(|disk| (Descriptor::ScratchDisk, disk)).collect();
        let error = Vmm::restore_with(&base, &files).err().unwrap();
        assert_eq!(error.code, code, "{error}");
    }
    for copy in &copies {
        let mut clone = Vmm::restore_with(&base, &[(Descriptor::ScratchDisk, copy)]).unwrap();
        assert_eq!(clone.doorbell(), (2, 0xabab_abab));
        clone.resume();
        assert_eq!(clone.doorbell(), (2, OK));
        assert_eq!(bytes_at(copy, 5 * 512), [0xcd; 512]);
        assert_eq!(clone.statistics().disk_bytes_written, 512);
    }
    assert_eq!(bytes_at(&disk, 5 * 512), [0xab; 512], "no clone writes to the source's disk");
    source.resume();
    assert_eq!(source.doorbell(), (2, 0xabab_abab), "the source goes on");
}

#[test]
fn a_flush_that_is_under_way_at_the_doorbell_is_answered_in_source_and_clone() {
    let directory = tempfile::tempdir().unwrap();
    let data = BUFFERS;
    let mut script = Script::new();
    script.start(Slot::Scratch, 1).fill(data, &[0x77; 512]);
    script.request(SCRATCH, WRITE, 0, data, 512);
    let flushed = script.request(SCRATCH, FLUSH, 0, 0, 0);
    // No wait in between: the doorbell is the next instruction but few.
    script.notify(SCRATCH).ring_with_used(SCRATCH);
    script.wait_used(SCRATCH, 2).ring(2, flushed);
    let disk = file_with(&[0; SIZE]);
    let mut source = with_scratch(&script.image(), boot_request(), &disk);
    assert_eq!(source.doorbell().0, 2);
    let base = source.snapshot(None, directory.path(), "base");
    let mut clone = Vmm::restore_with(&base, &[(Descriptor::ScratchDisk, &copy_of(&disk))]).unwrap();
    assert_eq!(clone.doorbell(), (2, OK));
    source.resume();
    assert_eq!(source.doorbell(), (2, OK));
}

/// The limit is of bytes, one a second and three sectors at once: a fourth request goes after a second, and the one behind it would
/// have to wait for 512 seconds more.
#[test]
fn requests_beyond_a_limit_wait_and_survive_a_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.start(Slot::Scratch, 1);
    let mut statuses = Vec::new();
    for sector in 0..5_u8 {
        let data = BUFFERS + u64::from(sector) * 512;
        script.fill(data, &[0x30 + sector; 512]);
        statuses.push(script.request(SCRATCH, WRITE, sector.into(), data, 512));
    }
    script.notify(SCRATCH).wait_used(SCRATCH, 4).ring_with_used(SCRATCH).ring(2, statuses[4]);
    script.wait_used(SCRATCH, 5).ring(2, statuses[4]);

    let bytes = Some(TokenBucket { per_second: 1, burst: 3 * 512 });
    let scratch_disk = RateLimit { bytes, operations: None };
    let limits = DeviceLimits { scratch_disk, ..DeviceLimits::default() };
    let disk = file_with(&[0; SIZE]);
    let mut source = with_scratch(&script.image(), BootRequest { limits, ..boot_request() }, &disk);
    assert_eq!(source.doorbell(), (2, 4 << 16), "four of five have gone");
    source.resume();
    assert_eq!(source.doorbell(), (2, PENDING), "the fifth is held back, whatever resumes");
    let base = source.snapshot(None, directory.path(), "base");
    assert_eq!(source.statistics().disk_bytes_written, 4 * 512);
    assert_eq!([bytes_at(&disk, 3 * 512), bytes_at(&disk, 4 * 512)], [[0x33; 512], [0; 512]]);

    let copy = copy_of(&disk);
    let mut clone = Vmm::restore_with(&base, &[(Descriptor::ScratchDisk, &copy)]).unwrap();
    assert_eq!(clone.doorbell(), (2, OK), "what was held back in the source goes in a clone without a limit");
    assert_eq!(bytes_at(&copy, 4 * 512), [0x34; 512]);
    assert_eq!(bytes_at(&disk, 4 * 512), [0; 512]);
}

#[test]
fn random_bytes_are_given_and_clones_get_different_ones() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (BUFFERS, BUFFERS + 4096);
    let mut script = Script::new();
    script.start(Slot::Rng, 1).offer(RNG, &[(first, 64, true)]).notify(RNG).wait_used(RNG, 1);
    script.ring(2, first).ring(2, first + 60);
    script.offer(RNG, &[(second, 64, true)]).notify(RNG).wait_used(RNG, 2).ring(2, second);
    let mut source = Vmm::boot_as(&script.image(), BootRequest { rng: true, ..boot_request() });
    let mut words = vec![source.doorbell().1];
    source.resume();
    words.push(source.doorbell().1);
    assert_eq!(source.statistics().random_bytes, 64);
    let base = source.snapshot(None, directory.path(), "base");
    for _ in 0..3 {
        let mut clone = Vmm::restore(&base, false, false).unwrap();
        words.push(clone.doorbell().1);
    }
    source.resume();
    words.push(source.doorbell().1);
    // That two of six words of 32 bits are the same, or one is zero, happens once in 200 million runs.
    let different: std::collections::BTreeSet<u32> = words.iter().copied().collect();
    assert!(different.len() == 6 && !different.contains(&0), "{words:x?}");
}

#[test]
fn the_clock_has_the_time_of_the_host_in_source_and_clone() {
    let now = || u32::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let mut script = Script::new();
    script.ring(2, Slot::Clock.address()).ring(3, Slot::Clock.address());
    let before = now();
    let mut source = Vmm::boot(&script.image(), false);
    let (_, time) = source.doorbell();
    assert!((before..=now()).contains(&time), "{time}, and it was {before}");
    let directory = tempfile::tempdir().unwrap();
    let snapshot = source.snapshot(None, directory.path(), "base");
    std::thread::sleep(Duration::from_millis(2100));
    let before = now();
    let mut clone = Vmm::restore(&snapshot, false, false).unwrap();
    let (_, time) = clone.doorbell();
    assert!((before..=now()).contains(&time), "{time}, and it was {before}");
}

#[test]
fn memory_that_a_guest_gives_back_is_what_its_layers_say_in_source_and_clones() {
    let directory = tempfile::tempdir().unwrap();
    let report = Queue::of(Slot::Balloon, 2);
    let given = BUFFERS + (2 << 20);
    let page = host_page_size();
    let (first, second) = (vec![0x55; page.try_into().unwrap()], vec![0x66; page.try_into().unwrap()]);
    let mut script = Script::new();
    script.start(Slot::Balloon, 3).fill(given, &first).ring(2, given);
    script.fill(given, &second).offer(report, &[(given, page.try_into().unwrap(), true)]);
    script.notify(report).wait_used(report, 1).ring(2, given).ring(3, given);
    let mut source = Vmm::boot_as(&script.image(), BootRequest { balloon: true, ..boot_request() });
    assert_eq!(source.doorbell(), (2, 0x5555_5555));
    let base = source.snapshot(None, directory.path(), "base");
    source.resume();
    assert_eq!(source.doorbell(), (2, 0), "no layer says anything of it");
    assert_eq!(source.statistics().balloon_bytes_reclaimed, page);

    let mut clone = Vmm::restore(&base, false, false).unwrap();
    assert_eq!(clone.doorbell(), (2, 0x5555_5555), "as its base says");
    assert_eq!(clone.statistics().balloon_bytes_reclaimed, page);
    let checksum = clone.memory_checksum();
    let top = clone.snapshot(Some(&base), directory.path(), "top");
    let mut second = Vmm::restore_paused(&top);
    assert_eq!(second.memory_checksum(), checksum);
    second.resume();
    assert_eq!(second.doorbell(), (3, 0x5555_5555));

    second.request(Request::SetBalloon(1 << 20), &[]).unwrap();
    let error = second.request(Request::SetBalloon(1 << 40), &[]).unwrap_err();
    assert_eq!(error.code, ErrorCode::Config);
}

#[test]
fn devices_that_were_not_asked_for_are_spare_slots() {
    let mut script = Script::new();
    for slot in [Slot::Scratch, Slot::Net, Slot::Rng, Slot::Balloon] {
        script.ring(2, slot.address() + 8);
    }
    let mut vmm = Vmm::boot(&script.image(), false);
    for _ in 0..4 {
        assert_eq!(vmm.doorbell(), (2, 0), "DeviceID");
        vmm.resume();
    }
}

#[test]
fn a_console_that_nobody_reads_any_more_does_not_stop_a_guest() {
    let mut script = Script::new();
    for byte in b"one line\nand a half" {
        script.store8(Slot::Serial.address(), *byte);
    }
    script.ring(2, BUFFERS);
    let (reader, writer) = std::io::pipe().unwrap();
    let console = File::from(std::os::fd::OwnedFd::from(writer));
    let mut vmm =
        Vmm::boot_with(&script.image(), boot_request(), &[(Descriptor::Console, &console)]).unwrap();
    drop(console);
    let mut lines = std::io::BufReader::new(reader);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    assert_eq!(line, "one line\n");
    drop(lines);
    assert_eq!(vmm.doorbell().0, 2);
    // A snapshot passes on the half of a line, which is when it is lost.
    vmm.snapshot(None, tempfile::tempdir().unwrap().path(), "base");
    assert_eq!(vmm.statistics().console_bytes_dropped, 10);
}
