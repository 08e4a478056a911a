//! An open layer file, validated before anything of it is used.

use std::fs::File;
use std::hash::Hasher;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::format::{self, Digest, Extent, HEADER_LENGTH, LayerHeader, corrupt};
use crate::checksum::hasher;
use crate::error::{ErrorCode, Result, VmmError};
use crate::file_length::regular_file_length;

/// How much of a file is read at once to get the header and, often, the whole extent table (160 extents). One more read of a longer table
/// costs less than to copy what nobody asked for.
const FIRST_READ: u64 = 4 << 10;
/// How much is read at a time when the data is verified.
const VERIFY_CHUNK: u64 = 1 << 20;

/// An open, validated layer file. The file must not change while it is open: shrinking it would be a SIGBUS in whatever touches
/// memory that is mapped from it. Files of the store are immutable.
#[derive(Debug)]
pub struct LayerFile {
    file: Arc<File>,
    header: LayerHeader,
    extents: Vec<Extent>,
}

impl LayerFile {
    /// Reads and validates header and extent table, and compares the length of the file; reads no data.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] naming what is wrong, [`ErrorCode::SnapshotIncompatible`] for a version that this VMM does not
    /// read; [`ErrorCode::Io`] if reading fails.
    pub fn open(file: File) -> Result<Self> {
        let length = regular_file_length(&file)
            .map_err(VmmError::wrap(ErrorCode::Io, "reading the size of a memory layer"))?
            .ok_or_else(|| corrupt("it is not a regular file"))?;
        let mut start = read_vec(&file, 0, length.min(FIRST_READ))?;
        let Some(header) = start.first_chunk::<HEADER_LENGTH>() else {
            return Err(corrupt(format!("it is {length} bytes long, shorter than its header")));
        };
        let header = LayerHeader::decode(header)?;
        if header.file_length != length {
            return Err(corrupt(format!(
                "it is {length} bytes long, and was written with {}",
                header.file_length
            )));
        }
        let table_end = header.table_end();
        if table_end > start.len() as u64 {
            let rest = read_vec(&file, start.len() as u64, table_end.saturating_sub(start.len() as u64))?;
            start.extend_from_slice(&rest);
        }
        let table = usize::try_from(table_end).ok().and_then(|end| start.get(HEADER_LENGTH..end));
        let table = table.ok_or_else(|| corrupt("its extent table is larger than this host can address"))?;
        let extents = format::decode_table(table, &header)?;
        Ok(Self { file: Arc::new(file), header, extents })
    }

    /// What the header says.
    pub fn header(&self) -> &LayerHeader {
        &self.header
    }

    /// Sorted by guest offset, not overlapping, each inside guest memory and, if it has data, inside the file.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Size of the guest memory that the layer was taken of, bytes.
    pub fn memory_size(&self) -> u64 {
        self.header.memory_size
    }

    /// The layer that this one is a difference to; none for a base.
    pub fn parent(&self) -> Option<Digest> {
        self.header.parent
    }

    /// The app image that was attached.
    pub fn app_image(&self) -> Option<Digest> {
        self.header.app_image
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file, for another thread.
    pub fn shared_file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Fills the buffer with the file's bytes from this offset on.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] if the file ends before; [`ErrorCode::Io`] if reading fails.
    pub fn read(&self, file_offset: u64, bytes: &mut [u8]) -> Result<()> {
        read_exact(&self.file, file_offset, bytes)
    }

    /// Reads the whole file and compares the checksum of its data. A load does not: it maps data that is never read. Whoever has a digest of the
    /// whole file, as the store of `@firn/snapshots` does, need not.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] if it does not match; [`ErrorCode::Io`] if reading fails.
    pub fn verify_data(&self) -> Result<()> {
        let mut hasher = hasher();
        let mut at = self.header.table_end();
        while at < self.header.file_length {
            let length = self.header.file_length.saturating_sub(at).min(VERIFY_CHUNK);
            hasher.write(&read_vec(&self.file, at, length)?);
            at = at.saturating_add(length);
        }
        if hasher.finish() != self.header.data_checksum {
            return Err(corrupt("the checksum of its data does not match"));
        }
        Ok(())
    }
}

fn read_vec(file: &File, at: u64, length: u64) -> Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| corrupt("it is larger than this host can address"))?;
    let mut bytes = vec![0; length];
    read_exact(file, at, &mut bytes)?;
    Ok(bytes)
}

fn read_exact(file: &File, at: u64, bytes: &mut [u8]) -> Result<()> {
    file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            corrupt(format!("it ends before {} bytes at {at:#x}", bytes.len()))
        }
        _ => VmmError::new(
            ErrorCode::Io,
            format!("reading {} bytes at {at:#x} of a memory layer: {error}", bytes.len()),
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::checksum::checksum;
    use crate::layer::testing::*;
    use crate::layer::{ExtentSource, GRANULE};
    use crate::memory::MemoryStack;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn open_refuses_a_file_of_any_other_length() {
        let memory = empty(SIZE);
        (0..3u64).for_each(|index| fill(&memory, index * 40..index * 40 + 1, 7));
        let (file, report) = snapshot(&memory).unwrap();
        let bytes = read_vec(&file, 0, report.file_bytes).unwrap();
        LayerFile::open(file_of(&bytes)).unwrap().verify_data().unwrap();
        let near_start = 0..HEADER_LENGTH + 200;
        let boundaries = (0..bytes.len()).step_by(512).flat_map(|at| [at, at + 1, at.saturating_sub(1)]);
        for length in near_start.chain(boundaries).filter(|length| *length < bytes.len()) {
            let error = LayerFile::open(file_of(&bytes[..length])).unwrap_err();
            assert_eq!(error.code, ErrorCode::SnapshotCorrupt, "{length}: {error}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(
            LayerFile::open(file_of(&longer))
                .unwrap_err()
                .message
                .contains("bytes long, and was written with")
        );
    }

    #[test]
    fn open_refuses_what_is_not_a_regular_file() {
        let error = LayerFile::open(File::open("/dev/zero").unwrap()).unwrap_err();
        assert!(error.message.contains("regular file"), "{error}");
    }

    #[test]
    fn every_flipped_byte_is_found_by_open_or_by_verify_data() {
        let memory = empty(SIZE);
        fill(&memory, 3..5, 7);
        fill(&memory, 100..101, 8);
        let (file, report) = snapshot(&memory).unwrap();
        let bytes = read_vec(&file, 0, report.file_bytes).unwrap();
        for at in (0..400).chain((400..bytes.len()).step_by(509)).chain([bytes.len() - 1]) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x40;
            let verified = LayerFile::open(file_of(&bytes)).and_then(|layer| layer.verify_data());
            let is_version = (8..12).contains(&at);
            let expected =
                if is_version { ErrorCode::SnapshotIncompatible } else { ErrorCode::SnapshotCorrupt };
            assert_eq!(verified.unwrap_err().code, expected, "byte {at}");
        }
    }

    /// The layer of a golden snapshot.
    #[test]
    fn all_of_a_layer_is_verified() {
        let mut bytes =
            std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gic3.layer")).unwrap();
        LayerFile::open(file_of(&bytes)).unwrap().verify_data().unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let error = LayerFile::open(file_of(&bytes)).unwrap().verify_data().unwrap_err();
        assert!(error.message.contains("checksum of its data"), "{error}");
    }

    fn offset() -> impl Strategy<Value = u64> {
        prop_oneof![
            (0u64..24).prop_map(|granule| granule * GRANULE),
            (0u64..600).prop_map(|granule| granule * GRANULE),
            any::<u64>(),
            Just(u64::MAX - GRANULE + 1),
        ]
    }

    proptest! {
        #[test]
        fn a_forged_table_with_right_checksums_is_refused_or_loads(
            extents in proptest::collection::vec((offset(), offset(), proptest::option::of(offset())), 0..6),
            sort in any::<bool>(),
            extent_count in prop_oneof![Just(None), any::<u64>().prop_map(Some)],
            page_size in prop_oneof![Just(4096u64), Just(65536)],
        ) {
            let mut extents: Vec<Extent> = extents.into_iter().map(|(guest_offset, length, file_offset)| Extent {
                guest_offset,
                length,
                source: file_offset.map_or(ExtentSource::Zero, |file_offset| ExtentSource::Data { file_offset }),
            }).collect();
            if sort {
                extents.sort_by_key(|extent| extent.guest_offset);
            }
            let table = format::encode_table(&extents);
            let header = LayerHeader {
                file_length: 24 * GRANULE,
                memory_size: SIZE,
                extent_count: extent_count.unwrap_or(extents.len() as u64),
                table_checksum: checksum(&table),
                data_checksum: 0,
                parent: None,
                app_image: None,
                page_size: GRANULE,
            };
            let file = file_of(&[header.encode().as_slice(), &table].concat());
            file.set_len(header.file_length).unwrap();
            if let Ok(layer) = LayerFile::open(file) {
                let mut memory = MemoryStack::with_page_size(options(SIZE), page_size).unwrap();
                memory.push(vec![(layer, digest(1))]).unwrap();
                bytes(&memory);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_open(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut file = b"FIRNLAYR\x01\0\0\0".to_vec();
            file.extend_from_slice(&bytes);
            prop_assert!(LayerFile::open(file_of(&file)).is_err());
        }
    }
}
