//! The agent stream, with a guest that drives vsock by itself.
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
use std::io::Write;

use firn_vmm::control::{Descriptor, Request};
use harness::{Vmm, boot_request, file_with, guest, stream_pair};

const RESPONSE: u32 = 2;
const SHUTDOWN: u32 = 4;

const fn data(byte: u8) -> u32 {
    5 | (byte as u32) << 8
}

#[test]
fn a_stream_that_replaces_a_closed_one_is_watched_though_its_descriptor_has_the_same_number() {
    let (mut first, other) = stream_pair();
    let mut vmm = Vmm::spawn();
    let (stream, kernel, disk) = (File::from(other), file_with(&guest::stream()), file_with(&[0; 512]));
    // In this order, so that the number of the stream's descriptor is the lowest to become free.
    let files = [(Descriptor::Stream, &stream), (Descriptor::Kernel, &kernel), (Descriptor::RootDisk, &disk)];
    vmm.request(Request::Boot(boot_request()), &files).unwrap();
    drop(stream);
    assert_eq!(vmm.doorbell(), (2, RESPONSE));
    vmm.resume();
    first.write_all(b"a").unwrap();
    assert_eq!(vmm.doorbell(), (2, data(b'a')));
    vmm.resume();
    drop(first);
    assert_eq!(vmm.doorbell(), (2, SHUTDOWN));

    let (mut second, other) = stream_pair();
    vmm.request(Request::Resume, &[(Descriptor::Stream, &File::from(other))]).unwrap();
    assert_eq!(vmm.doorbell(), (2, RESPONSE));
    vmm.resume();
    second.write_all(b"b").unwrap();
    assert_eq!(vmm.doorbell(), (2, data(b'b')));
}
