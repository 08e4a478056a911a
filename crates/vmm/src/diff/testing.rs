//! What the tests of differences share: a memory that can be written like an array, and layers in temporary files.

use std::fs::File;

use super::{WriteOptions, WriteReport, write_layer};
use crate::error::Result;
use crate::layer::{Digest, Extent, ExtentSource, GRANULE, LayerFile};
use crate::memory::MemoryStack;
pub use crate::memory::testing::*;

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
