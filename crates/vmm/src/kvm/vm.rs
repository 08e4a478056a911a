//! A VM: its memory slot and its interrupt lines.

use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;

use super::features::Features;
use super::system::Kvm;
use crate::devices::InterruptLine;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::{MEMORY_BASE, SPI_BASE};

/// The slot of guest memory.
const MEMORY_SLOT: u32 = 0;
/// The slot of a program that runs before the guest.
const PROGRAM_SLOT: u32 = 1;
/// Interrupt type of a shared peripheral interrupt in KVM_IRQ_LINE (Documentation/virt/kvm/api.rst, 4.25).
const IRQ_TYPE_SPI: u32 = 1 << 24;

/// One KVM VM.
#[derive(Debug)]
pub struct Vm {
    pub(super) fd: VmFd,
}

impl Vm {
    /// Creates a VM without memory.
    pub fn new(kvm: &Kvm) -> Result<Self> {
        let fd = kvm
            .fd
            .create_vm_with_ipa_size(kvm.guest_address_bits())
            .map_err(VmmError::wrap(ErrorCode::Kvm, "create a VM"))?;
        Ok(Self { fd })
    }

    /// What this VM's vCPUs are made with: what those of a snapshot had, or all that the host has.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE naming what this host lacks.
    pub fn vcpu_features(&self, saved: Option<u32>) -> Result<Features> {
        saved.map_or_else(|| Ok(Features::of_host(&self.fd)), |bits| Features::of_snapshot(bits, &self.fd))
    }

    /// Gives the VM its memory.
    ///
    /// # Safety
    /// `host_address` to `host_address + size` must stay mapped for as long as the VM lives.
    pub unsafe fn set_memory(&self, host_address: *mut u8, size: u64, log_writes: bool) -> Result<()> {
        let region = kvm_userspace_memory_region {
            slot: MEMORY_SLOT,
            flags: if log_writes { KVM_MEM_LOG_DIRTY_PAGES } else { 0 },
            guest_phys_addr: MEMORY_BASE,
            memory_size: size,
            userspace_addr: host_address as u64,
        };
        // SAFETY: the memory stays mapped by this function's contract.
        unsafe { self.set_region(region) }
    }

    /// Gives the VM memory for a program that runs before the guest does.
    ///
    /// # Safety
    /// `host_address` to `host_address + size` must stay mapped until [`Vm::remove_program`].
    pub unsafe fn add_program(&self, address: u64, host_address: *mut u8, size: usize) -> Result<()> {
        let region = kvm_userspace_memory_region {
            slot: PROGRAM_SLOT,
            flags: 0,
            guest_phys_addr: address,
            memory_size: size as u64,
            userspace_addr: host_address as u64,
        };
        // SAFETY: the memory stays mapped by this function's contract.
        unsafe { self.set_region(region) }
    }

    /// Takes the memory of the program away.
    pub fn remove_program(&self, address: u64) -> Result<()> {
        let region = kvm_userspace_memory_region {
            slot: PROGRAM_SLOT,
            guest_phys_addr: address,
            ..kvm_userspace_memory_region::default()
        };
        // SAFETY: a slot of no size refers to no memory.
        unsafe { self.set_region(region) }
    }

    /// # Safety
    /// The memory that the region names must stay mapped for as long as the slot has it.
    unsafe fn set_region(&self, region: kvm_userspace_memory_region) -> Result<()> {
        let doing = format!("give {} bytes of memory to the VM", region.memory_size);
        // SAFETY: the memory stays mapped by this function's contract.
        unsafe { self.fd.set_user_memory_region(region) }.map_err(VmmError::wrap(ErrorCode::Kvm, doing))
    }

    /// The guest pages written since the last call: one bit a host page, from [`MEMORY_BASE`] on.
    pub fn dirty_log(&self, size: u64) -> Result<Vec<u64>> {
        let size = usize::try_from(size).map_err(VmmError::wrap(ErrorCode::Memory, "memory size"))?;
        self.fd.get_dirty_log(MEMORY_SLOT, size).map_err(VmmError::wrap(ErrorCode::Kvm, "read the dirty log"))
    }
}

impl InterruptLine for Vm {
    /// An edge: KVM latches the rising level and ignores a falling one.
    fn raise(&self, spi: u32) -> Result<()> {
        self.fd
            .set_irq_line(IRQ_TYPE_SPI | (SPI_BASE + spi), true)
            .map_err(VmmError::wrap(ErrorCode::Kvm, format!("raise interrupt {spi}")))
    }
}
