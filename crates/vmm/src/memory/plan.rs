//! Which parts of which layer are mapped, copied or cleared.
//!
//! Mappings are carried out first, the lowest layer first, so that what an upper layer maps hides what is below it. Then the copies,
//! which are only of parts that no upper layer hides: in any order.

use std::ops::Range;

use crate::layer::{Extent, ExtentSource, Gaps, RangeSet};

/// A layer to be loaded.
pub(crate) struct PlannedLayer<'a> {
    /// Its extents, sorted and not overlapping.
    pub(crate) extents: &'a [Extent],
    /// Runs of which at least this many bytes are not hidden are mapped, if they can be.
    pub(crate) map_threshold: u64,
}

/// A part of memory and where its bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Index of the layer among those that are loaded.
    pub(crate) layer: usize,
    /// From the start of guest memory, bytes.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u64,
    /// Where the bytes are; the offset is that of the piece.
    pub(crate) source: ExtentSource,
}

impl Piece {
    fn of(layer: usize, extent: &Extent, range: Range<u64>) -> Self {
        let source = match extent.source {
            ExtentSource::Zero => ExtentSource::Zero,
            ExtentSource::Data { file_offset } => ExtentSource::Data {
                file_offset: file_offset.saturating_add(range.start.saturating_sub(extent.guest_offset)),
            },
        };
        Self { layer, offset: range.start, length: range.end.saturating_sub(range.start), source }
    }

    /// Where in guest memory it is.
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.length)
    }
}

/// A piece to be mapped, and what to copy should it not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The piece, of whole pages.
    pub(crate) piece: Piece,
    /// The parts of it that no upper layer hides: a range of [`Plan::visible`].
    pub(crate) visible: Range<usize>,
    visible_bytes: u64,
}

/// How to load layers.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// To be mapped, in this order.
    pub(crate) mappings: Vec<Mapping>,
    /// The visible parts of the mappings.
    pub(crate) visible: Vec<Piece>,
    /// To be read, or cleared by writing.
    pub(crate) copies: Vec<Piece>,
}

impl Plan {
    /// Plans to load these layers, the lowest first, one over the other, on a host with pages of `page_size` bytes, with at most
    /// `mappings_max` mappings: beyond that the shortest runs are copied instead.
    pub(crate) fn new(layers: &[PlannedLayer<'_>], page_size: u64, mappings_max: usize) -> Self {
        let mut plan = Self::default();
        let mut hidden = RangeSet::default();
        for (index, layer) in layers.iter().enumerate().rev() {
            plan.add_layer(index, layer, &hidden, page_size);
            if index > 0 {
                hidden =
                    hidden.union(layer.extents.iter().map(|extent| extent.guest_offset..extent.guest_end()));
            }
        }
        plan.mappings.sort_by_key(|mapping| mapping.piece.layer);
        plan.limit_mappings(mappings_max);
        plan
    }

    /// What the copies will make private, in no order.
    pub(crate) fn copied(&self) -> impl Iterator<Item = Range<u64>> {
        self.copies.iter().map(Piece::range)
    }

    /// What the mappings will replace, in no order.
    pub(crate) fn mapped(&self) -> impl Iterator<Item = Range<u64>> {
        self.mappings.iter().map(|mapping| mapping.piece.range())
    }

    fn add_layer(&mut self, index: usize, layer: &PlannedLayer<'_>, hidden: &RangeSet, page_size: u64) {
        let is_short = |extent: &&Extent| extent.length < layer.map_threshold;
        let short = layer.extents.iter().filter(is_short).count();
        self.copies.reserve(short);
        self.visible.reserve(layer.extents.len() - short);
        self.mappings.reserve(layer.extents.len() - short);
        let mut gaps = hidden.gaps();
        for extent in layer.extents {
            if is_short(&extent) {
                let range = extent.guest_offset..extent.guest_end();
                gaps.for_each_in(range, |range| self.copies.push(Piece::of(index, extent, range)));
            } else {
                self.add_long_extent(index, extent, &mut gaps, layer.map_threshold, page_size);
            }
        }
    }

    fn add_long_extent(
        &mut self,
        layer: usize,
        extent: &Extent,
        gaps: &mut Gaps<'_>,
        map_threshold: u64,
        page_size: u64,
    ) {
        let first = self.visible.len();
        let mut visible_bytes = 0u64;
        gaps.for_each_in(extent.guest_offset..extent.guest_end(), |range| {
            let piece = Piece::of(layer, extent, range);
            visible_bytes = visible_bytes.saturating_add(piece.length);
            self.visible.push(piece);
        });
        let shown = self.visible.get(first..).unwrap_or_default();
        let (Some(head), Some(tail)) = (shown.first(), shown.last()) else { return };
        let shown = head.offset..tail.range().end;
        let pages = whole_pages(extent, &shown, page_size);
        if visible_bytes < map_threshold || pages.is_empty() || !is_congruent(extent, page_size) {
            self.copies.extend(self.visible.drain(first..));
            return;
        }
        // Heads and tails that are less than a page are copied, and what is visible of the pages stays in `visible`.
        if shown.start < pages.start || shown.end > pages.end {
            visible_bytes = 0;
            let parts: Vec<Piece> = self.visible.drain(first..).collect();
            for part in parts {
                let range = part.range();
                let copies = [range.start..range.end.min(pages.start), range.start.max(pages.end)..range.end];
                self.copies.extend(
                    copies
                        .into_iter()
                        .filter(|copy| !copy.is_empty())
                        .map(|copy| Piece::of(layer, extent, copy)),
                );
                let inside = range.start.max(pages.start)..range.end.min(pages.end);
                if !inside.is_empty() {
                    visible_bytes = visible_bytes.saturating_add(inside.end.saturating_sub(inside.start));
                    self.visible.push(Piece::of(layer, extent, inside));
                }
            }
        }
        let visible = first..self.visible.len();
        self.mappings.push(Mapping { piece: Piece::of(layer, extent, pages), visible, visible_bytes });
    }

    fn limit_mappings(&mut self, mappings_max: usize) {
        if self.mappings.len() <= mappings_max {
            return;
        }
        let mut lengths: Vec<u64> = self.mappings.iter().map(|mapping| mapping.visible_bytes).collect();
        lengths.sort_unstable_by_key(|length| std::cmp::Reverse(*length));
        let shortest = lengths.get(mappings_max).map_or(0, |length| length.saturating_add(1));
        let mappings = std::mem::take(&mut self.mappings);
        for mapping in mappings {
            if mapping.visible_bytes >= shortest {
                self.mappings.push(mapping);
            } else {
                self.copies.extend(self.visible.get(mapping.visible).unwrap_or_default());
            }
        }
    }
}

/// The whole pages of the extent that hold what is shown of it.
fn whole_pages(extent: &Extent, shown: &Range<u64>, page_size: u64) -> Range<u64> {
    let up = |offset: u64| offset.checked_next_multiple_of(page_size).unwrap_or(u64::MAX);
    let down = |offset: u64| offset - offset % page_size;
    let start = up(extent.guest_offset).max(down(shown.start));
    let end = down(extent.guest_end()).min(up(shown.end));
    start..end.max(start)
}

/// Whether the extent's bytes are at the same place in a page of the file as in a page of memory.
fn is_congruent(extent: &Extent, page_size: u64) -> bool {
    match extent.source {
        ExtentSource::Zero => true,
        ExtentSource::Data { file_offset } => file_offset % page_size == extent.guest_offset % page_size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::GRANULE;

    const DATA: u64 = 0x10_0000;

    /// Granules of a layer whose data is at `DATA` plus the guest offset of its file, or zeros.
    fn extent(start: u64, count: u64, is_data: bool) -> Extent {
        let guest_offset = start * GRANULE;
        let source = if is_data {
            ExtentSource::Data { file_offset: DATA + guest_offset }
        } else {
            ExtentSource::Zero
        };
        Extent { guest_offset, length: count * GRANULE, source }
    }

    fn plan(layers: &[(&[Extent], u64)], page_size: u64, mappings_max: usize) -> Plan {
        let layers: Vec<_> = layers
            .iter()
            .map(|(extents, granules)| PlannedLayer { extents, map_threshold: granules * GRANULE })
            .collect();
        Plan::new(&layers, page_size, mappings_max)
    }

    /// Pieces as (layer, first granule, granules).
    fn granules<'a>(pieces: impl IntoIterator<Item = &'a Piece>) -> Vec<(usize, u64, u64)> {
        let granules = |piece: &Piece| (piece.layer, piece.offset / GRANULE, piece.length / GRANULE);
        pieces.into_iter().map(granules).collect()
    }

    fn mapped(plan: &Plan) -> Vec<(usize, u64, u64)> {
        granules(plan.mappings.iter().map(|mapping| &mapping.piece))
    }

    #[test]
    fn runs_from_the_threshold_on_are_mapped_and_shorter_ones_copied() {
        let extents = [extent(0, 3, true), extent(10, 4, true), extent(20, 3, false), extent(30, 9, false)];
        let plan = plan(&[(&extents, 4)], 4096, 100);
        assert_eq!(mapped(&plan), [(0, 10, 4), (0, 30, 9)]);
        assert_eq!(granules(&plan.copies), [(0, 0, 3), (0, 20, 3)]);
        assert_eq!(plan.copies[0].source, ExtentSource::Data { file_offset: DATA });
    }

    #[test]
    fn what_an_upper_layer_hides_is_neither_mapped_nor_copied() {
        let lower = [extent(0, 2, true), extent(8, 8, true), extent(20, 12, true), extent(40, 8, true)];
        let upper = [extent(1, 1, true), extent(8, 4, false), extent(24, 1, true), extent(40, 8, true)];
        let plan = plan(&[(&lower, 4), (&upper, 4)], 4096, 100);
        // Lower layers come first; a run is trimmed to what is visible, and mapped through a part that is hidden inside.
        assert_eq!(mapped(&plan), [(0, 12, 4), (0, 20, 12), (1, 8, 4), (1, 40, 8)]);
        assert_eq!(granules(&plan.copies), [(1, 1, 1), (1, 24, 1), (0, 0, 1)]);
        assert_eq!(plan.mappings[0].piece.source, ExtentSource::Data { file_offset: DATA + 12 * GRANULE });
    }

    #[test]
    fn parts_of_larger_pages_are_copied() {
        let extents = [extent(3, 14, true), extent(18, 7, true), extent(32, 16, true)];
        let plan = plan(&[(&extents, 4)], 16384, 100);
        assert_eq!(mapped(&plan), [(0, 4, 12), (0, 20, 4), (0, 32, 16)]);
        assert_eq!(granules(&plan.copies), [(0, 3, 1), (0, 16, 1), (0, 18, 2), (0, 24, 1)]);
    }

    #[test]
    fn data_that_is_not_congruent_is_copied() {
        let mut extents = [extent(4, 8, true), extent(16, 8, true)];
        extents[0].source = ExtentSource::Data { file_offset: DATA + GRANULE };
        let plan = plan(&[(&extents, 4)], 16384, 100);
        assert_eq!((mapped(&plan), granules(&plan.copies)), (vec![(0, 16, 8)], vec![(0, 4, 8)]));
    }

    #[test]
    fn beyond_the_bound_the_shortest_runs_are_copied() {
        let extents: Vec<_> = (0..10).map(|index| extent(index * 20, index + 1, true)).collect();
        let plan = plan(&[(&extents, 1)], 4096, 3);
        assert_eq!(mapped(&plan), [(0, 140, 8), (0, 160, 9), (0, 180, 10)]);
        assert_eq!(plan.copies.len(), 7);
    }
}
