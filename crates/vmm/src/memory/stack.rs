//! The memory of one microVM: a stack of layers over one reservation of address space.

use std::hash::Hasher;
use std::ops::Range;
use std::sync::Arc;

use vm_memory::{GuestAddress, GuestRegionMmap};

use super::GuestMemory;
use super::load::load;
use super::mapping::{Advice, Reservation, host_page_size, no_huge_pages};
use super::plan::{Plan, PlannedLayer};
use super::reclaim::Reclaimer;
use super::report::LoadReport;
use crate::checksum::hasher;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::{
    Digest, ExtentSource, GRANULE, LayerFile, MAP_THRESHOLD, RangeSet, StackView, corrupt, hex,
};
use crate::layout::{MEMORY_BASE, MEMORY_GRANULE, MEMORY_MAX};

/// Most layers' mappings of one microVM. Each can split a mapping in three, and a process may have 65,530 of them
/// (vm.max_map_count), devices, stacks and libraries included.
const MAPPINGS_MAX: u64 = 24 << 10;
/// How much is digested at a time, bytes.
const DIGEST_CHUNK: usize = 1 << 20;

/// How guest memory is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestMemoryOptions {
    /// Bytes, a multiple of [`crate::layout::MEMORY_GRANULE`], at most [`crate::layout::MEMORY_MAX`].
    pub size: u64,
    /// Record what the VMM itself writes, in granules of 4 KiB: for tests that check the difference.
    pub track_writes: bool,
}

/// Guest memory mapped from a stack of layers: zero, base, diff, diff.
///
/// Pages are private: what the guest writes changes no file. The mapping outlives the stack for as long as a [`GuestMemory`] is left.
#[derive(Debug)]
pub struct MemoryStack {
    // Dropped before the reservation, which is unmapped only if no handle of it is left.
    guest_memory: GuestMemory,
    reservation: Arc<Reservation>,
    page_size: u64,
    layers: Vec<(LayerFile, Digest)>,
    /// What loading has copied, and so made private: in no order, because few starts ask.
    copied: Arc<Vec<Range<u64>>>,
    /// What was made private ahead of being written, and still holds what the layers do.
    populated: RangeSet,
    faults_page_by_page: bool,
    report: LoadReport,
}

impl MemoryStack {
    /// Memory of zeros, for a regular boot.
    ///
    /// # Errors
    /// [`ErrorCode::Config`] if the size is out of range, [`ErrorCode::Memory`] if the host has not the address space.
    pub fn anonymous(options: GuestMemoryOptions) -> Result<Self> {
        Self::with_page_size(options, host_page_size())
    }

    /// As [`Self::anonymous`], with mappings only of whole pages of this size, a multiple of the host's.
    pub(crate) fn with_page_size(options: GuestMemoryOptions, page_size: u64) -> Result<Self> {
        let size = options.size;
        let length = match usize::try_from(size) {
            Ok(length) if (1..=MEMORY_MAX).contains(&size) && size.is_multiple_of(MEMORY_GRANULE) => length,
            _ => {
                return Err(VmmError::new(
                    ErrorCode::Config,
                    format!(
                        "guest memory of {size} bytes is not a multiple of {MEMORY_GRANULE} up to {MEMORY_MAX} bytes"
                    ),
                ));
            }
        };
        let doing = || format!("reserving {size} bytes of address space for guest memory");
        let reservation = Reservation::new(length, options.track_writes)
            .map_err(VmmError::wrap(ErrorCode::Memory, doing()))?;
        let region =
            GuestRegionMmap::with_arc(reservation.region(), GuestAddress(MEMORY_BASE)).ok_or_else(|| {
                VmmError::new(ErrorCode::Memory, "guest memory ends past the guest's address space")
            })?;
        let guest_memory = GuestMemory::from_arc_regions(vec![Arc::new(region)])
            .map_err(VmmError::wrap(ErrorCode::Memory, doing()))?;
        let stack = Self {
            guest_memory,
            reservation: Arc::new(reservation),
            page_size,
            layers: Vec::new(),
            copied: Arc::default(),
            populated: RangeSet::default(),
            faults_page_by_page: false,
            report: LoadReport::default(),
        };
        stack.protect()?;
        Ok(stack)
    }

    /// Memory as the layers describe it, each with its digest. The first has no parent; the parent of each other one is the one
    /// before it.
    ///
    /// # Errors
    /// As [`Self::anonymous`] and [`Self::push`].
    pub fn from_layers(options: GuestMemoryOptions, layers: Vec<(LayerFile, Digest)>) -> Result<Self> {
        let mut memory = Self::anonymous(options)?;
        memory.push(layers)?;
        memory.protect_clone()?;
        Ok(memory)
    }

    /// Lays layers over the memory, the lowest first, each with its digest. Nothing may have run in it, nor written to it, since the
    /// layers below were loaded: that would show through. What an upper layer hides of a lower one is not loaded.
    ///
    /// The mappings that this adds are not exempt from core dumps and forks, as the rest of memory is: exempting each costs a tenth
    /// of making it. A process that pushes after [`Self::from_layers`] is not dumpable and does not fork.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] if a layer is of another memory size or not made for the layer below it, or if a file has
    /// shrunk. Memory is then as it was in the first case, and unusable in the other. [`ErrorCode::Memory`] if a mapping or
    /// a read failed; memory is unusable.
    pub fn push(&mut self, layers: Vec<(LayerFile, Digest)>) -> Result<LoadReport> {
        let mut below = self.top_digest();
        for (layer, digest) in &layers {
            self.check_layer(layer, below)?;
            below = Some(*digest);
        }
        let files: Vec<&LayerFile> = layers.iter().map(|(layer, _)| layer).collect();
        let planned: Vec<PlannedLayer<'_>> = files
            .iter()
            .map(|layer| PlannedLayer {
                extents: layer.extents(),
                // All of a base is mapped, so that clones share it.
                map_threshold: if layer.parent().is_some() { MAP_THRESHOLD } else { GRANULE },
            })
            .collect();
        let mappings_left = MAPPINGS_MAX.saturating_sub(self.report.map_calls);
        let plan = Plan::new(&planned, self.page_size, usize::try_from(mappings_left).unwrap_or(usize::MAX));
        if !self.populated.ranges().is_empty() {
            let replaced = RangeSet::of_unsorted(plan.mapped().chain(plan.copied()));
            self.populated = self.populated.without(&replaced);
        }
        let report = load(&self.reservation, &files, plan, Arc::make_mut(&mut self.copied))?;
        self.report.add(&report);
        self.layers.extend(layers);
        Ok(report)
    }

    /// Makes the pages private that are going to be written, before anything runs: one call for each range that is not private yet,
    /// in place of a fault for each page.
    ///
    /// # Errors
    /// [`ErrorCode::Memory`] if a range is not in guest memory, or the kernel has not the memory or the call (Linux 5.14).
    pub fn populate_written(&mut self, written: &RangeSet) -> Result<()> {
        let copied = RangeSet::of_unsorted(self.copied.iter().cloned());
        let ranges = written.without(&copied).without(&self.populated);
        for range in ranges.ranges() {
            let start = range.start - range.start % self.page_size;
            let end = range.end.checked_next_multiple_of(self.page_size).unwrap_or(u64::MAX);
            let length = end.saturating_sub(start);
            self.reservation.advise(start, length, Advice::PopulateWrite).map_err(VmmError::wrap(
                ErrorCode::Memory,
                format!("populating guest memory from {start:#x} to {end:#x}"),
            ))?;
        }
        self.report.populated_bytes += ranges.length();
        self.report.populate_calls += ranges.ranges().len() as u64;
        self.populated = self.populated.union(ranges.into_ranges());
        Ok(())
    }

    /// What of these private ranges was neither copied when the layers were loaded nor made private ahead of being written.
    pub fn unforeseen(&self, private: &RangeSet) -> RangeSet {
        private.without(&RangeSet::of_unsorted(self.copied.iter().cloned())).without(&self.populated)
    }

    /// Makes what is present of the layers afterwards what was used of them. The kernel otherwise brings in the 16 pages around
    /// one, as far as one mapping reaches: this makes each page a mapping, or some pages where there are too many. It takes
    /// a system call for every other page: for recording.
    ///
    /// # Errors
    /// [`ErrorCode::Memory`] if the process has too many mappings.
    pub fn fault_page_by_page(&mut self) -> Result<()> {
        let mut mapped = RangeSet::default();
        for (layer, _) in &self.layers {
            let data = layer.extents().iter().filter(|extent| extent.source != ExtentSource::Zero);
            mapped = mapped.union(data.map(|extent| extent.guest_offset..extent.guest_end()));
        }
        let pages_a_mapping = (mapped.length() / self.page_size).div_ceil(MAPPINGS_MAX).next_power_of_two();
        let length = pages_a_mapping * self.page_size;
        for range in mapped.ranges() {
            let first = range.start - range.start % (2 * length);
            for start in (first..range.end).step_by(usize::try_from(2 * length).unwrap_or(usize::MAX)) {
                let end = (start + length).min(self.size());
                self.reservation.advise(start, end - start, Advice::Random).map_err(advising)?;
            }
        }
        self.faults_page_by_page = true;
        Ok(())
    }

    /// Whether what is present of the layers is what was used of them.
    pub fn faults_page_by_page(&self) -> bool {
        self.faults_page_by_page
    }

    /// Memory for devices: the same pages, not a copy.
    pub fn guest_memory(&self) -> GuestMemory {
        self.guest_memory.clone()
    }

    /// What takes memory back from the guest, once all layers are loaded.
    pub fn reclaimer(&self) -> Reclaimer {
        Reclaimer::new(Arc::clone(&self.reservation), Arc::clone(&self.copied), self.page_size)
    }

    /// Where memory starts in this process, for KVM_SET_USER_MEMORY_REGION. A multiple of 2 MiB.
    pub fn host_address(&self) -> *mut u8 {
        self.reservation.address()
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.reservation.length() as u64
    }

    /// Bytes of a page: nothing less is mapped.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// What loading all layers so far took.
    pub fn report(&self) -> LoadReport {
        self.report
    }

    /// What the topmost layer defines, if it is not a base.
    pub fn top_diff(&self) -> RangeSet {
        let top = self.layers.last().filter(|(layer, _)| layer.parent().is_some());
        let extents = top.map(|(layer, _)| layer.extents()).unwrap_or_default();
        extents.iter().map(|extent| extent.guest_offset..extent.guest_end()).collect()
    }

    /// The digest of the topmost layer, if there is one.
    pub fn top_digest(&self) -> Option<Digest> {
        self.layers.last().map(|(_, digest)| *digest)
    }

    /// XXH64 of all bytes, by which two memories can be told apart. Reads, and so makes present, all memory: for tests.
    ///
    /// # Errors
    /// None that memory of a valid size can run into.
    pub fn content_digest(&self) -> Result<u64> {
        let mut hasher = hasher();
        let mut bytes = vec![0; DIGEST_CHUNK];
        for offset in (0..self.size()).step_by(DIGEST_CHUNK) {
            self.reservation
                .copy_out(offset, &mut bytes)
                .map_err(VmmError::wrap(ErrorCode::Memory, "digesting guest memory"))?;
            hasher.write(&bytes);
        }
        Ok(hasher.finish())
    }

    /// The ranges, in granules of 4 KiB, that the VMM has written to; none unless writes are tracked.
    pub fn written_ranges(&self) -> Vec<Range<u64>> {
        let region = self.reservation.region();
        let Some(bitmap) = region.bitmap() else { return Vec::new() };
        let granules = (0..bitmap.len()).filter(|index| bitmap.is_bit_set(*index)).map(|index| index as u64);
        granules.map(|index| index * GRANULE..(index + 1) * GRANULE).collect::<RangeSet>().into_ranges()
    }

    /// What the layers hold.
    pub(crate) fn view(&self) -> StackView<'_> {
        StackView::new(self.layers.iter().map(|(layer, _)| layer))
    }

    /// The mapping.
    pub(crate) fn reservation(&self) -> &Arc<Reservation> {
        &self.reservation
    }

    fn check_layer(&self, layer: &LayerFile, below: Option<Digest>) -> Result<()> {
        if layer.memory_size() != self.size() {
            return Err(corrupt(format!(
                "it is of {} bytes of guest memory, and this microVM has {}",
                layer.memory_size(),
                self.size()
            )));
        }
        if layer.parent() != below {
            let name = |digest: Option<Digest>| digest.map_or("no layer".to_owned(), |digest| hex(&digest));
            return Err(corrupt(format!(
                "it is a difference to {}, and would be laid over {}",
                name(layer.parent()),
                name(below)
            )));
        }
        Ok(())
    }

    /// Sets what is to hold for all of the memory of a clone, as [`Self::protect`] does.
    fn protect_clone(&self) -> Result<()> {
        self.protect()?;
        // A clone is to own what it writes, not the 2 MiB around it. A regular boot, which writes most of what it touches, is left to the
        // host's policy.
        no_huge_pages(&self.reservation, 0, self.size()).map_err(advising)
    }

    /// Sets what is to hold for all of memory. New mappings do not inherit it.
    fn protect(&self) -> Result<()> {
        let set = |advice| match self.reservation.advise(0, self.size(), advice) {
            // A kernel that was built without KSM knows no such advice, and merges nothing.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            other => other,
        };
        set(Advice::DontFork)
            .and_then(|()| set(Advice::DontDump))
            .and_then(|()| set(Advice::Unmergeable))
            .map_err(advising)
    }
}

fn advising(error: std::io::Error) -> VmmError {
    VmmError::wrap(ErrorCode::Memory, "advising the kernel about guest memory")(error)
}

#[cfg(test)]
mod tests {
    use vm_memory::Bytes;

    use super::*;
    use crate::memory::testing::*;

    impl MemoryStack {
        /// Asks the kernel to swap all of memory out, which it does if it has swap.
        pub(crate) fn swap_out(&self) {
            self.reservation.advise(0, self.size(), Advice::PageOut).unwrap();
        }
    }

    #[test]
    fn a_size_that_no_microvm_can_have_is_a_configuration_error() {
        for size in [0, 4096, MEMORY_GRANULE + 4096, MEMORY_MAX + MEMORY_GRANULE, u64::MAX] {
            assert_eq!(MemoryStack::anonymous(options(size)).unwrap_err().code, ErrorCode::Config, "{size}");
        }
    }

    #[test]
    fn memory_outlives_its_stack_for_as_long_as_a_device_has_a_handle() {
        let memory = empty(SIZE);
        let handle = memory.guest_memory();
        fill(&memory, 0..1, 7);
        drop(memory);
        assert_eq!(handle.read_obj::<u8>(GuestAddress(MEMORY_BASE + 100)).unwrap(), 7);
        assert!(handle.read_obj::<u8>(GuestAddress(MEMORY_BASE + SIZE)).is_err());
    }

    #[test]
    fn the_largest_memory_is_aligned_and_unmapped_with_its_stack() {
        let mapped = || {
            let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
            pages.split(' ').next().unwrap().parse::<u64>().unwrap() * host_page_size()
        };
        let memory = MemoryStack::anonymous(options(MEMORY_MAX)).unwrap();
        assert_eq!((memory.size(), memory.host_address() as usize % (2 << 20)), (MEMORY_MAX, 0));
        let with = mapped();
        drop(memory);
        // Other tests map and unmap little meanwhile.
        assert!(with - mapped() > MEMORY_MAX - (1 << 30));
    }

    #[test]
    fn tracked_writes_are_those_of_the_vmm_in_granules() {
        let memory = MemoryStack::anonymous(GuestMemoryOptions { size: SIZE, track_writes: true }).unwrap();
        write(&memory, 4095, &[1, 2]);
        write(&memory, 3 * 4096, &[3]);
        assert_eq!(memory.written_ranges(), [0..2 * 4096, 3 * 4096..4 * 4096]);
        assert_eq!(empty(SIZE).written_ranges(), []);
    }

    #[test]
    fn populate_refuses_what_is_not_memory() {
        let ranges = [0..4096, SIZE - 4096..SIZE + 4096].into_iter().collect();
        let error = empty(SIZE).populate_written(&ranges).unwrap_err();
        assert_eq!(error.code, ErrorCode::Memory);
    }
}
