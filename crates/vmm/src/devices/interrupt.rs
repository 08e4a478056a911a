//! How devices interrupt the guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Result, VmmError};
use crate::layout::Slot;

/// Raises edge-triggered shared peripheral interrupts, numbered as [`Slot::spi`] does.
pub trait InterruptLine: Send + Sync {
    /// Pulses the interrupt. An error means that the interrupt controller cannot be reached any more.
    fn raise(&self, spi: u32) -> Result<()>;
}

/// All interrupts of one microVM, counted.
pub(super) struct Interrupts {
    line: Arc<dyn InterruptLine>,
    raised: AtomicU64,
}

impl Interrupts {
    pub(super) fn new(line: Arc<dyn InterruptLine>) -> Arc<Self> {
        Arc::new(Self { line, raised: AtomicU64::new(0) })
    }

    /// Number of interrupts raised.
    pub(super) fn raised(&self) -> u64 {
        self.raised.load(Ordering::Relaxed)
    }
}

/// The interrupt of one slot.
pub(super) struct SlotInterrupt {
    interrupts: Arc<Interrupts>,
    slot: Slot,
    armed: AtomicBool,
}

impl SlotInterrupt {
    pub(super) fn new(interrupts: &Arc<Interrupts>, slot: Slot) -> Self {
        Self { interrupts: Arc::clone(interrupts), slot, armed: AtomicBool::new(true) }
    }

    /// An interrupt that swallows raises until [`SlotInterrupt::arm`]: for devices whose constructor raises what was
    /// pending, which a restored interrupt controller already knows.
    pub(super) fn disarmed(interrupts: &Arc<Interrupts>, slot: Slot) -> Self {
        Self { armed: AtomicBool::new(false), ..Self::new(interrupts, slot) }
    }

    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(super) fn raise(&self) -> Result<()> {
        if !self.armed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.count_raised();
        self.interrupts.line.raise(self.slot.spi())
    }

    /// Counts one that was raised without this.
    pub(super) fn count_raised(&self) {
        self.interrupts.raised.fetch_add(1, Ordering::Relaxed);
    }
}

impl vm_superio::Trigger for SlotInterrupt {
    type E = VmmError;

    fn trigger(&self) -> Result<()> {
        self.raise()
    }
}
