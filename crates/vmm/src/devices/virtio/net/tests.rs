//! The network card, driven through its registers, on a stream socket.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::*;
use crate::devices::testing::{Buffer, Guest, Ring, options, stream};
use crate::devices::{DeviceOptions, DevicesState, RateLimit, TokenBucket, Watched};
use crate::error::ErrorCode;
use crate::layout::{MEMORY_BASE, Slot};

const CONFIG: u64 = 0x100;
const STATUS: u64 = CONFIG + 6;

/// A guest with a running network card, and the other end of its link.
struct Wired {
    guest: Guest,
    receive: Ring,
    transmit: Ring,
    peer: UnixStream,
}

impl Wired {
    fn boot() -> Self {
        Self::boot_with(options(&[0; 512]))
    }

    fn boot_with(options: DeviceOptions) -> Self {
        let (link, peer) = stream();
        let mut guest = Guest::boot(DeviceOptions { link: Some(link), ..options });
        let mut rings = guest.start(Slot::Net, 2);
        let transmit = rings.pop().unwrap();
        Self { guest, receive: rings.pop().unwrap(), transmit, peer }
    }

    /// A clone on a link of its own, which runs.
    fn restore(&self, state: &DevicesState) -> Self {
        let (link, peer) = stream();
        let guest =
            self.guest.restore(DeviceOptions { link: Some(link), ..options(&[0; 512]) }, state).unwrap();
        guest.devices.resume([9; 16]).unwrap();
        Self { guest, receive: self.receive.clone(), transmit: self.transmit.clone(), peer }
    }

    /// The guest makes a frame available; it is not told yet.
    fn offer_frame(&mut self, frame: &[u8]) -> u16 {
        let address = self.guest.allocate(12 + frame.len());
        self.guest.put(address + 12, frame);
        self.transmit.offer(&self.guest, &[(address, 12, false), (address + 12, frame.len(), false)])
    }

    fn send(&mut self, frame: &[u8]) {
        self.offer_frame(frame);
        self.transmit.notify(&mut self.guest);
    }

    /// The guest makes room for so many frames; returns where.
    fn make_room(&mut self, count: usize) -> Vec<u64> {
        let buffers = (0..count)
            .map(|_| {
                let address = self.guest.allocate(1530);
                self.receive.offer(&self.guest, &[(address, 1530, true)]);
                address
            })
            .collect();
        self.receive.notify(&mut self.guest);
        buffers
    }

    fn link_ready(&mut self) {
        self.guest.devices.on_ready(Watched::Link).unwrap();
    }

    /// What the other end gets, until there is nothing more, with the devices told that there is room.
    fn drain(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        loop {
            let mut bytes = vec![0; 1 << 20];
            match self.peer.read(&mut bytes) {
                Ok(0) => return received,
                Ok(length) => received.extend(&bytes[..length]),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return received;
                }
            }
            self.link_ready();
        }
    }

    fn link_status(&mut self) -> u8 {
        let mut status = [0; 2];
        self.guest.devices.read(Slot::Net.address() + STATUS, &mut status).unwrap();
        status[0]
    }

    fn state(&mut self) -> DevicesState {
        self.guest.devices.save().unwrap()
    }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], frame].concat()
}

/// A frame that no other has the contents of.
fn frame(number: u32, length: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(length).collect()
}

fn bucket(per_second: u64, burst: u64) -> Option<TokenBucket> {
    Some(TokenBucket { per_second, burst })
}

#[test]
fn identifies_itself_with_an_address_and_a_link() {
    let mac = Some([0x52, 0x54, 0, 1, 2, 3]);
    let mut wired = Wired::boot_with(DeviceOptions { mac, ..options(&[0; 512]) });
    let mut config = [0; 12];
    wired.guest.devices.read(Slot::Net.address() + CONFIG, &mut config).unwrap();
    assert_eq!(config, [0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0xdc, 5]);
    assert_eq!(wired.guest.read(Slot::Net, 0x08), 1);
    let other = Wired::boot().state().optional.net.unwrap().mac;
    assert_ne!(other, Wired::boot().state().optional.net.unwrap().mac);
}

#[test]
fn frames_of_the_guest_go_out_behind_their_lengths() {
    let mut wired = Wired::boot();
    let frames = [frame(1, 60), frame(2, 1518), frame(3, 14)];
    let heads: Vec<u16> = frames.iter().map(|frame| wired.offer_frame(frame)).collect();
    wired.transmit.notify(&mut wired.guest);
    assert_eq!(wired.drain(), frames.iter().flat_map(|frame| framed(frame)).collect::<Vec<_>>());
    let expected: Vec<_> = heads.into_iter().map(|head| (head, 0)).collect();
    assert_eq!(wired.transmit.completed(&wired.guest), expected);
    assert_eq!(wired.guest.interrupts.taken(), [Slot::Net.spi()]);
    assert_eq!(wired.guest.devices.counters().unwrap().net_frames_sent, 3);
}

#[test]
fn a_frame_may_be_cut_into_descriptors_anyhow() {
    let mut wired = Wired::boot();
    let address = wired.guest.allocate(100);
    wired.guest.put(address + 12, &frame(7, 64));
    let pieces = [(address, 5, false), (address + 5, 20, false), (address + 25, 51, false)];
    wired.transmit.offer(&wired.guest, &pieces);
    wired.transmit.notify(&mut wired.guest);
    assert_eq!(wired.drain(), framed(&frame(7, 64)));
}

#[test]
fn frames_for_the_guest_come_behind_a_header_whatever_pieces_they_arrive_in() {
    let mut wired = Wired::boot();
    let buffers = wired.make_room(4);
    let stream: Vec<u8> = (0..4).flat_map(|number| framed(&frame(number, 700))).collect();
    for piece in stream.chunks(333) {
        wired.peer.write_all(piece).unwrap();
        wired.link_ready();
    }
    let completed = wired.receive.completed(&wired.guest);
    assert_eq!(completed.len(), 4);
    for ((number, address), (_, written)) in (0..).zip(buffers).zip(completed) {
        assert_eq!(written, 712);
        assert_eq!(wired.guest.bytes(address, 12), HEADER);
        assert_eq!(wired.guest.bytes(address + 12, 700), frame(number, 700));
    }
    assert_eq!(wired.guest.devices.counters().unwrap().net_frames_received, 4);
}

#[test]
fn frames_wait_for_room_in_the_guest_and_the_rest_waits_in_the_socket() {
    let mut wired = Wired::boot();
    let (mut sent, mut length) = (0u32, 0);
    // As much as the socket takes, which is more than the card holds.
    while let Ok(written) = wired.peer.write(&framed(&frame(sent, 1000))) {
        length += written;
        if written < 1004 {
            break;
        }
        sent += 1;
    }
    assert!(length > 64 << 10);
    wired.link_ready();
    assert_eq!(wired.receive.completed(&wired.guest), []);
    let received = wired.state().optional.net.unwrap().received;
    assert!(received.is_empty(), "nothing is read that there is no room for");

    let mut got = 0;
    while got < sent {
        for address in wired.make_room(50) {
            if got < sent {
                assert_eq!(wired.guest.bytes(address + 12, 1000), frame(got, 1000));
                got += 1;
            }
        }
    }
    assert!(wired.state().optional.net.unwrap().received.len() <= 64 << 10);
}

#[test]
fn frames_wait_in_the_queue_when_the_link_takes_no_more_and_none_is_lost() {
    let mut wired = Wired::boot();
    let (mut offered, mut done) = (0u32, 0);
    loop {
        for _ in 0..30 {
            wired.offer_frame(&frame(offered, 1400));
            offered += 1;
        }
        wired.transmit.notify(&mut wired.guest);
        let now = wired.transmit.completed(&wired.guest).len();
        done += now;
        if now < 30 {
            break;
        }
    }
    assert!(wired.state().optional.net.unwrap().unsent.len() <= 64 << 10);
    let expected: Vec<u8> = (0..offered).flat_map(|number| framed(&frame(number, 1400))).collect();
    assert!(wired.drain() == expected, "all frames, in order");
    assert_eq!(done + wired.transmit.completed(&wired.guest).len(), usize::try_from(offered).unwrap());
}

/// Fills the link until a frame is half sent; returns the number of frames.
fn jam(wired: &mut Wired) -> u32 {
    let mut count = 0;
    loop {
        wired.send(&frame(count, 1400));
        count += 1;
        if !wired.state().optional.net.unwrap().unsent.is_empty() {
            return count;
        }
    }
}

#[test]
fn a_frame_half_sent_at_a_snapshot_is_sent_whole_by_the_clone_and_to_its_end_by_the_source() {
    let mut wired = Wired::boot();
    let count = jam(&mut wired);
    let state = wired.state();
    assert_eq!(state.optional.net.as_ref().unwrap().unsent, framed(&frame(count - 1, 1400)));

    let mut clone = wired.restore(&state);
    assert_eq!(clone.drain(), framed(&frame(count - 1, 1400)));
    clone.send(&frame(77, 60));
    assert_eq!(clone.drain(), framed(&frame(77, 60)));
    assert!(clone.state().optional.net.unwrap().unsent.is_empty());

    wired.guest.devices.resume([8; 16]).unwrap();
    let expected: Vec<u8> = (0..count).flat_map(|number| framed(&frame(number, 1400))).collect();
    assert!(wired.drain() == expected, "in step, and complete");
}

#[test]
fn a_reset_of_the_card_leaves_the_link_in_step() {
    let mut wired = Wired::boot();
    let count = jam(&mut wired);
    let mut rings = wired.guest.start(Slot::Net, 2);
    (wired.transmit, wired.receive) = (rings.pop().unwrap(), rings.pop().unwrap());
    let expected: Vec<u8> = (0..count).flat_map(|number| framed(&frame(number, 1400))).collect();
    assert!(wired.drain() == expected);
}

#[test]
fn whole_frames_that_the_guest_has_not_got_are_in_a_snapshot() {
    let mut wired = Wired::boot();
    wired.make_room(1);
    let frames: Vec<u8> = (0..3).flat_map(|number| framed(&frame(number, 600))).collect();
    wired.peer.write_all(&frames).unwrap();
    wired.peer.write_all(&framed(&frame(3, 600))[..300]).unwrap();
    wired.link_ready();
    assert_eq!(wired.receive.completed(&wired.guest).len(), 1);
    let state = wired.state();
    assert_eq!(state.optional.net.as_ref().unwrap().received, frames[604..]);

    let mut clone = wired.restore(&state);
    let buffers = clone.make_room(4);
    clone.peer.write_all(&framed(&frame(50, 60))).unwrap();
    clone.link_ready();
    assert_eq!(clone.receive.completed(&clone.guest).len(), 3);
    assert_eq!(clone.guest.bytes(buffers[0] + 12, 600), frame(1, 600));
    assert_eq!(clone.guest.bytes(buffers[1] + 12, 600), frame(2, 600));
    assert_eq!(clone.guest.bytes(buffers[2] + 12, 60), frame(50, 60), "the half frame was on another wire");

    // The source gets the rest of it.
    let buffers = wired.make_room(3);
    wired.peer.write_all(&framed(&frame(3, 600))[300..]).unwrap();
    wired.link_ready();
    assert_eq!(wired.receive.completed(&wired.guest).len(), 3);
    assert_eq!(wired.guest.bytes(buffers[2] + 12, 600), frame(3, 600));
}

#[test]
fn what_is_no_frame_is_dropped_and_counted() {
    let mut wired = Wired::boot();
    for length in [0, 13, 1519, 4000] {
        wired.send(&vec![1; length]);
    }
    let address = wired.guest.allocate(64);
    let chains: [&[Buffer]; 4] = [
        &[(address, 11, false)],
        &[(address, 12, true), (address, 60, true)],
        &[(address, 12, false), (MEMORY_BASE + (1 << 40), 60, false)],
        &[(address, 12, true), (address, 60, false)],
    ];
    for chain in chains {
        wired.transmit.offer(&wired.guest, chain);
        wired.transmit.notify(&mut wired.guest);
    }
    assert_eq!(wired.transmit.completed(&wired.guest).len(), 8);
    assert_eq!(wired.guest.devices.counters().unwrap().net_frames_dropped, 8);
    wired.make_room(1);
    wired.peer.write_all(&[framed(&[5; 1519]), framed(&frame(6, 60))].concat()).unwrap();
    wired.link_ready();
    assert_eq!(wired.receive.completed(&wired.guest)[0].1, 72);
    assert_eq!(wired.guest.devices.counters().unwrap().net_frames_dropped, 9);
    assert!(wired.drain().is_empty());
}

#[test]
fn a_chain_without_room_is_given_back_and_the_frame_goes_into_the_next() {
    let mut wired = Wired::boot();
    let address = wired.guest.allocate(2000);
    for (length, device_writes) in [(71, true), (11, true), (1530, false), (72, true)] {
        wired.receive.offer(&wired.guest, &[(address, length, device_writes)]);
    }
    wired.receive.offer(&wired.guest, &[(MEMORY_BASE + (1 << 40), 1530, true)]);
    wired.peer.write_all(&framed(&frame(1, 60))).unwrap();
    wired.receive.notify(&mut wired.guest);
    let written: Vec<usize> = wired.receive.completed(&wired.guest).iter().map(|used| used.1).collect();
    assert_eq!(written, [0, 0, 0, 72]);
    assert_eq!(wired.guest.bytes(address + 12, 60), frame(1, 60));
}

#[test]
fn the_link_goes_down_with_its_other_end_and_the_guest_is_told() {
    let mut wired = Wired::boot();
    wired.make_room(2);
    assert_eq!(wired.link_status(), 1);
    wired.peer.write_all(&framed(&frame(1, 60))).unwrap();
    wired.peer.write_all(&[0, 0]).unwrap();
    wired.peer.shutdown(std::net::Shutdown::Both).unwrap();
    wired.link_ready();
    assert_eq!(wired.receive.completed(&wired.guest).len(), 1, "what came before is delivered");
    assert_eq!(wired.link_status(), 0);
    assert_eq!(wired.guest.interrupts.taken(), [Slot::Net.spi()]);
    assert_eq!(wired.guest.read(Slot::Net, 0x60), 3, "a used buffer, and a change of the configuration");
    wired.send(&frame(2, 60));
    assert_eq!(wired.transmit.completed(&wired.guest).len(), 1);
    assert_eq!(wired.guest.devices.counters().unwrap().net_frames_dropped, 1);
    wired.link_ready();
    assert_eq!(wired.guest.interrupts.taken(), [Slot::Net.spi()], "told once");
}

#[test]
fn a_link_that_is_out_of_step_goes_down() {
    let mut wired = Wired::boot();
    wired.make_room(1);
    wired.peer.write_all(&[0xff; 100]).unwrap();
    wired.link_ready();
    assert_eq!(wired.link_status(), 0);
    assert_eq!(wired.receive.completed(&wired.guest), []);
}

#[test]
fn a_clone_without_a_link_is_unplugged_and_one_with_a_link_plugged_in() {
    let mut wired = Wired::boot();
    let state = wired.state();
    let mut clone = wired.guest.restore(options(&[0; 512]), &state).unwrap();
    assert!(clone.interrupts.taken().is_empty());
    clone.devices.resume([1; 16]).unwrap();
    assert_eq!(clone.interrupts.taken(), [Slot::Generation.spi(), Slot::Net.spi()]);
    assert_eq!((clone.read(Slot::Net, 0x60), clone.read(Slot::Net, STATUS & !3) >> 16), (2, 0));

    clone.write(Slot::Net, 0x64, 2);
    let unplugged = clone.devices.save().unwrap();
    assert!(!unplugged.optional.net.as_ref().unwrap().link_up);
    assert_eq!(unplugged.optional.net.as_ref().unwrap().mac, state.optional.net.unwrap().mac);
    let (link, _peer) = stream();
    let mut plugged =
        clone.restore(DeviceOptions { link: Some(link), ..options(&[0; 512]) }, &unplugged).unwrap();
    plugged.devices.resume([2; 16]).unwrap();
    assert_eq!(plugged.interrupts.taken(), [Slot::Generation.spi(), Slot::Net.spi()]);
    assert_eq!(plugged.read(Slot::Net, STATUS & !3) >> 16, 1);
}

#[test]
fn a_link_for_a_microvm_without_a_card_and_an_address_of_a_group_are_refused() {
    let mut guest = Guest::boot(options(&[0; 512]));
    assert_eq!(guest.read(Slot::Net, 0x08), 0);
    let state = guest.devices.save().unwrap();
    let (link, _peer) = stream();
    let error =
        guest.restore(DeviceOptions { link: Some(link), ..options(&[0; 512]) }, &state).err().unwrap();
    assert_eq!(error.code, ErrorCode::SnapshotIncompatible);

    let mut wired = Wired::boot();
    let good = wired.state();
    let forge = |change: fn(&mut NetState)| {
        let mut state = good.clone();
        change(state.optional.net.as_mut().unwrap());
        wired.guest.restore(options(&[0; 512]), &state).err().unwrap().code
    };
    assert_eq!(forge(|net| net.mac = [1; 6]), ErrorCode::SnapshotCorrupt);
    assert_eq!(forge(|net| net.received = vec![0; 7]), ErrorCode::SnapshotCorrupt);
    assert_eq!(forge(|net| net.unsent = vec![0, 0, 0, 60]), ErrorCode::SnapshotCorrupt);
    assert_eq!(forge(|net| net.transport.queues.clear()), ErrorCode::SnapshotCorrupt);
}

#[test]
fn frames_of_the_guest_beyond_the_limit_wait_in_the_queue_and_go_by_the_timer() {
    let mut with_limit = options(&[0; 512]);
    with_limit.limits.net_transmit = RateLimit { bytes: bucket(100_000, 1000), operations: None };
    let mut wired = Wired::boot_with(with_limit);
    let start = Instant::now();
    for number in 0..10 {
        wired.offer_frame(&frame(number, 1000));
    }
    wired.transmit.notify(&mut wired.guest);
    assert!(wired.transmit.completed(&wired.guest).len() < 10);
    let mut received = wired.drain();
    while received.len() < 10 * 1004 {
        wired.guest.wait_for(Watched::Timer);
        received.extend(wired.drain());
    }
    assert_eq!(received, (0..10).flat_map(|number| framed(&frame(number, 1000))).collect::<Vec<_>>());
    // The first is the burst, the last may overdraw: eight thousand bytes at a hundred thousand a second.
    assert!(start.elapsed() >= Duration::from_millis(80), "{:?}", start.elapsed());
}

#[test]
fn frames_for_the_guest_beyond_the_limit_wait_and_survive_a_snapshot() {
    let mut with_limit = options(&[0; 512]);
    with_limit.limits.net_receive = RateLimit { bytes: None, operations: bucket(1, 2) };
    let mut wired = Wired::boot_with(with_limit);
    let buffers = wired.make_room(5);
    wired.peer.write_all(&(0..4).flat_map(|number| framed(&frame(number, 60))).collect::<Vec<_>>()).unwrap();
    wired.link_ready();
    assert_eq!(wired.receive.completed(&wired.guest).len(), 2);
    let state = wired.state();
    let mut clone = wired.restore(&state);
    assert_eq!(clone.receive.completed(&clone.guest).len(), 2);
    assert_eq!(clone.guest.bytes(buffers[3] + 12, 60), frame(3, 60));
}

#[test]
fn what_one_turn_leaves_the_timer_goes_on_with() {
    let (link, mut peer) = stream();
    let mut guest = Guest::boot(DeviceOptions { link: Some(link), ..options(&[0; 512]) });
    guest.negotiate(Slot::Net);
    let mut receive = guest.start_queue_of(Slot::Net, 0, 2);
    guest.start_queue(Slot::Net, 1);
    guest.write(Slot::Net, 0x70, 0xf);
    let buffer = guest.allocate(1530);
    receive.offer(&guest, &[(buffer, 1530, true)]);
    // A turn has a queue's worth of steps, here two, and a step reads at most 64 KiB; these are left out.
    for _ in 0..3 {
        peer.write_all(&framed(&[0; 50_000])).unwrap();
    }
    peer.write_all(&framed(&frame(1, 60))).unwrap();
    receive.notify(&mut guest);
    assert_eq!(receive.completed(&guest), []);
    guest.wait_for(Watched::Timer);
    assert_eq!(receive.completed(&guest), [(0, 72)]);
    assert_eq!(guest.devices.counters().unwrap().net_frames_dropped, 3);
}
