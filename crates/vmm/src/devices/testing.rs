//! What the tests of devices share.

use std::sync::Mutex;

use super::interrupt::InterruptLine;
use crate::error::Result;

/// An interrupt line that remembers what was raised.
#[derive(Default)]
pub(crate) struct RecordedInterrupts(Mutex<Vec<u32>>);

impl RecordedInterrupts {
    /// The interrupts raised since the last call, in order.
    pub(crate) fn taken(&self) -> Vec<u32> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl InterruptLine for RecordedInterrupts {
    fn raise(&self, spi: u32) -> Result<()> {
        self.0.lock().unwrap().push(spi);
        Ok(())
    }
}
