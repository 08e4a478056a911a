//! What the tests of memory and layers share: a memory that can be written like an array, and layers in temporary files.

use std::fs::File;
use std::ops::Range;

use vm_memory::{Bytes, GuestAddress};

use super::{Digest, Extent, ExtentSource, GRANULE, LayerFile, WriteOptions, WriteReport, write_layer};
use crate::error::Result;
use crate::layout::MEMORY_BASE;
use crate::memory::{GuestMemoryOptions, Helper, MemoryStack, SharedWork};

/// 2 MiB: 512 granules.
pub const SIZE: u64 = 2 << 20;

pub fn options(size: u64) -> GuestMemoryOptions {
    GuestMemoryOptions { size, track_writes: false }
}

/// A thread that begins at once.
pub struct AnotherThread;

impl Helper for AnotherThread {
    fn share(&self, work: SharedWork) {
        std::thread::spawn(move || while work() {});
    }
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

/// A digest that stands for a name.
pub fn digest(name: u8) -> Digest {
    [name; 32]
}

/// Writes the difference to the topmost layer, all if there is none, to a temporary file.
pub fn snapshot(memory: &MemoryStack) -> Result<(File, WriteReport)> {
    let mut file = tempfile::tempfile().unwrap();
    let options = WriteOptions { parent_digest: memory.top_digest(), ..WriteOptions::default() };
    let report = write_layer(memory, &mut file, &options)?;
    Ok((file, report))
}

/// Another look at a layer's file.
pub fn open(file: &File) -> LayerFile {
    LayerFile::open(file.try_clone().unwrap()).unwrap()
}

/// Extents as (first granule, granules, is data).
pub fn shape(extents: &[Extent]) -> Vec<(u64, u64, bool)> {
    extents
        .iter()
        .map(|extent| {
            let is_data = matches!(extent.source, ExtentSource::Data { .. });
            (extent.guest_offset / GRANULE, extent.length / GRANULE, is_data)
        })
        .collect()
}
