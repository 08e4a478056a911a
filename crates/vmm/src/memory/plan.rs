//! Which parts of which layer are mapped, copied or cleared.
//!
//! Mappings are carried out first, the lowest layer first, so that what an upper layer maps hides what is below it. Then the copies,
//! which are only of parts that no upper layer hides: in any order.

use std::ops::Range;

use crate::layer::{Extent, ExtentSource, RangeSet};

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
            for extent in layer.extents {
                plan.add_extent(index, extent, &hidden, layer.map_threshold, page_size);
            }
            if index > 0 {
                hidden =
                    hidden.union(layer.extents.iter().map(|extent| extent.guest_offset..extent.guest_end()));
            }
        }
        plan.mappings.sort_by_key(|mapping| mapping.piece.layer);
        plan.limit_mappings(mappings_max);
        plan
    }

    fn add_extent(
        &mut self,
        layer: usize,
        extent: &Extent,
        hidden: &RangeSet,
        map_threshold: u64,
        page_size: u64,
    ) {
        let first = self.visible.len();
        let mut visible_bytes = 0u64;
        hidden.for_each_gap(extent.guest_offset..extent.guest_end(), |range| {
            let piece = Piece::of(layer, extent, range);
            visible_bytes = visible_bytes.saturating_add(piece.length);
            self.visible.push(piece);
        });
        let shown = self.visible.get(first..).unwrap_or_default();
        let (Some(head), Some(tail)) = (shown.first(), shown.last()) else { return };
        let shown = head.offset..tail.offset.saturating_add(tail.length);
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
                let range = part.offset..part.offset.saturating_add(part.length);
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
