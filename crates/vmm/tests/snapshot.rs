//! Snapshot and restore on KVM, with guest programs of a few instructions. Each microVM is a process of its own.
#![cfg(target_arch = "aarch64")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod harness;

use std::collections::BTreeSet;
use std::fs::File;

use firn_vmm::ErrorCode;
use firn_vmm::control::{Request, RestoreRequest};
use firn_vmm::layer::{ExtentSource, LayerFile};
use firn_vmm::layout::MEMORY_BASE;
use harness::{Vmm, guest, read};

#[test]
fn a_restored_guest_goes_on_behind_the_doorbell_and_so_does_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::counter(), false);
    assert_eq!(source.doorbell(), (2, 1));
    let snapshot = source.snapshot(None, directory.path(), "base");
    for _ in 0..3 {
        let mut clone = Vmm::restore(&snapshot, false, false).unwrap();
        assert_eq!(clone.doorbell(), (2, 2), "the instruction behind the doorbell ran once, and only once");
        clone.resume();
        assert_eq!(clone.doorbell(), (2, 3));
    }
    source.resume();
    assert_eq!(source.doorbell(), (2, 2), "the source goes on as if nothing had been");
    source.resume();
    assert_eq!(source.doorbell(), (2, 3));
}

#[test]
fn restored_memory_equals_the_sources_over_three_layers() {
    let directory = tempfile::tempdir().unwrap();
    let mut vmm = Vmm::boot(&guest::writer(), false);
    assert_eq!(vmm.doorbell(), (2, 1));
    let mut below = None;
    for (ring, name) in [(1, "base"), (2, "one"), (3, "two")] {
        let snapshot = vmm.snapshot(below.as_ref(), directory.path(), name);
        let mut clone = Vmm::restore_paused(&snapshot);
        assert_eq!(clone.memory_checksum(), vmm.memory_checksum(), "{name}");
        clone.resume();
        assert_eq!(clone.doorbell(), (2, ring + 1));
        assert_ne!(
            clone.memory_checksum(),
            vmm.memory_checksum(),
            "a checksum that never changes says nothing"
        );
        vmm = clone;
        below = Some(snapshot);
    }
}

#[test]
fn a_diff_is_what_kvm_and_the_vmm_say_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::writer(), false);
    assert_eq!(source.doorbell(), (2, 1));
    let base = source.snapshot(None, directory.path(), "base");

    let mut clone = Vmm::restore(&base, false, true).unwrap();
    assert_eq!(clone.doorbell(), (2, 2));
    let diff = clone.snapshot(Some(&base), directory.path(), "diff");
    let written: BTreeSet<u64> = pages(clone.written_ranges());
    let layer = LayerFile::open(File::open(&diff.layers[1].0).unwrap()).unwrap();
    let in_diff: BTreeSet<u64> = pages(layer.extents().iter().map(|extent| {
        let start = MEMORY_BASE + extent.guest_offset;
        (start, start + extent.length)
    }));
    assert!(in_diff.is_subset(&written), "in the diff and not written: {:x?}", in_diff.difference(&written));
    // What was written and is not in the diff was written with what the base has.
    let base_bytes = memory_of(&base.layers[0].0);
    let own = memory_over(base_bytes.clone(), &diff.layers[1].0);
    for page in written.difference(&in_diff) {
        let range =
            usize::try_from(page - MEMORY_BASE).unwrap()..usize::try_from(page - MEMORY_BASE).unwrap() + 4096;
        assert_eq!(
            own[range.clone()],
            base_bytes[range],
            "page {page:#x} was written, differs, and is not in the diff"
        );
    }
    // 64 pages with the new count, 64 that were zeroed, the generation id.
    assert!((129..=140).contains(&in_diff.len()), "{} pages in the diff", in_diff.len());
    assert!(layer.extents().iter().any(|extent| matches!(extent.source, ExtentSource::Zero)));
}

#[test]
fn timer_and_interrupts_work_after_a_restore_and_in_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::interrupts(), false);
    assert_eq!(source.doorbell().0, 2);
    let snapshot = source.snapshot(None, directory.path(), "base");
    for _ in 0..3 {
        let mut clone = Vmm::restore(&snapshot, false, false).unwrap();
        assert_eq!(clone.doorbell(), (3, 3), "both the timer's and the generation id's interrupt came");
    }
    source.resume();
    assert_eq!(source.doorbell(), (3, 3));
}

#[test]
fn fifty_restores_in_a_row_all_answer() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::counter(), false);
    source.doorbell();
    let base = source.snapshot(None, directory.path(), "base");
    source.resume();
    assert_eq!(source.doorbell(), (2, 2));
    drop(source);
    let mut clone = Vmm::restore(&base, false, false).unwrap();
    assert_eq!(clone.doorbell(), (2, 2));
    let diff = clone.snapshot(Some(&base), directory.path(), "diff");
    drop(clone);
    for _ in 0..50 {
        assert_eq!(Vmm::restore(&diff, false, false).unwrap().doorbell(), (2, 3));
    }
}

#[test]
fn a_leaf_ignores_the_doorbell_and_cannot_be_snapshotted() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::counter(), false);
    source.doorbell();
    let snapshot = source.snapshot(None, directory.path(), "base");
    let mut leaf = Vmm::restore(&snapshot, true, false).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let statistics = leaf.statistics();
    assert!(statistics.mmio_exits > 4, "it runs on: {statistics:?}");
    assert!(!leaf.has_event());
    leaf.pause();
    let refused = leaf.try_snapshot(Some(&snapshot), directory.path(), "leaf").unwrap_err();
    assert_eq!(refused.code, ErrorCode::SnapshotRefused);
}

#[test]
fn a_microvm_that_runs_cannot_be_snapshotted_until_it_is_paused() {
    let directory = tempfile::tempdir().unwrap();
    let mut vmm = Vmm::boot(&guest::silent(), false);
    let refused = vmm.try_snapshot(None, directory.path(), "running").unwrap_err();
    assert_eq!(refused.code, ErrorCode::SnapshotRefused);
    vmm.pause();
    let snapshot = vmm.snapshot(None, directory.path(), "paused");
    assert!(Vmm::restore(&snapshot, false, false).is_ok());
}

#[test]
fn a_doorbell_that_rings_before_a_resume_is_told_before_it() {
    let mut vmm = Vmm::boot(&guest::counter(), false);
    vmm.doorbell();
    for _ in 0..200 {
        let requests = [Request::Resume, Request::Pause, Request::Resume];
        for id in requests.map(|request| vmm.send(request, &[]).unwrap()) {
            vmm.response(id).unwrap();
        }
        vmm.forget_events();
        vmm.doorbell();
        vmm.statistics();
        assert!(!vmm.has_event(), "a doorbell behind which the guest had gone on");
    }
}

#[test]
fn broken_snapshots_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::counter(), false);
    source.doorbell();
    let good = source.snapshot(None, directory.path(), "base");
    let layer = read(&good.layers[0].0);
    let state = read(&good.state);

    let with = |layer: &[u8], state: &[u8]| {
        let mut bad = good.clone();
        bad.layers[0].0 = directory.path().join("bad.layer");
        bad.state = directory.path().join("bad.state");
        std::fs::write(&bad.layers[0].0, layer).unwrap();
        std::fs::write(&bad.state, state).unwrap();
        Vmm::restore(&bad, false, false).err().map(|error| error.code)
    };
    assert_eq!(with(&layer, &state), None);
    assert_eq!(with(&layer[..layer.len() / 2], &state), Some(ErrorCode::SnapshotCorrupt));
    assert_eq!(with(&[], &state), Some(ErrorCode::SnapshotCorrupt));
    assert_eq!(with(&layer, &state[..state.len() / 2]), Some(ErrorCode::SnapshotCorrupt));
    assert_eq!(with(&layer, b"not a state file, but long enough"), Some(ErrorCode::SnapshotCorrupt));
    let mut flipped = state.clone();
    flipped[100] ^= 1;
    assert_eq!(with(&layer, &flipped), Some(ErrorCode::SnapshotCorrupt));
    let mut newer = state;
    newer[8] = 99;
    assert_eq!(with(&layer, &newer), Some(ErrorCode::SnapshotIncompatible));
    let mut header = layer;
    header[0] ^= 1;
    assert_eq!(with(&header, &read(&good.state)), Some(ErrorCode::SnapshotCorrupt));
}

#[test]
fn a_layer_on_the_wrong_parent_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::counter(), false);
    source.doorbell();
    let base = source.snapshot(None, directory.path(), "base");
    let mut clone = Vmm::restore(&base, false, false).unwrap();
    clone.doorbell();
    let mut diff = clone.snapshot(Some(&base), directory.path(), "diff");
    diff.layers[0].1 = [7; 32];
    assert_eq!(
        Vmm::restore(&diff, false, false).err().map(|error| error.code),
        Some(ErrorCode::SnapshotCorrupt)
    );
}

#[test]
fn a_process_that_has_refused_a_snapshot_restores_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::counter(), false);
    source.doorbell();
    let good = source.snapshot(None, directory.path(), "base");
    let mut bad = good.clone();
    bad.layers[0].0 = directory.path().join("bad.layer");
    std::fs::write(&bad.layers[0].0, b"not a layer").unwrap();
    let (mut vmm, refused) = Vmm::try_restore(&bad);
    assert_eq!(refused.unwrap_err().code, ErrorCode::SnapshotCorrupt);
    vmm.restore_above(0, &good, RestoreRequest::default(), &[]).unwrap();
    assert_eq!(vmm.doorbell(), (2, 2));
}

/// The start addresses of all 4 KiB pages in ranges of addresses.
fn pages(ranges: impl IntoIterator<Item = (u64, u64)>) -> BTreeSet<u64> {
    ranges.into_iter().flat_map(|(start, end)| (start..end).step_by(4096)).collect()
}

/// All memory, from a base layer.
fn memory_of(layer: &std::path::Path) -> Vec<u8> {
    memory_over(vec![0; usize::try_from(harness::MEMORY).unwrap()], layer)
}

fn memory_over(mut memory: Vec<u8>, layer: &std::path::Path) -> Vec<u8> {
    let bytes = read(layer);
    for extent in LayerFile::open(File::open(layer).unwrap()).unwrap().extents() {
        let start = usize::try_from(extent.guest_offset).unwrap();
        let length = usize::try_from(extent.length).unwrap();
        let target = &mut memory[start..start + length];
        match extent.source {
            ExtentSource::Zero => target.fill(0),
            ExtentSource::Data { file_offset } => {
                let from = usize::try_from(file_offset).unwrap();
                target.copy_from_slice(&bytes[from..from + length]);
            }
        }
    }
    memory
}
