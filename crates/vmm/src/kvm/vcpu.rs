//! A vCPU: initialisation, registers, and the counter that is the guest's time.

use std::sync::atomic::AtomicU8;

use kvm_bindings::{
    KVM_ARM_VCPU_POWER_OFF, KVM_ARM_VCPU_PSCI_0_2, KVM_ARM_VCPU_PTRAUTH_ADDRESS,
    KVM_ARM_VCPU_PTRAUTH_GENERIC, KVM_ARM_VCPU_SVE, RegList, kvm_mp_state, kvm_vcpu_init,
};
use kvm_ioctls::{VcpuExit, VcpuFd};

use super::registers::{self, width};
use super::vm::Vm;
use crate::error::{ErrorCode, Result, VmmError};
use crate::snapshot::VcpuState;

/// Room for a register list, the most that kvm-bindings allows. CPUs have 250 to 400 registers, with SVE included.
const REGISTER_LIST_SIZE: usize = 500;

/// One vCPU.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
    index: u8,
    init: kvm_vcpu_init,
}

/// The guest's two counters at one moment, in ticks of CNTFRQ.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    timer: u64,
    physical: Option<u64>,
}

/// A byte of the shared `kvm_run` page that ends KVM_RUN before the next guest instruction when it is not zero.
#[derive(Debug, Clone, Copy)]
pub struct ImmediateExit(*mut u8);

// SAFETY: the byte is only accessed atomically, and the page outlives the vCPU's thread, which holds the `Vcpu`.
unsafe impl Send for ImmediateExit {}

impl ImmediateExit {
    /// Makes the running or the next KVM_RUN of this vCPU return EINTR (a running one needs a signal besides), or not.
    ///
    /// # Safety
    /// The [`Vcpu`] must be alive.
    pub unsafe fn set(self, exit: bool) {
        // SAFETY: the pointer is into the `kvm_run` mapping of a live vCPU; the kernel reads the byte, nobody else writes it.
        let byte = unsafe { AtomicU8::from_ptr(self.0) };
        byte.store(u8::from(exit), std::sync::atomic::Ordering::SeqCst);
    }
}

impl Vcpu {
    /// Creates and initialises vCPU `index`. All but the first start switched off, to be switched on by PSCI.
    pub fn new(vm: &Vm, index: u8) -> Result<Self> {
        let fd = vm
            .fd
            .create_vcpu(u64::from(index))
            .map_err(VmmError::wrap(ErrorCode::Kvm, format!("create vCPU {index}")))?;
        let mut init = kvm_vcpu_init::default();
        vm.fd
            .get_preferred_target(&mut init)
            .map_err(VmmError::wrap(ErrorCode::Kvm, "find the CPU type to emulate"))?;
        let mut features = 1 << KVM_ARM_VCPU_PSCI_0_2;
        if vm.sve {
            features |= 1 << KVM_ARM_VCPU_SVE;
        }
        if vm.pointer_authentication {
            features |= 1 << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1 << KVM_ARM_VCPU_PTRAUTH_GENERIC;
        }
        if index > 0 {
            features |= 1 << KVM_ARM_VCPU_POWER_OFF;
        }
        init.features[0] = features;
        fd.vcpu_init(&init).map_err(VmmError::wrap(ErrorCode::Kvm, format!("initialise vCPU {index}")))?;
        Ok(Self { fd, index, init })
    }

    /// Makes the features final. After this the register list is complete.
    pub fn finalize(&self) -> Result<()> {
        if self.init.features[0] & 1 << KVM_ARM_VCPU_SVE == 0 {
            return Ok(());
        }
        let feature = i32::try_from(KVM_ARM_VCPU_SVE).unwrap_or_default();
        self.fd.vcpu_finalize(&feature).map_err(VmmError::wrap(ErrorCode::Kvm, "finalise SVE"))
    }

    /// Points the first vCPU at the kernel's entry, with the device tree's address in X0 (Documentation/arch/arm64/booting.rst).
    pub fn set_boot_registers(&self, entry: u64, device_tree: u64) -> Result<()> {
        self.write(registers::PSTATE, registers::PSTATE_BOOT)?;
        if self.index == 0 {
            self.write(registers::PC, entry)?;
            self.write(registers::X0, device_tree)?;
        }
        Ok(())
    }

    /// This vCPU's MPIDR_EL1.
    pub fn mpidr(&self) -> Result<u64> {
        self.read(registers::MPIDR_EL1)
    }

    /// Reads a 64-bit register.
    pub fn read(&self, id: u64) -> Result<u64> {
        let mut bytes = [0_u8; 8];
        self.fd
            .get_one_reg(id, &mut bytes)
            .map_err(VmmError::wrap(ErrorCode::Kvm, format!("read register {id:#x}")))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&self, id: u64, value: u64) -> Result<()> {
        self.write_bytes(id, &value.to_le_bytes())
    }

    fn write_bytes(&self, id: u64, bytes: &[u8]) -> Result<()> {
        self.fd.set_one_reg(id, bytes).map(|_| ()).map_err(|error| {
            VmmError::new(
                ErrorCode::SnapshotIncompatible,
                format!(
                    "register {id:#x} of vCPU {} does not take the value {bytes:02x?}: {error}; rebuild the snapshot on this host",
                    self.index
                ),
            )
        })
    }

    /// The ids of all registers that this vCPU has.
    pub fn register_ids(&self) -> Result<Vec<u64>> {
        let mut list = RegList::new(REGISTER_LIST_SIZE)
            .map_err(VmmError::wrap(ErrorCode::Kvm, "make room for the register list"))?;
        self.fd.get_reg_list(&mut list).map_err(VmmError::wrap(ErrorCode::Kvm, "list the registers"))?;
        Ok(list.as_slice().to_vec())
    }

    /// Reads everything. The vCPU must have completed its last exit (see [`Vcpu::complete_exit`]). The counters go on while
    /// vCPUs are stopped and the guest's time does not, so their values are given.
    pub fn save(&self, counters: Counters) -> Result<VcpuState> {
        let ids = self.register_ids()?;
        let mut values = Vec::with_capacity(ids.len() * 8);
        for &id in &ids {
            let start = values.len();
            values.resize(start + width(id), 0);
            let bytes = values.get_mut(start..).unwrap_or_default();
            match (id, counters.physical) {
                (registers::TIMER_COUNT, _) => bytes.copy_from_slice(&counters.timer.to_le_bytes()),
                (registers::PHYSICAL_TIMER_COUNT, Some(count)) => bytes.copy_from_slice(&count.to_le_bytes()),
                _ => {
                    self.fd
                        .get_one_reg(id, bytes)
                        .map_err(VmmError::wrap(ErrorCode::Kvm, format!("read register {id:#x}")))?;
                }
            }
        }
        let power =
            self.fd.get_mp_state().map_err(VmmError::wrap(ErrorCode::Kvm, "read a vCPU's power state"))?;
        Ok(VcpuState {
            target: self.init.target,
            features: self.init.features[0] & !(1 << KVM_ARM_VCPU_POWER_OFF),
            power_state: power.mp_state,
            register_ids: ids,
            register_values: values,
        })
    }

    /// Like [`Vcpu::finalize`], with the SVE vector lengths of a snapshot.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE if this host's vCPU has other features.
    pub fn finalize_as(&self, state: &VcpuState) -> Result<()> {
        let own = self.init.features[0] & !(1 << KVM_ARM_VCPU_POWER_OFF);
        if (state.target, state.features) != (self.init.target, own) {
            return Err(VmmError::new(
                ErrorCode::SnapshotIncompatible,
                format!(
                    "the snapshot's vCPU has target {} and features {:#x}, this host's has {} and {own:#x}; rebuild the snapshot here",
                    state.target, state.features, self.init.target
                ),
            ));
        }
        for (id, value) in state.registers()? {
            if id == registers::SVE_VECTOR_LENGTHS {
                self.write_bytes(id, value)?;
            }
        }
        self.finalize()
    }

    /// Writes everything but the counters, which [`Vcpu::set_counters`] writes last. The vCPU must be final.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE if this host's vCPU refuses a value.
    pub fn restore(&self, state: &VcpuState) -> Result<Counters> {
        let mut counters = Counters { timer: 0, physical: None };
        for (id, value) in state.registers()? {
            match id {
                registers::SVE_VECTOR_LENGTHS => {}
                registers::TIMER_COUNT => counters.timer = to_u64(value),
                registers::PHYSICAL_TIMER_COUNT => counters.physical = Some(to_u64(value)),
                _ => self.write_bytes(id, value)?,
            }
        }
        self.fd
            .set_mp_state(kvm_mp_state { mp_state: state.power_state })
            .map_err(VmmError::wrap(ErrorCode::SnapshotCorrupt, "write a vCPU's power state"))?;
        Ok(counters)
    }

    /// The guest's time now.
    pub fn counters(&self) -> Result<Counters> {
        Ok(Counters {
            timer: self.read(registers::TIMER_COUNT)?,
            physical: self.read(registers::PHYSICAL_TIMER_COUNT).ok(),
        })
    }

    /// Sets the guest's time; the counter goes on from there. The offset is the VM's, so one vCPU is enough.
    pub fn set_counters(&self, counters: Counters) -> Result<()> {
        self.write(registers::TIMER_COUNT, counters.timer)?;
        match counters.physical {
            Some(count) => self.write(registers::PHYSICAL_TIMER_COUNT, count),
            None => Ok(()),
        }
    }

    /// The switch that ends KVM_RUN.
    pub fn immediate_exit(&mut self) -> ImmediateExit {
        ImmediateExit(&raw mut self.fd.get_kvm_run().immediate_exit)
    }

    /// Lets KVM finish the instruction that caused the last exit, so that the program counter is behind it, without running
    /// another one.
    pub fn complete_exit(&mut self) -> Result<()> {
        self.fd.set_kvm_immediate_exit(1);
        let outcome = match self.fd.run() {
            Ok(_) => Err(VmmError::new(ErrorCode::Kvm, "KVM_RUN did not heed immediate_exit")),
            Err(error) if error.errno() == libc::EINTR => Ok(()),
            Err(error) => Err(VmmError::wrap(ErrorCode::Kvm, "complete the last exit")(error)),
        };
        self.fd.set_kvm_immediate_exit(0);
        outcome
    }

    /// Runs guest code until the next exit.
    pub fn run(&mut self) -> std::result::Result<VcpuExit<'_>, kvm_ioctls::Error> {
        self.fd.run()
    }
}

fn to_u64(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_le_bytes).unwrap_or_default()
}
