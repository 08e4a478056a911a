//! What a stack of layers holds, layer upon layer, without mapping it: which bytes of which file each part of memory is.

use std::ops::Range;

use super::file::LayerFile;
use super::format::ExtentSource;
use super::range_set::RangeSet;
use crate::error::Result;

/// Where the bytes of a part of memory are.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// In a layer's file.
    Data {
        /// The layer.
        layer: &'a LayerFile,
        /// From the start of the file, bytes.
        file_offset: u64,
    },
    /// Nowhere: zeros.
    Zero,
}

#[derive(Debug)]
struct Segment<'a> {
    range: Range<u64>,
    content: Content<'a>,
}

/// The content of a stack of layers.
#[derive(Debug)]
pub struct StackView<'a> {
    segments: Vec<Segment<'a>>,
}

impl<'a> StackView<'a> {
    /// The content of these layers, the lowest first.
    pub fn new(layers: impl DoubleEndedIterator<Item = &'a LayerFile>) -> Self {
        let mut covered = RangeSet::default();
        let mut segments = Vec::new();
        for layer in layers.rev() {
            let mut gaps = covered.gaps();
            for extent in layer.extents() {
                gaps.for_each_in(extent.guest_offset..extent.guest_end(), |range| {
                    let content = match extent.source {
                        ExtentSource::Zero => Content::Zero,
                        ExtentSource::Data { file_offset } => Content::Data {
                            layer,
                            file_offset: file_offset
                                .saturating_add(range.start.saturating_sub(extent.guest_offset)),
                        },
                    };
                    segments.push(Segment { range, content });
                });
            }
            covered =
                covered.union(layer.extents().iter().map(|extent| extent.guest_offset..extent.guest_end()));
        }
        segments.sort_unstable_by_key(|segment| segment.range.start);
        Self { segments }
    }

    /// The ranges that may hold something else than zeros.
    pub fn data_ranges(&self) -> RangeSet {
        let data = self.segments.iter().filter(|segment| matches!(segment.content, Content::Data { .. }));
        data.map(|segment| segment.range.clone()).collect()
    }

    /// Calls `part` with each part of the range and what it holds, in order and without gaps.
    ///
    /// # Errors
    /// The first error of `part`, which ends the walk.
    pub fn for_each_part(
        &self,
        range: Range<u64>,
        mut part: impl FnMut(Range<u64>, Content<'a>) -> Result<()>,
    ) -> Result<()> {
        let first = self.segments.partition_point(|segment| segment.range.end <= range.start);
        let mut at = range.start;
        for segment in self.segments.iter().skip(first).take_while(|segment| segment.range.start < range.end)
        {
            if segment.range.start > at {
                part(at..segment.range.start, Content::Zero)?;
                at = segment.range.start;
            }
            let end = segment.range.end.min(range.end);
            let content = match segment.content {
                Content::Zero => Content::Zero,
                Content::Data { layer, file_offset } => Content::Data {
                    layer,
                    file_offset: file_offset.saturating_add(at.saturating_sub(segment.range.start)),
                },
            };
            part(at..end, content)?;
            at = end;
        }
        if at < range.end {
            part(at..range.end, Content::Zero)?;
        }
        Ok(())
    }
}
