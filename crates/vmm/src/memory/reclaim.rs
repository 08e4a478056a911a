//! Giving memory back to the host that the guest says it does not use.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::mapping::{Advice, Reservation};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::RangeSet;

/// Most calls that one range takes: where layers were copied in many short runs, what lies behind so many of them stays.
const CALLS_MAX: usize = 256;

/// Takes back memory from a guest. What it reads there afterwards is what the layers of its snapshot say, or zeros where they say nothing: the
/// guest may not rely on either, and a difference to the layers has nothing to tell of it.
///
/// For that to be so, what loading has copied stays: below it are the bytes of another layer, or none.
#[derive(Debug)]
pub struct Reclaimer {
    reservation: Arc<Reservation>,
    /// In no order.
    copied: Arc<Vec<Range<u64>>>,
    /// The same in order, in whole pages, from the first time on that somebody asks.
    kept: OnceLock<RangeSet>,
    page_size: u64,
}

impl Reclaimer {
    pub(super) fn new(reservation: Arc<Reservation>, copied: Arc<Vec<Range<u64>>>, page_size: u64) -> Self {
        Self { reservation, copied, kept: OnceLock::new(), page_size }
    }

    /// Size of guest memory, bytes.
    pub fn memory_size(&self) -> u64 {
        self.reservation.length() as u64
    }

    /// Takes back the whole pages in this range, in bytes from the start of guest memory. Returns how many bytes that were.
    ///
    /// # Errors
    /// [`ErrorCode::Memory`] if the range is not in guest memory, or the kernel does not take it.
    pub fn reclaim(&self, range: Range<u64>) -> Result<u64> {
        let start = range.start.checked_next_multiple_of(self.page_size).unwrap_or(u64::MAX);
        let end = range.end - range.end % self.page_size;
        if start >= end {
            return Ok(0);
        }
        let mut parts = Vec::new();
        let kept = self.kept.get_or_init(|| self.whole_pages());
        kept.gaps_from(start).for_each_in(start..end, |part| parts.push(part));
        let mut reclaimed = 0_u64;
        for part in parts.into_iter().take(CALLS_MAX) {
            let length = part.end - part.start;
            self.reservation
                .advise(part.start, length, Advice::DontNeed)
                .map_err(VmmError::wrap(ErrorCode::Memory, "take back guest memory"))?;
            reclaimed += length;
        }
        Ok(reclaimed)
    }

    fn whole_pages(&self) -> RangeSet {
        let widened = |range: &Range<u64>| {
            range.start - range.start % self.page_size..range.end.next_multiple_of(self.page_size)
        };
        RangeSet::of_unsorted(self.copied.iter().map(widened))
    }
}
