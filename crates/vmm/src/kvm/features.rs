//! What vCPUs are made with beyond the least that KVM gives: bits of `kvm_vcpu_init.features[0]`.

use kvm_bindings::{
    KVM_ARM_VCPU_POWER_OFF, KVM_ARM_VCPU_PSCI_0_2, KVM_ARM_VCPU_PTRAUTH_ADDRESS,
    KVM_ARM_VCPU_PTRAUTH_GENERIC, KVM_ARM_VCPU_SVE,
};
use kvm_ioctls::{Cap, VmFd};

use crate::abi::abi_assert;
use crate::error::{ErrorCode, Result, VmmError};

const PSCI: u32 = 1 << KVM_ARM_VCPU_PSCI_0_2;
const SVE: u32 = 1 << KVM_ARM_VCPU_SVE;
/// KVM takes both or none.
const POINTER_AUTHENTICATION: u32 = 1 << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1 << KVM_ARM_VCPU_PTRAUTH_GENERIC;

abi_assert!(
    "the features of a vCPU in the state file",
    version: "snapshot::STATE_VERSION",
    written: "Linux's arch/arm64/include/uapi/asm/kvm.h",
    PSCI == 0x04,
    SVE == 0x10,
    POINTER_AUTHENTICATION == 0x60,
);

/// The features of all vCPUs of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// All that this host has.
    pub fn of_host(vm: &VmFd) -> Self {
        let optional = [SVE, POINTER_AUTHENTICATION].into_iter().filter(|&feature| has(vm, feature));
        Self(optional.fold(PSCI, |all, feature| all | feature))
    }

    /// Those of a snapshot.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE naming what this host lacks.
    pub fn of_snapshot(saved: u32, vm: &VmFd) -> Result<Self> {
        let incompatible = |what: String| Err(VmmError::new(ErrorCode::SnapshotIncompatible, what));
        let unknown = saved & !(PSCI | SVE | POINTER_AUTHENTICATION);
        if unknown != 0 || saved & PSCI == 0 {
            return incompatible(format!(
                "the snapshot's vCPUs have the features {saved:#x}, of which this VMM does not know all; use a newer one, or rebuild the snapshot"
            ));
        }
        for (feature, name) in [(SVE, "SVE"), (POINTER_AUTHENTICATION, "pointer authentication")] {
            if saved & feature != 0 && !has(vm, feature) {
                return incompatible(format!(
                    "the snapshot's vCPUs have {name}, which this host's CPUs or its KVM lack; rebuild the snapshot on this host"
                ));
            }
        }
        Ok(Self(saved))
    }

    /// Whether the vCPUs have SVE, which must be finalised.
    pub fn has_sve(self) -> bool {
        self.0 & SVE != 0
    }

    /// The bits for a vCPU that starts switched on, or off.
    pub fn bits(self, starts_off: bool) -> u32 {
        self.0 | if starts_off { 1 << KVM_ARM_VCPU_POWER_OFF } else { 0 }
    }
}

fn has(vm: &VmFd, feature: u32) -> bool {
    match feature {
        SVE => vm.check_extension(Cap::ArmSve),
        _ => vm.check_extension(Cap::ArmPtrAuthAddress) && vm.check_extension(Cap::ArmPtrAuthGeneric),
    }
}
