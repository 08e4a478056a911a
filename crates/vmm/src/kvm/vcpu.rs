//! A vCPU: initialisation, registers, and the counter that is the guest's time.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use kvm_bindings::{KVM_ARM_VCPU_SVE, kvm_mp_state, kvm_vcpu_init};
use kvm_ioctls::{VcpuExit, VcpuFd};

use super::features::Features;
use super::registers::{self, width};
use super::vm::Vm;
use crate::error::{ErrorCode, Result, VmmError};
use crate::snapshot::fingerprint::other_host;
use crate::snapshot::register_id::name;
use crate::snapshot::{VcpuState, VectorLengths};

/// `_IOWR(KVMIO, 0xb0, struct kvm_reg_list)`.
const KVM_GET_REG_LIST: u32 = 0xc008_aeb0;
/// For how many registers there is room at first. CPUs have 250 to 400, with SVE included.
const REGISTERS_EXPECTED: usize = 500;

/// One vCPU.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
    index: u8,
    target: u32,
    features: Features,
    // Behind the descriptor, which keeps the kernel's VM alive.
    _vm: Arc<Vm>,
}

/// The guest's two counters at one moment, in ticks of CNTFRQ.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    pub(crate) timer: u64,
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
    pub fn new(vm: &Arc<Vm>, index: u8, features: Features) -> Result<Self> {
        let fd = vm
            .fd
            .create_vcpu(u64::from(index))
            .map_err(VmmError::wrap(ErrorCode::Kvm, format!("create vCPU {index}")))?;
        let mut init = kvm_vcpu_init::default();
        vm.fd
            .get_preferred_target(&mut init)
            .map_err(VmmError::wrap(ErrorCode::Kvm, "find the CPU type to emulate"))?;
        init.features[0] = features.bits(index > 0);
        fd.vcpu_init(&init).map_err(VmmError::wrap(ErrorCode::Kvm, format!("initialise vCPU {index}")))?;
        Ok(Self { fd, index, target: init.target, features, _vm: Arc::clone(vm) })
    }

    /// Makes the features final. After this the register list is complete.
    pub fn finalize(&self) -> Result<()> {
        if !self.features.has_sve() {
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
        self.read_bytes(id, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a register into as many bytes as it is wide.
    pub fn read_bytes(&self, id: u64, bytes: &mut [u8]) -> Result<()> {
        self.fd
            .get_one_reg(id, bytes)
            .map(|_| ())
            .map_err(VmmError::wrap(ErrorCode::Kvm, format!("read {} of vCPU {}", name(id), self.index)))
    }

    /// Writes a 64-bit register.
    pub(crate) fn write(&self, id: u64, value: u64) -> Result<()> {
        self.write_bytes(id, &value.to_le_bytes())
    }

    fn write_bytes(&self, id: u64, bytes: &[u8]) -> Result<()> {
        self.fd.set_one_reg(id, bytes).map(|_| ()).map_err(|error| {
            VmmError::new(
                ErrorCode::SnapshotIncompatible,
                format!(
                    "{} of vCPU {} does not take the value {bytes:02x?}: {error}; rebuild the snapshot on this host",
                    name(id),
                    self.index
                ),
            )
        })
    }

    /// The ids of all registers that this vCPU has.
    pub fn register_ids(&self) -> Result<Vec<u64>> {
        // `struct kvm_reg_list`: the number of registers, and their ids.
        let mut list = vec![0_u64; 1 + REGISTERS_EXPECTED];
        loop {
            let room = list.len() - 1;
            if let Some(count) = list.first_mut() {
                *count = room as u64;
            }
            // SAFETY: KVM writes the number, and so many ids as fit if there is room for all.
            let listed =
                unsafe { libc::ioctl(self.fd.as_raw_fd(), KVM_GET_REG_LIST as _, list.as_mut_ptr()) };
            let error = std::io::Error::last_os_error();
            let count = list.first().and_then(|count| usize::try_from(*count).ok()).unwrap_or_default();
            match listed {
                0 => return Ok(list.get(1..).unwrap_or_default().iter().copied().take(count).collect()),
                _ if error.raw_os_error() == Some(libc::E2BIG) && count > room => list.resize(1 + count, 0),
                _ => return Err(VmmError::wrap(ErrorCode::Kvm, "list the registers")(error)),
            }
        }
    }

    /// Reads everything. The vCPU must have completed its last exit (see [`Vcpu::complete_exit`]). The counters go on while
    /// vCPUs are stopped and the guest's time does not, so their values are given.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_REFUSED while an SError waits for the vCPU: it tells of an error of this host's hardware, and is in no register.
    pub fn save(&self, counters: Counters) -> Result<VcpuState> {
        let events = self
            .fd
            .get_vcpu_events()
            .map_err(VmmError::wrap(ErrorCode::Kvm, "read a vCPU's pending events"))?;
        if events.exception.serror_pending != 0 {
            return Err(VmmError::new(
                ErrorCode::SnapshotRefused,
                format!("an SError waits for vCPU {}; let the guest take it, and snapshot then", self.index),
            ));
        }
        let ids = self.register_ids()?;
        let mut values = Vec::with_capacity(ids.len() * 8);
        for &id in &ids {
            let start = values.len();
            values.resize(start + width(id), 0);
            let bytes = values.get_mut(start..).unwrap_or_default();
            match (id, counters.physical) {
                (registers::TIMER_COUNT, _) => bytes.copy_from_slice(&counters.timer.to_le_bytes()),
                (registers::PHYSICAL_TIMER_COUNT, Some(count)) => bytes.copy_from_slice(&count.to_le_bytes()),
                _ => self.read_bytes(id, bytes)?,
            }
            if let (true, [low, ..]) = (registers::TIMER_CONTROLS.contains(&id), bytes) {
                *low &= !registers::TIMER_EXPIRED;
            }
        }
        let power =
            self.fd.get_mp_state().map_err(VmmError::wrap(ErrorCode::Kvm, "read a vCPU's power state"))?;
        Ok(VcpuState {
            target: self.target,
            features: self.features.bits(false),
            power_state: power.mp_state,
            register_ids: ids,
            register_values: values,
        })
    }

    /// Like [`Vcpu::finalize`], with the SVE vector lengths of a snapshot.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE if this host's vCPU is of another kind, FIRN_SNAPSHOT_CORRUPT if the state is another vCPU's.
    pub fn finalize_as(&self, state: &VcpuState) -> Result<()> {
        self.check_identity(state)?;
        for (id, value) in state.registers() {
            if id == registers::SVE_VECTOR_LENGTHS {
                let mut own = [0; 64];
                self.read_bytes(id, &mut own)?;
                if own != value && self.write_bytes(id, value).is_err() {
                    let [saved, own] = [value, &own].map(VectorLengths::from_register);
                    return Err(other_host("set of SVE vector lengths", saved, own));
                }
            }
        }
        self.finalize()
    }

    fn check_identity(&self, state: &VcpuState) -> Result<()> {
        self.check_kind(state)?;
        match state.registers().find(|(id, _)| *id == registers::MPIDR_EL1) {
            Some((_, value)) => self.check_mpidr(value),
            None => Ok(()),
        }
    }

    fn check_kind(&self, state: &VcpuState) -> Result<()> {
        let own = self.features.bits(false);
        if (state.target, state.features) == (self.target, own) {
            return Ok(());
        }
        Err(VmmError::new(
            ErrorCode::SnapshotIncompatible,
            format!(
                "the snapshot's vCPU has target {} and features {:#x}, this host's has {} and {own:#x}; rebuild the snapshot here",
                state.target, state.features, self.target
            ),
        ))
    }

    /// The interrupt controller knows vCPUs by it.
    fn check_mpidr(&self, value: &[u8]) -> Result<()> {
        let (saved, own) = (to_u64(value), self.mpidr()?);
        if saved == own {
            return Ok(());
        }
        Err(VmmError::new(
            ErrorCode::SnapshotCorrupt,
            format!("MPIDR_EL1 of vCPU {} is {saved:#x}, and must be {own:#x}", self.index),
        ))
    }

    /// Writes everything but the counters and the switches of timers that are on, before the vCPU has run. It must be final.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE if this host's vCPU refuses a value.
    pub fn prepare(&self, state: &VcpuState) -> Result<()> {
        for (id, value) in state.registers() {
            if id != registers::SVE_VECTOR_LENGTHS && !is_running_time(id, value) {
                self.write_bytes(id, value)?;
            }
        }
        self.set_power_state(state)
    }

    /// Writes what is not as in `prepared`, which the vCPU was prepared with, and what that left out; not the counters, which
    /// [`Vcpu::set_counters`] writes last.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE if the vCPU refuses a value: from its first run on those of its features and identity are fixed.
    pub fn restore(&self, state: &VcpuState, prepared: &VcpuState) -> Result<Counters> {
        self.check_kind(state)?;
        let mut counters = Counters { timer: 0, physical: None };
        if state.power_state != prepared.power_state {
            self.set_power_state(state)?;
        }
        let mut prepared = prepared.registers();
        for (id, value) in state.registers() {
            let is_prepared = prepared.next() == Some((id, value));
            match id {
                registers::TIMER_COUNT => counters.timer = to_u64(value),
                registers::PHYSICAL_TIMER_COUNT => counters.physical = Some(to_u64(value)),
                _ if is_prepared && !is_running_time(id, value) => {}
                registers::MPIDR_EL1 => self.check_mpidr(value)?,
                _ => self.write_bytes(id, value)?,
            }
        }
        Ok(counters)
    }

    fn set_power_state(&self, state: &VcpuState) -> Result<()> {
        self.fd
            .set_mp_state(kvm_mp_state { mp_state: state.power_state })
            .map_err(VmmError::wrap(ErrorCode::SnapshotCorrupt, "write a vCPU's power state"))
    }

    /// The guest's time now.
    pub fn counters(&self) -> Result<Counters> {
        Ok(Counters {
            timer: self.read(registers::TIMER_COUNT)?,
            physical: self.read(registers::PHYSICAL_TIMER_COUNT).ok(),
        })
    }

    /// Sets the guest's time; the counter goes on from there. One vCPU is enough: the offset to the host's counter is the VM's
    /// from Linux 6.4 on, and before that KVM writes it to every vCPU.
    pub fn set_counters(&self, counters: Counters) -> Result<()> {
        if let Some(count) = counters.physical {
            self.write(registers::PHYSICAL_TIMER_COUNT, count)?;
        }
        // Last, for it is what a guest tells the time by.
        self.write(registers::TIMER_COUNT, counters.timer)
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

/// Whether it matters when this value is written: a counter goes on from there, and whether a timer has expired is seen when it is loaded.
fn is_running_time(id: u64, value: &[u8]) -> bool {
    match id {
        registers::TIMER_COUNT | registers::PHYSICAL_TIMER_COUNT => true,
        _ => registers::TIMER_CONTROLS.contains(&id) && to_u64(value) & registers::TIMER_ENABLED != 0,
    }
}

fn to_u64(bytes: &[u8]) -> u64 {
    bytes.try_into().map(u64::from_le_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kvm_bindings::kvm_vcpu_events;

    use super::*;
    use crate::kvm::Kvm;

    #[test]
    fn a_vcpu_for_which_an_serror_waits_is_not_saved() {
        let vm = Vm::new(&Kvm::open().unwrap()).unwrap();
        let vcpu = Vcpu::new(&vm, 0, vm.vcpu_features(None).unwrap()).unwrap();
        vcpu.finalize().unwrap();
        let counters = vcpu.counters().unwrap();
        assert!(vcpu.save(counters).is_ok());
        let mut events = kvm_vcpu_events::default();
        events.exception.serror_pending = 1;
        vcpu.fd.set_vcpu_events(&events).unwrap();
        assert_eq!(vcpu.save(counters).unwrap_err().code, ErrorCode::SnapshotRefused);
    }
}
