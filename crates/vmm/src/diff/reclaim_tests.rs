//! Memory that was taken back, and differences to layers after that.

use std::ops::Range;

use super::testing::*;
use crate::layer::{GRANULE, LayerFile};
use crate::memory::MemoryStack;

const GRANULES: u64 = SIZE / GRANULE;

fn stack(layers: Vec<LayerFile>) -> MemoryStack {
    let layers = (1..).zip(layers).map(|(name, layer)| (layer, digest(name))).collect();
    MemoryStack::from_layers(options(SIZE), layers).unwrap()
}

fn granules(bytes: &[u8], range: Range<u64>) -> &[u8] {
    let at = |granule: u64| usize::try_from(granule * GRANULE).unwrap();
    &bytes[at(range.start)..at(range.end)]
}

#[test]
fn memory_of_a_boot_that_is_taken_back_holds_zeros_and_is_in_no_layer() {
    let memory = empty(SIZE);
    fill(&memory, 0..GRANULES, 7);
    assert_eq!(memory.reclaimer().reclaim(10 * GRANULE..20 * GRANULE).unwrap(), 10 * GRANULE);
    let now = bytes(&memory);
    assert!(granules(&now, 10..20).iter().all(|byte| *byte == 0));
    assert!(granules(&now, 0..10).iter().chain(granules(&now, 20..GRANULES)).all(|byte| *byte == 7));
    let (file, report) = snapshot(&memory).unwrap();
    assert_eq!(report.data_bytes, SIZE - 10 * GRANULE);
    assert!(bytes(&stack(vec![open(&file)])) == now);
}

#[test]
fn what_is_taken_back_is_what_the_layers_say_and_a_clone_of_it_is_the_same() {
    let base = empty(SIZE);
    fill(&base, 0..64, 1);
    fill(&base, 128..160, 2);
    let (base_file, _) = snapshot(&base).unwrap();
    let source = stack(vec![open(&base_file)]);
    // A long run, which is mapped, and short ones, which are copied or cleared.
    fill(&source, 200..400, 4);
    fill(&source, 10..11, 3);
    fill(&source, 130..131, 0);
    fill(&source, 500..501, 5);
    let (diff_file, _) = snapshot(&source).unwrap();

    let memory = stack(vec![open(&base_file), open(&diff_file)]);
    let before = bytes(&memory);
    fill(&memory, 0..GRANULES, 9);
    let reclaimed = memory.reclaimer().reclaim(0..SIZE).unwrap();
    let now = bytes(&memory);
    let mut kept = 0;
    for granule in 0..GRANULES {
        let own = granules(&now, granule..granule + 1);
        if own != granules(&before, granule..granule + 1) {
            assert!(own.iter().all(|byte| *byte == 9), "granule {granule} is neither");
            kept += 1;
        }
    }
    assert!((3..GRANULES).contains(&kept) && reclaimed == SIZE - kept * GRANULE, "{kept} granules");

    let (top_file, report) = snapshot(&memory).unwrap();
    assert_eq!(report.data_bytes, kept * GRANULE);
    let clone = stack(vec![open(&base_file), open(&diff_file), open(&top_file)]);
    assert!(bytes(&clone) == now);
}

#[test]
fn parts_of_pages_stay_and_what_is_not_memory_is_an_error() {
    let memory = empty(SIZE);
    fill(&memory, 0..GRANULES, 7);
    let reclaimer = memory.reclaimer();
    for range in [1..2 * GRANULE - 1, 5..6, GRANULE..GRANULE] {
        assert_eq!(reclaimer.reclaim(range).unwrap(), 0);
    }
    assert_eq!(reclaimer.reclaim(1..2 * GRANULE + 1).unwrap(), GRANULE);
    assert!(reclaimer.reclaim(SIZE..SIZE + GRANULE).is_err());
    assert!(reclaimer.reclaim(0..u64::MAX).is_err());
}
