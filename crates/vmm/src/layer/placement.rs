//! Where in the file each extent's data goes.

use std::collections::VecDeque;

use super::compare::Difference;
use super::format::{
    EXTENT_LENGTH, Extent, ExtentSource, GRANULE, HEADER_LENGTH, MAP_THRESHOLD, PLACEMENT_ALIGNMENT,
};

/// How many granules there are in [`PLACEMENT_ALIGNMENT`]: the places in it at which an extent can start.
const PLACES: usize = 16;
const _: () = assert!(PLACES as u64 * GRANULE == PLACEMENT_ALIGNMENT);

/// The extents of a difference, sorted by guest offset, and the length of the file that holds them. Short extents are packed
/// behind the table; long ones follow at a place congruent to their guest offset, in an order that wastes little between them: each
/// is the one that starts soonest after the place at which the one before it ends.
pub fn place(difference: &Difference) -> (Vec<Extent>, u64) {
    let data = difference.data.ranges().iter().map(|range| (range, true));
    let zeros = difference.zeros.ranges().iter().map(|range| (range, false));
    let mut extents: Vec<Extent> = data
        .chain(zeros)
        .map(|(range, is_data)| Extent {
            guest_offset: range.start,
            length: range.end.saturating_sub(range.start),
            source: if is_data { ExtentSource::Data { file_offset: 0 } } else { ExtentSource::Zero },
        })
        .collect();
    extents.sort_unstable_by_key(|extent| extent.guest_offset);

    let table = (extents.len() as u64).saturating_mul(EXTENT_LENGTH as u64);
    let mut end = table.saturating_add(HEADER_LENGTH as u64).next_multiple_of(GRANULE);
    let mut long: [VecDeque<&mut Extent>; PLACES] = Default::default();
    let mut left = 0usize;
    for extent in &mut extents {
        let ExtentSource::Data { file_offset } = &mut extent.source else { continue };
        if extent.length < MAP_THRESHOLD {
            *file_offset = end;
            end = end.saturating_add(extent.length);
        } else if let Some(queue) = long.get_mut(place_of(extent.guest_offset)) {
            queue.push_back(extent);
            left += 1;
        }
    }
    while left > 0 {
        let here = place_of(end);
        let (before, from_here) = long.split_at_mut(here);
        let next = from_here.iter_mut().chain(before).find_map(VecDeque::pop_front);
        let Some(extent) = next else { break };
        let behind = extent.guest_offset % PLACEMENT_ALIGNMENT;
        let at = end % PLACEMENT_ALIGNMENT;
        end = end.saturating_add((behind + PLACEMENT_ALIGNMENT - at) % PLACEMENT_ALIGNMENT);
        extent.source = ExtentSource::Data { file_offset: end };
        end = end.saturating_add(extent.length);
        left -= 1;
    }
    (extents, end)
}

fn place_of(offset: u64) -> usize {
    usize::try_from(offset / GRANULE % PLACES as u64).unwrap_or(0)
}
