//! A VM: its memory and its interrupt lines.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;
use vm_memory::MmapRegion;

use super::features::Features;
use super::system::Kvm;
use crate::devices::InterruptLine;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::{MEMORY_BASE, SPI_BASE};
use crate::memory::MemoryStack;
use crate::memory::mapping::Reservation;

/// The slot of guest memory.
const MEMORY_SLOT: u32 = 0;
/// The slot of a program that runs before the guest.
const PROGRAM_SLOT: u32 = 1;
/// Interrupt type of a shared peripheral interrupt in KVM_IRQ_LINE (Documentation/virt/kvm/api.rst, 4.25).
const IRQ_TYPE_SPI: u32 = 1 << 24;

/// One KVM VM, and the memory that it has: it stays mapped for as long as the VM lives. The kernel's VM lives for as long as a descriptor of
/// it, of a vCPU or of the interrupt controller is open, so [`Vcpu`](super::Vcpu) and [`Gic`](super::Gic) own a share of this, too.
#[derive(Debug)]
pub struct Vm {
    // Closed first.
    pub(super) fd: VmFd,
    memory: OnceLock<Arc<Reservation>>,
    program: Mutex<Option<MmapRegion<()>>>,
}

impl Vm {
    /// Creates a VM without memory.
    pub fn new(kvm: &Kvm) -> Result<Arc<Self>> {
        let fd = kvm
            .fd
            .create_vm_with_ipa_size(kvm.guest_address_bits())
            .map_err(VmmError::wrap(ErrorCode::Kvm, "create a VM"))?;
        Ok(Arc::new(Self { fd, memory: OnceLock::new(), program: Mutex::new(None) }))
    }

    /// What this VM's vCPUs are made with: what those of a snapshot had, or all that the host has.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE naming what this host lacks.
    pub fn vcpu_features(&self, saved: Option<u32>) -> Result<Features> {
        saved.map_or_else(|| Ok(Features::of_host(&self.fd)), |bits| Features::of_snapshot(bits, &self.fd))
    }

    /// Gives the VM its memory, once.
    ///
    /// # Errors
    /// FIRN_KVM if it has some, or KVM refuses.
    pub fn set_memory(&self, memory: &MemoryStack, log_writes: bool) -> Result<()> {
        self.memory
            .set(Arc::clone(memory.reservation()))
            .map_err(|_| VmmError::new(ErrorCode::Kvm, "the VM has its memory"))?;
        // SAFETY: from here on this VM has a share of the mapping.
        unsafe {
            self.set_region(kvm_userspace_memory_region {
                slot: MEMORY_SLOT,
                flags: if log_writes { KVM_MEM_LOG_DIRTY_PAGES } else { 0 },
                guest_phys_addr: MEMORY_BASE,
                memory_size: memory.size(),
                userspace_addr: memory.host_address() as u64,
            })
        }
    }

    /// Gives the VM memory for a program that runs before the guest does.
    ///
    /// # Errors
    /// FIRN_KVM if KVM refuses.
    pub fn add_program(&self, address: u64, memory: MmapRegion<()>) -> Result<()> {
        let region = kvm_userspace_memory_region {
            slot: PROGRAM_SLOT,
            flags: 0,
            guest_phys_addr: address,
            memory_size: memory.size() as u64,
            userspace_addr: memory.as_ptr() as u64,
        };
        let mut program = self.program.lock().unwrap_or_else(PoisonError::into_inner);
        *program = Some(memory);
        // SAFETY: this VM has the mapping until the slot is taken away.
        unsafe { self.set_region(region) }
    }

    /// Takes the memory of the program away.
    ///
    /// # Errors
    /// FIRN_KVM if KVM refuses; then the memory stays.
    pub fn remove_program(&self, address: u64) -> Result<()> {
        let region = kvm_userspace_memory_region {
            slot: PROGRAM_SLOT,
            guest_phys_addr: address,
            ..kvm_userspace_memory_region::default()
        };
        // SAFETY: a slot of no size refers to no memory.
        unsafe { self.set_region(region) }?;
        *self.program.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// # Safety
    /// The memory that the region names must stay mapped for as long as the slot has it.
    unsafe fn set_region(&self, region: kvm_userspace_memory_region) -> Result<()> {
        let doing = format!("give {} bytes of memory to the VM", region.memory_size);
        // SAFETY: the memory stays mapped by this function's contract.
        unsafe { self.fd.set_user_memory_region(region) }.map_err(VmmError::wrap(ErrorCode::Kvm, doing))
    }

    /// The guest pages written since the last call: one bit a host page, from [`MEMORY_BASE`] on.
    #[cfg(feature = "test-support")]
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
