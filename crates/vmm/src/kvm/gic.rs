//! The in-kernel interrupt controller, GICv2 or GICv3.

use std::sync::Arc;

use kvm_bindings::{
    KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_DEV_ARM_VGIC_GRP_CTRL,
    KVM_DEV_ARM_VGIC_GRP_NR_IRQS, KVM_VGIC_V2_ADDR_TYPE_CPU, KVM_VGIC_V2_ADDR_TYPE_DIST,
    KVM_VGIC_V3_ADDR_TYPE_DIST, KVM_VGIC_V3_ADDR_TYPE_REDIST, kvm_create_device,
    kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3,
};
use kvm_ioctls::DeviceFd;

use super::attribute::Attribute;
use super::gic_registers::{GicRegister, active_priorities, cpu_control, registers};
use super::vm::Vm;
use crate::error::{ErrorCode, Result, VmmError};
use crate::gic_version::GicVersion;
use crate::layout;
use crate::snapshot::GicState;
use crate::snapshot::fingerprint::other_host;

/// The interrupt controller of one VM.
#[derive(Debug)]
pub struct Gic {
    device: DeviceFd,
    version: GicVersion,
    /// Those whose values are in a state, in its order.
    registers: Vec<GicRegister>,
    /// GICv3: the active-priority registers of each vCPU.
    active_priorities: Vec<Vec<GicRegister>>,
    // Behind the descriptor, which keeps the kernel's VM alive.
    _vm: Arc<Vm>,
}

impl Gic {
    /// Creates the interrupt controller `wanted`, or the newest that the host has. All vCPUs must exist and be initialised; `mpidrs` are
    /// theirs, in order.
    ///
    /// # Errors
    /// FIRN_KVM_UNAVAILABLE if the host has no such interrupt controller.
    pub fn new(vm: &Arc<Vm>, wanted: Option<GicVersion>, mpidrs: &[u64]) -> Result<Self> {
        let found = match wanted {
            Some(version) => create(vm, version).map(|device| (version, device)),
            None => newest(vm),
        };
        let Some((version, device)) = found else {
            let what = wanted.map_or("interrupt controller".to_owned(), |version| version.to_string());
            return Err(VmmError::new(
                ErrorCode::KvmUnavailable,
                format!("the host's KVM has no {what} for guests"),
            ));
        };
        let affinities = affinities(mpidrs);
        let registers = registers(version, &affinities);
        let mut gic = Self { device, version, registers, active_priorities: Vec::new(), _vm: Arc::clone(vm) };
        gic.initialise()?;
        if version == GicVersion::V3 {
            let active = |&affinity| Ok(active_priorities(affinity, gic.read(&cpu_control(affinity))?));
            gic.active_priorities = affinities.iter().map(active).collect::<Result<_>>()?;
        }
        Ok(gic)
    }

    /// Creates the interrupt controller of a snapshot, as [`Gic::new`] does.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE with both versions if the host has no such interrupt controller.
    pub fn of_snapshot(vm: &Arc<Vm>, version: GicVersion, mpidrs: &[u64]) -> Result<Self> {
        Self::new(vm, Some(version), mpidrs).map_err(|error| match error.code {
            ErrorCode::KvmUnavailable => {
                let own = newest(vm).map_or("none".to_owned(), |(own, _)| own.to_string());
                other_host("interrupt controller", version, own)
            }
            _ => error,
        })
    }

    /// Its version.
    pub fn version(&self) -> GicVersion {
        self.version
    }

    fn initialise(&self) -> Result<()> {
        let frames = match self.version {
            GicVersion::V2 => [
                (KVM_VGIC_V2_ADDR_TYPE_DIST, layout::GIC_DISTRIBUTOR),
                (KVM_VGIC_V2_ADDR_TYPE_CPU, layout::GICV2_CPU_INTERFACE),
            ],
            GicVersion::V3 => [
                (KVM_VGIC_V3_ADDR_TYPE_DIST, layout::GIC_DISTRIBUTOR),
                (KVM_VGIC_V3_ADDR_TYPE_REDIST, layout::GICV3_REDISTRIBUTORS),
            ],
        };
        for (number, address) in frames {
            Attribute { group: KVM_DEV_ARM_VGIC_GRP_ADDR, number: u64::from(number) }
                .set_u64(&self.device, address)?;
        }
        Attribute { group: KVM_DEV_ARM_VGIC_GRP_NR_IRQS, number: 0 }
            .set_u32(&self.device, layout::GIC_INTERRUPTS)?;
        Attribute { group: KVM_DEV_ARM_VGIC_GRP_CTRL, number: u64::from(KVM_DEV_ARM_VGIC_CTRL_INIT) }
            .command(&self.device)
    }

    /// Reads every register, of a VM whose vCPUs are stopped.
    pub fn save(&self) -> Result<GicState> {
        let values =
            |registers: &Vec<GicRegister>| registers.iter().map(|register| self.read(register)).collect();
        Ok(GicState {
            version: self.version,
            registers: values(&self.registers)?,
            active_priorities: self.active_priorities.iter().map(values).collect::<Result<_>>()?,
        })
    }

    /// Writes how interrupts are configured, and which are let through, into a new interrupt controller of a VM in which nothing interrupts.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_CORRUPT if the state does not have the registers that it must have.
    pub fn prepare(&self, state: &GicState) -> Result<()> {
        self.check(state)?;
        for (register, &value) in self.registers.iter().zip(&state.registers) {
            if !register.kind.live {
                self.write_new(register, value)?;
            }
        }
        Ok(())
    }

    /// Writes every register of an interrupt controller that was prepared with `prepared`, those apart that are as in it.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_CORRUPT if the state does not have the registers that it must have.
    pub fn restore(&self, state: &GicState, prepared: &GicState) -> Result<()> {
        self.check(state)?;
        let values = || self.registers.iter().zip(&state.registers);
        for ((register, &value), prepared) in values().zip(&prepared.registers) {
            if register.kind.live && !register.kind.sets_interrupts {
                self.write_new(register, value)?;
            } else if !register.kind.live && value != *prepared {
                self.change(register, *prepared, value)?;
            }
        }
        for (registers, values) in self.active_priorities.iter().zip(&state.active_priorities) {
            for (register, &value) in registers.iter().zip(values) {
                self.write_new(register, value)?;
            }
        }
        for (register, &value) in values().filter(|(register, _)| register.kind.sets_interrupts) {
            self.write_new(register, value & !u64::from(register.kind.ignored))?;
        }
        Ok(())
    }

    /// Checks that a state has values for all registers, and for no others.
    fn check(&self, state: &GicState) -> Result<()> {
        if state.version != self.version || state.registers.len() != self.registers.len() {
            return Err(corrupt("version or number of registers is wrong"));
        }
        let own = self.active_priorities.iter().map(Vec::len);
        if own.eq(state.active_priorities.iter().map(Vec::len)) {
            return Ok(());
        }
        Err(corrupt("number of active-priority registers is wrong"))
    }

    fn read(&self, register: &GicRegister) -> Result<u64> {
        if register.kind.wide {
            register.attribute.get_u64(&self.device)
        } else {
            register.attribute.get_u32(&self.device).map(u64::from)
        }
    }

    /// Writes a register that was not written before, unless it has the value by itself.
    fn write_new(&self, register: &GicRegister, value: u64) -> Result<()> {
        if register.kind.reset_to_zero && value == 0 {
            return Ok(());
        }
        self.write(register, value)
    }

    /// Writes a register that has another value.
    fn change(&self, register: &GicRegister, present: u64, value: u64) -> Result<()> {
        if !register.kind.adds_bits {
            return self.write(register, value);
        }
        if value & !present != 0 {
            self.write(register, value)?;
        }
        if present & !value != 0 { self.write(&register.clearing(), present & !value) } else { Ok(()) }
    }

    fn write(&self, register: &GicRegister, value: u64) -> Result<()> {
        if register.kind.wide {
            return register.attribute.set_u64(&self.device, value).map_err(refused);
        }
        let value = u32::try_from(value).map_err(VmmError::wrap(
            ErrorCode::SnapshotCorrupt,
            "interrupt controller state: a 32-bit register",
        ))?;
        register.attribute.set_u32(&self.device, value).map_err(refused)
    }
}

/// KVM does not take a value: it is of another host, or nobody's.
fn refused(error: VmmError) -> VmmError {
    match error.code {
        ErrorCode::Kvm => VmmError::new(
            ErrorCode::SnapshotIncompatible,
            format!("the snapshot's interrupt controller cannot be had here: {}", error.message),
        ),
        _ => error,
    }
}

fn corrupt(what: &str) -> VmmError {
    VmmError::new(ErrorCode::SnapshotCorrupt, format!("interrupt controller state: {what}"))
}

fn newest(vm: &Vm) -> Option<(GicVersion, DeviceFd)> {
    [GicVersion::V3, GicVersion::V2]
        .into_iter()
        .find_map(|version| create(vm, version).map(|device| (version, device)))
}

fn create(vm: &Vm, version: GicVersion) -> Option<DeviceFd> {
    let type_ = match version {
        GicVersion::V2 => kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2,
        GicVersion::V3 => kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3,
    };
    vm.fd.create_device(&mut kvm_create_device { type_, fd: 0, flags: 0 }).ok()
}

/// Aff3.Aff2.Aff1.Aff0 of each MPIDR, packed as the device attributes want it.
fn affinities(mpidrs: &[u64]) -> Vec<u32> {
    mpidrs
        .iter()
        .map(|mpidr| {
            let [aff0, aff1, aff2, _, aff3, ..] = mpidr.to_le_bytes();
            u32::from_le_bytes([aff0, aff1, aff2, aff3])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use kvm_bindings::KVM_DEV_ARM_VGIC_GRP_DIST_REGS;

    use super::*;
    use crate::kvm::{Kvm, Vcpu};

    /// The interrupt controller of a VM with one vCPU.
    fn in_new_vm() -> (Gic, Vcpu) {
        let vm = Vm::new(&Kvm::open().unwrap()).unwrap();
        let vcpu = Vcpu::new(&vm, 0, vm.vcpu_features(None).unwrap()).unwrap();
        let gic = Gic::new(&vm, None, &[vcpu.mpidr().unwrap()]).unwrap();
        (gic, vcpu)
    }

    /// A state in which these of the private and shared interrupts are let through, or none of them for now.
    fn letting_through(interrupts: u32, is_distributor_on: bool) -> GicState {
        let (gic, ..) = in_new_vm();
        let mut state = gic.save().unwrap();
        for (register, value) in gic.registers.iter().zip(&mut state.registers) {
            let Attribute { group, number } = register.attribute;
            if register.kind.adds_bits {
                // SGIs may be on for good.
                *value = *value & 0xffff | u64::from(interrupts);
            } else if (group, number) == (KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0) {
                // Of GICv2 group 0, of GICv3 group 1.
                let enable = if gic.version == GicVersion::V2 { 1 } else { 2 };
                *value = *value & !enable | if is_distributor_on { enable } else { 0 };
            }
        }
        state
    }

    #[test]
    fn a_restore_adds_and_takes_away_of_what_was_let_through_beforehand() {
        let states = [letting_through(0x5a5a_0000, true), letting_through(0x0ff0_0000, false)];
        for (prepared, wanted) in [(0, 1), (1, 0), (0, 0)] {
            let (gic, ..) = in_new_vm();
            gic.prepare(&states[prepared]).unwrap();
            assert_eq!(gic.save().unwrap(), states[prepared], "prepared");
            gic.restore(&states[wanted], &states[prepared]).unwrap();
            assert_eq!(gic.save().unwrap(), states[wanted], "{wanted} behind {prepared}");
        }
    }
}
