//! Data cache maintenance for guest memory that the guest maps as device memory.

use vm_memory::VolatileSlice;
use vm_memory::bitmap::BitmapSlice;

/// Smallest data cache line of any ARMv8 core, bytes.
#[cfg(target_arch = "aarch64")]
const LINE: usize = 16;

/// Writes guest memory back from the data cache to the point of coherency.
///
/// Linux' generation id driver uses `ioremap`, that is, device memory that bypasses the cache: on a host without FEAT_S2FWB
/// it would not see what this process wrote. A no-op where the guest always shares the host's view.
pub(super) fn clean<B: BitmapSlice>(slice: &VolatileSlice<'_, B>) {
    let guard = slice.ptr_guard();
    clean_lines(guard.as_ptr(), guard.len());
}

#[cfg(target_arch = "aarch64")]
fn clean_lines(start: *const u8, length: usize) {
    for offset in (0..length).step_by(LINE) {
        let line = start.wrapping_add(offset);
        // SAFETY: the address lies in mapped guest memory, as the guard of the slice holds it; cleaning a line changes no
        // memory contents, and Linux allows `dc cvac` in user space (SCTLR_EL1.UCI).
        unsafe { std::arch::asm!("dc cvac, {line}", line = in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier touches no memory.
    unsafe { std::arch::asm!("dsb sy", options(nostack, preserves_flags)) };
}

#[cfg(not(target_arch = "aarch64"))]
fn clean_lines(_start: *const u8, _length: usize) {}
