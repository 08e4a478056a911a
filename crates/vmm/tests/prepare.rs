//! Processes that are prepared before it is known what they restore.
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
use std::path::Path;
use std::time::Duration;

use firn_vmm::ErrorCode;
use firn_vmm::control::{Descriptor, Request, RestoreRequest};
use firn_vmm::layout::GIC_DISTRIBUTOR;
use harness::script::Script;
use harness::{MEMORY, Snapshot, Vmm, file_with, guest, read, restore_request};

/// A base taken at the first ring of a guest, a diff on top of it taken at the next one, and the microVM that it is of.
fn base_and_diff(directory: &Path, vcpus: u8, image: &[u8]) -> (Snapshot, Snapshot, Vmm) {
    let mut source = Vmm::boot_smp(image, vcpus);
    source.doorbell();
    let base = source.snapshot(None, directory, "base");
    drop(source);
    let (diff, clone) = next_diff(directory, &base, "diff");
    (base, diff, clone)
}

/// A diff on top of a snapshot, taken at the next ring of its guest, and the microVM that it is of.
fn next_diff(directory: &Path, below: &Snapshot, name: &str) -> (Snapshot, Vmm) {
    let mut clone = Vmm::restore(below, false, false).unwrap();
    clone.doorbell();
    (clone.snapshot(Some(below), directory, name), clone)
}

#[test]
fn a_prepared_process_restores_to_the_same_microvm_as_a_new_one() {
    for (vcpus, image) in [(1, guest::writer()), (3, guest::interrupts())] {
        let directory = tempfile::tempdir().unwrap();
        let (base, diff, mut source) = base_and_diff(directory.path(), vcpus, &image);
        let mut new = Vmm::restore_paused(&diff);
        let (mut pooled, _) = Vmm::prepare(&base).unwrap();
        // Time in which a timer that was left on would expire.
        std::thread::sleep(Duration::from_millis(200));
        pooled.restore_top(&diff, true).unwrap();

        if vcpus == 1 {
            let checksum = source.memory_checksum();
            assert_eq!((new.memory_checksum(), pooled.memory_checksum()), (checksum, checksum));
        }
        // Every register, the interrupt controller and the devices are as they were saved.
        let saved = read(&diff.state);
        let of_new = new.snapshot(Some(&diff), directory.path(), "of-new");
        let of_pooled = pooled.snapshot(Some(&diff), directory.path(), "of-pooled");
        assert!(read(&of_new.state) == saved, "the state of a new process's microVM differs");
        assert!(read(&of_pooled.state) == saved, "the state of a prepared process's microVM differs");
        assert_eq!(of_pooled.report.data_bytes, 0, "nothing was written");

        pooled.resume();
        new.resume();
        assert_eq!(pooled.doorbell(), new.doorbell());
        pooled.resume();
        new.resume();
        assert_eq!(pooled.doorbell(), new.doorbell());
    }
}

#[test]
fn a_prepared_process_runs_at_once_and_has_its_timer_and_interrupts() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, _) = base_and_diff(directory.path(), 1, &guest::interrupts());
    let (mut pooled, _) = Vmm::prepare(&base).unwrap();
    pooled.restore_top(&diff, false).unwrap();
    assert_eq!(pooled.doorbell().0, 2);
    pooled.resume();
    assert_eq!(pooled.doorbell(), (3, 3), "both the timer's and the generation id's interrupt came");
}

#[test]
fn a_prepared_process_announces_a_new_generation_beside_what_is_pending() {
    const GENERATION: u32 = 1 << 3;
    const OTHER: u32 = 1 << 18;
    let [set_pending, clear_pending] = [0x204, 0x284].map(|offset| GIC_DISTRIBUTOR + offset);
    let mut script = Script::new();
    script.ring(2, set_pending).store(clear_pending, GENERATION).store(set_pending, OTHER);
    script.ring(2, set_pending).ring(2, set_pending);

    let directory = tempfile::tempdir().unwrap();
    let (base, diff, _) = base_and_diff(directory.path(), 1, &script.image());
    let (mut pooled, _) = Vmm::prepare(&base).unwrap();
    pooled.restore_top(&diff, false).unwrap();
    assert_eq!(pooled.doorbell(), (2, OTHER | GENERATION));
}

#[test]
fn a_prepared_process_can_run_what_it_was_prepared_with() {
    let directory = tempfile::tempdir().unwrap();
    let (base, _, _) = base_and_diff(directory.path(), 1, &guest::interrupts());
    let (mut pooled, _) = Vmm::prepare(&base).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    pooled.restore_itself().unwrap();
    assert_eq!(pooled.doorbell(), (3, 3));
}

#[test]
fn a_restore_without_a_root_disk_or_with_another_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (base, _, _) = base_and_diff(directory.path(), 1, &guest::counter());
    let restore = |files: &[(Descriptor, &File)]| {
        let (mut pooled, _) = Vmm::prepare(&base).unwrap();
        pooled.request(Request::Restore(RestoreRequest::default()), files).unwrap_err().code
    };
    assert_eq!(restore(&[]), ErrorCode::Protocol);
    let [wrong, odd] = [1024, 100].map(|size| file_with(&vec![0; size]));
    assert_eq!(restore(&[(Descriptor::RootDisk, &wrong)]), ErrorCode::SnapshotIncompatible);
    assert_eq!(restore(&[(Descriptor::RootDisk, &odd)]), ErrorCode::Config);
}

#[test]
fn a_process_is_prepared_with_several_layers() {
    let directory = tempfile::tempdir().unwrap();
    let (_, diff, _) = base_and_diff(directory.path(), 1, &guest::writer());
    let (second, mut source) = next_diff(directory.path(), &diff, "second");
    let (mut pooled, _) = Vmm::prepare(&diff).unwrap();
    pooled.restore_top(&second, true).unwrap();
    assert_eq!(pooled.memory_checksum(), source.memory_checksum());
}

#[test]
fn what_an_upper_layer_hides_of_a_lower_one_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, _) = base_and_diff(directory.path(), 1, &guest::writer());
    let (second, mut clone) = next_diff(directory.path(), &diff, "second");
    assert!(diff.report.data_bytes > 0);

    let new = Vmm::restore_paused(&second).statistics();
    let (mut pooled, _) = Vmm::prepare(&base).unwrap();
    let request = RestoreRequest { paused: true, ..restore_request(&second, false, false) };
    pooled.restore_above(1, &second, request, &[]).unwrap();
    assert_eq!(pooled.statistics().bytes_copied, new.bytes_copied);
    assert_eq!(pooled.memory_checksum(), clone.memory_checksum());
}

#[test]
fn what_is_copied_is_what_was_saved() {
    let directory = tempfile::tempdir().unwrap();
    let (base, _, mut source) = base_and_diff(directory.path(), 1, &guest::rounds());
    source.resume();
    source.doorbell();
    let diff = source.snapshot(Some(&base), directory.path(), "round");
    assert!(diff.report.data_bytes >= 256 << 10, "{:?}", diff.report);
    let checksum = source.memory_checksum();
    let (mut pooled, _) = Vmm::prepare(&base).unwrap();
    pooled.restore_top(&diff, true).unwrap();
    assert_eq!(pooled.statistics().bytes_copied, diff.report.data_bytes);
    assert_eq!(
        (pooled.memory_checksum(), Vmm::restore_paused(&diff).memory_checksum()),
        (checksum, checksum)
    );
}

#[test]
fn a_diff_of_another_base_is_refused_with_both_names() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, _) = base_and_diff(directory.path(), 1, &guest::counter());
    let mut other = base;
    other.layers[0].1 = [0xab; 32];
    let (mut pooled, _) = Vmm::prepare(&other).unwrap();
    let error = pooled.restore_top(&diff, false).unwrap_err();
    assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
    let base_name: String = b"base".iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(error.message.contains(&"ab".repeat(32)) && error.message.contains(&base_name), "{error}");
}

#[test]
fn what_a_process_was_not_prepared_for_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, _) = base_and_diff(directory.path(), 1, &guest::counter());
    let (mut pooled, _) = Vmm::prepare(&base).unwrap();
    let request = RestoreRequest { track_writes: true, ..restore_request(&diff, false, true) };
    assert_eq!(pooled.restore_top_as(&diff, request).unwrap_err().code, ErrorCode::Config);

    let other_directory = tempfile::tempdir().unwrap();
    let (_, of_three, _) = base_and_diff(other_directory.path(), 3, &guest::counter());
    let (mut pooled, _) = Vmm::prepare(&base).unwrap();
    let error = pooled.restore_top(&of_three, false).unwrap_err();
    assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
    assert!(error.message.contains("number of vCPUs"), "{error}");
}

#[test]
fn a_process_counts_from_its_restore() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, _) = base_and_diff(directory.path(), 1, &guest::writer());
    let (mut pooled, report) = Vmm::prepare(&base).unwrap();
    assert!(report.private_bytes > 0 && report.private_bytes < MEMORY / 4, "{report:?}");
    assert!(report.phases.create_vm > 0 && report.phases.load_vcpus > 0, "{report:?}");
    pooled.restore_top(&diff, true).unwrap();
    let mut new = Vmm::restore_paused(&diff);
    let (pooled, new) = (pooled.statistics(), new.statistics());
    assert_eq!((pooled.kvm_exits, new.kvm_exits), (0, 0), "nothing has run");
    assert_eq!(pooled.phases.create_vm, 0);
    let moved = pooled.bytes_copied + pooled.bytes_mapped;
    assert!(moved > 0 && moved <= diff.report.layer_file_bytes, "only the diff is loaded: {pooled:?}");
    assert!(pooled.minor_faults < new.minor_faults, "{} and {}", pooled.minor_faults, new.minor_faults);
}

#[test]
fn a_prepared_process_ends_with_its_controller() {
    let directory = tempfile::tempdir().unwrap();
    let (base, _, _) = base_and_diff(directory.path(), 2, &guest::counter());
    assert!(Vmm::prepare(&base).unwrap().0.abandon().success());
}

#[test]
fn fifty_prepared_processes_in_a_row_all_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (base, diff, _) = base_and_diff(directory.path(), 1, &guest::counter());
    for _ in 0..50 {
        let (mut pooled, _) = Vmm::prepare(&base).unwrap();
        pooled.restore_top(&diff, false).unwrap();
        assert_eq!(pooled.doorbell(), (2, 3));
    }
}
