//! A memory layer file. The first byte of the input says what is put right in the rest, so that what lies behind each check is
//! reached.

use std::os::unix::fs::FileExt;

use firn_vmm::layer::LayerFile;
use firn_vmm::memory::{GuestMemoryOptions, MemoryStack};

use crate::checksum::checksum;
use crate::guest::file_of;

const HEADER: usize = 256;
const EXTENT: usize = 24;
/// Larger memories are not loaded: an input is to take a millisecond.
const LOADED_MAX: u64 = 4 << 20;

/// Inputs to start from: a header and three extents, to be put right.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut bytes = vec![1; 1 + HEADER];
    for extent in [[0u64, 1, 0], [2, 1, 1], [9, 4, 2]] {
        bytes.extend(extent.iter().flat_map(|granules| (granules << 8).to_le_bytes()));
    }
    vec![bytes]
}

pub fn run(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else { return };
    let mut file = rest.to_vec();
    let parts = file.len();
    if how & 1 != 0 && parts >= HEADER {
        put_right(&mut file, how);
    }
    let target = file_of(&file);
    if how & 2 != 0 {
        // Data behind the table, without spending input on it.
        let length = file.get(24..32).map_or(0, |field| u64::from_le_bytes(field.try_into().unwrap()));
        if length > file.len() as u64 && length <= 64 << 20 {
            target.set_len(length).unwrap();
            target.write_all_at(&[0x5a], length - 1).unwrap();
        }
    }
    let Ok(layer) = LayerFile::open(target) else { return };
    let _checked = layer.verify_data();
    let size = layer.memory_size();
    let mut end = 0;
    for extent in layer.extents() {
        assert!(extent.length > 0 && extent.guest_offset >= end && extent.guest_end() <= size);
        end = extent.guest_end();
    }
    if size > LOADED_MAX {
        return;
    }
    if let Ok(memory) =
        MemoryStack::from_layers(GuestMemoryOptions { size, track_writes: false }, vec![(layer, [1; 32])])
    {
        memory.content_digest().unwrap();
    }
}

/// Magic, version, number of extents and checksums, as a forger would.
fn put_right(file: &mut [u8], how: u8) {
    let (header, table) = file.split_at_mut(HEADER);
    let count = table.len() / EXTENT;
    header[..12].copy_from_slice(b"FIRNLAYR\x01\0\0\0");
    header[12] &= 3;
    header[13..16].fill(0);
    if how & 64 == 0 {
        header[128..136].copy_from_slice(&4096u64.to_le_bytes());
    }
    header[136..].fill(0);
    if how & 4 == 0 {
        header[12] &= !1;
        header[64..96].fill(0);
    }
    if how & 8 == 0 {
        header[12] &= !2;
        header[96..128].fill(0);
    }
    // A multiple of 2 MiB that can be, most of the time.
    if how & 16 == 0 {
        let size = u64::from(header[34] >> 5 & 3) + 1;
        header[32..40].copy_from_slice(&(size << 21).to_le_bytes());
    }
    header[40..48].copy_from_slice(&(count as u64).to_le_bytes());
    let length = match how & 2 {
        0 => (HEADER + table.len()) as u64,
        _ => (u64::from(header[26]) << 12).max((HEADER + table.len()) as u64).next_multiple_of(4096),
    };
    header[24..32].copy_from_slice(&length.to_le_bytes());
    if how & 32 == 0 {
        // Granules of a small memory: offsets and lengths that fit are rare otherwise.
        for field in table[..count * EXTENT].chunks_exact_mut(8) {
            let granule = u64::from(u16::from_le_bytes([field[1], field[2]]) & 0x7ff);
            field.copy_from_slice(&(granule << 12).to_le_bytes());
        }
    }
    let sum = checksum(&table[..count * EXTENT]);
    header[48..56].copy_from_slice(&sum.to_le_bytes());
    header[16..24].fill(0);
    let sum = checksum(header);
    header[16..24].copy_from_slice(&sum.to_le_bytes());
}
