//! A chain of one to three layers whose tables are the input's: loaded as a restore does, memory must hold for each byte what the
//! uppermost layer that holds it says, else zero.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use firn_vmm::ErrorCode;
use firn_vmm::layer::format::encode_table;
use firn_vmm::layer::{
    Content, Digest, Extent, ExtentSource, GRANULE, LayerFile, LayerHeader, RangeSet, StackView,
};
use firn_vmm::layout::MEMORY_BASE;
use firn_vmm::memory::{GuestMemoryOptions, MemoryStack};
use vm_memory::{Bytes, GuestAddress};

use crate::checksum::checksum;
use crate::guest::file_of;
use crate::input::Input;

/// 2 MiB, the smallest that can be.
const SIZE: u64 = 2 << 20;
const LAYERS_MAX: usize = 3;
/// Granules of data in each file, which has one granule for header and table.
const DATA: u64 = 255;
const EXTENTS_MAX: usize = 150;

/// Inputs to start from: a base of both kinds of extents; a base with two diffs, of which the upper one has many short
/// extents.
pub fn seeds() -> Vec<Vec<u8>> {
    let base = [0, 4, 3, 8, 1, 0, 2, 0, 60, 90, 100, 4, 5, 1];
    let middle = [1, 3, 9, 70, 7, 1, 1, 3, 2, 40, 0];
    let comb = [[0, 140].as_slice(), &[1, 2, 5].repeat(140)].concat();
    let written = [3, 0, 40, 2, 9, 200, 1];
    vec![
        [&[0], &base[..], &written].concat(),
        [&[2 | 0x10 | 0x20], &base[..], &middle, &comb, &written].concat(),
    ]
}

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let count = usize::from(how & 3).min(LAYERS_MAX - 1) + 1;
    let mut layers = Vec::new();
    for index in 0..count {
        match layer(&mut input, index) {
            Some(layer) => layers.push(layer),
            None => return,
        }
    }
    let is_a_chain = (0..count).all(|index| layers[index].0.parent() == index.checked_sub(1).map(digest));
    let model = model(&layers);
    assert_view(&layers, &model);

    // A process that waits has the lower layers, and gets the others on top: none, if it is for one snapshot.
    let prepared = if how & 0x10 == 0 { count } else { 1 };
    let upper = layers.split_off(prepared);
    let options = GuestMemoryOptions { size: SIZE, track_writes: false };
    let loaded = MemoryStack::from_layers(options, layers).and_then(|mut memory| {
        memory.push(upper)?;
        Ok(memory)
    });
    let mut memory = match loaded {
        Ok(memory) => memory,
        Err(error) => {
            assert!(!is_a_chain && error.code == ErrorCode::SnapshotCorrupt, "{error}");
            return;
        }
    };
    assert!(is_a_chain, "laid over what is not its parent");
    if how & 0x40 != 0 {
        memory.fault_page_by_page().unwrap();
    }
    memory.populate_written(&working_set(&mut input)).unwrap();
    let guest = memory.guest_memory();
    let mut bytes = [0; GRANULE as usize];
    for (at, expected) in (MEMORY_BASE..).step_by(bytes.len()).zip(model.chunks(bytes.len())) {
        guest.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        assert!(bytes == *expected, "memory is not what its layers are");
    }
}

fn digest(index: usize) -> Digest {
    [index as u8 + 1; 32]
}

/// A layer that the input describes, or nothing if its table is refused.
fn layer(input: &mut Input, index: usize) -> Option<(LayerFile, Digest)> {
    let how = input.u8();
    let extents: Vec<Extent> = {
        let count = usize::from(input.u8()).min(EXTENTS_MAX);
        let mut end = 0;
        (0..count).map(|_| extent(input, &mut end)).collect()
    };
    let table = encode_table(&extents);
    let parent = if how & 0xf0 == 0xf0 { usize::from(how >> 1 & 3) } else { index };
    let header = LayerHeader {
        file_length: (1 + DATA) * GRANULE,
        memory_size: SIZE,
        extent_count: extents.len() as u64,
        table_checksum: checksum(&table),
        data_checksum: 0,
        parent: parent.checked_sub(1).map(digest),
        app_image: None,
        page_size: GRANULE,
    };
    let (file, _) = file(index);
    file.write_all_at(&[&header.encode()[..], &table].concat(), 0).unwrap();
    match LayerFile::open(file.try_clone().unwrap()) {
        Ok(layer) => Some((layer, digest(index))),
        Err(error) => {
            assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
            None
        }
    }
}

/// Behind the extent before it, as far as the input says: what is refused is the other target's concern. A gap that no short input
/// needs stands for three numbers of any size.
fn extent(input: &mut Input, end: &mut u64) -> Extent {
    let (gap, length, place) = (input.u8(), input.u8(), input.u8());
    let [guest_offset, length, file_offset] = match gap {
        0xff => [input.u64(), input.u64(), input.u64()],
        _ => {
            // Most extents of a snapshot are short.
            let length = u64::from(length & 0x7f) >> if length < 0x80 { 4 } else { 0 };
            let place = u64::from(place);
            [end.wrapping_add(u64::from(gap) * GRANULE), (length + 1) * GRANULE, place * GRANULE]
        }
    };
    *end = guest_offset.saturating_add(length) & !(GRANULE - 1);
    let source = if file_offset == 0 { ExtentSource::Zero } else { ExtentSource::Data { file_offset } };
    Extent { guest_offset, length, source }
}

/// The file of the layer at this place in a chain, and its bytes behind the first granule: no word of them is there twice, nor in
/// another file.
fn file(index: usize) -> &'static (File, Vec<u8>) {
    static FILES: OnceLock<[(File, Vec<u8>); LAYERS_MAX]> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        std::array::from_fn(|index| {
            let words = (0..(1 + DATA) * GRANULE).step_by(8);
            let bytes: Vec<u8> = words.flat_map(|at| ((index as u64 + 1) << 32 | at).to_le_bytes()).collect();
            (file_of(&bytes), bytes)
        })
    });
    &files[index]
}

/// What memory must hold, byte by byte.
fn model(layers: &[(LayerFile, Digest)]) -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    for (index, (layer, _)) in layers.iter().enumerate() {
        for extent in layer.extents() {
            let part = &mut bytes[extent.guest_offset as usize..extent.guest_end() as usize];
            match extent.source {
                ExtentSource::Zero => part.fill(0),
                ExtentSource::Data { file_offset } => {
                    part.copy_from_slice(&file(index).1[file_offset as usize..][..extent.length as usize]);
                }
            }
        }
    }
    bytes
}

/// What a snapshot compares with is the same.
fn assert_view(layers: &[(LayerFile, Digest)], model: &[u8]) {
    let view = StackView::new(layers.iter().map(|(layer, _)| layer));
    let mut at = 0;
    let walked = view.for_each_part(0..SIZE, |range, content| {
        assert!(range.start == at && range.end > at);
        at = range.end;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        if let Content::Data { layer, file_offset } = content {
            layer.read(file_offset, &mut bytes)?;
        }
        assert!(
            bytes == model[range.start as usize..range.end as usize],
            "a view is not what its layers are"
        );
        Ok(())
    });
    walked.unwrap();
    assert_eq!(at, SIZE);
}

/// Up to three ranges of memory that are written.
fn working_set(input: &mut Input) -> RangeSet {
    let ranges = (0..input.u8() & 3).map(|_| {
        let start = u64::from(input.u16()) * GRANULE % SIZE;
        start..(start + (u64::from(input.u8()) + 1) * GRANULE).min(SIZE)
    });
    RangeSet::of_unsorted(ranges)
}
