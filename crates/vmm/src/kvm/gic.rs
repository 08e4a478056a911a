//! The in-kernel interrupt controller, GICv2 or GICv3.

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
use crate::control::GicVersion;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout;
use crate::snapshot::GicState;

/// The interrupt controller of one VM.
#[derive(Debug)]
pub struct Gic {
    device: DeviceFd,
    version: GicVersion,
}

impl Gic {
    /// Creates the interrupt controller `wanted`, or the newest that the host has. All vCPUs must exist and be initialised.
    ///
    /// # Errors
    /// FIRN_KVM_UNAVAILABLE if the host has no such interrupt controller.
    pub fn new(vm: &Vm, wanted: Option<GicVersion>) -> Result<Self> {
        let candidates: &[GicVersion] = match wanted {
            Some(GicVersion::V2) => &[GicVersion::V2],
            Some(GicVersion::V3) => &[GicVersion::V3],
            None => &[GicVersion::V3, GicVersion::V2],
        };
        for &version in candidates {
            let mut request = kvm_create_device {
                type_: match version {
                    GicVersion::V2 => kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2,
                    GicVersion::V3 => kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3,
                },
                fd: 0,
                flags: 0,
            };
            if let Ok(device) = vm.fd.create_device(&mut request) {
                let gic = Self { device, version };
                gic.initialise()?;
                return Ok(gic);
            }
        }
        Err(VmmError::new(
            ErrorCode::KvmUnavailable,
            format!("the host's KVM cannot create an interrupt controller of version {candidates:?}"),
        ))
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

    /// Reads every register, of a VM whose vCPUs are stopped. `mpidrs` are those of all vCPUs, in order.
    pub fn save(&self, mpidrs: &[u64]) -> Result<GicState> {
        let affinities = affinities(mpidrs);
        let values = registers(self.version, &affinities)
            .into_iter()
            .map(|register| self.read(register))
            .collect::<Result<_>>()?;
        let mut active = Vec::new();
        if self.version == GicVersion::V3 {
            for &affinity in &affinities {
                let control = self.read(cpu_control(affinity))?;
                let values =
                    active_priorities(affinity, control).into_iter().map(|register| self.read(register));
                active.push(values.collect::<Result<_>>()?);
            }
        }
        Ok(GicState { version: self.version, registers: values, active_priorities: active })
    }

    /// Writes the configuration of interrupts into a new interrupt controller. Nothing is let through.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_CORRUPT if the state does not have the registers that it must have.
    pub fn prepare(&self, state: &GicState, mpidrs: &[u64]) -> Result<()> {
        let registers = self.registers_of(state, &affinities(mpidrs))?;
        for (register, &value) in registers.into_iter().zip(&state.registers) {
            if !register.live {
                self.write_new(register, value)?;
            }
        }
        Ok(())
    }

    /// Writes every register of an interrupt controller that was prepared with `held`, those apart that are as in it.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_CORRUPT if the state does not have the registers that it must have.
    pub fn restore(&self, state: &GicState, held: &GicState, mpidrs: &[u64]) -> Result<()> {
        let affinities = affinities(mpidrs);
        let registers = self.registers_of(state, &affinities)?;
        let values = state.registers.iter().copied().zip(held.registers.iter().copied());
        let (setting, others): (Vec<_>, Vec<_>) =
            registers.into_iter().zip(values).partition(|(register, _)| register.sets_interrupts);
        for (register, (value, held)) in others {
            if register.live {
                self.write_new(register, value)?;
            } else if value != held {
                self.write(register, value)?;
            }
        }
        if self.version == GicVersion::V3 {
            if state.active_priorities.len() != affinities.len() {
                return Err(corrupt("number of vCPUs is wrong"));
            }
            for (&affinity, values) in affinities.iter().zip(&state.active_priorities) {
                let control = self.read(cpu_control(affinity))?;
                let registers = active_priorities(affinity, control);
                if registers.len() != values.len() {
                    return Err(corrupt("number of active-priority registers is wrong"));
                }
                for (register, &value) in registers.into_iter().zip(values) {
                    self.write_new(register, value)?;
                }
            }
        }
        for (register, (value, _)) in setting {
            self.write_new(register, value & !u64::from(register.ignored))?;
        }
        Ok(())
    }

    /// The registers whose values are in `state`, in its order.
    fn registers_of(&self, state: &GicState, affinities: &[u32]) -> Result<Vec<GicRegister>> {
        let registers = registers(self.version, affinities);
        if state.version != self.version || state.registers.len() != registers.len() {
            return Err(corrupt("version or number of registers is wrong"));
        }
        Ok(registers)
    }

    fn read(&self, register: GicRegister) -> Result<u64> {
        if register.wide {
            register.attribute.get_u64(&self.device)
        } else {
            register.attribute.get_u32(&self.device).map(u64::from)
        }
    }

    /// Writes a register that was not written before.
    fn write_new(&self, register: GicRegister, value: u64) -> Result<()> {
        if register.reset_to_zero && value == 0 { Ok(()) } else { self.write(register, value) }
    }

    fn write(&self, register: GicRegister, value: u64) -> Result<()> {
        if register.wide {
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
