//! The memory layer file, format version 1. Little-endian; every offset and length of memory or data is a multiple of
//! [`GRANULE`].
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic, `FIRNLAYR` |
//! | 8 | 4 | format version |
//! | 12 | 4 | flags: 1 has a parent, 2 has an app image |
//! | 16 | 8 | checksum of the header, this field taken as zero |
//! | 24 | 8 | length of the file |
//! | 32 | 8 | size of guest memory |
//! | 40 | 8 | number of extents |
//! | 48 | 8 | checksum of the extent table |
//! | 56 | 8 | checksum of everything after the extent table |
//! | 64 | 32 | sha-256 of the parent layer, or zeros |
//! | 96 | 32 | sha-256 of the app image, or zeros |
//! | 128 | 8 | page size of the host for which it was written, bytes |
//! | 136 | 120 | zeros |
//! | 256 | 24 an extent | extent table: guest offset, length, file offset (0: the extent is zeros) |
//! | | | data of short extents, packed, in guest order |
//! | | | data of extents of [`MAP_THRESHOLD`] and more, each at a file offset congruent to its guest offset modulo the page size |
//!
//! Checksums are XXH64. Header, table and short extents lie together because a load reads them first, and whole. Guest memory starts at a
//! multiple of every page size in the guest's address space and in the host's, so that guest offsets stand for both.

use crate::checksum::checksum;
use crate::error::{ErrorCode, Result, VmmError};
use crate::format_version;
use crate::layout::{MEMORY_GRANULE, MEMORY_MAX};

/// A sha-256 digest of a layer or an app image.
pub type Digest = [u8; 32];

/// First bytes of a layer file.
pub const MAGIC: [u8; 8] = *b"FIRNLAYR";
/// The version of the format.
pub const VERSION: u32 = 1;
/// Length of the header, and where the extent table starts.
pub const HEADER_LENGTH: usize = 256;
/// Length of an entry of the extent table.
pub const EXTENT_LENGTH: usize = 24;
/// Granularity of extents: the smallest page of any host.
pub const GRANULE: u64 = GRANULE_LENGTH as u64;
/// [`GRANULE`] as a length in this process.
pub const GRANULE_LENGTH: usize = 4096;
/// The largest page of any host.
pub const PAGE_SIZE_MAX: u64 = 64 << 10;
/// Extents of at least this length are mapped, as far as they are whole pages, where nothing else is asked for. A mapping costs about as
/// much as copying one and a half pages of 4 KiB into private memory (4.8 us against 3.2 us a page under a hypervisor), plus a
/// fault for each 64 KiB that is read; up to four pages of which most are used the copy wins, and beyond that the mapping does,
/// which also leaves the pages shared between clones.
pub const MAP_THRESHOLD: u64 = 16 << 10;

const FLAG_PARENT: u32 = 1;
const FLAG_APP_IMAGE: u32 = 2;

/// A run of guest memory that a layer defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// From the start of guest memory, bytes.
    pub guest_offset: u64,
    /// Bytes, more than 0.
    pub length: u64,
    /// What is there.
    pub source: ExtentSource,
}

/// What an [`Extent`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtentSource {
    /// The file's bytes from this offset on.
    Data {
        /// From the start of the file, bytes.
        file_offset: u64,
    },
    /// Zeros.
    Zero,
}

impl Extent {
    /// First offset after the extent. Cannot overflow in an extent of a validated table.
    pub fn guest_end(&self) -> u64 {
        self.guest_offset.saturating_add(self.length)
    }
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerHeader {
    /// Length of the file, bytes.
    pub file_length: u64,
    /// Size of the guest memory, bytes.
    pub memory_size: u64,
    /// Number of entries of the extent table.
    pub extent_count: u64,
    /// Checksum of the extent table.
    pub table_checksum: u64,
    /// Checksum of everything after the extent table.
    pub data_checksum: u64,
    /// The layer that this one is a difference to; none for a base.
    pub parent: Option<Digest>,
    /// The app image that was attached.
    pub app_image: Option<Digest>,
    /// Size of the pages of the host for which the data was placed, bytes.
    pub page_size: u64,
}

impl LayerHeader {
    /// The header as it is in the file.
    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut flags = 0;
        if self.parent.is_some() {
            flags |= FLAG_PARENT;
        }
        if self.app_image.is_some() {
            flags |= FLAG_APP_IMAGE;
        }
        let mut bytes = [0; HEADER_LENGTH];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, VERSION.to_le_bytes());
        put(&mut bytes, 12, flags.to_le_bytes());
        put(&mut bytes, 24, self.file_length.to_le_bytes());
        put(&mut bytes, 32, self.memory_size.to_le_bytes());
        put(&mut bytes, 40, self.extent_count.to_le_bytes());
        put(&mut bytes, 48, self.table_checksum.to_le_bytes());
        put(&mut bytes, 56, self.data_checksum.to_le_bytes());
        put(&mut bytes, 64, self.parent.unwrap_or_default());
        put(&mut bytes, 96, self.app_image.unwrap_or_default());
        put(&mut bytes, 128, self.page_size.to_le_bytes());
        let checksum = checksum(&bytes);
        put(&mut bytes, 16, checksum.to_le_bytes());
        bytes
    }

    /// Reads a header and checks everything in it that can be checked without the table.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] naming what is wrong, or [`ErrorCode::SnapshotIncompatible`] for a version that this VMM does not read.
    pub fn decode(bytes: &[u8; HEADER_LENGTH]) -> Result<Self> {
        if take::<8>(bytes, 0) != MAGIC {
            return Err(corrupt("it does not start with the magic of a memory layer"));
        }
        format_version::check("memory layer", u32::from_le_bytes(take(bytes, 8)), VERSION)?;
        let mut unsummed = *bytes;
        put(&mut unsummed, 16, [0; 8]);
        if checksum(&unsummed) != u64_at(bytes, 16) {
            return Err(corrupt("the checksum of its header does not match"));
        }
        let flags = u32::from_le_bytes(take(bytes, 12));
        if flags & !(FLAG_PARENT | FLAG_APP_IMAGE) != 0 {
            return Err(corrupt(format!("its header has unknown flags {flags:#x}")));
        }
        if bytes.iter().skip(136).any(|byte| *byte != 0) {
            return Err(corrupt("a reserved byte of its header is not zero"));
        }
        let header = Self {
            file_length: u64_at(bytes, 24),
            memory_size: u64_at(bytes, 32),
            extent_count: u64_at(bytes, 40),
            table_checksum: u64_at(bytes, 48),
            data_checksum: u64_at(bytes, 56),
            parent: digest_at(bytes, 64, flags & FLAG_PARENT != 0, "parent")?,
            app_image: digest_at(bytes, 96, flags & FLAG_APP_IMAGE != 0, "app image")?,
            page_size: u64_at(bytes, 128),
        };
        header.check()?;
        Ok(header)
    }

    /// Where the extent table ends.
    pub fn table_end(&self) -> u64 {
        (EXTENT_LENGTH as u64).saturating_mul(self.extent_count).saturating_add(HEADER_LENGTH as u64)
    }

    fn check(&self) -> Result<()> {
        let size = self.memory_size;
        if size == 0 || size > MEMORY_MAX || !size.is_multiple_of(MEMORY_GRANULE) {
            return Err(corrupt(format!(
                "its memory size {size} is not a multiple of {MEMORY_GRANULE} up to {MEMORY_MAX} bytes"
            )));
        }
        if !self.page_size.is_power_of_two() || !(GRANULE..=PAGE_SIZE_MAX).contains(&self.page_size) {
            return Err(corrupt(format!(
                "its page size {} is not a power of two from {GRANULE} to {PAGE_SIZE_MAX} bytes",
                self.page_size
            )));
        }
        if self.extent_count > size / GRANULE {
            return Err(corrupt(format!(
                "it claims {} extents, more than the {} granules of its memory",
                self.extent_count,
                size / GRANULE
            )));
        }
        if self.table_end() > self.file_length {
            return Err(corrupt(format!(
                "its extent table ends at {}, past the end of the file at {}",
                self.table_end(),
                self.file_length
            )));
        }
        Ok(())
    }
}

/// The extent table as it is in the file.
pub fn encode_table(extents: &[Extent]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(extents.len().saturating_mul(EXTENT_LENGTH));
    for extent in extents {
        let file_offset = match extent.source {
            ExtentSource::Data { file_offset } => file_offset,
            ExtentSource::Zero => 0,
        };
        for field in [extent.guest_offset, extent.length, file_offset] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
    }
    bytes
}

/// Reads the extent table of a layer with this header, and checks every extent against it.
///
/// # Errors
/// [`ErrorCode::SnapshotCorrupt`] naming what is wrong.
pub fn decode_table(bytes: &[u8], header: &LayerHeader) -> Result<Vec<Extent>> {
    let (entries, rest) = bytes.as_chunks::<EXTENT_LENGTH>();
    if !rest.is_empty() || entries.len() as u64 != header.extent_count {
        return Err(corrupt(format!(
            "its extent table has {} bytes for {} extents",
            bytes.len(),
            header.extent_count
        )));
    }
    if checksum(bytes) != header.table_checksum {
        return Err(corrupt("the checksum of its extent table does not match"));
    }
    let mut extents = Vec::with_capacity(entries.len());
    let mut previous_end = 0;
    for (index, entry) in entries.iter().enumerate() {
        let extent = decode_extent(entry);
        if let Some(problem) = extent_problem(&extent, previous_end, header) {
            return Err(corrupt(format!("extent {index} {problem}")));
        }
        previous_end = extent.guest_end();
        extents.push(extent);
    }
    Ok(extents)
}

fn decode_extent(entry: &[u8; EXTENT_LENGTH]) -> Extent {
    let file_offset = u64_at(entry, 16);
    Extent {
        guest_offset: u64_at(entry, 0),
        length: u64_at(entry, 8),
        source: if file_offset == 0 { ExtentSource::Zero } else { ExtentSource::Data { file_offset } },
    }
}

fn extent_problem(extent: &Extent, previous_end: u64, header: &LayerHeader) -> Option<String> {
    let Extent { guest_offset, length, source } = *extent;
    if length == 0 || !guest_offset.is_multiple_of(GRANULE) || !length.is_multiple_of(GRANULE) {
        return Some(format!("({length} bytes at {guest_offset:#x}) is empty or not made of whole granules"));
    }
    if guest_offset < previous_end {
        return Some(format!(
            "starts at {guest_offset:#x}, before the end of the one before it at {previous_end:#x}"
        ));
    }
    if guest_offset.checked_add(length).is_none_or(|end| end > header.memory_size) {
        return Some(format!("({length} bytes at {guest_offset:#x}) reaches past the end of memory"));
    }
    let ExtentSource::Data { file_offset } = source else { return None };
    if !file_offset.is_multiple_of(GRANULE) || file_offset < header.table_end() {
        return Some(format!("has its data at {file_offset:#x}, not aligned or inside the extent table"));
    }
    if file_offset.checked_add(length).is_none_or(|end| end > header.file_length) {
        return Some(format!("has {length} bytes at {file_offset:#x} of the file, past its end"));
    }
    None
}

/// The error for a layer file that is not what it should be.
pub fn corrupt(problem: impl std::fmt::Display) -> VmmError {
    VmmError::new(ErrorCode::SnapshotCorrupt, format!("the memory layer cannot be used: {problem}"))
}

/// A digest as it is written in names and manifests.
pub fn hex(digest: &Digest) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes a field of a header.
pub(crate) fn put<const LENGTH: usize>(bytes: &mut [u8], at: usize, field: [u8; LENGTH]) {
    for (byte, value) in bytes.iter_mut().skip(at).zip(field) {
        *byte = value;
    }
}

/// Reads a field of a header; zeros where there is none.
pub(crate) fn take<const LENGTH: usize>(bytes: &[u8], at: usize) -> [u8; LENGTH] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; LENGTH])
}

/// Reads a field of 64 bits.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(bytes, at))
}

fn digest_at(bytes: &[u8], at: usize, present: bool, of: &str) -> Result<Option<Digest>> {
    let digest: Digest = take(bytes, at);
    match (present, digest == Digest::default()) {
        (true, false) => Ok(Some(digest)),
        (false, true) => Ok(None),
        _ => Err(corrupt(format!("the digest of its {of} and the flag for it disagree"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> LayerHeader {
        LayerHeader {
            file_length: 0x2_8000,
            memory_size: 0x800_0000,
            extent_count: 2,
            table_checksum: 0,
            data_checksum: 0x1122_3344_5566_7788,
            parent: Some([0xaa; 32]),
            app_image: None,
            page_size: 16 << 10,
        }
    }

    fn extents() -> Vec<Extent> {
        vec![
            Extent { guest_offset: 0x3000, length: 0x2000, source: ExtentSource::Zero },
            Extent {
                guest_offset: 0x1_8000,
                length: 0x1_0000,
                source: ExtentSource::Data { file_offset: 0x1_8000 },
            },
        ]
    }

    /// The bytes with the checksum of the header set right again.
    fn summed(mut bytes: [u8; HEADER_LENGTH]) -> [u8; HEADER_LENGTH] {
        put(&mut bytes, 16, [0; 8]);
        let checksum = checksum(&bytes);
        put(&mut bytes, 16, checksum.to_le_bytes());
        bytes
    }

    /// A change of the format changes these bytes, and needs a new [`VERSION`].
    #[test]
    fn the_bytes_are_those_of_the_version() {
        let [of_header, of_table] = [0x523f_d092_951b_f856_u64, 0xa234_0bca_01f8_336a];
        let table = encode_table(&extents());
        let header = LayerHeader { table_checksum: checksum(&table), ..header() };
        let mut golden = b"FIRNLAYR".to_vec();
        golden.extend_from_slice(b"\x01\0\0\0\x01\0\0\0");
        golden.extend_from_slice(&of_header.to_le_bytes());
        golden.extend_from_slice(b"\x00\x80\x02\0\0\0\0\0\x00\x00\x00\x08\0\0\0\0\x02\0\0\0\0\0\0\0");
        golden.extend_from_slice(&of_table.to_le_bytes());
        golden.extend_from_slice(b"\x88\x77\x66\x55\x44\x33\x22\x11");
        golden.extend_from_slice(&[0xaa; 32]);
        golden.extend_from_slice(&[0; 32]);
        golden.extend_from_slice(b"\x00\x40\0\0\0\0\0\0");
        golden.extend_from_slice(&[0; 120]);
        golden.extend_from_slice(b"\x00\x30\0\0\0\0\0\0\x00\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        golden.extend_from_slice(b"\x00\x80\x01\0\0\0\0\0\x00\x00\x01\0\0\0\0\0\x00\x80\x01\0\0\0\0\0");
        let written = [header.encode().as_slice(), &table].concat();
        assert_eq!(written, golden);
        assert_eq!(LayerHeader::decode(golden.first_chunk().unwrap()).unwrap(), header);
        assert_eq!(decode_table(&golden[HEADER_LENGTH..], &header).unwrap(), extents());
    }

    #[test]
    fn a_header_that_is_wrong_is_refused_with_what_is_wrong() {
        let refused_as = |code: ErrorCode, bytes: [u8; HEADER_LENGTH], sentence: &str| {
            let error = LayerHeader::decode(&bytes).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.message.contains(sentence), "{error}");
        };
        let refused = |bytes, sentence| refused_as(ErrorCode::SnapshotCorrupt, bytes, sentence);
        let with = |at: usize, value: u8| {
            let mut bytes = header().encode();
            bytes[at] = value;
            bytes
        };
        refused([0; HEADER_LENGTH], "magic");
        refused_as(ErrorCode::SnapshotIncompatible, with(8, 3), "memory layer: version 3");
        refused_as(ErrorCode::SnapshotIncompatible, with(8, 0), "memory layer: version 0");
        for at in 12..HEADER_LENGTH {
            let flipped = header().encode()[at] ^ 0x10;
            refused(with(at, flipped), "checksum of its header");
        }
        refused(summed(with(12, 5)), "unknown flags");
        refused(summed(with(12, 3)), "digest of its app image");
        refused(summed(with(12, 0)), "digest of its parent");
        refused(summed(with(255, 1)), "reserved");
        refused(summed(with(32, 1)), "memory size");
        refused(summed(with(39, 1)), "memory size");
        refused(summed(with(35, 0)), "memory size 0");
        refused(summed(with(128, 1)), "page size 16385 ");
        refused(summed(with(129, 0x08)), "page size 2048 ");
        refused(summed(with(130, 0x02)), "page size");
        refused(summed(with(42, 1)), "65538 extents");
        refused(summed(with(41, 0x40)), "past the end of the file");
    }

    #[test]
    fn an_extent_table_that_is_wrong_is_refused_with_what_is_wrong() {
        let refused = |change: &dyn Fn(&mut Vec<Extent>), sentence: &str| {
            let mut extents = extents();
            change(&mut extents);
            let table = encode_table(&extents);
            let header = LayerHeader {
                table_checksum: checksum(&table),
                extent_count: extents.len() as u64,
                ..header()
            };
            let error = decode_table(&table, &header).unwrap_err();
            assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
            assert!(error.message.contains(sentence), "{error}");
        };
        let data = |file_offset| ExtentSource::Data { file_offset };
        refused(&|extents| extents.reverse(), "extent 1 starts at 0x3000, before the end");
        refused(&|extents| extents[0].length = 0x1_6000, "extent 1 starts at 0x18000, before the end");
        refused(&|extents| extents[0].length = 0, "empty");
        refused(&|extents| extents[0].length = 0x1001, "whole granules");
        refused(&|extents| extents[0].guest_offset = 0x3800, "whole granules");
        refused(&|extents| extents[1].length = 0x800_0000, "past the end of memory");
        refused(&|extents| extents[1].guest_offset = 0u64.wrapping_sub(0x1_0000), "past the end of memory");
        refused(&|extents| extents[1].source = data(0x1_9000), "past its end");
        refused(&|extents| extents[1].source = data(0u64.wrapping_sub(0x1000)), "past its end");
        refused(&|extents| extents[1].source = data(0x1_8800), "not aligned");
        refused(&|extents| extents[1].source = data(1), "not aligned");
        let table = encode_table(&extents());
        assert!(
            decode_table(&table, &header()).unwrap_err().message.contains("checksum of its extent table")
        );
        assert!(decode_table(&table[1..], &header()).unwrap_err().message.contains("47 bytes for 2 extents"));
    }
    /// Every extent of some numbers where the limits are, against arithmetic that cannot overflow.
    #[test]
    fn an_extent_is_whole_granules_inside_memory_and_the_file_or_has_a_problem() {
        let header = LayerHeader {
            memory_size: 3 * GRANULE,
            file_length: 5 * GRANULE + 1,
            extent_count: 200,
            ..header()
        };
        let numbers = (0..=12).map(|half| half * GRANULE / 2).chain([1, u64::MAX - GRANULE + 1, u64::MAX]);
        let numbers: Vec<u64> = numbers.collect();
        let whole = u128::from(GRANULE);
        for previous_end in (0..=3).map(|granules| granules * GRANULE) {
            for [guest_offset, length, file_offset] in triples(&numbers) {
                let source =
                    if file_offset == 0 { ExtentSource::Zero } else { ExtentSource::Data { file_offset } };
                let extent = Extent { guest_offset, length, source };
                let [start, bytes, data] = [guest_offset, length, file_offset].map(u128::from);
                let is_whole = [start, bytes, data].iter().all(|number| number % whole == 0) && bytes > 0;
                let in_memory = start >= previous_end.into() && start + bytes <= header.memory_size.into();
                let in_file = data == 0
                    || data >= header.table_end().into() && data + bytes <= header.file_length.into();
                let problem = extent_problem(&extent, previous_end, &header);
                assert_eq!(problem.is_none(), is_whole && in_memory && in_file, "{extent:?}: {problem:?}");
            }
        }
    }

    fn triples(of: &[u64]) -> impl Iterator<Item = [u64; 3]> {
        of.iter().flat_map(move |a| of.iter().flat_map(move |b| of.iter().map(move |c| [*a, *b, *c])))
    }
}
