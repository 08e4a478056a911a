//! Guest memory of one microVM.

use vm_memory::bitmap::AtomicBitmap;

/// Guest memory as the devices see it: one region at [`crate::layout::MEMORY_BASE`]. The bitmap, if there is one, records what
/// the VMM itself writes, which the KVM dirty log does not see.
pub type GuestMemory = vm_memory::GuestMemoryMmap<Option<AtomicBitmap>>;
