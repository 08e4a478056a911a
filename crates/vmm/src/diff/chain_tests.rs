//! Chains of layers against a model of memory.

use proptest::prelude::*;

use super::testing::*;
use super::*;
use crate::error::ErrorCode;
use crate::layer::{ExtentSource, GRANULE, GRANULE_LENGTH, LayerFile, MAP_THRESHOLD};
use crate::memory::MemoryStack;

const GRANULES: u64 = SIZE / GRANULE;
/// Of all hosts.
const PAGE_SIZES: [u64; 3] = [4096, 16384, 65536];

/// What is done to memory between two snapshots.
#[derive(Debug, Clone)]
enum Write {
    /// Granules filled with a byte, which may be zero.
    Fill { start: u64, count: u64, value: u8 },
    /// A few bytes somewhere.
    Poke { offset: u64, value: u8 },
    /// Every other granule of a range: many short runs.
    Comb { start: u64, teeth: u64, value: u8 },
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        (0..GRANULES, 1u64..80, prop_oneof![Just(0u8), 1u8..4]).prop_map(|(start, count, value)| {
            Write::Fill { start, count: count.min(GRANULES - start), value }
        }),
        (0..SIZE - 8, 0u8..4).prop_map(|(offset, value)| Write::Poke { offset, value }),
        (0..GRANULES, 1u64..30, 0u8..4).prop_map(|(start, teeth, value)| Write::Comb {
            start,
            teeth: teeth.min((GRANULES - start) / 2),
            value
        }),
    ];
    proptest::collection::vec(write, 0..12)
}

fn apply(memory: &MemoryStack, writes: &[Write]) {
    for write in writes {
        match *write {
            Write::Fill { start, count, value } => fill(memory, start..start + count, value),
            Write::Poke { offset, value } => super::testing::write(memory, offset, &[value; 8]),
            Write::Comb { start, teeth, value } => {
                (0..teeth).for_each(|tooth| fill(memory, start + 2 * tooth..start + 2 * tooth + 1, value));
            }
        }
    }
}

/// The granules of which memory differs from before, and whether they are data.
fn differing(before: &[u8], after: &[u8]) -> Vec<(u64, bool)> {
    let granules = before.chunks(GRANULE_LENGTH).zip(after.chunks(GRANULE_LENGTH));
    let differing = (0..).zip(granules).filter(|(_, (before, after))| before != after);
    differing.map(|(index, (_, after))| (index, after.iter().any(|byte| *byte != 0))).collect()
}

fn granules(layer: &LayerFile) -> Vec<(u64, bool)> {
    let extents = shape(layer.extents()).into_iter();
    extents
        .flat_map(|(start, count, is_data)| (start..start + count).map(move |granule| (granule, is_data)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_of_layers_rebuilds_memory_and_each_diff_is_exact(
        rounds in proptest::collection::vec(writes(), 1..5),
        page_size in prop_oneof![Just(4096u64), Just(16384), Just(65536)],
    ) {
        let mut chain = Vec::new();
        let mut source = empty(SIZE);
        let mut before = bytes(&source);
        for (index, writes) in (1u8..).zip(&rounds) {
            apply(&source, writes);
            let (file, report) = snapshot(&source).unwrap();
            let after = bytes(&source);
            let layer = open(&file);
            layer.verify_data().unwrap();
            if index > 1 {
                prop_assert_eq!(granules(&layer), differing(&before, &after));
            }
            prop_assert_eq!(report.extents, layer.extents().len() as u64);
            prop_assert_eq!(report.file_bytes, file.metadata().unwrap().len());
            chain.push((file, digest(index)));

            // All at once, with real pages.
            let opened = || chain.iter().map(|(file, digest)| (open(file), *digest)).collect::<Vec<_>>();
            let restored = MemoryStack::from_layers(options(SIZE), opened()).unwrap();
            prop_assert!(bytes(&restored) == after);
            prop_assert_eq!(restored.content_digest().unwrap(), source.content_digest().unwrap());

            // One by one, with pages of any host.
            let mut pushed = MemoryStack::with_page_size(options(SIZE), page_size).unwrap();
            for layer in opened() {
                pushed.push(vec![layer]).unwrap();
            }
            prop_assert!(bytes(&pushed) == after);

            // The first over nothing, the others together: as from a pool.
            let mut pooled = MemoryStack::with_page_size(options(SIZE), page_size).unwrap();
            let mut layers = opened();
            let diffs = layers.split_off(1);
            pooled.push(layers).unwrap();
            pooled.push(diffs).unwrap();
            prop_assert!(bytes(&pooled) == after);

            before = after;
            // The next round runs in a clone, the source being as it was.
            source = pooled;
        }
    }

    #[test]
    fn a_flat_layer_of_a_restored_chain_holds_all_of_memory(rounds in proptest::collection::vec(writes(), 3)) {
        let mut memory = empty(SIZE);
        for (index, writes) in (1u8..).zip(&rounds) {
            apply(&memory, writes);
            let (file, _) = snapshot(&memory).unwrap();
            memory.push(vec![(open(&file), digest(index))]).unwrap();
        }
        let mut flat = tempfile::tempfile().unwrap();
        write_layer(&memory, &mut flat, &WriteOptions::default()).unwrap();
        let restored = MemoryStack::from_layers(options(SIZE), vec![(open(&flat), digest(9))]).unwrap();
        prop_assert!(bytes(&restored) == bytes(&memory));
    }
}

#[test]
fn pages_written_back_to_the_parents_value_vanish_and_zeroed_pages_become_zero_extents() {
    let base = empty(SIZE);
    fill(&base, 10..40, 1);
    let (base_file, _) = snapshot(&base).unwrap();
    let clone = MemoryStack::from_layers(options(SIZE), vec![(open(&base_file), digest(1))]).unwrap();
    fill(&clone, 10..12, 9);
    fill(&clone, 10..12, 1); // as in the base again
    fill(&clone, 20..23, 0); // no longer what the base has
    fill(&clone, 30..31, 7); // new
    fill(&clone, 100..101, 5);
    fill(&clone, 100..101, 0); // zero again, as in the base
    let (diff_file, report) = snapshot(&clone).unwrap();
    let diff = open(&diff_file);
    assert_eq!(shape(diff.extents()), [(20, 3, false), (30, 1, true)]);
    assert_eq!((report.data_bytes, report.zero_bytes), (GRANULE, 3 * GRANULE));
    assert!(report.candidate_bytes >= 7 * GRANULE);
    assert_eq!((diff.parent(), diff.app_image()), (Some(digest(1)), None));
}

#[test]
fn a_snapshot_leaves_its_source_as_it_was_and_the_next_one_compares_with_the_same_layers() {
    let base = empty(SIZE);
    fill(&base, 0..64, 1);
    let (base_file, _) = snapshot(&base).unwrap();
    let source = MemoryStack::from_layers(options(SIZE), vec![(open(&base_file), digest(1))]).unwrap();
    fill(&source, 3..4, 2);
    let content = bytes(&source);
    let (first, _) = snapshot(&source).unwrap();
    assert!(bytes(&source) == content);
    fill(&source, 5..6, 3);
    let (second, _) = snapshot(&source).unwrap();
    assert_eq!(shape(open(&first).extents()), [(3, 1, true)]);
    assert_eq!(shape(open(&second).extents()), [(3, 1, true), (5, 1, true)]);
}

#[test]
fn more_short_extents_than_one_read_takes_are_read_in_few_calls() {
    let size = 16 << 20;
    let base = empty(size);
    fill(&base, 0..4096, 1);
    let (base_file, _) = snapshot(&base).unwrap();
    let mut memory = MemoryStack::from_layers(options(size), vec![(open(&base_file), digest(1))]).unwrap();
    (0..2048u64).for_each(|tooth| fill(&memory, 2 * tooth..2 * tooth + 1, 2));
    let (diff_file, report) = snapshot(&memory).unwrap();
    assert_eq!(report.extents, 2048);
    let expected = bytes(&memory);
    let mut clone = MemoryStack::from_layers(options(size), vec![(open(&base_file), digest(1))]).unwrap();
    let load = clone.push(vec![(open(&diff_file), digest(2))]).unwrap();
    assert_eq!((load.read_calls, load.map_calls, load.copied_bytes), (2, 0, 2048 * GRANULE));
    assert!(bytes(&clone) == expected);

    // What the diff copied is private, but no difference.
    memory.push(vec![(open(&diff_file), digest(2))]).unwrap();
    let (nothing, report) = snapshot(&memory).unwrap();
    assert!(report.candidate_bytes >= 2048 * GRANULE);
    assert!(open(&nothing).extents().is_empty());
}

#[test]
fn a_base_is_mapped_whole_and_nothing_of_it_is_private() {
    for page_size in PAGE_SIZES {
        let base = MemoryStack::with_page_size(options(SIZE), page_size).unwrap();
        fill(&base, 1..2, 1);
        fill(&base, 200..300, 1);
        let (file, _) = snapshot(&base).unwrap();
        let mut clone = MemoryStack::with_page_size(options(SIZE), page_size).unwrap();
        clone.push(vec![(open(&file), digest(1))]).unwrap();
        assert_eq!((clone.report().copied_bytes, clone.report().map_calls), (0, 2));
        assert_eq!(
            clone.report().mapped_bytes,
            open(&file).extents().iter().map(|extent| extent.length).sum::<u64>()
        );
        assert_eq!(changed_ranges(&clone, None).unwrap(), []);
    }
}

#[test]
fn long_runs_are_congruent_in_file_and_guest_and_short_ones_packed() {
    for page_size in PAGE_SIZES {
        let base = MemoryStack::with_page_size(options(SIZE), page_size).unwrap();
        fill(&base, 0..512, 1);
        let (base_file, _) = snapshot(&base).unwrap();
        let mut clone = MemoryStack::with_page_size(options(SIZE), page_size).unwrap();
        clone.push(vec![(open(&base_file), digest(1))]).unwrap();
        for (start, count) in [(1, 5), (9, 1), (12, 2), (21, 20), (47, 4), (60, 3), (77, 33)] {
            fill(&clone, start..start + count, 2);
        }
        let (file, report) = snapshot(&clone).unwrap();
        let diff = open(&file);
        assert_eq!(diff.header().page_size, page_size);
        let mut packed = GRANULE;
        for extent in diff.extents() {
            let ExtentSource::Data { file_offset } = extent.source else { panic!("no data at {extent:?}") };
            if extent.length < MAP_THRESHOLD {
                assert_eq!(file_offset, packed);
                packed += extent.length;
            } else {
                assert_eq!(file_offset % page_size, extent.guest_offset % page_size);
            }
        }
        assert_eq!(diff.extents().len(), 7);
        assert!(report.file_bytes - report.data_bytes <= GRANULE + 2 * page_size);
    }
}

#[test]
fn a_layer_goes_only_over_its_parent() {
    let base = empty(SIZE);
    fill(&base, 0..4, 1);
    let (base_file, _) = snapshot(&base).unwrap();
    let clone = MemoryStack::from_layers(options(SIZE), vec![(open(&base_file), digest(1))]).unwrap();
    fill(&clone, 0..1, 2);
    let (diff_file, _) = snapshot(&clone).unwrap();
    let refused = |result: crate::error::Result<MemoryStack>, sentence: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.code, ErrorCode::SnapshotCorrupt, "{error}");
        assert!(error.message.contains(sentence), "{error}");
    };
    let base = || (open(&base_file), digest(1));
    let diff = || (open(&diff_file), digest(2));
    refused(MemoryStack::from_layers(options(SIZE), vec![diff()]), "laid over no layer");
    refused(
        MemoryStack::from_layers(options(SIZE), vec![(open(&base_file), digest(7)), diff()]),
        "difference to 0101",
    );
    refused(MemoryStack::from_layers(options(SIZE), vec![base(), base()]), "difference to no layer");
    refused(MemoryStack::from_layers(options(2 * SIZE), vec![base()]), "bytes of guest memory");
    assert_eq!(
        MemoryStack::from_layers(options(SIZE), vec![base(), diff()]).unwrap().top_digest(),
        Some(digest(2))
    );

    let mut file = tempfile::tempfile().unwrap();
    let wrong = WriteOptions { parent_digest: Some(digest(3)), ..WriteOptions::default() };
    assert_eq!(write_layer(&clone, &mut file, &wrong).unwrap_err().code, ErrorCode::Config);
}

#[test]
fn a_file_that_shrank_after_it_was_opened_is_an_error_where_it_is_read() {
    let base = empty(SIZE);
    fill(&base, 0..512, 1);
    let (base_file, _) = snapshot(&base).unwrap();
    let mut memory = MemoryStack::from_layers(options(SIZE), vec![(open(&base_file), digest(1))]).unwrap();
    (0..80u64).for_each(|tooth| fill(&memory, 2 * tooth..2 * tooth + 1, 2));
    let (diff_file, report) = snapshot(&memory).unwrap();
    let shrunk = open(&diff_file);
    diff_file.set_len(report.file_bytes - 5000).unwrap();
    let error = memory.push(vec![(shrunk, digest(2))]).unwrap_err();
    assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
    assert!(error.message.contains("ends"), "{error}");
}

#[test]
fn all_of_loaded_memory_is_exempt_from_dumps_and_forks() {
    let base = empty(SIZE);
    fill(&base, 32..64, 1);
    let (file, _) = snapshot(&base).unwrap();
    let clone = MemoryStack::from_layers(options(SIZE), vec![(open(&file), digest(1))]).unwrap();
    let start = clone.host_address() as u64;
    let mut inside = false;
    let mut checked = 0;
    for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        if let Some((from, to)) = range {
            let address = |text| u64::from_str_radix(text, 16).unwrap_or(0);
            inside = address(from) < start + SIZE && address(to) > start;
        }
        if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
            assert!(flags.contains(" dc ") && flags.contains(" dd "), "{flags}");
            checked += 1;
        }
    }
    assert_eq!(checked, 3);
}
