//! A guest, and a controller, that do anything: no panic, no error, no endless work, and the devices work after a reset.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::testing::{Buffer, Guest, Ring, disk, options, stream};
use super::{DeviceLimits, DeviceOptions, Devices, RateLimit, TokenBucket, Watched};
use crate::error::ErrorCode;
use crate::layout::{MEMORY_BASE, Slot};

/// Sectors of the disk.
const SECTORS: usize = 64;
/// Where payloads, headers and indirect tables are.
const POOL: u64 = MEMORY_BASE + (8 << 20);

#[derive(Debug, Clone)]
enum Action {
    Write {
        slot: Slot,
        offset: u64,
        value: u64,
        width: usize,
    },
    Read {
        slot: Slot,
        offset: u64,
        width: usize,
    },
    Start(Slot),
    Describe {
        ring: usize,
        index: u16,
        address: u64,
        length: u32,
        flags: u16,
        next: u16,
    },
    Publish {
        ring: usize,
        head: u16,
    },
    AvailableIndex {
        ring: usize,
        index: u16,
    },
    RingFlags {
        ring: usize,
        flags: u16,
    },
    Notify(usize),
    /// A chain of a packet that is sound in itself.
    Packet {
        operation: u16,
        port: u32,
        length: u32,
        buffer: u32,
        forwarded: u32,
        flags: u32,
    },
    /// Sound receive buffers.
    Offer {
        count: u16,
        length: u32,
    },
    /// A chain of a frame that is sound in itself.
    Frame(u32),
    /// Sound buffers for frames, or for random bytes.
    Room {
        slot: Slot,
        count: u16,
        length: u32,
    },
    /// What the other end of the link says: a frame of this length, of which so many bytes come.
    LinkFrame {
        length: u32,
        sent: usize,
    },
    LinkRead,
    LinkShutdown,
    LinkReady,
    Timer,
    /// A chain of a request that is sound in itself.
    Request {
        slot: Slot,
        kind: u32,
        sector: u64,
        length: u32,
    },
    Bytes {
        at: u64,
        bytes: Vec<u8>,
    },
    StreamWrite(usize),
    StreamRead,
    StreamShutdown(bool),
    StreamReplace,
    StreamReady,
    Snapshot,
}

/// The virtio devices.
const DRIVEN: [Slot; 7] =
    [Slot::RootDisk, Slot::AppDisk, Slot::Vsock, Slot::Scratch, Slot::Net, Slot::Rng, Slot::Balloon];

fn queues(slot: Slot) -> u32 {
    match slot {
        Slot::Vsock | Slot::Balloon => 3,
        Slot::Net => 2,
        _ => 1,
    }
}

fn slots() -> impl Strategy<Value = Slot> {
    prop_oneof![
        4 => prop::sample::select(DRIVEN.to_vec()),
        1 => prop::sample::select(Slot::ALL.to_vec()),
    ]
}

fn offsets() -> impl Strategy<Value = u64> {
    prop_oneof![8 => (0u64..0x48).prop_map(|word| word * 4), 1 => 0u64..0x1_0000]
}

fn values() -> impl Strategy<Value = u64> {
    prop_oneof![
        prop::sample::select(vec![0, 1, 3, 0xb, 0xf, 0x80, 0x8, 0x80, 0x100, 0xffff, 0xffff_ffff]),
        any::<u64>(),
        (0u64..0x100_0000).prop_map(|offset| MEMORY_BASE + offset),
    ]
}

fn addresses() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0u64..64).prop_map(|block| POOL + block * 1024),
        2 => (0u64..0x1000).prop_map(|offset| POOL + offset),
        1 => prop::sample::select(vec![
            0,
            MEMORY_BASE,
            MEMORY_BASE + (16 << 20) - 8,
            MEMORY_BASE + (16 << 20),
            u64::MAX - 7,
            u64::MAX,
        ]),
        1 => (0u64..0x1_0000).prop_map(|offset| MEMORY_BASE + (2 << 20) + offset),
    ]
}

fn lengths() -> impl Strategy<Value = u32> {
    prop_oneof![
        prop::sample::select(vec![0, 1, 16, 43, 44, 45, 512, 1024, 4096, 0x1_0000, 0x10_0000, u32::MAX]),
        0u32..8192,
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    let widths = || prop::sample::select(vec![1, 2, 3, 4, 4, 4, 4, 8]);
    let operations = prop_oneof![6 => prop::sample::select(vec![1, 5, 5, 5, 6, 7]), 1 => 0u16..9];
    let kinds = prop_oneof![4 => 0u32..2, 1 => 0u32..14];
    let ports = prop_oneof![10 => Just(1u32), 1 => 0u32..3];
    let raw = prop_oneof![
        4 => (slots(), offsets(), values(), widths())
            .prop_map(|(slot, offset, value, width)| Action::Write { slot, offset, value, width }),
        1 => (slots(), offsets(), widths())
            .prop_map(|(slot, offset, width)| Action::Read { slot, offset, width }),
        12 => (any::<usize>(), 0u16..10, addresses(), lengths(), 0u16..8, 0u16..10).prop_map(
            |(ring, index, address, length, flags, next)| Action::Describe {
                ring, index, address, length, flags, next,
            }
        ),
        12 => (any::<usize>(), prop_oneof![20 => 0u16..10, 1 => any::<u16>()])
            .prop_map(|(ring, head)| Action::Publish { ring, head }),
        1 => (any::<usize>(), any::<u16>()).prop_map(|(ring, index)| Action::AvailableIndex { ring, index }),
        1 => (any::<usize>(), 0u16..2).prop_map(|(ring, flags)| Action::RingFlags { ring, flags }),
        2 => (addresses(), prop::collection::vec(any::<u8>(), 0..64))
            .prop_map(|(at, bytes)| Action::Bytes { at, bytes }),
    ];
    let sound = prop_oneof![
        8 => (operations, ports, lengths(), lengths(), prop_oneof![4 => Just(0), 1 => 0u32..0x1_0000], 0u32..4).prop_map(
            |(operation, port, length, buffer, forwarded, flags)| Action::Packet {
                operation, port, length, buffer, forwarded, flags,
            }
        ),
        4 => (0u16..20, lengths()).prop_map(|(count, length)| Action::Offer { count, length }),
        4 => (
            prop::sample::select(vec![Slot::RootDisk, Slot::Scratch]),
            kinds,
            prop_oneof![3 => 0u64..70, 1 => any::<u64>()],
            lengths(),
        )
            .prop_map(|(slot, kind, sector, length)| Action::Request { slot, kind, sector, length }),
        4 => lengths().prop_map(Action::Frame),
        4 => (prop::sample::select(vec![Slot::Net, Slot::Rng, Slot::Balloon]), 0u16..20, lengths())
            .prop_map(|(slot, count, length)| Action::Room { slot, count, length }),
        12 => prop::sample::select(vec![0usize, 1, 2]).prop_map(Action::Notify),
        12 => prop::sample::select(vec![4usize, 5, 6, 7]).prop_map(Action::Notify),
        1 => any::<usize>().prop_map(Action::Notify),
    ];
    let outside = prop_oneof![
        3 => (0usize..100_000).prop_map(Action::StreamWrite),
        3 => Just(Action::StreamRead),
        1 => any::<bool>().prop_map(Action::StreamShutdown),
        2 => Just(Action::StreamReplace),
        12 => Just(Action::StreamReady),
        2 => Just(Action::Snapshot),
        4 => (prop_oneof![6 => 14u32..1519, 1 => lengths()], prop_oneof![4 => Just(usize::MAX), 1 => 0usize..2000])
            .prop_map(|(length, sent)| Action::LinkFrame { length, sent }),
        3 => Just(Action::LinkRead),
        1 => Just(Action::LinkShutdown),
        8 => Just(Action::LinkReady),
        2 => Just(Action::Timer),
        1 => prop::sample::select(DRIVEN.to_vec()).prop_map(Action::Start),
    ];
    prop_oneof![1 => raw, 6 => sound, 3 => outside]
}

struct World {
    guest: Guest,
    rings: Vec<Ring>,
    controller: UnixStream,
    peer: UnixStream,
}

impl World {
    fn new() -> Self {
        let (options, controller, peer) = hostile_options();
        let mut guest = Guest::boot(options);
        let mut rings = guest.start(Slot::RootDisk, 1);
        for slot in [Slot::Vsock, Slot::Scratch, Slot::Net, Slot::Rng, Slot::Balloon] {
            rings.extend(guest.start(slot, queues(slot)));
        }
        let mut world = Self { guest, rings, controller, peer };
        world.act(Action::Room { slot: Slot::Net, count: 50, length: 1530 });
        world.act(Action::Offer { count: 100, length: 4096 });
        world.act(Action::Packet {
            operation: 1,
            port: 1,
            length: 0,
            buffer: 1 << 20,
            forwarded: 0,
            flags: 0,
        });
        world.act(Action::Notify(2));
        world
    }

    fn ring(&mut self, index: usize) -> &mut Ring {
        let count = self.rings.len();
        &mut self.rings[index % count]
    }

    /// Makes a chain available, if the driver knows the queue.
    fn offer(&mut self, slot: Slot, index: u32, buffers: &[Buffer]) {
        let guest = &self.guest;
        if let Some(ring) = self.rings.iter_mut().find(|ring| ring.slot == slot && ring.index == index) {
            ring.offer(guest, buffers);
        }
    }

    /// Writes what fits into guest memory.
    fn put(&self, at: u64, bytes: &[u8]) {
        use vm_memory::{Bytes, GuestAddress};
        let _outside = self.guest.memory.write(bytes, GuestAddress(at));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Write { slot, offset, value, width } => {
                let bytes = value.to_le_bytes();
                self.guest.devices.write(slot.address() + offset, &bytes[..width]).unwrap();
            }
            Action::Read { slot, offset, width } => {
                self.guest.devices.read(slot.address() + offset, &mut [0; 8][..width]).unwrap();
            }
            Action::Start(slot) => {
                self.rings.retain(|ring| ring.slot != slot);
                let rings = self.guest.start(slot, queues(slot));
                self.rings.extend(rings);
            }
            Action::Describe { ring, index, address, length, flags, next } => {
                let ring = self.ring(ring).clone();
                ring.describe(&self.guest, index % ring.size, address, length, flags, next);
            }
            Action::Publish { ring, head } => {
                let mut taken = self.ring(ring).clone();
                taken.publish(&self.guest, head);
                *self.ring(ring) = taken;
            }
            Action::AvailableIndex { ring, index } => {
                let at = self.ring(ring).available + 2;
                self.put(at, &index.to_le_bytes());
            }
            Action::RingFlags { ring, flags } => {
                let at = self.ring(ring).available;
                self.put(at, &flags.to_le_bytes());
            }
            Action::Notify(ring) => {
                let ring = self.ring(ring).clone();
                self.guest.devices.write(ring.slot.address() + 0x50, &ring.index.to_le_bytes()).unwrap();
            }
            Action::Packet { operation, port, length, buffer, forwarded, flags } => {
                let words = [3, 0, 2, 0, 1, 1023 + port, length, 1 | u32::from(operation) << 16];
                let counts = [flags, buffer, forwarded];
                let bytes: Vec<u8> =
                    words.iter().chain(&counts).flat_map(|word| word.to_le_bytes()).collect();
                self.put(POOL, &bytes);
                let length = usize::try_from(length).unwrap().min(1 << 20);
                self.offer(Slot::Vsock, 1, &[(POOL, 44, false), (POOL + 44, length, false)]);
            }
            Action::Offer { count, length } => {
                let length = usize::try_from(length).unwrap().min(1 << 20);
                for _ in 0..count {
                    self.offer(Slot::Vsock, 0, &[(POOL + (2 << 20), length, true)]);
                }
            }
            Action::Frame(length) => {
                let length = usize::try_from(length).unwrap().min(1 << 20);
                self.offer(Slot::Net, 1, &[(POOL, 12, false), (POOL + 12, length, false)]);
            }
            Action::Room { slot, count, length } => {
                let length = usize::try_from(length).unwrap().min(1 << 20);
                for _ in 0..count {
                    self.offer(slot, 0, &[(POOL + (5 << 20), length, true)]);
                }
            }
            Action::LinkFrame { length, sent } => {
                let wire = usize::try_from(length).unwrap().min(100_000);
                let bytes = [&length.to_be_bytes()[..], &vec![7; wire]].concat();
                let _full_or_gone = (&self.peer).write(&bytes[..sent.min(bytes.len())]);
            }
            Action::LinkRead => {
                let _empty_or_gone = (&self.peer).read(&mut [0; 50_000]);
            }
            Action::LinkShutdown => {
                let _gone = self.peer.shutdown(Shutdown::Write);
            }
            Action::LinkReady => self.guest.devices.on_ready(Watched::Link).unwrap(),
            Action::Timer => self.guest.devices.on_ready(Watched::Timer).unwrap(),
            Action::Request { slot, kind, sector, length } => {
                let request = POOL + (4 << 20);
                self.put(request, &[&u64::from(kind).to_le_bytes()[..], &sector.to_le_bytes()].concat());
                let length = usize::try_from(length).unwrap().min(1 << 20);
                let buffers = [(request, 16, false), (request + 16, length, kind != 1), (request, 1, true)];
                self.offer(slot, 0, &buffers);
            }
            Action::Bytes { at, bytes } => self.put(at, &bytes),
            Action::StreamWrite(length) => {
                let _full_or_gone = (&self.controller).write(&vec![5; length]);
            }
            Action::StreamRead => {
                let _empty_or_gone = (&self.controller).read(&mut [0; 50_000]);
            }
            Action::StreamShutdown(both) => {
                let how = if both { Shutdown::Both } else { Shutdown::Write };
                let _gone = self.controller.shutdown(how);
            }
            Action::StreamReplace => {
                let (device, controller) = stream();
                self.guest.devices.replace_stream(device).unwrap();
                self.controller = controller;
            }
            Action::StreamReady => self.guest.devices.on_ready(Watched::Stream).unwrap(),
            Action::Snapshot => self.snapshot(),
        }
    }

    /// Goes on in devices restored from a snapshot, if one can be taken.
    fn snapshot(&mut self) {
        let state = match self.guest.devices.save() {
            Ok(state) => state,
            Err(error) => return assert_eq!(error.code, ErrorCode::SnapshotRefused),
        };
        let (options, controller, peer) = hostile_options();
        let memory = self.guest.memory.clone();
        let restored = Devices::restore(memory, self.guest.interrupts.clone(), options, &state).unwrap();
        assert_eq!(restored.save().unwrap(), state);
        restored.resume([4; 16]).unwrap();
        self.guest.devices = restored;
        self.controller = controller;
        self.peer = peer;
    }

    /// The disk still answers as it should, once reset.
    fn assert_sane(mut self) {
        let mut ring = self.guest.start(Slot::RootDisk, 1).remove(0);
        let request = self.guest.allocate(16);
        let data = self.guest.allocate(513);
        self.guest.put(request, &[0; 16]);
        ring.offer(&self.guest, &[(request, 16, false), (data, 513, true)]);
        ring.notify(&mut self.guest);
        assert_eq!(ring.completed(&self.guest), [(0, 513)]);
        assert_eq!(self.guest.bytes(data, 513), [vec![0xd1; 512], vec![0]].concat());
    }
}

/// Options with every device, and the other ends of the agent stream and of the network card's link.
fn hostile_options() -> (DeviceOptions, UnixStream, UnixStream) {
    let (device, controller) = stream();
    let (link, peer) = stream();
    let mut options = DeviceOptions {
        stream: Some(device),
        app_disk: Some(disk(&[0xa9; SECTORS * 512])),
        scratch_disk: Some(disk(&[0x5c; SECTORS * 512])),
        link: Some(link),
        rng: true,
        balloon: true,
        ..options(&[0xd1; SECTORS * 512])
    };
    let operations = Some(TokenBucket { per_second: 1000, burst: 20 });
    let limit = RateLimit { bytes: None, operations };
    options.limits =
        DeviceLimits { scratch_disk: limit, net_receive: limit, net_transmit: limit, ..options.limits };
    (options, controller, peer)
}

proptest! {
    #[test]
    fn nothing_a_guest_or_a_controller_does_breaks_the_devices(
        actions in prop::collection::vec(actions(), 1..200),
    ) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
        }
        world.assert_sane();
    }

    #[test]
    fn no_forged_state_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), position: prop::sample::Index) {
        let mut world = World::new();
        let state = world.guest.devices.save().unwrap();
        let mut forged = postcard::to_stdvec(&state).unwrap();
        let start = position.index(forged.len());
        for (to, from) in forged[start..].iter_mut().zip(bytes) {
            *to = from;
        }
        if let Ok(state) = postcard::from_bytes(&forged) {
            let (options, _controller, _peer) = hostile_options();
            let memory = world.guest.memory.clone();
            if let Ok(devices) = Devices::restore(memory, world.guest.interrupts.clone(), options, &state) {
                world.guest.devices = devices;
                world.guest.devices.resume([1; 16]).unwrap();
                world.guest.devices.on_ready(Watched::Stream).unwrap();
                world.guest.devices.on_ready(Watched::Link).unwrap();
                let _refused = world.guest.devices.save();
                world.assert_sane();
            }
        }
    }
}
