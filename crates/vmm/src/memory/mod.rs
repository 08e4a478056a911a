//! Guest memory of one microVM: one reservation of address space over which a stack of layers is mapped.
//!
//! | module | what |
//! |---|---|
//! | [`stack`] | [`MemoryStack`]: the stack of layers, and memory as devices and KVM see it |
//! | `load` | carries out a plan, with as few system calls as it can |
//! | `plan` | which parts of which layer are mapped, copied or cleared |
//! | `reclaim` | takes back what the guest does not use |
//! | [`report`] | what loading took |
//! | `mapping` | the only unsafe code: system calls on the reservation and bounded access to it |
//!
//! Each uses those below it.

mod load;
pub(crate) mod mapping;
mod plan;
#[cfg(test)]
mod plan_tests;
mod reclaim;
pub mod report;
pub mod stack;
#[cfg(test)]
pub(crate) mod testing;

use vm_memory::bitmap::AtomicBitmap;

pub use reclaim::Reclaimer;
pub use report::LoadReport;
pub use stack::{GuestMemoryOptions, MemoryStack};

/// Guest memory as the devices see it: one region at [`crate::layout::MEMORY_BASE`]. The bitmap, if there is one, records what
/// the VMM itself writes, which the KVM dirty log does not see.
pub type GuestMemory = vm_memory::GuestMemoryMmap<Option<AtomicBitmap>>;
