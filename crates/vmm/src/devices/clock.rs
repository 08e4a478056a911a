//! The PL031 real-time clock. It shows the host's wall clock plus an offset that the guest may set; a restored clock
//! therefore shows the time of the restore, not that of the snapshot.
//!
//! The alarm is not implemented (nor is it in `vm_superio`): the device tree gives the clock no interrupt.

use serde::{Deserialize, Serialize};
use vm_superio::Rtc;
use vm_superio::rtc_pl031::{NoEvents, RtcState};

/// State of the clock in a snapshot: the registers, with the counter as an offset from the host's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// Load register, seconds.
    pub load: u32,
    /// Seconds that the guest's clock is ahead of the host's.
    pub offset: i64,
    /// Match register.
    pub match_: u32,
    /// Interrupt mask.
    pub mask: u32,
    /// Raw interrupt status.
    pub raw_status: u32,
}

pub(super) struct Clock(Rtc<NoEvents>);

impl Clock {
    pub(super) fn new(state: &ClockState) -> Self {
        let state = RtcState {
            lr: state.load,
            offset: state.offset,
            mr: state.match_,
            imsc: state.mask,
            ris: state.raw_status,
        };
        Self(Rtc::from_state(&state, NoEvents))
    }

    pub(super) fn state(&self) -> ClockState {
        let state = self.0.state();
        ClockState {
            load: state.lr,
            offset: state.offset,
            match_: state.mr,
            mask: state.imsc,
            raw_status: state.ris,
        }
    }

    pub(super) fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let (Ok(offset), Ok(word)) = (u16::try_from(offset), <&mut [u8; 4]>::try_from(data))
            && offset.is_multiple_of(4)
        {
            self.0.read(offset, word);
        }
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        if let (Ok(offset), Ok(word)) = (u16::try_from(offset), <&[u8; 4]>::try_from(data))
            && offset.is_multiple_of(4)
        {
            self.0.write(offset, word);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    const DATA: u64 = 0x00;
    const LOAD: u64 = 0x08;

    fn shown(clock: &mut Clock) -> u64 {
        let mut data = [0; 4];
        clock.read(DATA, &mut data);
        u64::from(u32::from_le_bytes(data))
    }

    #[test]
    fn shows_host_time_and_keeps_the_offset_the_guest_set_through_a_restore() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut clock = Clock::new(&ClockState::default());
        assert!(shown(&mut clock).abs_diff(now) <= 2);

        clock.write(LOAD, &1000u32.to_le_bytes());
        let mut restored = Clock::new(&clock.state());
        assert!(shown(&mut restored).abs_diff(1000) <= 2);
        assert_eq!(restored.state(), clock.state());
    }

    #[test]
    fn answers_the_primecell_id_and_zeros_to_other_widths() {
        let mut clock = Clock::new(&ClockState::default());
        let mut id = [0; 4];
        clock.read(0xff0, &mut id);
        assert_eq!(id[0], 0x0d);
        let mut wide = [0xff; 8];
        clock.read(DATA, &mut wide);
        assert_eq!(wide, [0; 8]);
        clock.read(0xffff, &mut id);
        assert_eq!(id, [0; 4]);
    }
}
