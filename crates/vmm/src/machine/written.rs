//! Which memory was written, according to KVM's dirty log and to the VMM's own record: the cross-check of snapshots in tests.

use super::Machine;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::RangeSet;
use crate::layout::MEMORY_BASE;

impl Machine {
    /// Guest address ranges (start, end) written since the microVM started, at the granularity of the host's pages. Resets KVM's
    /// log, so it can be called once.
    ///
    /// # Errors
    /// FIRN_CONFIG if writes are not tracked.
    pub fn written_ranges(&self) -> Result<Vec<(u64, u64)>> {
        if !self.track_writes {
            return Err(VmmError::new(ErrorCode::Config, "this microVM was started without track_writes"));
        }
        self.devices.drain()?;
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let log = self.vm.dirty_log(self.memory.size())?;
        let by_guest = (0_u64..).zip(log).flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| (word * 64 + bit) * page)
        });
        let by_guest: RangeSet = by_guest.map(|offset| offset..offset + page).collect();
        let written = by_guest.union(self.memory.written_ranges()).into_ranges();
        Ok(written.into_iter().map(|range| (MEMORY_BASE + range.start, MEMORY_BASE + range.end)).collect())
    }
}
