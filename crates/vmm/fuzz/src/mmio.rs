//! Accesses of a vCPU to device frames, of every width.

use firn_vmm::devices::{Devices, MmioOutcome};
use firn_vmm::layout::{DEVICE_BASE, Slot};

use crate::guest::{assert_disk_works, interrupts, memory, options};
use crate::input::Input;

/// Inputs to start from: a status that is written and read.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![[0, 0x4b, 0x1c, 1, 0, 0, 0, 0x43, 0x1c].to_vec()]
}

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let leaf = input.u8() & 1 != 0;
    let stack = memory();
    let memory = stack.guest_memory();
    let (options, _ends) = options(leaf);
    let mut devices = Devices::new(memory.clone(), interrupts(), options).unwrap();
    while !input.is_empty() {
        let operation = input.u8();
        let slot = u64::from(operation >> 4);
        let width = [1, 2, 4, 4, 4, 4, 8, 3][usize::from(operation & 7)];
        // Registers are among the first 512 bytes; a set bit means anywhere.
        let offset = match input.u8() {
            0xff => u64::from(input.u16()),
            word => u64::from(word) * 4 % 0x200,
        };
        let address = DEVICE_BASE + slot * 0x1_0000 + offset;
        if operation & 8 == 0 {
            let mut data = [0xee; 8];
            devices.read(address, &mut data[..width]).unwrap();
            assert!(data[width..].iter().all(|byte| *byte == 0xee));
        } else {
            let value = input.bytes(width);
            let outcome = devices.write(address, value).unwrap();
            let is_event = !leaf && slot == Slot::Doorbell as u64 && offset == 0x10 && value.len() == 4;
            assert!(outcome == MmioOutcome::Done || is_event);
        }
    }
    let _refused = devices.save();
    devices.resume([1; 16]).unwrap();
    assert_disk_works(&mut devices, &memory);
}
