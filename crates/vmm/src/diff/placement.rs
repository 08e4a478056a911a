//! Where in the file each extent's data goes.

use std::collections::VecDeque;

use super::compare::Difference;
use crate::layer::format::{
    EXTENT_LENGTH, Extent, ExtentSource, GRANULE, HEADER_LENGTH, MAP_THRESHOLD, PAGE_SIZE_MAX,
};

/// Granules of the largest page: the places in it at which an extent can start.
const PLACES: usize = 16;
const _: () = assert!(PLACES as u64 * GRANULE == PAGE_SIZE_MAX);

/// The extents of a difference, sorted by guest offset, and the length of the file that holds them. Short extents are packed
/// behind the table; long ones follow, each as far into a page of this size as it is in memory, in an order that wastes little between them:
/// each is the one that starts soonest after the place at which the one before it ends.
pub fn place(difference: &Difference, page_size: u64) -> (Vec<Extent>, u64) {
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
        } else if let Some(queue) = long.get_mut(place_of(extent.guest_offset, page_size)) {
            queue.push_back(extent);
            left += 1;
        }
    }
    while left > 0 {
        let here = place_of(end, page_size);
        let (before, from_here) = long.split_at_mut(here);
        let next = from_here.iter_mut().chain(before).find_map(VecDeque::pop_front);
        let Some(extent) = next else { break };
        let padding = (extent.guest_offset % page_size + page_size - end % page_size) % page_size;
        end = end.saturating_add(padding);
        extent.source = ExtentSource::Data { file_offset: end };
        end = end.saturating_add(extent.length);
        left -= 1;
    }
    (extents, end)
}

fn place_of(offset: u64, page_size: u64) -> usize {
    usize::try_from(offset % page_size / GRANULE).unwrap_or(0)
}
