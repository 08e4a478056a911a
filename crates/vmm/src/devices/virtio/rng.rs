//! Random bytes of the host's kernel, section 5.4 of the specification.

use std::time::Instant;

use super::device::VirtioDevice;
use super::queue::{QueueFault, VirtQueue};
use crate::devices::entropy;
use crate::devices::limits::{RateLimit, TokenBucket};
use crate::devices::rate_limiter::RateLimiter;
use crate::memory::GuestMemory;

const QUEUE_SIZE: u16 = 64;
/// Most bytes that a request gets; a device may give fewer than there is room for.
const REQUEST_MAX: usize = 1024;
/// What a guest gets that no limit was chosen for: enough for any use, and little for a host of many guests.
const DEFAULT_BYTES: TokenBucket = TokenBucket { per_second: 1 << 20, burst: 64 << 10 };

pub(in crate::devices) struct Rng {
    limiter: RateLimiter,
    held_until: Option<Instant>,
    bytes_given: u64,
}

impl Rng {
    pub(in crate::devices) fn new(limit: &RateLimit) -> Self {
        let limit = RateLimit { bytes: limit.bytes.or(Some(DEFAULT_BYTES)), ..*limit };
        Self { limiter: RateLimiter::new(&limit), held_until: None, bytes_given: 0 }
    }

    /// Random bytes that the guest got.
    pub(in crate::devices) fn bytes_given(&self) -> u64 {
        self.bytes_given
    }
}

impl VirtioDevice for Rng {
    const ID: u32 = 4;
    const QUEUE_SIZES: &'static [u16] = &[QUEUE_SIZE];

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn notified(
        &mut self,
        _queue: usize,
        queues: &mut [VirtQueue],
        memory: &GuestMemory,
    ) -> Result<(), QueueFault> {
        let [queue] = queues else { return Ok(()) };
        self.held_until = None;
        let mut random = [0; REQUEST_MAX];
        for _ in 0..queue.size() {
            if !queue.has_available(memory) {
                break;
            }
            self.held_until = self.limiter.held_until();
            if self.held_until.is_some() {
                break;
            }
            let Some(taken) = queue.take(memory)? else { break };
            let room = taken.chain.map(|chain| chain.writable).unwrap_or_default();
            let wanted = random.get_mut(..room.len().min(REQUEST_MAX)).unwrap_or_default();
            // Without random bytes the guest gets none, rather than bytes that are not random.
            let written = if entropy::fill(wanted).is_ok() { room.copy_from(wanted) } else { 0 };
            self.limiter.charge(written as u64);
            self.bytes_given = self.bytes_given.wrapping_add(written as u64);
            queue.complete(memory, taken.head, u32::try_from(written).unwrap_or_default())?;
        }
        Ok(())
    }

    fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    fn reset(&mut self) {
        self.held_until = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::devices::testing::{Guest, Ring, options};
    use crate::devices::{DeviceOptions, Watched};
    use crate::layout::{MEMORY_BASE, Slot};

    fn limited(limit: RateLimit) -> (Guest, Ring) {
        let mut options = DeviceOptions { rng: true, ..options(&[0; 512]) };
        options.limits.rng = limit;
        let mut guest = Guest::boot(options);
        let ring = guest.start(Slot::Rng, 1).remove(0);
        (guest, ring)
    }

    #[test]
    fn fills_buffers_with_bytes_that_differ_up_to_the_most_of_a_request() {
        let (mut guest, mut ring) = limited(RateLimit::default());
        assert_eq!(guest.read(Slot::Rng, 0x08), 4);
        let buffer = guest.allocate(8192);
        let first = ring.offer(&guest, &[(buffer, 20, true), (buffer + 100, 44, true)]);
        let second = ring.offer(&guest, &[(buffer + 4096, 4096, true)]);
        ring.notify(&mut guest);
        assert_eq!(ring.completed(&guest), [(first, 64), (second, 1024)]);
        assert_eq!(guest.interrupts.taken(), [Slot::Rng.spi()]);
        let bytes = guest.bytes(buffer + 4096, 1024);
        let words: std::collections::BTreeSet<&[u8]> = bytes.chunks(8).collect();
        assert_eq!(words.len(), 128, "no eight bytes come twice");
        assert_eq!(guest.bytes(buffer + 4096 + 1024, 1), [0]);
        assert_ne!(guest.bytes(buffer, 20), [0; 20]);
        assert_ne!(guest.bytes(buffer + 100, 44), [0; 44]);
        assert_eq!(guest.devices.counters().unwrap().random_bytes_given, 64 + 1024);
    }

    #[test]
    fn chains_without_room_are_given_back_empty() {
        let (mut guest, mut ring) = limited(RateLimit::default());
        let buffer = guest.allocate(64);
        for buffers in [[(buffer, 64, false)], [(MEMORY_BASE + (1 << 40), 64, true)]] {
            let head = ring.offer(&guest, &buffers);
            ring.notify(&mut guest);
            assert_eq!(ring.completed(&guest), [(head, 0)]);
        }
    }

    #[test]
    fn requests_beyond_the_limit_wait_for_the_timer() {
        let operations = Some(TokenBucket { per_second: 50, burst: 2 });
        let (mut guest, mut ring) = limited(RateLimit { operations, bytes: None });
        let buffer = guest.allocate(64);
        for _ in 0..6 {
            ring.offer(&guest, &[(buffer, 8, true)]);
        }
        let start = Instant::now();
        ring.notify(&mut guest);
        let mut done = ring.completed(&guest).len();
        assert!((2..6).contains(&done), "{done} went at once");
        while done < 6 {
            guest.wait_for(Watched::Timer);
            done += ring.completed(&guest).len();
        }
        assert!(start.elapsed() >= Duration::from_millis(80), "four requests at 50 a second");
    }

    #[test]
    fn a_microvm_has_one_if_it_is_wanted_and_keeps_what_it_has() {
        for rng in [true, false] {
            let mut guest = Guest::boot(DeviceOptions { rng, ..options(&[0; 512]) });
            let id = if rng { 4 } else { 0 };
            assert_eq!(guest.read(Slot::Rng, 0x08), id);
            let state = guest.devices.save().unwrap();
            let mut restored =
                guest.restore(DeviceOptions { rng: !rng, ..options(&[0; 512]) }, &state).unwrap();
            assert_eq!(restored.read(Slot::Rng, 0x08), id);
            assert_eq!(restored.devices.save().unwrap(), state);
        }
    }

    #[test]
    fn a_request_that_was_held_back_is_served_after_a_restore() {
        let operations = Some(TokenBucket { per_second: 1, burst: 1 });
        let (mut guest, mut ring) = limited(RateLimit { operations, bytes: None });
        let buffer = guest.allocate(64);
        let served = ring.offer(&guest, &[(buffer, 8, true)]);
        let held = ring.offer(&guest, &[(buffer, 8, true)]);
        ring.notify(&mut guest);
        assert_eq!(ring.completed(&guest), [(served, 8)]);
        let state = guest.devices.save().unwrap();
        let restored = guest.restore(options(&[0; 512]), &state).unwrap();
        assert_eq!(ring.completed(&restored), []);
        restored.devices.resume([1; 16]).unwrap();
        assert_eq!(ring.completed(&restored), [(held, 8)]);
    }
}
