//! State files of a forger, who knows the checksum: every field of every device with values that no VMM would have written.

use std::io::Write;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::testing::{Guest, MEMORY_SIZE, disk, options, stream};
use super::{DeviceOptions, Devices, DevicesState, Watched};
use crate::error::ErrorCode;
use crate::layout::{DEVICE_FRAME_SIZE, MEMORY_BASE, Slot};

/// Numbers at the edges of every width, of guest memory and of queues.
fn numbers() -> Vec<Value> {
    let end = MEMORY_BASE + MEMORY_SIZE as u64;
    let edges = [
        [0, 1, 2, 3, 7, 8, 64, 65],
        [127, 128, 129, 255, 256, 0x7fff, 0x8000, 0xffff],
        [0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX],
        [MEMORY_BASE, MEMORY_BASE + 1, MEMORY_BASE - 16, end - 1, end - 16, end, end + 16, u64::MAX - 15],
    ];
    let negative = [-1i64, i64::MIN, i64::from(i32::MIN)];
    edges.as_flattened().iter().map(|edge| Value::from(*edge)).chain(negative.map(Value::from)).collect()
}

/// The value with one of its leaves, or one of its lists, replaced: once for each place and replacement.
fn for_each_forgery(state: &Value, mut forged: impl FnMut(&str, Value)) {
    let numbers = numbers();
    for path in paths(state, String::new()) {
        let Some(original) = state.pointer(&path) else { continue };
        let replacements = match original {
            Value::Array(items) => lists(items),
            Value::Bool(flag) => vec![Value::from(!flag)],
            Value::Null => vec![],
            _ => numbers.clone(),
        };
        for replacement in replacements {
            let mut copy = state.clone();
            if let Some(place) = copy.pointer_mut(&path) {
                *place = replacement;
                forged(&path, copy);
            }
        }
    }
}

/// JSON pointers to all leaves and lists.
fn paths(value: &Value, at: String) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, field)| paths(field, format!("{at}/{name}"))).collect()
        }
        Value::Array(items) => {
            let inside =
                items.iter().enumerate().flat_map(|(index, item)| paths(item, format!("{at}/{index}")));
            std::iter::once(at.clone()).chain(inside).collect()
        }
        _ => vec![at],
    }
}

/// Nothing, too few, too many and far too many.
fn lists(items: &[Value]) -> Vec<Value> {
    let some = items.first().cloned().unwrap_or(Value::from(7));
    let shorter = items.get(1..).unwrap_or_default().to_vec();
    let longer = [items, std::slice::from_ref(&some)].concat();
    [vec![], shorter, longer, vec![some; 5_000]].map(Value::from).to_vec()
}

fn devices() -> (DeviceOptions, (UnixStream, UnixStream)) {
    let (device, controller) = stream();
    let (link, peer) = stream();
    let options = DeviceOptions {
        stream: Some(device),
        app_disk: Some(disk(&[0xa9; 64 * 512])),
        scratch_disk: Some(disk(&[0x5c; 64 * 512])),
        link: Some(link),
        rng: true,
        balloon: true,
        ..options(&[0xd1; 64 * 512])
    };
    (options, (controller, peer))
}

/// A guest with all its devices running, an open connection, and something in every ring.
fn source() -> (Guest, impl Sized) {
    let (options, (controller, mut peer)) = devices();
    let mut guest = Guest::boot(options);
    for slot in [Slot::RootDisk, Slot::AppDisk, Slot::Scratch, Slot::Rng] {
        guest.start(slot, 1);
    }
    guest.start(Slot::Balloon, 3);
    // One buffer for two frames: the second waits in the device.
    let mut net = guest.start(Slot::Net, 2);
    let frame = [&[0, 0, 0, 14][..], &[7; 14]].concat();
    peer.write_all(&[&frame[..], &frame].concat()).unwrap();
    let buffer = guest.allocate(1530);
    net[0].offer(&guest, &[(buffer, 1530, true)]);
    net[0].notify(&mut guest);
    let mut rings = guest.start(Slot::Vsock, 3);
    let room = guest.allocate(4096);
    rings[0].offer(&guest, &[(room, 4096, true)]);
    rings[0].offer(&guest, &[(room, 4096, true)]);
    let packet = guest.allocate(44);
    let words = [3, 0, 2, 0, 1024, 1024, 0, 1 | 1 << 16, 0, 1 << 20, 0u32];
    guest.put(packet, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>());
    rings[1].offer(&guest, &[(packet, 44, false)]);
    rings[1].notify(&mut guest);
    (guest, (controller, peer))
}

/// Everything that a guest, a controller and a snapshot can ask of devices.
fn use_everything(guest: &mut Guest) {
    guest.devices.resume([4; 16]).unwrap();
    for slot in Slot::ALL {
        for offset in (0..0x120).chain([0xfe0, 0xffc, DEVICE_FRAME_SIZE - 4]) {
            for width in [1, 4] {
                let mut data = [0; 4];
                guest.devices.read(slot.address() + offset, &mut data[..width]).unwrap();
            }
        }
        for queue in 0..4u32 {
            guest.devices.write(slot.address() + 0x50, &queue.to_le_bytes()).unwrap();
        }
    }
    for what in Watched::ALL {
        guest.devices.on_ready(what).unwrap();
    }
    guest.devices.counters().unwrap();
    if let Err(error) = guest.devices.save() {
        assert_eq!(error.code, ErrorCode::SnapshotRefused);
    }
    let mut ring = guest.start(Slot::RootDisk, 1).remove(0);
    let request = guest.allocate(16);
    let data = guest.allocate(513);
    guest.put(request, &[0; 16]);
    ring.offer(guest, &[(request, 16, false), (data, 513, true)]);
    ring.notify(guest);
    assert_eq!(ring.completed(guest), [(0, 513)], "the disk answers after a reset");
}

#[test]
fn wild_values_in_any_field_of_a_device_are_refused_or_harm_only_their_guest() {
    let (guest, _controller) = source();
    let state = guest.devices.save().unwrap();
    assert_eq!(state.optional.net.as_ref().unwrap().received.len(), 18);
    assert!(state.vsock.connection.is_some(), "the forgeries are of a state with everything in it");
    let (mut refused, mut restored, mut impossible) = (0, 0, 0);
    for_each_forgery(&serde_json::to_value(&state).unwrap(), |path, forged| {
        let Ok(forged) = serde_json::from_value::<DevicesState>(forged) else {
            impossible += 1;
            return;
        };
        // The encoding is what a file would bring it through.
        let bytes = postcard::to_stdvec(&forged).unwrap();
        let forged = postcard::from_bytes(&bytes).unwrap();
        let (options, controller) = devices();
        let memory = guest.memory.clone();
        match Devices::restore(memory, guest.interrupts.clone(), options, &forged) {
            Ok(devices) => {
                let mut clone = guest.with_devices(devices);
                use_everything(&mut clone);
                restored += 1;
            }
            Err(error) => {
                let codes = [ErrorCode::SnapshotCorrupt, ErrorCode::SnapshotIncompatible];
                assert!(codes.contains(&error.code), "{path}: {error}");
                refused += 1;
            }
        }
        drop(controller);
    });
    assert!(refused > 100 && restored > 500 && impossible > 100, "{refused} {restored} {impossible}");
}
