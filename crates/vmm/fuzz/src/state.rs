//! The body of a state file, or, if the first byte of the input is odd, the state of the devices alone. Everything
//! that does not need KVM is restored and used.

use std::io::{Read, Write};

use firn_vmm::ErrorCode;
use firn_vmm::devices::{Devices, DevicesState, Watched};
use firn_vmm::layout::{MEMORY_BASE, Slot};
use firn_vmm::snapshot::{STATE_VERSION, decode, encode};

use crate::checksum::checksum;
use crate::guest::{assert_disk_works, interrupts, memory, options, start};

pub fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((how, body)) if how & 1 == 0 => read_file(body),
        Some((_, devices)) => {
            if let Ok(state) = postcard::from_bytes(devices) {
                restore(state);
            }
        }
        None => {}
    }
}

/// Inputs to start from: devices that a guest has brought up, and the state whose bytes the tests know.
pub fn seeds() -> Vec<Vec<u8>> {
    let stack = memory();
    let (options, _ends) = options(false);
    let mut devices = Devices::new(stack.guest_memory(), interrupts(), options).unwrap();
    start(&mut devices, Slot::RootDisk, 1, MEMORY_BASE + (2 << 20));
    for (number, (slot, queues)) in
        [(Slot::Vsock, 3), (Slot::Scratch, 1), (Slot::Net, 2), (Slot::Rng, 1)].into_iter().enumerate()
    {
        start(&mut devices, slot, queues, MEMORY_BASE + (2 << 20) + (64 << 10) * (number as u64 + 1));
    }
    let devices = [vec![1], postcard::to_stdvec(&devices.save().unwrap()).unwrap()].concat();

    let state = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/snapshot/state.hex");
    let hex = std::fs::read_to_string(state).unwrap();
    let digits = hex.trim().as_bytes().chunks_exact(2).map(|digits| std::str::from_utf8(digits).unwrap());
    let file: Vec<u8> = digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect();
    vec![[&[0], &file[24..]].concat(), devices]
}

fn read_file(body: &[u8]) {
    let Ok(length) = u32::try_from(body.len()) else { return };
    let mut file = b"FIRNSTAT".to_vec();
    file.extend(STATE_VERSION.to_le_bytes());
    file.extend(length.to_le_bytes());
    let sum = checksum(&[&file, body].concat());
    file.extend(sum.to_le_bytes());
    file.extend(body);

    let Ok(state) = decode(&file) else { return };
    assert_eq!(decode(&encode(&state).unwrap()).unwrap(), state);
    for vcpu in &state.vcpus {
        let bytes: usize = vcpu.registers().map(|(_, value)| value.len()).sum();
        assert!(bytes == vcpu.register_values.len());
    }
    restore(state.devices);
}

fn restore(mut state: DevicesState) {
    let (mut options, mut ends) = options(true);
    // The disks are those of this host: a guess would always be wrong.
    state.root_disk.capacity = 64;
    match &mut state.optional.scratch_disk {
        Some(disk) => disk.capacity = 64,
        None => options.scratch_disk = None,
    }
    if state.optional.net.is_none() {
        options.link = None;
    }
    let stack = memory();
    let memory = stack.guest_memory();
    let Ok(mut devices) = Devices::restore(memory.clone(), interrupts(), options, &state) else { return };
    devices.resume([3; 16]).unwrap();
    let _full = ends.controller.write(&[7; 500]);
    let _full = ends.peer.write(&[&[0, 0, 0, 60][..], &[7; 60]].concat());
    for what in Watched::ALL {
        devices.on_ready(what).unwrap();
    }
    for slot in Slot::ALL {
        for offset in (0..0x110).step_by(4) {
            devices.read(slot.address() + offset, &mut [0; 4]).unwrap();
        }
        for offset in 0..8 {
            devices.read(slot.address() + offset, &mut [0]).unwrap();
        }
        for queue in 0..4u32 {
            devices.write(slot.address() + 0x50, &queue.to_le_bytes()).unwrap();
        }
    }
    let _empty = ends.controller.read(&mut [0; 4096]);
    if let Err(error) = devices.save() {
        assert_eq!(error.code, ErrorCode::SnapshotRefused);
    }
    assert_disk_works(&mut devices, &memory);
}
