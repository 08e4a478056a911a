//! A memory for tests, which can be written like an array.

use std::ops::Range;

use vm_memory::{Bytes, GuestAddress};

use super::{GuestMemoryOptions, MemoryStack};
use crate::layer::GRANULE;
use crate::layout::MEMORY_BASE;

/// 2 MiB: 512 granules.
pub const SIZE: u64 = 2 << 20;

pub fn options(size: u64) -> GuestMemoryOptions {
    GuestMemoryOptions { size, track_writes: false }
}

/// Memory of this size without layers.
pub fn empty(size: u64) -> MemoryStack {
    MemoryStack::anonymous(options(size)).unwrap()
}

/// Writes to guest memory as a device does.
pub fn write(memory: &MemoryStack, offset: u64, bytes: &[u8]) {
    memory.guest_memory().write_slice(bytes, GuestAddress(MEMORY_BASE + offset)).unwrap();
}

/// Fills granules with a byte.
pub fn fill(memory: &MemoryStack, granules: Range<u64>, value: u8) {
    let length = usize::try_from((granules.end - granules.start) * GRANULE).unwrap();
    write(memory, granules.start * GRANULE, &vec![value; length]);
}

/// All of memory.
pub fn bytes(memory: &MemoryStack) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(memory.size()).unwrap()];
    memory.guest_memory().read_slice(&mut bytes, GuestAddress(MEMORY_BASE)).unwrap();
    bytes
}
