//! Several vCPUs: started by PSCI, stopped together, restored together.
#![cfg(target_arch = "aarch64")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod harness;

use std::path::Path;
use std::time::{Duration, Instant};

use firn_vmm::snapshot::{VcpuState, decode};
use harness::{Snapshot, Vmm, guest, host_counter, read};
use kvm_bindings::KVM_MP_STATE_STOPPED;

/// KVM_REG_ARM_TIMER_CNT.
const TIMER_COUNT: u64 = 0x6030_0000_0013_df1a;

/// Each ring of this guest says that every vCPU counted on, took its own timer's interrupts and an SGI from the one before it, and
/// that time went backwards on none of them.
fn all_vcpus_go_on(vcpus: u8) {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot_smp(&guest::smp(), vcpus);
    for ring in 1..=2 {
        assert_eq!(source.doorbell(), (2, ring), "{vcpus} vCPUs after a boot");
        if ring == 1 {
            source.resume();
        }
    }
    let base = source.snapshot(None, directory.path(), "base");
    assert_eq!(power_states(&base), vec![0; usize::from(vcpus)], "all run");

    let mut clone = Vmm::restore(&base, false, false).unwrap();
    for ring in 3..=4 {
        assert_eq!(clone.doorbell(), (2, ring), "{vcpus} vCPUs after a restore");
        if ring == 3 {
            clone.resume();
        }
    }
    let diff = clone.snapshot(Some(&base), directory.path(), "diff");
    let (mut second, _) = Vmm::prepare(&base).unwrap();
    second.restore_top(&diff, false).unwrap();
    assert_eq!(second.doorbell(), (2, 5), "{vcpus} vCPUs in a prepared process");
    drop((clone, second));

    source.resume();
    assert_eq!(source.doorbell(), (2, 3), "the source goes on with {vcpus} vCPUs");
}

#[test]
fn two_vcpus_go_on_after_boot_snapshot_and_restore_and_so_does_the_source() {
    all_vcpus_go_on(2);
}

#[test]
fn four_vcpus_go_on_after_boot_snapshot_and_restore_and_so_does_the_source() {
    all_vcpus_go_on(4);
}

#[test]
fn eight_vcpus_go_on_after_boot_snapshot_and_restore_and_so_does_the_source() {
    all_vcpus_go_on(8);
}

#[test]
fn vcpus_that_were_never_switched_on_stay_off() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot_smp(&guest::counter(), 4);
    assert_eq!(source.doorbell(), (2, 1));
    let base = source.snapshot(None, directory.path(), "base");
    assert_eq!(power_states(&base), [0, 1, 1, 1]);
    let mut clone = Vmm::restore(&base, false, false).unwrap();
    assert_eq!(clone.doorbell(), (2, 2));
    let diff = clone.snapshot(Some(&base), directory.path(), "diff");
    assert_eq!(power_states(&diff), [0, 1, 1, 1]);
}

#[test]
fn a_vcpu_that_was_off_in_a_snapshot_is_switched_on_in_clones() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot_smp(&guest::late(), 2);
    assert_eq!(source.doorbell(), (2, 1));
    let base = source.snapshot(None, directory.path(), "base");
    assert_eq!(power_states(&base), [0, 1]);
    let mut clone = Vmm::restore(&base, false, false).unwrap();
    assert_eq!(clone.doorbell(), (2, 2));
    let diff = clone.snapshot(Some(&base), directory.path(), "diff");
    assert_eq!(power_states(&diff), [0, 0]);
    let (mut prepared, _) = Vmm::prepare(&base).unwrap();
    prepared.restore_itself().unwrap();
    assert_eq!(prepared.doorbell(), (2, 2));
    source.resume();
    assert_eq!(source.doorbell(), (2, 2));
}

#[test]
fn a_paused_microvm_stands_still_on_all_vcpus_and_goes_on_at_the_time_it_was_stopped_at() {
    let directory = tempfile::tempdir().unwrap();
    let mut vmm = Vmm::boot_smp(&guest::smp(), 4);
    assert_eq!(vmm.doorbell(), (2, 1));
    let mut last = None;
    for round in 0..3 {
        let (time, ticks) = run_and_pause(&mut vmm, directory.path(), &format!("first{round}"));
        let checksum = vmm.memory_checksum();
        std::thread::sleep(Duration::from_millis(300));
        let stopped = vmm.snapshot(None, directory.path(), &format!("second{round}"));
        assert_eq!(vmm.memory_checksum(), checksum, "memory changed while the microVM stood still");
        assert_eq!(time_of(&stopped), time, "time went on while the microVM stood still");
        if let Some(last) = last.replace(time) {
            assert!(
                last < time && time - last <= ticks,
                "from {last} to {time} in {ticks} ticks of the host"
            );
        }
    }
}

#[test]
fn a_clone_goes_on_at_the_time_its_source_was_stopped_at() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot_smp(&guest::smp(), 4);
    assert_eq!(source.doorbell(), (2, 1));
    let base = source.snapshot(None, directory.path(), "base");
    let stopped_at = time_of(&base);
    std::thread::sleep(Duration::from_millis(300));
    let before = host_counter();
    let mut clone = Vmm::restore(&base, false, false).unwrap();
    wait_for_a_run(&mut clone, 0);
    clone.pause();
    let ticks = host_counter() - before;
    let time = time_of(&clone.snapshot(Some(&base), directory.path(), "diff"));
    assert!(
        stopped_at < time && time - stopped_at <= ticks,
        "from {stopped_at} to {time} in {ticks} ticks of the host"
    );
}

/// Lets a microVM run and stops it. Returns its time then, and the host's ticks from before to after.
fn run_and_pause(vmm: &mut Vmm, directory: &Path, name: &str) -> (u64, u64) {
    let runs = vmm.statistics().kvm_exits;
    let before = host_counter();
    vmm.resume();
    wait_for_a_run(vmm, runs);
    vmm.pause();
    let ticks = host_counter() - before;
    (time_of(&vmm.snapshot(None, directory, name)), ticks)
}

/// Waits until a vCPU has been told to run once more often than this: one that is stopped before has no time of its own.
fn wait_for_a_run(vmm: &mut Vmm, runs: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while vmm.statistics().kvm_exits <= runs {
        assert!(Instant::now() < deadline, "no vCPU runs");
    }
}

/// The time at which a microVM was stopped, which must be the same on all of its vCPUs, in ticks.
fn time_of(snapshot: &Snapshot) -> u64 {
    let times: Vec<u64> = vcpus(snapshot).iter().map(|vcpu| register(vcpu, TIMER_COUNT)).collect();
    assert!(times.iter().all(|time| *time == times[0]), "one time for all vCPUs: {times:?}");
    times[0]
}

/// 0 for a vCPU that is switched on, 1 for one that is off.
fn power_states(snapshot: &Snapshot) -> Vec<u32> {
    vcpus(snapshot).iter().map(|vcpu| u32::from(vcpu.power_state == KVM_MP_STATE_STOPPED)).collect()
}

fn vcpus(snapshot: &Snapshot) -> Vec<VcpuState> {
    decode(&read(&snapshot.state)).unwrap().vcpus
}

fn register(vcpu: &VcpuState, wanted: u64) -> u64 {
    let (_, value) = vcpu.registers().find(|(id, _)| *id == wanted).unwrap();
    u64::from_le_bytes(value.try_into().unwrap())
}
