//! Registers of a device, mapped from `/dev/mem`.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use rustix::mm::{MapFlags, ProtFlags, mmap};

/// A mapped frame of 32-bit registers.
pub struct RegisterFrame {
    base: *mut u32,
    size: usize,
}

impl RegisterFrame {
    /// Maps `size` bytes of device registers at a guest physical address, both multiples of the page size.
    pub fn map(physical_address: u64, size: usize) -> io::Result<Self> {
        // O_SYNC makes the mapping uncached: Device memory on arm64.
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_SYNC | libc::O_CLOEXEC)
            .open("/dev/mem")?;
        // SAFETY: a new mapping at an address of the kernel's choice; STRICT_DEVMEM keeps it off RAM.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                size,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &memory,
                physical_address,
            )
        }?;
        Ok(Self { base: base.cast(), size })
    }

    /// Reads the register at a byte offset; `None` outside the frame or off alignment.
    pub fn read(&self, offset: usize) -> Option<u32> {
        let register = self.register(offset)?;
        // SAFETY: `register` is aligned and inside the mapping, which lives as long as `self`.
        Some(unsafe { load(register) })
    }

    /// Writes the register at a byte offset; `None` outside the frame or off alignment.
    pub fn write(&self, offset: usize, value: u32) -> Option<()> {
        let register = self.register(offset)?;
        // SAFETY: `register` is aligned and inside the mapping, which lives as long as `self`.
        unsafe { store(register, value) };
        Some(())
    }

    fn register(&self, offset: usize) -> Option<*mut u32> {
        let inside = offset.is_multiple_of(4) && offset.checked_add(4)? <= self.size;
        inside.then(|| self.base.wrapping_byte_add(offset))
    }
}

impl Drop for RegisterFrame {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to this value; no reference into it exists.
        let _ = unsafe { rustix::mm::munmap(self.base.cast(), self.size) };
    }
}

// A hypervisor can only complete a single load or store without writeback: other forms carry no syndrome. Compilers may choose
// those for a volatile access, hence assembly.
#[cfg(target_arch = "aarch64")]
unsafe fn load(register: *mut u32) -> u32 {
    let value: u32;
    // SAFETY: the caller passes an aligned, mapped register.
    unsafe {
        core::arch::asm!("ldr {value:w}, [{register}]", value = out(reg) value, register = in(reg) register,
            options(nostack, preserves_flags));
    }
    value
}

#[cfg(target_arch = "aarch64")]
unsafe fn store(register: *mut u32, value: u32) {
    // SAFETY: the caller passes an aligned, mapped register.
    unsafe {
        core::arch::asm!("str {value:w}, [{register}]", value = in(reg) value, register = in(reg) register,
            options(nostack, preserves_flags));
    }
}

#[cfg(not(target_arch = "aarch64"))]
unsafe fn load(register: *mut u32) -> u32 {
    // SAFETY: the caller passes an aligned, mapped register.
    unsafe { register.read_volatile() }
}

#[cfg(not(target_arch = "aarch64"))]
unsafe fn store(register: *mut u32, value: u32) {
    // SAFETY: the caller passes an aligned, mapped register.
    unsafe { register.write_volatile(value) }
}
