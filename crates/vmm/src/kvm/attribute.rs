//! Device attributes of the in-kernel interrupt controller.

use kvm_bindings::kvm_device_attr;
use kvm_ioctls::DeviceFd;

use crate::error::{ErrorCode, Result, VmmError};

/// An attribute's group and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute {
    pub group: u32,
    pub number: u64,
}

impl Attribute {
    pub(super) fn set_u32(self, device: &DeviceFd, value: u32) -> Result<()> {
        self.set(device, (&raw const value) as u64)
    }

    pub(super) fn set_u64(self, device: &DeviceFd, value: u64) -> Result<()> {
        self.set(device, (&raw const value) as u64)
    }

    /// An attribute that is a command and has no value.
    pub(super) fn command(self, device: &DeviceFd) -> Result<()> {
        self.set(device, 0)
    }

    fn set(self, device: &DeviceFd, address: u64) -> Result<()> {
        let attribute = kvm_device_attr { group: self.group, attr: self.number, addr: address, flags: 0 };
        device.set_device_attr(&attribute).map_err(|error| self.error("write", error))
    }

    pub(super) fn get_u32(self, device: &DeviceFd) -> Result<u32> {
        let mut value = 0_u32;
        // SAFETY: the caller names an attribute of 32 bits, and `value` lives over the call.
        unsafe { self.get(device, (&raw mut value) as u64) }?;
        Ok(value)
    }

    pub(super) fn get_u64(self, device: &DeviceFd) -> Result<u64> {
        let mut value = 0_u64;
        // SAFETY: the kernel writes at most 64 bits for any attribute of a GIC, and `value` lives over the call.
        unsafe { self.get(device, (&raw mut value) as u64) }?;
        Ok(value)
    }

    /// # Safety
    /// `address` must be valid for a write of the attribute's size.
    unsafe fn get(self, device: &DeviceFd, address: u64) -> Result<()> {
        let mut attribute = kvm_device_attr { group: self.group, attr: self.number, addr: address, flags: 0 };
        // SAFETY: by this function's contract.
        unsafe { device.get_device_attr(&mut attribute) }.map_err(|error| self.error("read", error))
    }

    fn error(self, verb: &str, error: kvm_ioctls::Error) -> VmmError {
        VmmError::new(
            ErrorCode::Kvm,
            format!("{verb} interrupt controller attribute {}:{:#x}: {error}", self.group, self.number),
        )
    }
}
