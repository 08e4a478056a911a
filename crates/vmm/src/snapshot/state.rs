//! What a state file holds. Its layout is an ABI: see [`super::STATE_VERSION`].

use serde::{Deserialize, Serialize};

use super::fingerprint::HostFingerprint;
use super::register_id::register_width;
use crate::devices::DevicesState;
use crate::error::{ErrorCode, Result, VmmError};
use crate::gic_version::GicVersion;
use crate::layout::VCPUS_MAX;

/// Most registers of an interrupt controller: a GICv3 with eight vCPUs has under 700.
const GIC_REGISTERS_MAX: usize = 1024;
/// Power states of vCPUs, as KVM numbers them (KVM_MP_STATE_RUNNABLE and KVM_MP_STATE_STOPPED): on, or off until PSCI CPU_ON.
const POWER_STATES: [u32; 2] = [0, 5];
/// Active-priority registers of a GICv3 vCPU: four of each of two groups.
const ACTIVE_PRIORITIES_MAX: usize = 8;

/// A microVM, but for its memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineState {
    /// The host on which it ran.
    pub host: HostFingerprint,
    /// Guest memory in bytes.
    pub memory_bytes: u64,
    /// Its vCPUs, in the order in which they were created.
    pub vcpus: Vec<VcpuState>,
    /// Its interrupt controller.
    pub gic: GicState,
    /// Its devices.
    pub devices: DevicesState,
}

impl MachineState {
    /// Checks what can be checked without a host: that there is no more of anything than a microVM can have. Of
    /// registers a CPU has as many as it has.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_CORRUPT naming what there is too much, or too little, of.
    pub(super) fn check(&self) -> Result<()> {
        let limit = |what: &str, count: usize, most: usize| {
            if count <= most {
                return Ok(());
            }
            Err(corrupt(format!("{count} {what}, of at most {most}")))
        };
        let Some(first) = self.vcpus.first() else { return Err(corrupt("no vCPU".to_owned())) };
        limit("vCPUs", self.vcpus.len(), usize::from(VCPUS_MAX))?;
        for vcpu in &self.vcpus {
            vcpu.check_values()?;
            if (vcpu.target, vcpu.features) != (first.target, first.features) {
                return Err(corrupt("vCPUs of different kinds".to_owned()));
            }
            if !POWER_STATES.contains(&vcpu.power_state) {
                return Err(corrupt(format!("there is no power state {}", vcpu.power_state)));
            }
        }
        limit("registers of the interrupt controller", self.gic.registers.len(), GIC_REGISTERS_MAX)?;
        limit("vCPUs of the interrupt controller", self.gic.active_priorities.len(), usize::from(VCPUS_MAX))?;
        for values in &self.gic.active_priorities {
            limit("active-priority registers", values.len(), ACTIVE_PRIORITIES_MAX)?;
        }
        Ok(())
    }
}

fn corrupt(what: String) -> VmmError {
    VmmError::new(ErrorCode::SnapshotCorrupt, format!("state file: {what}"))
}

/// A vCPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuState {
    /// `kvm_vcpu_init.target`.
    pub target: u32,
    /// `kvm_vcpu_init.features[0]`, without POWER_OFF.
    pub features: u32,
    /// `kvm_mp_state.mp_state`: whether it is switched on.
    pub power_state: u32,
    /// Ids of all its registers, in KVM's order.
    #[serde(with = "super::words")]
    pub register_ids: Vec<u64>,
    /// Their values, one behind the other, each as wide as its id says.
    #[serde(with = "serde_bytes")]
    pub register_values: Vec<u8>,
}

impl VcpuState {
    /// The registers with their values. If there are fewer bytes than the ids say, which no state has that was decoded, the rest have
    /// none.
    pub fn registers(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = self.register_values.as_slice();
        self.register_ids.iter().map(move |&id| {
            let (value, behind) = rest.split_at_checked(register_width(id)).unwrap_or_default();
            rest = behind;
            (id, value)
        })
    }

    fn check_values(&self) -> Result<()> {
        let total: usize = self.register_ids.iter().map(|&id| register_width(id)).sum();
        if total == self.register_values.len() {
            return Ok(());
        }
        Err(corrupt(format!(
            "registers of {total} bytes have values of {} bytes",
            self.register_values.len()
        )))
    }
}

/// An interrupt controller: the values of its registers, in the order of the VMM's table for this version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GicState {
    /// Its version.
    pub version: GicVersion,
    /// Distributor, redistributors and CPU interfaces.
    #[serde(with = "super::words")]
    pub registers: Vec<u64>,
    /// GICv3: the active-priority registers of each vCPU, as many as its priority bits need.
    pub active_priorities: Vec<Vec<u64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_cut_by_the_width_in_their_ids() {
        let state = VcpuState {
            target: 5,
            features: 4,
            power_state: 0,
            register_ids: vec![0x6030_0000_0010_0000, 0x6020_0000_0010_00d4, 0x6040_0000_0010_0054],
            register_values: (0..28).collect(),
        };
        state.check_values().unwrap();
        let registers: Vec<_> = state.registers().collect();
        assert_eq!(registers[0].1, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(registers[1].1, [8, 9, 10, 11]);
        assert_eq!(registers[2].1.len(), 16);
        let short = VcpuState { register_values: vec![0; 27], ..state };
        assert_eq!(short.check_values().unwrap_err().code, ErrorCode::SnapshotCorrupt);
        assert!(short.registers().last().unwrap().1.is_empty());
    }
}
