//! Recording what a clone uses, and restoring and preparing with it, on KVM.
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
use std::path::{Path, PathBuf};

use firn_vmm::ErrorCode;
use firn_vmm::control::{Descriptor, RestoreRequest};
use firn_vmm::layer::{LayerFile, RangeSet};
use firn_vmm::layout::MEMORY_BASE;
use firn_vmm::working_set::WorkingSet;
use harness::{Snapshot, Vmm, guest, host_page_size, read, restore_request};

fn written(path: &Path) -> RangeSet {
    WorkingSet::decode(&read(path)).unwrap().written
}

/// A base of a guest that was booted and has rung once.
fn base_of(image: &[u8], directory: &Path) -> Snapshot {
    let mut source = Vmm::boot(image, false);
    assert_eq!(source.doorbell(), (2, 1));
    source.snapshot(None, directory, "base")
}

/// A base and a diff of a guest that counts its rings, the diff's memory, and what the diff's clones use.
fn base_and_diff_of(image: &[u8], directory: &Path) -> (Snapshot, Snapshot, u64, PathBuf) {
    let base = base_of(image, directory);
    let mut source = Vmm::restore(&base, false, false).unwrap();
    assert_eq!(source.doorbell(), (2, 2));
    let diff = source.snapshot(Some(&base), directory, "diff");
    let mut clone = Vmm::restore_recording_reads(&diff);
    assert_eq!(clone.doorbell(), (2, 3));
    let set = directory.join("set");
    clone.record_working_set(&set, None).unwrap();
    (base, diff, source.memory_checksum(), set)
}

#[test]
fn a_working_set_is_what_the_dirty_log_says_and_is_private_before_the_first_instruction() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let base = base_of(&guest::writer(), directory.path());

    let mut clone = Vmm::restore(&base, false, true).unwrap();
    assert_eq!(clone.doorbell(), (2, 2));
    let report = clone.record_working_set(&path("first"), None).unwrap();
    let first = written(&path("first"));
    assert_eq!((report.written_bytes, report.ranges), (first.length(), first.ranges().len() as u64));
    let logged: RangeSet = clone
        .written_ranges()
        .into_iter()
        .map(|(start, end)| start - MEMORY_BASE..end - MEMORY_BASE)
        .collect();
    assert_eq!(logged.without(&first), RangeSet::default(), "written and not in the working set");
    assert!(first.length() >= 128 * 4096, "{first:?}");

    let mut waiting = Vmm::restore_with_working_set(&base, &path("first"), true).unwrap();
    let mut without = Vmm::restore_paused(&base);
    assert_eq!(waiting.memory_checksum(), without.memory_checksum(), "private pages hold what they held");
    waiting.record_working_set(&path("waiting"), None).unwrap();
    assert_eq!(first.without(&written(&path("waiting"))), RangeSet::default(), "private before anything ran");
    let statistics = waiting.statistics();
    assert!(statistics.bytes_populated > 0 && statistics.bytes_populated <= first.length(), "{statistics:?}");
    waiting.resume();
    assert_eq!(waiting.doorbell(), (2, 2));

    let mut running = Vmm::restore_with_working_set(&base, &path("first"), false).unwrap();
    assert_eq!(running.doorbell(), (2, 2));
}

#[test]
fn only_what_all_clones_write_is_in_the_working_set_of_several() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let base = base_of(&guest::writer(), directory.path());
    let mut clone = Vmm::restore(&base, false, false).unwrap();
    clone.doorbell();
    clone.record_working_set(&path("all"), None).unwrap();
    let mut idle = Vmm::restore_paused(&base);
    idle.record_working_set(&path("idle"), None).unwrap();
    let report = clone.record_working_set(&path("both"), Some(&path("idle"))).unwrap();
    assert_eq!(written(&path("both")), written(&path("all")).intersection(&written(&path("idle"))));
    assert!(report.written_bytes < written(&path("all")).length());
}

#[test]
fn a_working_set_of_another_snapshot_and_a_broken_one_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let base = base_of(&guest::writer(), directory.path());
    let mut clone = Vmm::restore(&base, false, false).unwrap();
    clone.doorbell();
    clone.record_working_set(&path("of-base"), None).unwrap();
    let diff = clone.snapshot(Some(&base), directory.path(), "diff");
    let code = |path: &Path| Vmm::restore_with_working_set(&diff, path, false).err().map(|error| error.code);
    assert_eq!(code(&path("of-base")), Some(ErrorCode::SnapshotCorrupt));
    let bytes = read(&path("of-base"));
    std::fs::write(path("short"), &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(code(&path("short")), Some(ErrorCode::SnapshotCorrupt));
    let mut other = Vmm::restore(&diff, false, false).unwrap();
    other.doorbell();
    let error = other.record_working_set(&path("mixed"), Some(&path("of-base"))).unwrap_err();
    assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
    other.resume();
    assert_eq!(other.doorbell().0, 2, "a refusal harms nothing");
}

#[test]
fn a_microvm_that_runs_or_was_booted_has_no_working_set() {
    let directory = tempfile::tempdir().unwrap();
    let base = base_of(&guest::writer(), directory.path());
    let mut leaf = Vmm::restore(&base, true, false).unwrap();
    let error = leaf.record_working_set(&directory.path().join("running"), None).unwrap_err();
    assert_eq!(error.code, ErrorCode::SnapshotRefused);
    let mut booted = Vmm::boot(&guest::writer(), false);
    booted.doorbell();
    let error = booted.record_working_set(&directory.path().join("booted"), None).unwrap_err();
    assert_eq!(error.code, ErrorCode::SnapshotRefused);
}

#[test]
fn what_a_working_set_has_missed_is_learnt_from_two_clones() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let base = base_of(&guest::writer(), directory.path());
    Vmm::restore_paused(&base).record_working_set(&path("idle"), None).unwrap();
    let mut one = Vmm::restore_with_working_set(&base, &path("idle"), false).unwrap();
    one.doorbell();
    one.record_misses(&path("one"), None).unwrap();
    assert!(written(&path("one")).length() >= pages_written() * host_page_size());
    let mut other = Vmm::restore_with_working_set(&base, &path("idle"), false).unwrap();
    other.doorbell();
    other.record_misses(&path("learnt"), Some([&path("idle"), &path("one")])).unwrap();
    other.record_working_set(&path("all"), None).unwrap();
    assert_eq!(written(&path("all")).without(&written(&path("learnt"))).length(), 0);

    // In a process that was prepared with another working set what that has made private is nobody's miss.
    for pooled in [false, true] {
        let mut third = if pooled {
            let (mut third, _) = Vmm::prepare_with(&base, &[&path("learnt")]).unwrap();
            third.restore_itself().unwrap();
            third
        } else {
            Vmm::restore_with_working_set(&base, &path("learnt"), false).unwrap()
        };
        third.doorbell();
        let report = third.record_misses(&path(&format!("third-{pooled}")), None).unwrap();
        assert!(report.written_bytes <= MARGIN_PAGES * host_page_size(), "{pooled}: {report:?}");
    }
}

#[test]
fn misses_are_recorded_of_a_microvm_that_runs_and_not_of_one_that_was_booted() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let base = base_of(&guest::writer(), directory.path());
    let mut leaf = Vmm::restore(&base, true, false).unwrap();
    leaf.record_misses(&path("running"), None).unwrap();
    let diff = {
        let mut source = Vmm::restore(&base, false, false).unwrap();
        source.doorbell();
        source.record_working_set(&path("of-base"), None).unwrap();
        source.snapshot(Some(&base), directory.path(), "diff")
    };
    let mut clone = Vmm::restore(&diff, false, false).unwrap();
    clone.doorbell();
    let error = clone.record_misses(&path("mixed"), Some([&path("of-base"), &path("of-base")])).unwrap_err();
    assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
    let mut booted = Vmm::boot(&guest::writer(), false);
    booted.doorbell();
    let error = booted.record_misses(&path("booted"), None).unwrap_err();
    assert_eq!(error.code, ErrorCode::SnapshotRefused);
}

/// How many pages of the host the writer writes between two rings: in each of 64 places two pages of 4 KiB, side by side.
fn pages_written() -> u64 {
    64 * (8192 / host_page_size()).max(1)
}

/// Private pages in which two processes that have done the same may differ.
const MARGIN_PAGES: u64 = 8;

/// All that clones use, according to a working set.
fn used(path: &Path) -> RangeSet {
    let set = WorkingSet::decode(&read(path)).unwrap();
    set.read.union(set.written.into_ranges())
}

/// Restores the topmost layer of a snapshot with a working set.
fn restore_top(pooled: &mut Vmm, snapshot: &Snapshot, working_set: &Path, paused: bool) {
    let request = RestoreRequest { paused, ..restore_request(snapshot, false, false) };
    let set = File::open(working_set).unwrap();
    pooled.restore_top_with(snapshot, request, &[(Descriptor::WorkingSet, &set)]).unwrap();
}

/// How many pages the reader reads between two rings.
const PAGES_READ: u64 = 64;

#[test]
fn what_is_only_read_is_recorded_to_the_page_where_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let base = base_of(&guest::reader(), directory.path());
    let mut clone = Vmm::restore_recording_reads(&base);
    assert_eq!(clone.doorbell(), (2, 2));
    let report = clone.record_working_set(&path("reads"), None).unwrap();
    let set = WorkingSet::decode(&read(&path("reads"))).unwrap();
    assert_eq!((report.read_bytes, report.written_bytes), (set.read.length(), set.written.length()));
    let page = host_page_size();
    let pages: RangeSet = (0..PAGES_READ)
        .map(|index| 0x8100_0000 - MEMORY_BASE + index * 0x2_0000)
        .map(|start| start..start + page)
        .collect();
    assert_eq!(pages.without(&set.read), RangeSet::default());
    // Besides them the page of its program and that of its translation table.
    assert!(set.read.length() <= (PAGES_READ + 4) * page, "{:?}", set.read);
    assert_eq!(set.read.intersection(&set.written), RangeSet::default());

    let mut unrecorded = Vmm::restore(&base, false, false).unwrap();
    unrecorded.doorbell();
    assert_eq!(unrecorded.record_working_set(&path("none"), None).unwrap().read_bytes, 0);
}

#[test]
fn a_process_that_was_prepared_with_what_is_read_is_as_any_other_and_has_no_fault_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, checksum, reads) = base_and_diff_of(&guest::reader(), directory.path());
    let (mut faults, mut private) = (Vec::new(), Vec::new());
    for sets in [vec![reads.as_path()], vec![reads.as_path(), reads.as_path()], Vec::new()] {
        let (mut pooled, prepared) = Vmm::prepare_with(&base, &sets).unwrap();
        let expected = if sets.is_empty() { 0 } else { used(&reads).length() };
        assert_eq!(prepared.touched_pages, expected / host_page_size());
        private.push(prepared.private_bytes);
        pooled.restore_top(&diff, true).unwrap();
        assert_eq!(pooled.memory_checksum(), checksum);
        pooled.resume();
        assert_eq!(pooled.doorbell(), (2, 3));

        let (mut pooled, _) = Vmm::prepare_with(&base, &sets).unwrap();
        pooled.restore_top(&diff, true).unwrap();
        // What the process itself has used by now is not the guest's.
        let before = pooled.statistics().minor_faults;
        pooled.resume();
        assert_eq!(pooled.doorbell(), (2, 3));
        faults.push(pooled.statistics().minor_faults - before);
    }
    assert!(faults[0].max(faults[1]) + PAGES_READ <= faults[2], "{faults:?}");
    // What was only read is the base's, whether or not another process uses it just now.
    assert!(private[0] < private[2] + PAGES_READ * host_page_size(), "{private:?}");
}

#[test]
fn what_is_written_is_private_in_a_process_that_was_prepared_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, checksum, set) = base_and_diff_of(&guest::writer(), directory.path());
    let mut faults = Vec::new();
    let mut private = Vec::new();
    for sets in [vec![set.as_path()], Vec::new()] {
        let (mut pooled, report) = Vmm::prepare_with(&base, &sets).unwrap();
        let expected = if sets.is_empty() { 0 } else { used(&set).length() };
        assert_eq!(report.touched_pages, expected / host_page_size());
        private.push(report.private_bytes);
        restore_top(&mut pooled, &diff, &set, true);
        assert_eq!(pooled.memory_checksum(), checksum);
        pooled.resume();
        assert_eq!(pooled.doorbell(), (2, 3));

        let (mut pooled, _) = Vmm::prepare_with(&base, &sets).unwrap();
        restore_top(&mut pooled, &diff, &set, false);
        assert_eq!(pooled.doorbell(), (2, 3));
        faults.push(pooled.statistics().minor_faults);
    }
    let length = written(&set).length();
    assert!(length >= pages_written() * host_page_size(), "{length}");
    assert!(private[0] >= private[1] + length - MARGIN_PAGES * host_page_size(), "{private:?}, {length}");
    assert!(faults[0] + pages_written() <= faults[1], "{faults:?}");
}

#[test]
fn only_what_clones_of_all_snapshots_write_is_private_in_a_process_that_was_prepared_for_several() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, checksum, set) = base_and_diff_of(&guest::writer(), directory.path());
    let other = directory.path().join("other");
    let own = WorkingSet::decode(&read(&set)).unwrap();
    let unused = 0x280_0000..0x280_0000 + pages_written() * host_page_size();
    let written = own.written.union([unused]);
    std::fs::write(&other, WorkingSet { layer: [1; 32], written: written.clone(), ..own }.encode()).unwrap();
    let mut private = Vec::new();
    for sets in [vec![other.as_path(), set.as_path()], vec![other.as_path()]] {
        let (mut pooled, report) = Vmm::prepare_with(&base, &sets).unwrap();
        private.push(report.private_bytes);
        restore_top(&mut pooled, &diff, &set, true);
        assert_eq!(pooled.memory_checksum(), checksum);
        pooled.resume();
        assert_eq!(pooled.doorbell(), (2, 3));
    }
    let more = (pages_written() - MARGIN_PAGES) * host_page_size();
    assert!(private[0] + more <= private[1], "{private:?}, {written:?}");
}

#[test]
fn no_working_set_is_recorded_in_a_process_that_was_prepared_with_one() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, _, set) = base_and_diff_of(&guest::writer(), directory.path());
    for (sets, is_refused) in [(vec![set.as_path()], true), (Vec::new(), false)] {
        let (mut pooled, _) = Vmm::prepare_with(&base, &sets).unwrap();
        pooled.restore_top(&diff, true).unwrap();
        let recorded = pooled.record_working_set(&directory.path().join(is_refused.to_string()), None);
        assert_eq!(recorded.err().map(|error| error.code), is_refused.then_some(ErrorCode::SnapshotRefused));
    }
}

#[test]
fn what_is_read_of_the_topmost_diff_is_not_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let (_, diff, _, reads) = base_and_diff_of(&guest::reader(), directory.path());
    let set = WorkingSet::decode(&read(&reads)).unwrap();
    assert!(set.read.length() >= PAGES_READ * host_page_size(), "{:?}", set.read);
    let layer = LayerFile::open(File::open(&diff.layers.last().unwrap().0).unwrap()).unwrap();
    let top: RangeSet =
        layer.extents().iter().map(|extent| extent.guest_offset..extent.guest_end()).collect();
    assert!(top.length() > 0);
    assert_eq!(set.read.intersection(&top), RangeSet::default());
}

#[test]
fn a_process_is_not_prepared_with_a_broken_working_set() {
    let directory = tempfile::tempdir().unwrap();
    let (base, _, _, reads) = base_and_diff_of(&guest::reader(), directory.path());
    let mut bytes = read(&reads);
    bytes.pop();
    std::fs::write(&reads, bytes).unwrap();
    let error = Vmm::prepare_with(&base, &[&reads]).err().unwrap();
    assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
}

#[test]
fn timers_and_interrupts_work_in_a_process_that_was_prepared_with_what_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let reads = directory.path().join("reads");
    let mut source = Vmm::boot(&guest::interrupts(), false);
    assert_eq!(source.doorbell().0, 2);
    let base = source.snapshot(None, directory.path(), "base");
    let mut clone = Vmm::restore_recording_reads(&base);
    assert_eq!(clone.doorbell(), (3, 3));
    assert!(clone.record_working_set(&reads, None).unwrap().read_bytes > 0);
    let (mut pooled, prepared) = Vmm::prepare_with(&base, &[&reads]).unwrap();
    assert!(prepared.touched_pages > 0);
    pooled.restore_itself().unwrap();
    assert_eq!(pooled.doorbell(), (3, 3));
}
