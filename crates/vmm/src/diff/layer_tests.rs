//! Layer files that are not what was written.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::testing::*;
use crate::checksum::checksum;
use crate::error::ErrorCode;
use crate::layer::format::{self, HEADER_LENGTH};
use crate::layer::{Extent, ExtentSource, GRANULE, LayerFile, LayerHeader};
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
    let mut bytes = vec![0; usize::try_from(report.file_bytes).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    LayerFile::open(file_of(&bytes)).unwrap().verify_data().unwrap();
    let near_start = 0..HEADER_LENGTH + 200;
    let boundaries = (0..bytes.len()).step_by(512).flat_map(|at| [at, at + 1, at.saturating_sub(1)]);
    for length in near_start.chain(boundaries).filter(|length| *length < bytes.len()) {
        let error = LayerFile::open(file_of(&bytes[..length])).unwrap_err();
        assert_eq!(error.code, ErrorCode::SnapshotCorrupt, "{length}: {error}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(
        LayerFile::open(file_of(&longer)).unwrap_err().message.contains("bytes long, and was written with")
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
    let mut bytes = vec![0; usize::try_from(report.file_bytes).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    for at in (0..400).chain((400..bytes.len()).step_by(509)).chain([bytes.len() - 1]) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x40;
        let verified = LayerFile::open(file_of(&bytes)).and_then(|layer| layer.verify_data());
        let is_version = (8..12).contains(&at);
        let expected = if is_version { ErrorCode::SnapshotIncompatible } else { ErrorCode::SnapshotCorrupt };
        assert_eq!(verified.unwrap_err().code, expected, "byte {at}");
    }
}

/// The layer of a golden snapshot.
#[test]
fn all_of_a_layer_is_verified() {
    let mut bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gic3.layer")).unwrap();
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
