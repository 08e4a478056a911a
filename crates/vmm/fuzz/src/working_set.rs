//! A working set file, its magic, version and checksum put right.

use firn_vmm::layer::GRANULE;
use firn_vmm::working_set::{MAGIC, VERSION, WorkingSet};

use crate::checksum::checksum;

const HEADER: usize = 64;

/// Inputs to start from: three ranges of a memory of 128 MiB.
pub fn seeds() -> Vec<Vec<u8>> {
    let written = [0..GRANULE, 5 * GRANULE..9 * GRANULE].into_iter().collect();
    let read = std::iter::once(3 * GRANULE..4 * GRANULE).collect();
    vec![WorkingSet { memory_size: 128 << 20, layer: [7; 32], written, read }.encode()]
}

pub fn run(bytes: &[u8]) {
    let mut file = bytes.to_vec();
    if file.len() >= HEADER {
        file[..8].copy_from_slice(&MAGIC);
        file[8..12].copy_from_slice(&VERSION.to_le_bytes());
        file[16..24].fill(0);
        let sum = checksum(&file);
        file[16..24].copy_from_slice(&sum.to_le_bytes());
    }
    let Ok(set) = WorkingSet::decode(&file) else { return };
    for ranges in [set.written.ranges(), set.read.ranges()] {
        let mut end = 0;
        for range in ranges {
            assert!(range.start >= end && range.end > range.start && range.end <= set.memory_size);
            end = range.end;
        }
    }
    assert_eq!(WorkingSet::decode(&set.encode()).unwrap(), set);
}
