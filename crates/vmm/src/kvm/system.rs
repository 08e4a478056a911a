//! /dev/kvm itself, and what it can do on this host.

use kvm_ioctls::Cap;

use crate::error::{ErrorCode, Result, VmmError};

/// Bits of guest physical address space. 16 GiB hold the whole map (see [`crate::layout`]), and KVM needs only two levels of
/// stage-2 tables for it.
const GUEST_ADDRESS_BITS: u32 = 34;

/// An open /dev/kvm.
#[derive(Debug)]
pub struct Kvm {
    pub(crate) fd: kvm_ioctls::Kvm,
}

impl Kvm {
    /// Opens /dev/kvm.
    ///
    /// # Errors
    /// FIRN_KVM_UNAVAILABLE if there is none, it may not be opened, or it lacks what Firn needs.
    pub fn open() -> Result<Self> {
        let fd = kvm_ioctls::Kvm::new().map_err(|error| {
            let remedy = match error.errno() {
                libc::EACCES | libc::EPERM => "add the user to the group kvm, or run as root",
                libc::ENOENT | libc::ENODEV => {
                    "this needs an ARM machine whose kernel has KVM and was booted at EL2, and /dev/kvm must be visible here"
                }
                _ => "see the kernel log",
            };
            VmmError::new(ErrorCode::KvmUnavailable, format!("/dev/kvm cannot be opened: {error}; {remedy}"))
        })?;
        let kvm = Self { fd };
        let version = kvm.fd.get_api_version();
        if version != 12 {
            return Err(VmmError::new(
                ErrorCode::KvmUnavailable,
                format!("/dev/kvm speaks API version {version}, and 12 is needed"),
            ));
        }
        for (capability, name) in [
            (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
            (Cap::OneReg, "KVM_CAP_ONE_REG"),
            (Cap::ArmPsci02, "KVM_CAP_ARM_PSCI_0_2"),
            (Cap::DeviceCtrl, "KVM_CAP_DEVICE_CTRL"),
            (Cap::MpState, "KVM_CAP_MP_STATE"),
            (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
        ] {
            if !kvm.fd.check_extension(capability) {
                return Err(VmmError::new(
                    ErrorCode::KvmUnavailable,
                    format!("the host's KVM lacks {name}; a newer kernel is needed"),
                ));
            }
        }
        Ok(kvm)
    }

    /// The size of guest physical addresses to create VMs with, in bits.
    pub(crate) fn guest_address_bits(&self) -> u32 {
        u32::try_from(self.fd.get_host_ipa_limit()).unwrap_or(0).min(GUEST_ADDRESS_BITS)
    }
}
