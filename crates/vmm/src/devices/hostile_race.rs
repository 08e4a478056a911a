//! A guest that rewrites its rings, descriptors and headers from a second CPU while the device works on them: what was checked
//! is what is used, whatever memory holds by then.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vm_memory::{Bytes, GuestAddress};

use super::DeviceOptions;
use super::testing::{Guest, MEMORY_SIZE, Ring, options, stream};
use crate::layout::{MEMORY_BASE, Slot};
use crate::memory::GuestMemory;

/// How long a race runs: enough for thousands of notifications on any machine.
const DURATION: Duration = Duration::from_millis(1_500);

/// Bytes that the second CPU writes, and where.
struct Rewrite {
    address: u64,
    values: Vec<Vec<u8>>,
}

/// Writes one of each rewrite's values after the other until told to stop.
fn rewrite(memory: &GuestMemory, rewrites: &[Rewrite], stop: &AtomicBool) {
    let mut turn = 1usize;
    while !stop.load(Ordering::Relaxed) {
        for (index, rewrite) in rewrites.iter().enumerate() {
            let value = &rewrite.values[(turn / (index + 1) + index) % rewrite.values.len()];
            memory.write_slice(value, GuestAddress(rewrite.address)).unwrap();
        }
        turn = turn.wrapping_add(1);
    }
}

fn descriptor(address: u64, length: u32, flags: u16, next: u16) -> Vec<u8> {
    [&address.to_le_bytes()[..], &length.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()].concat()
}

/// Versions of a descriptor: sound, outside memory, endless, too long, pointing back, indirect.
fn descriptors(ring: &Ring, index: u16, address: u64, length: u32, flags: u16) -> Rewrite {
    let sound = descriptor(address, length, flags, index + 1);
    let end = MEMORY_BASE + MEMORY_SIZE as u64;
    let values = vec![
        sound.clone(),
        descriptor(end - 1, length, flags, index + 1),
        sound.clone(),
        descriptor(u64::MAX - 3, u32::MAX, flags | 1, 0),
        sound.clone(),
        descriptor(address, length, flags | 1, 0),
        sound.clone(),
        descriptor(ring.used, 4096, flags ^ 2, index + 1),
        sound,
        descriptor(address, 0x1000, 4, 0),
    ];
    Rewrite { address: ring.table + 16 * u64::from(index), values }
}

/// Available indices a few ahead of what the device has seen, and now and then one that cannot be.
fn notify_under_rewrites(guest: &mut Guest, ring: &Ring, rewrites: Vec<Rewrite>) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let memory = guest.memory.clone();
    let second = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || rewrite(&memory, &rewrites, &stop)
    });
    let started = Instant::now();
    let mut notifications = 0u64;
    let mut offered = 0u16;
    while started.elapsed() < DURATION {
        offered = offered.wrapping_add(1);
        guest.put(ring.available + 2, &offered.to_le_bytes());
        let before = guest.devices.counters().unwrap().disk_bytes_read;
        ring.notify(guest);
        let read = guest.devices.counters().unwrap().disk_bytes_read - before;
        assert!(read <= 128 * 126 * (64 << 10), "{read} bytes for one notification");
        notifications += 1;
        // A broken ring stops the device, as it should; what follows is for one that works.
        if guest.read(ring.slot, 0x70) != 0xf {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    second.join().unwrap();
    notifications
}

#[test]
fn a_disk_survives_descriptors_and_headers_that_change_under_it() {
    let image = vec![0xd1; 64 * 512];
    let mut guest = Guest::boot(options(&image));
    let mut total = 0;
    let started = Instant::now();
    while started.elapsed() < DURATION {
        let ring = guest.start(Slot::RootDisk, 1).remove(0);
        let header = guest.allocate(16);
        let data = guest.allocate(0x1000);
        for entry in 0..ring.size {
            guest.put(ring.available + 4 + 2 * u64::from(entry), &0u16.to_le_bytes());
        }
        let heads = [0u16, 0, 1, 2, 127, 128, u16::MAX].map(|head| head.to_le_bytes().to_vec()).to_vec();
        let sectors = [0u64, 63, 64, u64::MAX].map(|sector| sector.to_le_bytes().to_vec()).to_vec();
        let kinds = [0u32, 0, 8, 1, 4, 99].map(|kind| kind.to_le_bytes().to_vec()).to_vec();
        let rewrites = vec![
            descriptors(&ring, 0, header, 16, 1),
            descriptors(&ring, 1, data, 512, 3),
            descriptors(&ring, 2, data + 0x800, 1, 2),
            Rewrite { address: header, values: kinds },
            Rewrite { address: header + 8, values: sectors },
            Rewrite { address: ring.available + 4 + 2 * 5, values: heads },
            Rewrite { address: ring.used + 2, values: vec![vec![0, 0], vec![0xff, 0xff], vec![3, 0]] },
        ];
        total += notify_under_rewrites(&mut guest, &ring, rewrites);
        guest.write(Slot::RootDisk, 0x70, 0);
        guest = fresh_if_full(guest, &image);
    }
    assert!(total > 100, "only {total} notifications");
}

/// Allocation in the test's guest is a pointer that only rises.
fn fresh_if_full(mut guest: Guest, image: &[u8]) -> Guest {
    if guest.allocate(0) > MEMORY_BASE + MEMORY_SIZE as u64 / 2 { Guest::boot(options(image)) } else { guest }
}

/// A vsock packet's header from the agent's port.
fn header(operation: u16, length: u32, buffer: u32, forwarded: u32) -> Vec<u8> {
    let words = [3, 0, 2, 0, 1024, 1024, length, 1 | u32::from(operation) << 16, 0, buffer, forwarded];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn the_agent_stream_survives_packets_that_change_under_it() {
    let mut total = 0;
    let started = Instant::now();
    while started.elapsed() < DURATION {
        let (device, controller) = stream();
        let mut guest = Guest::boot(DeviceOptions { stream: Some(device), ..options(&[0; 512]) });
        let rings = guest.start(Slot::Vsock, 3);
        let [receive, transmit, _] = rings.as_slice() else { panic!("a vsock device has three queues") };
        let packet = guest.allocate(0x1_0000);
        let room = guest.allocate(0x1_0000);
        for (ring, head) in [(receive, 0u16), (transmit, 0)] {
            for entry in 0..ring.size {
                guest.put(ring.available + 4 + 2 * u64::from(entry), &head.to_le_bytes());
            }
        }
        guest.put(receive.available + 2, &64u16.to_le_bytes());
        receive.describe(&guest, 0, room, 0x1_0000, 2, 0);
        guest.put(packet, &header(1, 0, 1 << 20, 0));
        let packets = vec![
            header(1, 0, 1 << 20, 0),
            header(5, 100, 1 << 20, 7),
            header(5, u32::MAX, u32::MAX, u32::MAX),
            header(6, 0, 0, 0),
            header(7, 0, 1, 1),
            header(5, 0xff00, 1 << 16, 0),
            header(4, 0, 0, 0),
        ];
        let rewrites = vec![
            descriptors(transmit, 0, packet, 44, 1),
            descriptors(transmit, 1, packet + 44, 100, 0),
            descriptors(receive, 0, room, 0x1000, 2),
            Rewrite { address: packet, values: packets },
        ];
        let reader = drain(controller);
        total += notify_under_rewrites(&mut guest, transmit, rewrites);
        drop(guest);
        reader.join().unwrap();
    }
    assert!(total > 100, "only {total} notifications");
}

/// A controller that reads, and writes now and then.
fn drain(controller: UnixStream) -> std::thread::JoinHandle<()> {
    use std::io::{Read, Write};
    controller.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(1..) = (&controller).read(&mut bytes) {
            let _gone = (&controller).write(&bytes[..16]);
        }
    })
}
