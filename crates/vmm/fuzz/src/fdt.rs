//! The options of a device tree.

use firn_vmm::ErrorCode;
use firn_vmm::control::GicVersion;
use firn_vmm::devices::{FdtOptions, device_tree};
use firn_vmm::layout::{DEVICE_TREE_AREA_SIZE, RAM_BASE, SYSTEM_AREA_SIZE};

use crate::input::Input;

#[path = "../../src/devices/fdt_check.rs"]
mod fdt_check;

/// Inputs to start from: two vCPUs, 128 MiB, a command line and an initial RAM disk.
pub fn seeds() -> Vec<Vec<u8>> {
    let numbers = [0u64, 1, 128 << 20, RAM_BASE, 4096].map(u64::to_le_bytes).concat();
    vec![[&[2 | 0x10 | 0x20], &numbers[..], b"console=ttyS0 quiet"].concat()]
}

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let vcpus = (0..how & 0xf).map(|_| input.u64()).collect();
    let memory_size = input.u64();
    let initrd = (how & 0x10 != 0).then(|| (input.u64(), input.u64()));
    let gic = if how & 0x20 == 0 { GicVersion::V2 } else { GicVersion::V3 };
    let command_line = String::from_utf8_lossy(input.0).into_owned();
    fdt_check::check(&FdtOptions { vcpus, memory_size, command_line, gic, initrd });
}
