//! The doorbell: the guest's way to say "snapshot me now, at exactly this instruction".
//!
//! Registers are 32 bits wide. Any other access reads as zero and is ignored when written. The register map is part of
//! the ABI with the guest agent; `docs/formats.md` owns it.

use serde::{Deserialize, Serialize};

use super::MmioOutcome;
use super::register;

const MAGIC: u64 = 0x00;
const VERSION: u64 = 0x04;
const GENERATION: u64 = 0x08;
const DETAIL: u64 = 0x0c;
const EVENT: u64 = 0x10;

/// "FIRN", read as a little-endian word.
const MAGIC_VALUE: u32 = 0x4e52_4946;
const VERSION_VALUE: u32 = 1;

/// Events a guest can ring: 1 booted, 2 base ready, 3 warm, 4 failed.
const EVENTS: std::ops::RangeInclusive<u32> = 1..=4;

// The agent in a guest is built with these.
const _: () =
    assert!(MAGIC == 0x00 && VERSION == 0x04 && GENERATION == 0x08 && DETAIL == 0x0c && EVENT == 0x10);
const _: () = assert!(MAGIC_VALUE == 0x4e52_4946 && VERSION_VALUE == 1);
const _: () = assert!(*EVENTS.start() == 1 && *EVENTS.end() == 4);

/// State of the doorbell in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorbellState {
    /// Resumes since boot, over all snapshots of the chain.
    pub generation: u32,
    /// What the guest last wrote to DETAIL.
    pub detail: u32,
}

pub(super) struct Doorbell {
    state: DoorbellState,
    leaf: bool,
}

impl Doorbell {
    /// With the state of a VM that boots, or of a snapshot. A leaf does not report events.
    pub(super) fn new(state: DoorbellState, leaf: bool) -> Self {
        Self { state, leaf }
    }

    pub(super) fn state(&self) -> DoorbellState {
        self.state.clone()
    }

    pub(super) fn read(&self, offset: u64, data: &mut [u8]) {
        register::read(data, offset, |register| match register {
            MAGIC => MAGIC_VALUE,
            VERSION => VERSION_VALUE,
            GENERATION => self.state.generation,
            _ => 0,
        });
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> MmioOutcome {
        match register::written(data, offset) {
            Some((DETAIL, detail)) => {
                self.state.detail = detail;
                MmioOutcome::Done
            }
            Some((EVENT, event)) if !self.leaf && EVENTS.contains(&event) => {
                MmioOutcome::Doorbell { event, detail: self.state.detail }
            }
            _ => MmioOutcome::Done,
        }
    }

    /// Counts a resume.
    pub(super) fn resume(&mut self) {
        self.state.generation = self.state.generation.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(doorbell: &Doorbell, offset: u64) -> u32 {
        let mut data = [0; 4];
        doorbell.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn identifies_itself_and_counts_resumes() {
        let mut doorbell = Doorbell::new(DoorbellState::default(), false);
        let mut magic = [0; 4];
        doorbell.read(0, &mut magic);
        assert_eq!(&magic, b"FIRN");
        assert_eq!((read(&doorbell, 4), read(&doorbell, 8)), (1, 0));
        doorbell.resume();
        let restored = Doorbell::new(doorbell.state(), true);
        assert_eq!(read(&restored, 8), 1);
    }

    #[test]
    fn reports_an_event_with_the_detail_written_before_it() {
        let mut doorbell = Doorbell::new(DoorbellState::default(), false);
        assert_eq!(doorbell.write(DETAIL, &77u32.to_le_bytes()), MmioOutcome::Done);
        assert_eq!(
            doorbell.write(EVENT, &3u32.to_le_bytes()),
            MmioOutcome::Doorbell { event: 3, detail: 77 }
        );
    }

    #[test]
    fn ignores_events_of_a_leaf_unknown_events_and_other_widths() {
        let mut leaf = Doorbell::new(DoorbellState::default(), true);
        assert_eq!(leaf.write(EVENT, &2u32.to_le_bytes()), MmioOutcome::Done);
        let mut doorbell = Doorbell::new(DoorbellState::default(), false);
        for event in [0u32, 5, u32::MAX] {
            assert_eq!(doorbell.write(EVENT, &event.to_le_bytes()), MmioOutcome::Done);
        }
        assert_eq!(doorbell.write(EVENT, &[2]), MmioOutcome::Done);
        assert_eq!(doorbell.write(EVENT, &2u64.to_le_bytes()), MmioOutcome::Done);
        assert_eq!(doorbell.write(EVENT + 1, &2u32.to_le_bytes()), MmioOutcome::Done);
        let mut byte = [0xff];
        doorbell.read(MAGIC, &mut byte);
        assert_eq!(byte, [0]);
    }
}
