//! Guest memory of one microVM: one reservation of address space over which a stack of layers is mapped.
//!
//! | module | what |
//! |---|---|
//! | [`guest`] | [`MemoryStack`]: the stack of layers, and memory as devices and KVM see it |
//! | `plan` | which parts of which layer are mapped, copied or cleared |
//! | [`loading`] | [`Loading`]: a stack of layers that may not be complete yet |
//! | `load` | carries out a plan's mappings, with as few system calls as it can |
//! | `copy` | copies short runs, by two threads if there is one that helps |
//! | `mapping` | the only unsafe code: system calls on the reservation and bounded access to it |

mod copy;
pub mod guest;
mod load;
pub mod loading;
pub(crate) mod mapping;
mod plan;
#[cfg(test)]
mod plan_tests;

use vm_memory::bitmap::AtomicBitmap;

pub use copy::{Helper, SharedWork};
pub use guest::{GuestMemoryOptions, LoadOptions, LoadReport, MemoryStack, Populate};
pub use loading::Loading;

/// Guest memory as the devices see it: one region at [`crate::layout::MEMORY_BASE`]. The bitmap, if there is one, records what
/// the VMM itself writes, which the KVM dirty log does not see.
pub type GuestMemory = vm_memory::GuestMemoryMmap<Option<AtomicBitmap>>;
