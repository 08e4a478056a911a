//! Guests and state files that are out to break their VMM, on KVM: each costs its own microVM at most.
#![cfg(target_arch = "aarch64")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod harness;

use std::time::{Duration, Instant};

use firn_vmm::ErrorCode;
use firn_vmm::control::{GicVersion, Request};
use firn_vmm::error::VmmError;
use firn_vmm::snapshot::{MachineState, decode, encode};
use harness::{MEMORY, Snapshot, Vmm, guest, read};

/// How long an answer may take while a guest does its worst. It takes milliseconds; an emulated machine has been seen to take a second.
const PATIENCE: Duration = Duration::from_secs(10);

fn snapshot_of(image: &[u8], directory: &tempfile::TempDir) -> Snapshot {
    let mut source = Vmm::boot(image, false);
    assert_eq!(source.doorbell().0, 2);
    source.snapshot(None, directory.path(), "base")
}

/// Whatever the guest does, its process answers, stops it and lets it go on, and does not grow.
fn assert_under_control(vmm: &mut Vmm) {
    let before = vmm.statistics();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        let asked = Instant::now();
        vmm.request(Request::Pause, &[]).unwrap();
        let paused = vmm.statistics();
        assert_eq!(vmm.statistics().mmio_exits, paused.mmio_exits, "a paused guest does nothing");
        vmm.resume();
        vmm.statistics();
        assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
    }
    let after = vmm.statistics();
    assert!(after.mmio_exits > before.mmio_exits + 100, "the guest did not do much: {after:?}");
    let grown = after.private_bytes.saturating_sub(before.private_bytes);
    assert!(grown < 256 << 10, "the process grew by {grown} bytes");
}

#[test]
fn a_leaf_that_rings_in_a_tight_loop_is_heard_by_nobody_and_stays_under_control() {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = snapshot_of(&guest::counter(), &directory);
    let mut leaf = Vmm::restore(&snapshot, true, false).unwrap();
    assert_under_control(&mut leaf);
    assert!(!leaf.has_event());
}

#[test]
fn a_doorbell_is_said_once_however_long_nobody_answers() {
    let mut vmm = Vmm::boot(&guest::counter(), false);
    for count in 1..5 {
        assert_eq!(vmm.doorbell(), (2, count));
        let exits = vmm.statistics().kvm_exits;
        std::thread::sleep(Duration::from_millis(200));
        assert!(!vmm.has_event());
        assert_eq!(vmm.statistics().kvm_exits, exits, "no vCPU runs before the answer");
        vmm.resume();
    }
}

#[test]
fn a_guest_that_reads_and_writes_anything_in_every_frame_stays_under_control() {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = snapshot_of(&guest::wild(), &directory);
    let mut leaf = Vmm::restore(&snapshot, true, false).unwrap();
    assert_under_control(&mut leaf);
    assert!(!leaf.has_event());
}

#[test]
fn an_answer_that_does_not_fit_into_a_message_is_an_error_of_its_request() {
    let mut vmm = Vmm::boot(&guest::scatter(), true);
    assert_eq!(vmm.doorbell().0, 2);
    assert_eq!(vmm.request(Request::WrittenRanges, &[]).unwrap_err().code, ErrorCode::Protocol);
    vmm.request(Request::MemoryChecksum, &[]).expect("the microVM is still there");
}

/// Restores a state that is not the snapshot's own. Its process must have an answer, and another one after that. A state that is
/// too long to be written counts as refused.
fn restore_forged(
    snapshot: &Snapshot,
    directory: &tempfile::TempDir,
    state: &MachineState,
) -> Result<(), VmmError> {
    let mut forged = snapshot.clone();
    forged.state = directory.path().join("forged.state");
    let bytes =
        encode(state).map_err(|error| VmmError::new(ErrorCode::SnapshotCorrupt, error.to_string()))?;
    std::fs::write(&forged.state, bytes).unwrap();
    let (mut vmm, outcome) = Vmm::try_restore(&forged);
    if outcome.is_ok() {
        std::thread::sleep(Duration::from_millis(2));
        vmm.request(Request::Pause, &[]).unwrap();
    } else {
        assert_eq!(vmm.request(Request::Pause, &[]).unwrap_err().code, ErrorCode::Protocol);
    }
    outcome
}

#[test]
fn wild_values_in_a_state_file_are_refused_or_harm_only_their_guest() {
    let directory = tempfile::tempdir().unwrap();
    let snapshot = snapshot_of(&guest::counter(), &directory);
    let state = decode(&read(&snapshot.state)).unwrap();
    assert_eq!(restore_forged(&snapshot, &directory, &state), Ok(()));

    let mut forgeries: Vec<(String, MachineState)> = Vec::new();
    let mut forge = |what: String, change: &dyn Fn(&mut MachineState)| {
        let mut forged = state.clone();
        change(&mut forged);
        forgeries.push((what, forged));
    };
    for bytes in [0, 4096, MEMORY - 1, MEMORY * 2, 1 << 40, u64::MAX] {
        forge(format!("memory of {bytes}"), &|state| state.memory_bytes = bytes);
    }
    for count in [0, 2, 8, 9, 255, 256, 300] {
        forge(format!("{count} vCPUs"), &|state| state.vcpus = vec![state.vcpus[0].clone(); count]);
    }
    for value in [1, 4, 7, u32::MAX] {
        forge(format!("power state {value}"), &|state| state.vcpus[0].power_state = value);
        forge(format!("features {value}"), &|state| state.vcpus[0].features = value << 3);
        forge(format!("target {value}"), &|state| state.vcpus[0].target = value.wrapping_add(40));
    }
    forge("another interrupt controller".to_owned(), &|state| {
        state.gic.version = if state.gic.version == GicVersion::V2 { GicVersion::V3 } else { GicVersion::V2 };
    });
    forge("no interrupt controller registers".to_owned(), &|state| state.gic.registers.clear());
    forge("many active priorities".to_owned(), &|state| state.gic.active_priorities = vec![vec![0; 9]; 9]);
    for index in (0..state.gic.registers.len()).step_by(7) {
        for value in [0xffff_ffff, u64::MAX] {
            forge(format!("GIC register {index} = {value:#x}"), &|state| state.gic.registers[index] = value);
        }
    }
    let registers = state.vcpus[0].register_ids.len();
    for index in (0..registers).step_by(13) {
        let start: usize = state.vcpus[0].registers().take(index).map(|(_, value)| value.len()).sum();
        forge(format!("register {:#x}", state.vcpus[0].register_ids[index]), &|state| {
            for byte in state.vcpus[0].register_values.iter_mut().skip(start).take(4) {
                *byte = 0xff;
            }
        });
    }
    for width in (0..16).step_by(3) {
        let id = 0x6000_0000_0010_0000 | width << 52;
        forge(format!("a register of id {id:#x}"), &|state| {
            let length = firn_vmm::snapshot::register_id::register_width(id);
            state.vcpus[0].register_ids.push(id);
            state.vcpus[0].register_values.extend(vec![0xff; length]);
        });
    }
    for id in [0, u64::MAX, 0x6030_0000_0014_0000, 0x6040_0000_0015_0000] {
        forge(format!("register id {id:#x}"), &|state| {
            state.vcpus[0].register_ids = vec![id; 100];
            state.vcpus[0].register_values =
                vec![0xa5; 100 * firn_vmm::snapshot::register_id::register_width(id)];
        });
    }
    let expected = [ErrorCode::SnapshotCorrupt, ErrorCode::SnapshotIncompatible, ErrorCode::Config];
    let mut refused = 0;
    for (what, forged) in &forgeries {
        if let Err(error) = restore_forged(&snapshot, &directory, forged) {
            assert!(expected.contains(&error.code), "{what}: {error}");
            refused += 1;
        }
    }
    assert!(refused > 30 && refused < forgeries.len(), "{refused} of {} refused", forgeries.len());
}
