//! The network card on KVM, on stream sockets and taps, with a guest that drives it by itself.
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
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use firn_vmm::control::{BootRequest, Descriptor};
use firn_vmm::devices::{DeviceLimits, RateLimit, TokenBucket};
use firn_vmm::layout::Slot;
use harness::script::{BUFFERS, Queue, Script};
use harness::tap::Tap;
use harness::{Vmm, boot_request, stream_pair};

const RECEIVE: Queue = Queue::of(Slot::Net, 0);
const TRANSMIT: Queue = Queue::of(Slot::Net, 1);
/// Of virtio, before each frame.
const HEADER: u32 = 12;
/// Longest frame with its header.
const ROOM: u32 = 1530;
/// Of the frames that the tests send: a length that is a multiple of four.
const LENGTH: u32 = 96;
/// The fifth and sixth byte of the MAC address, and the link's status.
const STATUS: u64 = Slot::Net.address() + 0x104;

/// A broadcast frame of a type for experiments, whose payload is this byte.
fn frame(byte: u8) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([0x02, 0, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.resize(LENGTH as usize, byte);
    frame
}

fn framed(byte: u8) -> Vec<u8> {
    [&LENGTH.to_be_bytes()[..], &frame(byte)].concat()
}

fn word_of(byte: u8) -> u32 {
    u32::from_le_bytes([byte; 4])
}

/// Receives a frame into a buffer of this number, rings with its last word, and sends it back.
fn echo(script: &mut Script, number: u16) {
    let buffer = BUFFERS + u64::from(number) * 4096;
    script.offer(RECEIVE, &[(buffer, ROOM, true)]).notify(RECEIVE).wait_used(RECEIVE, number);
    script.ring(2, buffer + u64::from(HEADER + LENGTH) - 4);
    script.offer(TRANSMIT, &[(buffer, HEADER + LENGTH, false)]).notify(TRANSMIT);
    script.wait_used(TRANSMIT, number);
}

fn boot_on(script: &Script, request: BootRequest, link: impl Into<std::os::fd::OwnedFd>) -> Vmm {
    Vmm::boot_with(&script.image(), request, &[(Descriptor::Net, &File::from(link.into()))]).unwrap()
}

/// What the other end of a link gets next.
fn received(peer: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * (LENGTH as usize + 4)];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn frames_come_and_go_over_a_stream_socket_and_over_another_after_a_restore() {
    let directory = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.start(Slot::Net, 2).ring(2, STATUS);
    for number in 1..=4 {
        echo(&mut script, number);
    }
    script.ring(3, STATUS);
    let mac = Some([0x02, 0, 0, 0, 0xaa, 0xbb]);
    let (mut peer, link) = stream_pair();
    let mut source = boot_on(&script, BootRequest { mac, ..boot_request() }, link);
    assert_eq!(source.doorbell(), (2, 0x1_bbaa), "link up, address as chosen");
    source.resume();
    for byte in [1, 2] {
        peer.write_all(&framed(byte)).unwrap();
        assert_eq!(source.doorbell(), (2, word_of(byte)));
        if byte == 1 {
            source.resume();
            assert_eq!(received(&mut peer, 1), framed(1));
        }
    }
    let base = source.snapshot(None, directory.path(), "base");

    let mut peers = Vec::new();
    for _ in 0..2 {
        let (mut peer, link) = stream_pair();
        let mut clone = Vmm::restore_with(&base, &[(Descriptor::Net, &File::from(link))]).unwrap();
        assert_eq!(received(&mut peer, 1), framed(2), "what the guest sends behind the doorbell");
        peer.write_all(&[framed(3), framed(4)].concat()).unwrap();
        assert_eq!(clone.doorbell(), (2, word_of(3)));
        clone.resume();
        assert_eq!(clone.doorbell(), (2, word_of(4)));
        clone.resume();
        assert_eq!(received(&mut peer, 2), [framed(3), framed(4)].concat());
        assert_eq!(clone.doorbell(), (3, 0x1_bbaa));
        let statistics = clone.statistics();
        assert_eq!((statistics.net_frames_received, statistics.net_frames_sent), (2, 3));
        peers.push((clone, peer));
    }
    source.resume();
    assert_eq!(received(&mut peer, 1), framed(2), "the source goes on with its own link");
}

#[test]
fn without_a_link_after_a_restore_or_when_the_peer_is_gone_the_card_is_quiet_and_the_guest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.start(Slot::Net, 2);
    echo(&mut script, 1);
    script.ring(2, STATUS);
    script.offer(TRANSMIT, &[(BUFFERS + 4096, HEADER + LENGTH, false)]).notify(TRANSMIT);
    script.wait_used(TRANSMIT, 2).ring(3, STATUS);
    let (mut peer, link) = stream_pair();
    let mut source = boot_on(&script, boot_request(), link);
    peer.write_all(&framed(7)).unwrap();
    assert_eq!(source.doorbell(), (2, word_of(7)));
    let base = source.snapshot(None, directory.path(), "base");
    source.resume();
    assert_eq!(source.doorbell().1 >> 16, 1);
    // Closing would not do it at once: a process that another test starts has a copy until it runs its program.
    peer.shutdown(Shutdown::Both).unwrap();
    source.resume();
    assert_eq!(source.doorbell().0, 3, "a frame that nobody gets is given back all the same");
    assert_eq!(source.statistics().net_frames_dropped, 1);

    let mut clone = Vmm::restore(&base, false, false).unwrap();
    assert_eq!(clone.doorbell().1 >> 16, 0, "the link is down");
    clone.resume();
    assert_eq!(clone.doorbell().0, 3);
}

#[test]
fn a_peer_that_sends_no_frames_is_cut_off_and_the_guest_goes_on() {
    for nonsense in [&[0xff; 64][..], &[0, 1, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 1, 7, 0xff, 0xff, 0xff, 0xff]] {
        let mut script = Script::new();
        script.start(Slot::Net, 2).offer(RECEIVE, &[(BUFFERS, ROOM, true)]).notify(RECEIVE);
        // A configuration interrupt, which says that the link's status changed.
        script.wait_word(Slot::Net.address() + 0x60, 2).ring(2, STATUS);
        let (mut peer, link) = stream_pair();
        let mut vmm = boot_on(&script, boot_request(), link);
        peer.write_all(nonsense).unwrap();
        let (event, status) = vmm.doorbell();
        assert_eq!((event, status >> 16), (2, 0), "{nonsense:?}");
        assert_eq!(peer.read(&mut [0; 64]).unwrap(), 0, "the socket is closed");
    }
}

/// The limit is of bytes, one a second and three frames at once: a fourth goes after a second, and the one behind it would have to
/// wait for 96 seconds more.
#[test]
fn frames_beyond_a_limit_wait_in_both_directions_and_survive_a_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let mut script = Script::new();
    script.start(Slot::Net, 2);
    for number in 1..=6_u8 {
        let buffer = BUFFERS + u64::from(number) * 4096;
        script.fill(buffer + u64::from(HEADER), &frame(number));
        script.offer(TRANSMIT, &[(buffer, HEADER + LENGTH, false)]);
        script.offer(RECEIVE, &[(buffer + 2048, ROOM, true)]);
    }
    script.notify(TRANSMIT).notify(RECEIVE).wait_used(TRANSMIT, 4).wait_used(RECEIVE, 4);
    script.ring_with_used(TRANSMIT).ring_with_used(RECEIVE);
    script.wait_used(TRANSMIT, 6).wait_used(RECEIVE, 6);
    script.ring(2, BUFFERS + 6 * 4096 + 2048 + u64::from(HEADER + LENGTH) - 4);

    let bytes = Some(TokenBucket { per_second: 1, burst: 3 * u64::from(LENGTH) });
    let limit = RateLimit { bytes, operations: None };
    let limits = DeviceLimits { net_receive: limit, net_transmit: limit, ..DeviceLimits::default() };
    let (mut peer, link) = stream_pair();
    let to_guest: Vec<u8> = (11..=16).flat_map(framed).collect();
    peer.write_all(&to_guest).unwrap();
    let mut source = boot_on(&script, BootRequest { limits, ..boot_request() }, link);
    assert_eq!(source.doorbell(), (2, 4 << 16), "four of six were sent");
    source.resume();
    assert_eq!(source.doorbell(), (2, 4 << 16), "four of six were received");
    let base = source.snapshot(None, directory.path(), "base");
    assert_eq!(received(&mut peer, 4), (1..=4).flat_map(framed).collect::<Vec<_>>());

    let (mut peer, link) = stream_pair();
    let mut clone = Vmm::restore_with(&base, &[(Descriptor::Net, &File::from(link))]).unwrap();
    assert_eq!(received(&mut peer, 2), [framed(5), framed(6)].concat());
    assert_eq!(clone.doorbell(), (2, word_of(16)), "what had come from the source's link is in the snapshot");
}

#[test]
fn frames_come_and_go_over_a_tap_with_and_without_virtio_headers() {
    for with_headers in [false, true] {
        let mut script = Script::new();
        script.start(Slot::Net, 2);
        for number in 1..=2 {
            echo(&mut script, number);
        }
        script.ring(3, STATUS);
        let (tap, mut wire) = Tap::create(with_headers);
        let mut vmm = boot_on(&script, boot_request(), tap);
        for byte in [5, 6] {
            wire.send(&frame(byte));
            assert_eq!(vmm.doorbell(), (2, word_of(byte)), "headers: {with_headers}");
            vmm.resume();
            assert_eq!(wire.receive(), frame(byte), "headers: {with_headers}");
        }
        assert_eq!(vmm.doorbell().0, 3);
    }
}
