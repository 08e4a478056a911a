//! Which memory was written, according to KVM's dirty log and to the VMM's own record: the cross-check of snapshots in tests.

use vm_memory::{GuestMemoryBackend as _, GuestMemoryRegion as _};

use super::Machine;
use crate::error::{ErrorCode, Result, VmmError};
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
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let log = self.vm.dirty_log(self.memory.size())?;
        let memory = self.memory.guest_memory();
        let own = memory.iter().next().map(|region| region.bitmap());
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for index in 0..self.memory.size() / page {
            let word = usize::try_from(index / 64).ok().and_then(|word| log.get(word)).copied().unwrap_or(0);
            let by_guest = word >> (index % 64) & 1 == 1;
            let offset = usize::try_from(index * page).unwrap_or(usize::MAX);
            let by_vmm = own.is_some_and(|bitmap| vm_memory::bitmap::Bitmap::dirty_at(&bitmap, offset));
            if !(by_guest || by_vmm) {
                continue;
            }
            let start = MEMORY_BASE + index * page;
            match ranges.last_mut() {
                Some(last) if last.1 == start => last.1 = start + page,
                _ => ranges.push((start, start + page)),
            }
        }
        Ok(ranges)
    }
}
