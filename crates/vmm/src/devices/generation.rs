//! The VM generation id: 16 bytes in guest memory that change whenever the guest's state is used again, and an
//! interrupt that says so. On it, Linux (6.10 and newer, `drivers/virt/vmgenid.c`) reseeds its random number generator.

use vm_memory::{GuestAddress, GuestMemoryBackend};

use super::cache;
use super::interrupt::SlotInterrupt;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::GENERATION_ID_ADDRESS;
use crate::memory::GuestMemory;

pub(super) struct Generation {
    interrupt: SlotInterrupt,
}

impl Generation {
    pub(super) fn new(interrupt: SlotInterrupt) -> Self {
        Self { interrupt }
    }

    /// Writes an id to guest memory, without an interrupt.
    pub(super) fn write_id(memory: &GuestMemory, id: [u8; 16]) -> Result<()> {
        let place = memory
            .get_slice(GuestAddress(GENERATION_ID_ADDRESS), id.len())
            .map_err(VmmError::wrap(ErrorCode::Memory, "writing the VM generation id to guest memory"))?;
        place.copy_from(&id);
        cache::clean(&place);
        Ok(())
    }

    /// Writes an id to guest memory and tells the guest.
    pub(super) fn change(&mut self, memory: &GuestMemory, id: [u8; 16]) -> Result<()> {
        Self::write_id(memory, id)?;
        self.interrupt.raise()
    }
}
