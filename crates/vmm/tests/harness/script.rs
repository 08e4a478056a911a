//! A guest that drives virtio devices step by step, as a test wrote it down.

use std::collections::HashMap;

use firn_vmm::layout::{RAM_BASE, Slot};

use super::guest;

/// Where the guest program expects its steps, in bytes from the start of the image.
const STEPS_OFFSET: usize = 0x1000;
/// 64 KiB for each queue: descriptors, from 4096 on the available ring, from 8192 on the used ring.
const QUEUES: u64 = RAM_BASE + (2 << 20);
/// Memory of the guest for buffers.
pub const BUFFERS: u64 = RAM_BASE + (8 << 20);
/// Entries of each queue.
const QUEUE_SIZE: u16 = 16;

/// A queue of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Queue {
    slot: Slot,
    index: u32,
}

impl Queue {
    pub const fn of(slot: Slot, index: u32) -> Self {
        Self { slot, index }
    }

    const fn table(self) -> u64 {
        QUEUES + (self.slot as u64 * 4 + self.index as u64) * 0x1_0000
    }

    const fn available(self) -> u64 {
        self.table() + 0x1000
    }

    const fn used(self) -> u64 {
        self.table() + 0x2000
    }
}

/// A chain's piece: address, length, and whether the device writes it.
pub type Piece = (u64, u32, bool);

/// The steps of a guest.
#[derive(Debug, Default)]
pub struct Script {
    steps: Vec<u8>,
    /// Descriptors that were used, and chains that were offered, so far.
    queues: HashMap<Queue, (u16, u16)>,
    headers: u64,
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    /// The guest that does these steps, and then nothing.
    pub fn image(&self) -> Vec<u8> {
        let mut image = guest::script();
        assert!(
            image.len() <= STEPS_OFFSET && self.steps.len() < 0x6_0000,
            "the image is before its page table"
        );
        image.resize(STEPS_OFFSET, 0);
        image.extend(&self.steps);
        image.extend([0; 16]);
        image
    }

    fn step(&mut self, what: u32, word: u32, address: u64) -> &mut Self {
        self.steps.extend(what.to_le_bytes());
        self.steps.extend(word.to_le_bytes());
        self.steps.extend(address.to_le_bytes());
        self
    }

    pub fn store(&mut self, address: u64, word: u32) -> &mut Self {
        self.step(1, word, address)
    }

    fn store16(&mut self, address: u64, value: u16) -> &mut Self {
        self.step(2, value.into(), address)
    }

    pub fn store8(&mut self, address: u64, value: u8) -> &mut Self {
        self.step(3, value.into(), address)
    }

    /// Stores bytes, a multiple of four.
    pub fn fill(&mut self, address: u64, bytes: &[u8]) -> &mut Self {
        for (word, at) in bytes.chunks(4).zip((address..).step_by(4)) {
            self.store(at, u32::from_le_bytes(word.try_into().unwrap()));
        }
        self
    }

    /// Rings with an event and the word at an address.
    pub fn ring(&mut self, event: u32, address: u64) -> &mut Self {
        self.step(5, event, address)
    }

    /// Rings with event 2 and how many chains of a queue were given back, in the upper half of the detail.
    pub fn ring_with_used(&mut self, queue: Queue) -> &mut Self {
        self.ring(2, queue.used())
    }

    /// Brings a device up, as far as its driver has to know nothing of it.
    pub fn start(&mut self, slot: Slot, queues: u32) -> &mut Self {
        let register = |offset: u64| slot.address() + offset;
        for status in [0, 1, 3] {
            self.store(register(0x70), status);
        }
        self.store(register(0x24), 1).store(register(0x20), 1).store(register(0x70), 0xb);
        for index in 0..queues {
            let queue = Queue::of(slot, index);
            self.store(register(0x30), index).store(register(0x38), QUEUE_SIZE.into());
            for (offset, address) in [(0x80, queue.table()), (0x90, queue.available()), (0xa0, queue.used())]
            {
                self.store(register(offset), u32::try_from(address).unwrap());
            }
            self.store(register(0x44), 1);
        }
        self.store(register(0x70), 0xf)
    }

    /// Makes a chain available. Descriptors are used once.
    pub fn offer(&mut self, queue: Queue, pieces: &[Piece]) -> &mut Self {
        let (first, offered) = *self.queues.entry(queue).or_default();
        let next = first + u16::try_from(pieces.len()).unwrap();
        assert!(next <= QUEUE_SIZE, "a script has {QUEUE_SIZE} descriptors a queue");
        for ((address, length, is_writable), index) in pieces.iter().zip(first..) {
            let flags = u32::from(index + 1 < next) | u32::from(*is_writable) << 1;
            let at = queue.table() + 16 * u64::from(index);
            self.store(at, u32::try_from(*address).unwrap()).store(at + 4, 0).store(at + 8, *length);
            self.store(at + 12, flags | u32::from(index + 1) << 16);
        }
        self.store16(queue.available() + 4 + 2 * u64::from(offered % QUEUE_SIZE), first);
        self.store16(queue.available() + 2, offered + 1);
        self.queues.insert(queue, (next, offered + 1));
        self
    }

    pub fn notify(&mut self, queue: Queue) -> &mut Self {
        self.store(queue.slot.address() + 0x50, queue.index)
    }

    /// Waits until as many chains of a queue were given back.
    pub fn wait_used(&mut self, queue: Queue, count: u16) -> &mut Self {
        self.step(4, count.into(), queue.used() + 2)
    }

    /// Waits until a word, of memory or a register, is this.
    pub fn wait_word(&mut self, address: u64, word: u32) -> &mut Self {
        self.step(6, word, address)
    }

    /// Makes a request to a disk available, with `length` bytes from or to `data`; returns where its status will be, which is a word
    /// of ones until then.
    pub fn request(&mut self, queue: Queue, kind: u32, sector: u32, data: u64, length: u32) -> u64 {
        let header = BUFFERS + (7 << 20) + self.headers * 64;
        self.headers += 1;
        self.fill(header, &[kind, 0, sector, 0, u32::MAX].map(u32::to_le_bytes).concat());
        let mut pieces = vec![(header, 16, false)];
        pieces.extend((length > 0).then_some((data, length, kind == 0)));
        pieces.push((header + 16, 1, true));
        self.offer(queue, &pieces);
        header + 16
    }
}
