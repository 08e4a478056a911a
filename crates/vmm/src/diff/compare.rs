//! Finding where memory differs from its layers, granule by granule.

use std::ops::Range;

use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::format::{GRANULE, GRANULE_LENGTH, PAGE_SIZE_MAX};
use crate::layer::{Content, RangeSet, StackView};
use crate::memory::MemoryStack;

/// How much of a layer's file is read at once, bytes.
const CHUNK: usize = 256 << 10;
/// The granularity of a base, bytes.
const BLOCK_LENGTH: usize = 16 * GRANULE_LENGTH;
const BLOCK: u64 = BLOCK_LENGTH as u64;
const _: () = assert!(BLOCK.is_multiple_of(PAGE_SIZE_MAX));

/// Where memory differs from its layers, and how.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// To be written as data.
    pub data: RangeSet,
    /// Zero now, and not zero in the layers.
    pub zeros: RangeSet,
}

/// The difference between memory and what its layers hold, inside the candidates. Exact, in granules.
///
/// # Errors
/// [`ErrorCode::SnapshotCorrupt`] or [`ErrorCode::Io`] if a layer cannot be read.
pub fn difference(
    memory: &MemoryStack,
    view: &StackView<'_>,
    candidates: &[Range<u64>],
) -> Result<Difference> {
    let mut difference = Difference::default();
    let mut bytes = Vec::new();
    for candidate in candidates {
        view.for_each_part(candidate.clone(), |range, content| match content {
            Content::Zero => against_zeros(memory, range, &mut difference),
            Content::Data { layer, file_offset } => {
                for start in range.clone().step_by(CHUNK) {
                    let length = range.end.saturating_sub(start).min(CHUNK as u64);
                    bytes.resize(usize::try_from(length).unwrap_or(0), 0);
                    layer.read(file_offset.saturating_add(start.saturating_sub(range.start)), &mut bytes)?;
                    against_bytes(memory, start, &bytes, &mut difference)?;
                }
                Ok(())
            }
        })?;
    }
    Ok(difference)
}

/// What of memory is not zero, in blocks of 64 KiB, inside the candidates. Blocks, because this becomes a base: few and long extents,
/// that can be mapped whole, and never a page of which only a part is the base's, which every clone would have to copy.
///
/// # Errors
/// None that valid candidates can run into.
pub fn content(memory: &MemoryStack, candidates: &[Range<u64>]) -> Result<Difference> {
    let mut data = RangeSet::default();
    let mut next = 0;
    for candidate in candidates {
        let first = (candidate.start - candidate.start % BLOCK).max(next);
        for block in (first..candidate.end).step_by(BLOCK_LENGTH) {
            next = block.saturating_add(BLOCK).min(memory.size());
            for granule in (block..next).step_by(GRANULE_LENGTH) {
                if !memory.reservation().granule_is_zero(granule).map_err(reading(granule))? {
                    data.append(block..next);
                    break;
                }
            }
        }
    }
    Ok(Difference { data, zeros: RangeSet::default() })
}

fn against_zeros(memory: &MemoryStack, range: Range<u64>, difference: &mut Difference) -> Result<()> {
    for granule in range.step_by(GRANULE_LENGTH) {
        if !memory.reservation().granule_is_zero(granule).map_err(reading(granule))? {
            difference.data.append(granule..granule.saturating_add(GRANULE));
        }
    }
    Ok(())
}

fn against_bytes(memory: &MemoryStack, start: u64, bytes: &[u8], difference: &mut Difference) -> Result<()> {
    let granules = (start..).step_by(GRANULE_LENGTH).zip(bytes.as_chunks::<{ GRANULE_LENGTH }>().0);
    for (granule, bytes) in granules {
        let range = granule..granule.saturating_add(GRANULE);
        if memory.reservation().granule_equals(granule, bytes).map_err(reading(granule))? {
            continue;
        }
        if memory.reservation().granule_is_zero(granule).map_err(reading(granule))? {
            difference.zeros.append(range);
        } else {
            difference.data.append(range);
        }
    }
    Ok(())
}

fn reading(offset: u64) -> impl FnOnce(std::io::Error) -> VmmError {
    VmmError::wrap(ErrorCode::Memory, format!("comparing guest memory at {offset:#x}"))
}
