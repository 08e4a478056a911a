//! Booting and running on KVM, and what ends a microVM.
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

use firn_vmm::ErrorCode;
use firn_vmm::control::{BootRequest, Descriptor, Event, Request};
use firn_vmm::layout::{DEVICE_TREE_AREA_SIZE, MEMORY_BASE, RAM_BASE};
use harness::{MEMORY, Vmm, boot_request, file_with, guest};

fn refusal(request: BootRequest, kernel: &File) -> ErrorCode {
    let disk = file_with(&[0; 512]);
    let files = [(Descriptor::Kernel, kernel), (Descriptor::RootDisk, &disk)];
    Vmm::spawn().request(Request::Boot(request), &files).unwrap_err().code
}

#[test]
fn configurations_out_of_range_are_refused() {
    let kernel = file_with(&guest::counter());
    assert_eq!(refusal(BootRequest { vcpus: 0, ..boot_request() }, &kernel), ErrorCode::Config);
    assert_eq!(refusal(BootRequest { vcpus: 9, ..boot_request() }, &kernel), ErrorCode::Config);
    for memory_bytes in [0, MEMORY - (2 << 20), MEMORY + 4096, (8 << 30) + (2 << 20), 8 << 40] {
        assert_eq!(refusal(BootRequest { memory_bytes, ..boot_request() }, &kernel), ErrorCode::Config);
    }
}

#[test]
fn a_file_that_is_no_kernel_is_refused() {
    for bytes in [vec![], vec![0; 10], vec![0xff; 1 << 16]] {
        assert_eq!(refusal(boot_request(), &file_with(&bytes)), ErrorCode::Kernel);
    }
}

#[test]
fn what_would_reach_into_the_device_tree_is_refused() {
    let kernel = guest::counter();
    let start = RAM_BASE + (16 << 20) + (kernel.len() as u64).next_multiple_of(2 << 20);
    let room = MEMORY_BASE + MEMORY - DEVICE_TREE_AREA_SIZE - start;
    let boot = |size: u64| {
        let initrd = file_with(&[]);
        initrd.set_len(size).unwrap();
        Vmm::boot_with(&kernel, boot_request(), &[(Descriptor::Initrd, &initrd)])
    };
    assert_eq!(boot(room).unwrap().doorbell().0, 2);
    let error = boot(room + 1).err().unwrap();
    assert_eq!(error.code, ErrorCode::Kernel);
    assert!(error.message.contains(&format!("{} bytes", room + 1)), "{error}");

    let mut large = guest::counter();
    large[16..24].copy_from_slice(&MEMORY.to_le_bytes());
    assert_eq!(refusal(boot_request(), &file_with(&large)), ErrorCode::Kernel);
}

#[test]
fn an_access_without_a_syndrome_ends_the_microvm_and_not_the_process_by_a_panic() {
    let mut vmm = Vmm::boot(&guest::no_syndrome(), false);
    match vmm.event() {
        Event::Failed(error) => assert_eq!(error.code, ErrorCode::Guest),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pause_stops_a_guest_that_never_exits_and_resume_lets_it_go_on() {
    let mut vmm = Vmm::boot(&guest::silent(), false);
    for _ in 0..3 {
        vmm.request(Request::Pause, &[]).unwrap();
        vmm.request(Request::MemoryChecksum, &[]).expect("a stopped microVM has a checksum");
        vmm.resume();
        let refused = vmm.request(Request::MemoryChecksum, &[]).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Config, "a running one has none");
    }
}

#[test]
fn requests_in_the_wrong_order_are_refused() {
    let mut vmm = Vmm::spawn();
    for request in [Request::Pause, Request::Resume, Request::Statistics, Request::MemoryChecksum] {
        assert_eq!(vmm.request(request, &[]).unwrap_err().code, ErrorCode::Protocol);
    }
    assert_eq!(vmm.request(Request::Boot(boot_request()), &[]).unwrap_err().code, ErrorCode::Protocol);
}
