//! Running virtio devices whose rings, descriptors and buffers are the input's, and the other ends of the agent stream and of the
//! network card's link.

use std::io::{Read, Write};
use std::net::Shutdown;

use firn_vmm::ErrorCode;
use firn_vmm::devices::{Devices, Watched};
use firn_vmm::layout::{MEMORY_BASE, Slot};
use firn_vmm::memory::GuestMemory;

use crate::guest::{
    self, Ends, MEMORY_SIZE, Ring, assert_disk_works, interrupts, memory, options, put, start,
};
use crate::input::Input;

/// Where the queues are, and behind them the buffers.
const RINGS: u64 = MEMORY_BASE + (2 << 20);
const BUFFERS: u64 = RINGS + (128 << 10);
/// Operations of one input.
const OPERATIONS_MAX: usize = 200;

struct World {
    memory: GuestMemory,
    devices: Devices,
    ends: Ends,
    /// Root disk, three of vsock, scratch disk, receive and transmit of the network card, random numbers.
    rings: Vec<Ring>,
    /// Entries of each available ring so far.
    offered: [u16; 8],
}

/// Inputs to start from: a read of the disk, a connection, a snapshot; a write to the scratch disk and a FLUSH; a frame out, one
/// in, random numbers, a snapshot.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        [0x04, 0, 0, 0, 0, 2, 0x05, 0x03, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x0c].to_vec(),
        [0x44, 1, 0, 0, 0, 2, 0x45, 0x44, 4, 0, 0, 0, 0, 0x45, 0x3b, 0x0c].to_vec(),
        [0x6e, 0x4c, 0, 1, 0x65, 0x49, 60, 0, 0x5e, 0xfa, 5, 1, 0x55, 0x1b, 0x7e, 64, 0, 1, 0x75, 0x0c]
            .to_vec(),
    ]
}

pub fn run(bytes: &[u8]) {
    let stack = memory();
    let memory = stack.guest_memory();
    let (options, ends) = options(false);
    let mut devices = Devices::new(memory.clone(), interrupts(), options).unwrap();
    let mut rings = start(&mut devices, Slot::RootDisk, 1, RINGS);
    for (number, (slot, queues)) in
        [(Slot::Vsock, 3), (Slot::Scratch, 1), (Slot::Net, 2), (Slot::Rng, 1)].into_iter().enumerate()
    {
        rings.extend(start(&mut devices, slot, queues, RINGS + (16 << 10) * (number as u64 + 1)));
    }
    let mut world = World { memory, devices, ends, rings, offered: [0; 8] };
    let mut input = Input(bytes);
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        world.act(&mut input);
    }
    world.devices.resume([2; 16]).unwrap();
    assert_disk_works(&mut world.devices, &world.memory);
}

impl World {
    fn act(&mut self, input: &mut Input<'_>) {
        let operation = input.u8();
        let index = usize::from(operation >> 4 & 7);
        let ring = self.rings[index];
        match operation & 15 {
            0 | 1 => self.describe(ring, input),
            2 => self.publish(index, u16::from(input.u8() & 15)),
            3 => self.packet(input),
            4 => self.request(index & 4, input),
            5 | 6 => guest::write(&mut self.devices, ring.slot, 0x50, ring.index),
            7 => {
                let address = address(input);
                let length = usize::from(input.u8());
                put(&self.memory, address, input.bytes(length));
            }
            8 => put(&self.memory, ring.available, &input.u32().to_le_bytes()),
            9 if index & 4 == 0 => {
                let length = usize::from(input.u16() & 0x3fff);
                let _full = self.ends.controller.write(&vec![7; length]);
            }
            9 => self.link_frame(input),
            10 => {
                let end = if index & 4 == 0 { &mut self.ends.controller } else { &mut self.ends.peer };
                let _empty = end.read(&mut [0; 16 << 10]);
            }
            11 => self.devices.on_ready(Watched::ALL[index % Watched::ALL.len()]).unwrap(),
            12 => self.snapshot(),
            13 => {
                let how = if index & 1 == 0 { Shutdown::Write } else { Shutdown::Both };
                let end = if index & 4 == 0 { &self.ends.controller } else { &self.ends.peer };
                let _gone = end.shutdown(how);
            }
            14 => self.buffers(index, input),
            _ => guest::write(&mut self.devices, ring.slot, u64::from(input.u8() & 0x3f) * 4, input.u32()),
        }
    }

    fn describe(&mut self, ring: Ring, input: &mut Input<'_>) {
        let index = u64::from(input.u8() & 15);
        let shape = input.u8();
        let address = address(input);
        let length = if shape & 0x80 == 0 { u32::from(input.u16()) } else { input.u32() };
        self.put_descriptor(ring, index, address, length, u16::from(shape & 7), u16::from(shape >> 3 & 15));
    }

    fn put_descriptor(&mut self, ring: Ring, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        let bytes =
            [&address.to_le_bytes()[..], &length.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
        put(&self.memory, ring.table + 16 * index, &bytes.concat());
    }

    fn publish(&mut self, index: usize, head: u16) {
        let ring = self.rings[index];
        put(&self.memory, ring.available + 4 + 2 * u64::from(self.offered[index] % 16), &head.to_le_bytes());
        self.offered[index] = self.offered[index].wrapping_add(1);
        put(&self.memory, ring.available + 2, &self.offered[index].to_le_bytes());
    }

    /// A vsock packet that is sound in its form.
    fn packet(&mut self, input: &mut Input<'_>) {
        let operation = input.u8();
        let (length, port) = (u32::from(input.u16()), 1023 + u32::from(input.u8() & 1));
        let (flags, buffer, forwarded) = (u32::from(input.u8()), input.u32(), u32::from(input.u16()));
        let kind = 1 | u32::from(operation % 9) << 16;
        let words = [3, 0, 2, 0, 1024, port + 1, length, kind, flags, buffer, forwarded];
        put(&self.memory, BUFFERS, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
        let ring = self.rings[2];
        self.put_descriptor(ring, 0, BUFFERS, 44, 1, 1);
        self.put_descriptor(ring, 1, BUFFERS + 44, length, 0, 0);
        self.publish(2, 0);
        guest::write(&mut self.devices, Slot::Vsock, 0x50, 1);
    }

    /// What the other end of the link says: a length, and as many bytes as that, or not.
    fn link_frame(&mut self, input: &mut Input<'_>) {
        let length = u32::from(input.u16());
        let sent = match input.u8() {
            0 => usize::from(input.u16()),
            _ => 4 + length as usize,
        };
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.resize(sent, 7);
        let _full = self.ends.peer.write(&bytes);
    }

    /// A request to the root or scratch disk that is sound in its form.
    fn request(&mut self, index: usize, input: &mut Input<'_>) {
        let (kind, sector, length) =
            (u64::from(input.u8() % 12), u64::from(input.u16()), u32::from(input.u16()));
        put(&self.memory, BUFFERS, &[kind.to_le_bytes(), sector.to_le_bytes()].concat());
        let ring = self.rings[index];
        // Data of a write is read by the device.
        let flags = if kind == 1 { 1 } else { 3 };
        self.put_descriptor(ring, 0, BUFFERS, 16, 1, 1);
        self.put_descriptor(ring, 1, BUFFERS + 64, length, flags, 2);
        self.put_descriptor(ring, 2, BUFFERS + (256 << 10), 1, 2, 0);
        self.publish(index, 0);
    }

    /// Buffers for packets, frames or random numbers, or a frame with its header.
    fn buffers(&mut self, index: usize, input: &mut Input<'_>) {
        let index = index.max(1);
        let length = u32::from(input.u16());
        let ring = self.rings[index];
        let is_frame = ring.slot == Slot::Net && ring.index == 1;
        self.put_descriptor(ring, 0, BUFFERS + (512 << 10), length, if is_frame { 0 } else { 2 }, 0);
        for _ in 0..input.u8() & 7 {
            self.publish(index, 0);
        }
    }

    /// Goes on in devices that are restored from a snapshot, if one can be taken.
    fn snapshot(&mut self) {
        let state = match self.devices.save() {
            Ok(state) => state,
            Err(error) => return assert_eq!(error.code, ErrorCode::SnapshotRefused),
        };
        let (options, ends) = options(false);
        let restored = Devices::restore(self.memory.clone(), interrupts(), options, &state).unwrap();
        assert_eq!(restored.save().unwrap(), state);
        restored.resume([5; 16]).unwrap();
        (self.devices, self.ends) = (restored, ends);
    }
}

/// An address in a queue, in a buffer, at an edge of memory, or anywhere.
fn address(input: &mut Input<'_>) -> u64 {
    let place = input.u8();
    match place & 7 {
        0..=3 => BUFFERS + u64::from(input.u16()),
        4 | 5 => RINGS + u64::from(input.u16()),
        6 => (MEMORY_BASE + MEMORY_SIZE).wrapping_add(u64::from(place >> 3)).wrapping_sub(16),
        _ => input.u64(),
    }
}
