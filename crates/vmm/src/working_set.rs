//! The working set of a snapshot: which memory a clone uses while it answers its first requests, so that it can be there before
//! the guest asks for it, page by page, each time behind an exit. What is written is made private by every restore. A process that is
//! prepared with these, before it is known for what, gives its guest what is only read of the layers below, and what all of them
//! write.
//!
//! The file, format version 1. Little-endian; offsets and lengths are from the start of guest memory, multiples of [`GRANULE`].
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `FIRNWSET` |
//! | 8 | 4 | format version |
//! | 12 | 4 | number of ranges that are written |
//! | 16 | 8 | XXH64 of the file, this field taken as zero |
//! | 24 | 8 | size of guest memory |
//! | 32 | 32 | sha-256 of the snapshot's topmost memory layer |
//! | 64 | 16 a range | offset and length of each range that is written, sorted |
//! | | 16 a range | offset and length of each range that is only read, sorted |

use crate::checksum::checksum;
use crate::error::{ErrorCode, Result, VmmError};
use crate::format_version;
use crate::layer::format::{put, take, u64_at};
use crate::layer::{Digest, GRANULE, RangeSet, hex};

/// First bytes of a working set file.
pub const MAGIC: [u8; 8] = *b"FIRNWSET";
/// The version of the format.
pub const VERSION: u32 = 1;
const HEADER_LENGTH: usize = 64;
const RANGE_LENGTH: usize = 16;
/// Most ranges of each kind: each that is written costs a system call at every restore.
pub const RANGES_MAX: usize = 16 << 10;
/// Longest working set file, bytes.
pub const FILE_LENGTH_MAX: usize = HEADER_LENGTH + 2 * RANGES_MAX * RANGE_LENGTH;

/// Which memory the clones of a snapshot use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingSet {
    /// Size of guest memory, bytes.
    pub memory_size: u64,
    /// The snapshot's topmost memory layer.
    pub layer: Digest,
    /// What is written, from the start of guest memory, in bytes.
    pub written: RangeSet,
    /// What is only read, likewise, of the layers below the topmost: nothing unless reads were recorded.
    pub read: RangeSet,
}

impl WorkingSet {
    /// This working set with what two clones have both missed in it. What one alone has written may be its request's, and not come again.
    #[must_use]
    pub fn learn(&self, misses: &Self, others: &Self) -> Self {
        let both = misses.written.intersection(&others.written);
        let written = self.written.union(both.into_ranges());
        let read = self.read.without(&written);
        Self { memory_size: self.memory_size, layer: self.layer, written, read }
    }

    /// The file. Beyond [`RANGES_MAX`] ranges the shortest are left out: what is missing costs a fault each and no more.
    pub fn encode(&self) -> Vec<u8> {
        let written = longest(self.written.ranges(), RANGES_MAX);
        let read = longest(self.read.ranges(), RANGES_MAX);
        let mut bytes = vec![0; HEADER_LENGTH];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, VERSION.to_le_bytes());
        put(&mut bytes, 12, u32::try_from(written.len()).unwrap_or(u32::MAX).to_le_bytes());
        put(&mut bytes, 24, self.memory_size.to_le_bytes());
        put(&mut bytes, 32, self.layer);
        for range in written.iter().chain(&read) {
            bytes.extend_from_slice(&range.start.to_le_bytes());
            bytes.extend_from_slice(&range.end.saturating_sub(range.start).to_le_bytes());
        }
        let checksum = checksum(&bytes);
        put(&mut bytes, 16, checksum.to_le_bytes());
        bytes
    }

    /// Reads a file, checksum first.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] naming what is wrong, or [`ErrorCode::SnapshotIncompatible`] for a version that this VMM does not read.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let Some(header) = bytes.first_chunk::<HEADER_LENGTH>() else {
            return Err(corrupt(format!("it is {} bytes long, shorter than its header", bytes.len())));
        };
        if take::<8>(header, 0) != MAGIC {
            return Err(corrupt("it does not start with the magic of a working set"));
        }
        let version = u32::from_le_bytes(take(header, 8));
        format_version::check("working set", version, VERSION)?;
        let mut unsummed = bytes.to_vec();
        put(&mut unsummed, 16, [0; 8]);
        if checksum(&unsummed) != u64_at(header, 16) {
            return Err(corrupt("its checksum does not match"));
        }
        let (entries, rest) = bytes.get(HEADER_LENGTH..).unwrap_or_default().as_chunks::<RANGE_LENGTH>();
        let written = usize::try_from(u32::from_le_bytes(take(header, 12))).unwrap_or(usize::MAX);
        let tables = entries.split_at_checked(written).filter(|_| rest.is_empty());
        let Some((written, read)) = tables.filter(|tables| tables.0.len().max(tables.1.len()) <= RANGES_MAX)
        else {
            return Err(corrupt(format!("its {} bytes are no tables of ranges", bytes.len())));
        };
        let memory_size = u64_at(header, 24);
        let written = decode_ranges(written, memory_size)?;
        let read = decode_ranges(read, memory_size)?;
        Ok(Self { memory_size, layer: take(header, 32), written, read })
    }

    /// Checks that this is the working set of a snapshot with this memory.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] with both layers or sizes.
    pub fn check(&self, memory_size: u64, layer: Option<Digest>) -> Result<()> {
        self.check_size(memory_size)?;
        if Some(self.layer) != layer {
            let own = layer.map_or("none".to_owned(), |digest| hex(&digest));
            return Err(corrupt(format!(
                "it is of the layer {}, and the topmost is {own}",
                hex(&self.layer)
            )));
        }
        Ok(())
    }

    /// Checks that this is the working set of a snapshot with this much memory.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] with both sizes.
    pub fn check_size(&self, memory_size: u64) -> Result<()> {
        if self.memory_size == memory_size {
            return Ok(());
        }
        Err(corrupt(format!(
            "it is of {} bytes of guest memory, and this microVM has {memory_size}",
            self.memory_size
        )))
    }
}

fn decode_ranges(table: &[[u8; RANGE_LENGTH]], memory_size: u64) -> Result<RangeSet> {
    let mut ranges = RangeSet::default();
    let mut previous_end = 0;
    for (index, entry) in table.iter().enumerate() {
        let (start, length) = (u64_at(entry, 0), u64_at(entry, 8));
        let end = start.checked_add(length).filter(|end| *end <= memory_size);
        let whole = start.is_multiple_of(GRANULE) && length.is_multiple_of(GRANULE) && length > 0;
        match end {
            Some(end) if whole && start >= previous_end => {
                ranges.append(start..end);
                previous_end = end;
            }
            _ => {
                return Err(corrupt(format!("range {index}, {length} bytes at {start:#x}, is misplaced")));
            }
        }
    }
    Ok(ranges)
}

/// The longest ranges, at most `count` of them, in the order they have.
fn longest(ranges: &[std::ops::Range<u64>], count: usize) -> Vec<std::ops::Range<u64>> {
    let length = |range: &std::ops::Range<u64>| range.end.saturating_sub(range.start);
    let mut longest = ranges.to_vec();
    if longest.len() > count {
        longest.sort_by_key(|range| std::cmp::Reverse(length(range)));
        longest.truncate(count);
        longest.sort_by_key(|range| range.start);
    }
    longest
}

fn corrupt(what: impl Into<String>) -> VmmError {
    VmmError::new(ErrorCode::SnapshotCorrupt, format!("working set: {}", what.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 2 << 20;

    fn ranges(granules: &[(u64, u64)]) -> RangeSet {
        granules.iter().map(|(start, end)| start * GRANULE..end * GRANULE).collect()
    }

    fn working_set(written: &[(u64, u64)], read: &[(u64, u64)]) -> WorkingSet {
        WorkingSet { memory_size: SIZE, layer: [7; 32], written: ranges(written), read: ranges(read) }
    }

    /// A change of the format changes these bytes, and needs a new [`VERSION`].
    #[test]
    fn the_encoding_is_that_of_its_version() {
        let set = working_set(&[(1, 3), (8, 9)], &[(4, 5)]);
        let hex: String = set.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "4649524e57534554",
            "0100000002000000",
            "69897ab9884c1b12",
            "0000200000000000",
            &"07".repeat(32),
            "0010000000000000",
            "0020000000000000",
            "0080000000000000",
            "0010000000000000",
            "0040000000000000",
            "0010000000000000",
        ];
        assert_eq!(hex, expected.concat());
    }

    #[test]
    fn beyond_the_bound_the_shortest_ranges_are_left_out() {
        assert_eq!(longest(&[0..1, 5..9, 20..22, 30..33], 2), [5..9, 30..33]);
    }

    #[test]
    fn what_two_clones_have_missed_is_learnt_and_what_one_has_is_not() {
        let known = working_set(&[(1, 3)], &[(8, 10), (20, 21)]);
        let misses = working_set(&[(2, 5), (9, 12), (30, 31)], &[]);
        let others = working_set(&[(0, 1), (4, 10), (31, 32)], &[(40, 41)]);
        let learnt = working_set(&[(1, 3), (4, 5), (9, 10)], &[(8, 9), (20, 21)]);
        assert_eq!(known.learn(&misses, &others), learnt);
        assert_eq!(known.learn(&misses, &working_set(&[], &[])), known);
    }

    #[test]
    fn check_names_both_layers_and_both_sizes() {
        let set = working_set(&[], &[]);
        set.check(SIZE, Some([7; 32])).unwrap();
        let error = set.check(SIZE, Some([9; 32])).unwrap_err();
        assert!(
            error.message.contains(&"07".repeat(32)) && error.message.contains(&"09".repeat(32)),
            "{error}"
        );
        let error = set.check(2 * SIZE, Some([7; 32])).unwrap_err();
        assert!(error.message.contains("2097152") && error.message.contains("4194304"), "{error}");
        assert_eq!(set.check(SIZE, None).unwrap_err().code, ErrorCode::SnapshotCorrupt);
    }

    #[test]
    fn every_flipped_byte_and_every_other_length_is_refused() {
        let bytes = working_set(&[(1, 3), (8, 9)], &[(4, 5)]).encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let is_version = (8..12).contains(&at);
            let expected =
                if is_version { ErrorCode::SnapshotIncompatible } else { ErrorCode::SnapshotCorrupt };
            assert_eq!(WorkingSet::decode(&flipped).unwrap_err().code, expected, "{at}");
            assert!(WorkingSet::decode(&bytes[..at]).is_err(), "{at}");
        }
        assert!(WorkingSet::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    /// A file whose first `written` entries are what is written, all with a right checksum.
    fn forged(table: &[(u64, u64)], written: u32) -> Vec<u8> {
        let mut bytes = working_set(&[], &[]).encode();
        bytes[12..16].copy_from_slice(&written.to_le_bytes());
        for (start, length) in table {
            bytes.extend_from_slice(&start.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes[16..24].fill(0);
        let checksum = checksum(&bytes);
        bytes[16..24].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn misplaced_ranges_with_a_right_checksum_are_refused() {
        let page = GRANULE;
        let table = [(page, page), (3 * page, page)];
        for written in 0..=2 {
            assert!(WorkingSet::decode(&forged(&table, written)).is_ok());
        }
        assert!(WorkingSet::decode(&forged(&table, 3)).unwrap_err().message.contains("tables"));
        assert!(WorkingSet::decode(&forged(&table, u32::MAX)).unwrap_err().message.contains("tables"));
        for table in [
            vec![(page, 0)],
            vec![(1, page)],
            vec![(page, 1)],
            vec![(2 * page, page), (page, page)],
            vec![(page, 2 * page), (2 * page, page)],
            vec![(SIZE, page)],
            vec![(SIZE - page, 2 * page)],
            vec![(u64::MAX - page + 1, page)],
            vec![(page, u64::MAX - page + 1)],
        ] {
            for written in [0, u32::try_from(table.len()).unwrap()] {
                let error = WorkingSet::decode(&forged(&table, written)).unwrap_err();
                assert!(error.message.contains("misplaced"), "{table:?}: {error}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(starts in proptest::collection::btree_set(0u64..256, 0..40)) {
            let granules: Vec<_> = starts.iter().map(|start| (start * 2, start * 2 + 1)).collect();
            for set in [working_set(&granules, &[]), working_set(&[], &granules)] {
                prop_assert_eq!(WorkingSet::decode(&set.encode()).unwrap(), set);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_decoded(
            table in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..5),
            written in 0u32..6,
        ) {
            if let Ok(set) = WorkingSet::decode(&forged(&table, written)) {
                prop_assert!(set.written.ranges().iter().chain(set.read.ranges()).all(|range| range.end <= SIZE));
            }
        }
    }
}
