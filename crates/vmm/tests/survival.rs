//! What a guest can see is after a snapshot what it was before: interrupts, timers, time, registers, memory.
#![cfg(target_arch = "aarch64")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod harness;

use firn_vmm::control::BootRequest;
use harness::{Vmm, boot_request, guest, host_counter, read};

#[test]
fn pending_and_active_interrupts_and_timers_of_two_vcpus_survive() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot_smp(&guest::pending(), 2);
    assert_eq!(source.doorbell(), (2, 0));
    let snapshot = source.snapshot(None, directory.path(), "base");
    source.resume();
    assert_eq!(source.doorbell(), (3, 0), "the source took each interrupt once");
    let mut clone = Vmm::restore(&snapshot, false, false).unwrap();
    assert_eq!(clone.doorbell(), (3, 0), "a clone took each interrupt once");
}

#[test]
fn a_stopped_microvm_has_the_same_state_before_and_after_its_timer_would_have_expired() {
    let directory = tempfile::tempdir().unwrap();
    let mut vmm = Vmm::boot(&guest::interrupts(), false);
    assert_eq!(vmm.doorbell().0, 2);
    let first = vmm.snapshot(None, directory.path(), "first");
    std::thread::sleep(std::time::Duration::from_millis(200));
    let second = vmm.snapshot(None, directory.path(), "second");
    assert!(read(&first.state) == read(&second.state), "the state went on while the microVM stood still");
}

#[test]
fn registers_of_every_width_survive() {
    // SAFETY: asks the kernel what the CPU has; touches nothing.
    let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP) };
    let has = |bit: libc::c_ulong| u32::from(capabilities & bit != 0);
    let features = has(libc::HWCAP_SVE) | has(libc::HWCAP_PACA) << 1;

    let directory = tempfile::tempdir().unwrap();
    let mut source = Vmm::boot(&guest::registers(), false);
    assert_eq!(source.doorbell(), (2, features), "a guest has what its host has");
    let base = source.snapshot(None, directory.path(), "base");
    source.resume();
    assert_eq!(source.doorbell(), (3, 0), "nothing changed in the source");
    let mut clone = Vmm::restore(&base, false, false).unwrap();
    assert_eq!(clone.doorbell(), (3, 0), "nothing changed in a clone");
    clone.resume();
    assert_eq!(clone.doorbell(), (2, features));
    let diff = clone.snapshot(Some(&base), directory.path(), "diff");
    let mut second = Vmm::restore(&diff, false, false).unwrap();
    assert_eq!(second.doorbell(), (3, 0), "nothing changed in a clone of the clone");
}

#[test]
fn the_clocks_that_a_guest_reads_stand_still_at_the_doorbell_and_over_a_restore() {
    let directory = tempfile::tempdir().unwrap();
    let mut started = host_counter();
    let mut vmm = Vmm::boot(&guest::time(), false);
    // The ticks of the host in which the microVM may have run.
    let mut allowed = 0;
    let mut clocks = [None, None];
    let mut below = None;
    for round in 0..6_usize {
        let (event, time) = vmm.doorbell();
        let allowed_before = allowed;
        allowed += host_counter() - started;
        let clock = &mut clocks[round % 2];
        if let Some((last, allowed_then)) = clock.replace((time, allowed_before)) {
            let ran = u64::from(time.wrapping_sub(last));
            let most = allowed - allowed_then;
            assert!(0 < ran && ran <= most, "clock of event {event}: {ran} ticks of {most}, round {round}");
        }
        let snapshot = vmm.snapshot(below.as_ref(), directory.path(), &round.to_string());
        std::thread::sleep(std::time::Duration::from_millis(200));
        started = host_counter();
        if round % 3 == 1 {
            vmm = Vmm::restore(&snapshot, false, false).unwrap();
            below = Some(snapshot);
        } else {
            vmm.resume();
        }
    }
}

#[test]
fn the_least_and_the_most_memory_boot_and_are_restored() {
    for memory_bytes in [128 << 20, 8 << 30] {
        let directory = tempfile::tempdir().unwrap();
        let mut source = Vmm::boot_as(&guest::memory(), BootRequest { memory_bytes, ..boot_request() });
        assert_eq!(source.doorbell(), (2, 1));
        let base = source.snapshot(None, directory.path(), "base");
        assert!(base.report.layer_file_bytes < 4 << 20, "a layer holds what was written: {:?}", base.report);
        source.resume();
        assert_eq!(source.doorbell(), (3, 0), "{memory_bytes} bytes, source");
        let mut clone = Vmm::restore(&base, false, false).unwrap();
        assert_eq!(clone.doorbell(), (3, 0), "{memory_bytes} bytes, clone");
        clone.resume();
        assert_eq!(clone.doorbell(), (2, 2));
        let private = clone.statistics().private_bytes;
        assert!(private < 64 << 20, "{memory_bytes} bytes of memory take {private}");
    }
}
