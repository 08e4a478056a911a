//! The doorbell: says "snapshot me now, at exactly this instruction". Registers as in docs/formats.md.

use std::path::Path;

use crate::AgentError;
use crate::device_tree::find_device;
use crate::mmio::RegisterFrame;

const MAGIC_OFFSET: usize = 0x00;
const VERSION_OFFSET: usize = 0x04;
const DETAIL_OFFSET: usize = 0x0c;
const EVENT_OFFSET: usize = 0x10;

/// "FIRN", little-endian.
const MAGIC: u32 = 0x4e52_4946;
const VERSION: u32 = 1;

/// The part of the frame that holds registers, in bytes: one page of the guest.
const MAPPED_BYTES: usize = 4096;

/// A doorbell that answered with its magic number and a known version.
pub struct Doorbell {
    registers: RegisterFrame,
    count: u32,
}

impl Doorbell {
    /// Finds and maps the doorbell.
    ///
    /// # Errors
    ///
    /// If the device tree has none, `/dev/mem` does not let the agent map it, or what is there is no doorbell of version 1.
    pub fn probe(device_tree: &Path) -> Result<Self, AgentError> {
        let frame = find_device(device_tree, "firn,doorbell")?;
        let registers = RegisterFrame::map(frame.address, MAPPED_BYTES)
            .map_err(AgentError::system(format!("map the doorbell at {:#x} from /dev/mem", frame.address)))?;
        let found = (registers.read(MAGIC_OFFSET), registers.read(VERSION_OFFSET));
        if found != (Some(MAGIC), Some(VERSION)) {
            return Err(AgentError::DeviceTree(format!(
                "no doorbell of version {VERSION} answers: {found:x?}"
            )));
        }
        Ok(Self { registers, count: 0 })
    }

    /// Rings. When this returns, the machine has perhaps been snapshotted, and runs perhaps as one of many clones.
    pub fn ring(&mut self, event: u32, detail: u32) {
        let _ = self.registers.write(DETAIL_OFFSET, detail);
        let _ = self.registers.write(EVENT_OFFSET, event);
        self.count = self.count.wrapping_add(1);
    }

    /// How often a ring has returned: rises by one with every resume.
    pub fn count(&self) -> u32 {
        self.count
    }
}
