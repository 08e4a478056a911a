//! A memory balloon, section 5.5 of the specification: the guest gives memory back, by inflating the balloon as the controller wants it,
//! and by reporting free pages as it likes.
//!
//! What the guest reads in memory that it has given back is not promised: VIRTIO_BALLOON_F_PAGE_POISON is not offered, so that Linux
//! reports no pages when it relies on what free ones hold. See [`Reclaimer`].

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::device::VirtioDevice;
use super::mmio::TransportState;
use super::queue::{QueueFault, VirtQueue};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::MEMORY_BASE;
use crate::memory::{GuestMemory, Reclaimer};

/// The guest takes pages out of the balloon before it runs out of memory.
const F_DEFLATE_ON_OOM: u64 = 1 << 2;
/// The guest reports free pages.
const F_REPORTING: u64 = 1 << 5;
/// Inflate, deflate, and reports of free pages: queues that were not negotiated do not count. Linux reports up to 32 ranges at once.
const QUEUE_SIZES: [u16; 3] = [128, 128, 128];
const INFLATE: usize = 0;
const REPORT: usize = 2;
/// The balloon is counted in pages of this size, whatever the guest's or the host's pages are.
const PAGE_SIZE: u64 = 4096;
/// Most pages that are read from one chain; Linux sends 256.
const PAGES_MAX: usize = 1024;
/// Offset of the number of pages that the guest says are in the balloon, in the configuration space.
const ACTUAL: u64 = 4;

/// State of the balloon in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalloonState {
    /// Pages of 4 KiB that are wanted in the balloon.
    pub target: u32,
    /// Pages that the guest says are in it.
    pub actual: u32,
    /// Registers and queues.
    pub transport: TransportState,
}

pub(in crate::devices) struct Balloon {
    target: u32,
    actual: u32,
    /// Without one what is given back stays where it is.
    reclaimer: Option<Reclaimer>,
    bytes_reclaimed: u64,
}

impl Balloon {
    /// An empty balloon, or that of a snapshot.
    pub(in crate::devices) fn new(reclaimer: Option<Reclaimer>, state: Option<&BalloonState>) -> Self {
        let (target, actual) = state.map_or((0, 0), |state| (state.target, state.actual));
        Self { target, actual, reclaimer, bytes_reclaimed: 0 }
    }

    pub(in crate::devices) fn state(&self, transport: TransportState) -> BalloonState {
        BalloonState { target: self.target, actual: self.actual, transport }
    }

    /// Bytes that were given back, again and again if the guest has used them in between.
    pub(in crate::devices) fn bytes_reclaimed(&self) -> u64 {
        self.bytes_reclaimed
    }

    /// Bytes that the guest says are in the balloon.
    pub(in crate::devices) fn size(&self) -> u64 {
        u64::from(self.actual) * PAGE_SIZE
    }

    /// Has the guest inflate or deflate the balloon to so many bytes, when it hears of it.
    ///
    /// # Errors
    /// [`ErrorCode::Config`] if that is no multiple of 4 KiB.
    pub(in crate::devices) fn set_target(&mut self, bytes: u64) -> Result<()> {
        let pages =
            if bytes.is_multiple_of(PAGE_SIZE) { u32::try_from(bytes / PAGE_SIZE).ok() } else { None };
        self.target = pages.ok_or_else(|| {
            VmmError::new(
                ErrorCode::Config,
                format!("a balloon of {bytes} bytes cannot be; give a multiple of {PAGE_SIZE} bytes"),
            )
        })?;
        Ok(())
    }

    /// Takes a range back, in guest physical addresses, as far as it is memory. What cannot be taken back stays.
    fn reclaim(&mut self, range: Range<u64>, budget: &mut u64) {
        let Some(reclaimer) = &self.reclaimer else { return };
        let start = range.start.saturating_sub(MEMORY_BASE);
        let end = range.end.saturating_sub(MEMORY_BASE).min(reclaimer.memory_size());
        let end = end.min(start.saturating_add(*budget));
        if start < end && range.start >= MEMORY_BASE {
            *budget -= end - start;
            let reclaimed = reclaimer.reclaim(start..end).unwrap_or_default();
            self.bytes_reclaimed = self.bytes_reclaimed.wrapping_add(reclaimed);
        }
    }

    /// Takes the pages back whose numbers are in `numbers`, little-endian words.
    fn inflate(&mut self, numbers: &[u8], budget: &mut u64) {
        let mut pages: Vec<u64> =
            numbers.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number).into()).collect();
        pages.sort_unstable();
        pages.dedup();
        for run in pages.chunk_by(|page, next| page + 1 == *next) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                self.reclaim(first * PAGE_SIZE..(last + 1) * PAGE_SIZE, budget);
            }
        }
    }
}

impl VirtioDevice for Balloon {
    const ID: u32 = 5;
    const QUEUE_SIZES: &'static [u16] = &QUEUE_SIZES;

    fn features(&self) -> u64 {
        F_DEFLATE_ON_OOM | F_REPORTING
    }

    fn config(&self) -> Vec<u8> {
        [self.target.to_le_bytes(), self.actual.to_le_bytes()].concat()
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        if let (ACTUAL, Ok(word)) = (offset, <[u8; 4]>::try_from(data)) {
            self.actual = u32::from_le_bytes(word);
        }
    }

    fn notified(
        &mut self,
        index: usize,
        queues: &mut [VirtQueue],
        memory: &GuestMemory,
    ) -> std::result::Result<(), QueueFault> {
        let Some(queue) = queues.get_mut(index) else { return Ok(()) };
        // Once all of memory: a guest that names the same again and again is not served for it.
        let mut budget = self.reclaimer.as_ref().map_or(0, Reclaimer::memory_size);
        let mut numbers = [0; 4 * PAGES_MAX];
        for _ in 0..queue.size() {
            if index == REPORT {
                let Some((head, descriptors)) = queue.take_descriptors(memory)? else { break };
                for descriptor in descriptors.take(usize::from(QUEUE_SIZES[REPORT])) {
                    let start = descriptor.addr().0;
                    self.reclaim(start..start.saturating_add(descriptor.len().into()), &mut budget);
                }
                queue.complete(memory, head, 0)?;
                continue;
            }
            let Some(taken) = queue.take(memory)? else { break };
            if let (INFLATE, Some(chain)) = (index, taken.chain) {
                let length = chain.readable.copy_to(&mut numbers);
                self.inflate(numbers.get(..length).unwrap_or_default(), &mut budget);
            }
            queue.complete(memory, taken.head, 0)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.actual = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::DeviceOptions;
    use crate::devices::testing::{Guest, Ring, options};
    use crate::layout::Slot;
    use crate::memory::{GuestMemoryOptions, MemoryStack};

    const SIZE: u64 = 16 << 20;

    fn with_balloon(memory: &MemoryStack) -> DeviceOptions {
        DeviceOptions { balloon: true, reclaimer: Some(memory.reclaimer()), ..options(&[0; 512]) }
    }

    fn guest() -> (Guest, Vec<Ring>, MemoryStack) {
        let memory = MemoryStack::anonymous(GuestMemoryOptions { size: SIZE, track_writes: false }).unwrap();
        let mut guest = Guest::boot_in(memory.guest_memory(), with_balloon(&memory)).unwrap();
        let rings = guest.start(Slot::Balloon, 3);
        (guest, rings, memory)
    }

    /// 2 MiB of guest memory that hold something.
    fn used(guest: &mut Guest) -> u64 {
        let start = guest.allocate(4 << 20).next_multiple_of(2 << 20);
        guest.put(start, &[7; 2 << 20]);
        start
    }

    fn reclaimed(guest: &Guest) -> u64 {
        guest.devices.counters().unwrap().balloon_bytes_reclaimed
    }

    #[test]
    fn free_pages_that_are_reported_are_given_back() {
        let (mut guest, mut rings, _memory) = guest();
        assert_eq!(guest.read(Slot::Balloon, 0x08), 5);
        let start = used(&mut guest);
        let head = rings[2].offer(&guest, &[(start, 64 << 10, true), (start + (1 << 20), 1 << 20, true)]);
        rings[2].notify(&mut guest);
        assert_eq!(rings[2].completed(&guest), [(head, 0)]);
        assert_eq!(reclaimed(&guest), (1 << 20) + (64 << 10));
        assert_eq!(guest.bytes(start, 64 << 10), vec![0; 64 << 10]);
        assert_eq!(guest.bytes(start + (64 << 10), 1), [7]);
        assert_eq!(guest.bytes(start + (1 << 20), 1 << 20), vec![0; 1 << 20]);
        assert_eq!(guest.interrupts.taken(), [Slot::Balloon.spi()]);
    }

    #[test]
    fn pages_in_the_balloon_are_given_back_in_any_order() {
        let (mut guest, mut rings, _memory) = guest();
        let start = used(&mut guest);
        let numbers = guest.allocate(4096);
        let pages: Vec<u32> = (0..64).rev().map(|page| u32::try_from(start / 4096).unwrap() + page).collect();
        guest.put(numbers, &pages.iter().flat_map(|page| page.to_le_bytes()).collect::<Vec<_>>());
        let head = rings[0].offer(&guest, &[(numbers, 4 * 64, false)]);
        rings[0].notify(&mut guest);
        assert_eq!((rings[0].completed(&guest), reclaimed(&guest)), (vec![(head, 0)], 64 * 4096));
        assert_eq!(guest.bytes(start, 64 * 4096), vec![0; 64 * 4096]);
        assert_eq!(guest.bytes(start + 64 * 4096, 1), [7]);
        let head = rings[1].offer(&guest, &[(numbers, 4 * 64, false)]);
        rings[1].notify(&mut guest);
        assert_eq!((rings[1].completed(&guest), reclaimed(&guest)), (vec![(head, 0)], 64 * 4096));
    }

    #[test]
    fn the_guest_is_told_of_the_size_that_is_wanted_and_says_what_it_is() {
        let (mut guest, _rings, memory) = guest();
        guest.devices.set_balloon(1 << 20).unwrap();
        assert_eq!(guest.interrupts.taken(), [Slot::Balloon.spi()]);
        assert_eq!((guest.read(Slot::Balloon, 0x60), guest.read(Slot::Balloon, 0x100)), (2, 256));
        guest.write(Slot::Balloon, 0x104, 200);
        assert_eq!(guest.read(Slot::Balloon, 0x104), 200);
        guest.write(Slot::Balloon, 0x100, 9);
        assert_eq!(guest.read(Slot::Balloon, 0x100), 256, "that is the controller's");
        assert_eq!(guest.devices.counters().unwrap().balloon_bytes, 200 * 4096);

        let state = guest.devices.save().unwrap();
        let mut clone = guest.restore(with_balloon(&memory), &state).unwrap();
        assert_eq!((clone.read(Slot::Balloon, 0x100), clone.read(Slot::Balloon, 0x104)), (256, 200));
        assert_eq!(clone.devices.save().unwrap(), state);
        assert_eq!(clone.devices.set_balloon(100).unwrap_err().code, ErrorCode::Config);
        assert_eq!(clone.devices.set_balloon(SIZE + 4096).unwrap_err().code, ErrorCode::Config);
        let without = Guest::boot(options(&[0; 512]));
        assert_eq!(without.devices.set_balloon(4096).unwrap_err().code, ErrorCode::Config);
    }

    #[test]
    fn what_is_not_memory_or_is_named_again_and_again_is_answered_and_not_served() {
        let (mut guest, mut rings, _memory) = guest();
        let far = [0, MEMORY_BASE - 4096, MEMORY_BASE + SIZE, MEMORY_BASE + (1 << 40), u64::MAX - 4095];
        for address in far {
            rings[2].offer(&guest, &[(address, 4096, true)]);
        }
        rings[2].notify(&mut guest);
        assert_eq!((rings[2].completed(&guest).len(), reclaimed(&guest)), (far.len(), 0));
        let numbers = guest.allocate(64);
        guest.put(numbers, &[0xff; 64]);
        rings[0].offer(&guest, &[(numbers, 62, false)]);
        rings[0].notify(&mut guest);
        assert_eq!((rings[0].completed(&guest).len(), reclaimed(&guest)), (1, 0));
        let start = used(&mut guest);
        for _ in 0..20 {
            rings[2].offer(&guest, &[(start, 2 << 20, true), (start, 2 << 20, true)]);
        }
        rings[2].notify(&mut guest);
        assert_eq!((rings[2].completed(&guest).len(), reclaimed(&guest)), (20, SIZE));
    }
}
