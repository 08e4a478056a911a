//! Every access that a vCPU can make to a device frame: each width, at each offset, read and written.

use super::testing::{Guest, options};
use super::{DeviceOptions, MmioOutcome};
use crate::layout::{DEVICE_BASE, DEVICE_FRAME_SIZE, MEMORY_BASE, Slot};

/// The widths of KVM_EXIT_MMIO.
const WIDTHS: [usize; 4] = [1, 2, 4, 8];
/// The doorbell's EVENT register.
const EVENT: u64 = 0x10;
/// Where a virtio device's configuration space starts: before it are words, from here on bytes.
const CONFIG: u64 = 0x100;

/// A source of values that is the same in every run.
struct Values(u64);

impl Values {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // Half of them are small: the values that mean something to a register are.
        if self.0 & 1 == 0 { self.0 >> 56 } else { self.0 }
    }
}

fn guest() -> Guest {
    Guest::boot(DeviceOptions {
        app_disk: Some(super::testing::disk(&[0xa9; 4096])),
        leaf: false,
        ..options(&[0xd1; 4096])
    })
}

/// Whether an access can reach anything at all: words are aligned, and only configuration spaces and the UART have others.
fn can_reach(slot: Slot, offset: u64, width: usize) -> bool {
    match slot {
        Slot::Generation => false,
        Slot::Serial => width == 1,
        Slot::Doorbell | Slot::Clock => width == 4 && offset.is_multiple_of(4),
        _ => offset >= CONFIG || width == 4 && offset.is_multiple_of(4),
    }
}

fn access(guest: &mut Guest, slot: Slot, offset: u64, width: usize, value: u64) {
    let address = slot.address() + offset;
    let mut data = [0xee; 8];
    guest.devices.read(address, &mut data[..width]).unwrap();
    if !can_reach(slot, offset, width) {
        assert!(
            data[..width].iter().all(|byte| *byte == 0),
            "{slot:?} at {offset:#x}, {width} bytes: {data:?}"
        );
    }
    assert!(data[width..].iter().all(|byte| *byte == 0xee), "a read wrote beyond what was asked for");
    let outcome = guest.devices.write(address, &value.to_le_bytes()[..width]).unwrap();
    let rings =
        slot == Slot::Doorbell && offset == EVENT && width == 4 && (1..5).contains(&(value & 0xffff_ffff));
    assert_eq!(outcome != MmioOutcome::Done, rings, "{slot:?} at {offset:#x}, {width} bytes: {value:#x}");
}

/// The root disk still answers, once it is reset.
fn assert_disk_works(guest: &mut Guest) {
    let mut ring = guest.start(Slot::RootDisk, 1).remove(0);
    let request = guest.allocate(16);
    let data = guest.allocate(513);
    guest.put(request, &[0; 16]);
    ring.offer(guest, &[(request, 16, false), (data, 513, true)]);
    ring.notify(guest);
    assert_eq!(ring.completed(guest), [(0, 513)]);
    assert_eq!(guest.bytes(data, 513), [vec![0xd1; 512], vec![0]].concat());
}

#[test]
fn every_width_at_every_offset_of_every_frame_is_answered() {
    let mut guest = guest();
    let mut values = Values(0x9e37_79b9_7f4a_7c15);
    for slot in Slot::ALL {
        for offset in 0..DEVICE_FRAME_SIZE {
            for width in WIDTHS {
                access(&mut guest, slot, offset, width, values.next());
            }
        }
    }
    assert_disk_works(&mut guest);
}

#[test]
fn registers_of_running_devices_take_any_value_in_any_width() {
    let mut values = Values(0xd1b5_4a32_d192_ed03);
    for round in 0..40 {
        let mut guest = guest();
        for (slot, queues) in [(Slot::RootDisk, 1), (Slot::AppDisk, 1), (Slot::Vsock, 3)] {
            guest.start(slot, queues);
        }
        for _ in 0..2_000 {
            let slot = Slot::ALL[usize::try_from(values.next() % Slot::ALL.len() as u64).unwrap()];
            let offset = values.next() % if round % 2 == 0 { CONFIG } else { 2 * CONFIG };
            let width = WIDTHS[usize::try_from(values.next() % 4).unwrap()];
            let value = values.next();
            access(&mut guest, slot, offset, width, value);
        }
        assert_disk_works(&mut guest);
    }
}

#[test]
fn addresses_of_no_device_read_as_zeros_and_take_any_write() {
    let mut guest = guest();
    let end = DEVICE_BASE + Slot::ALL.len() as u64 * DEVICE_FRAME_SIZE;
    let edges =
        [0, 1, DEVICE_BASE - 1, end, end + 3, MEMORY_BASE - 1, MEMORY_BASE, 1 << 34, u64::MAX - 7, u64::MAX];
    for address in edges {
        for width in WIDTHS {
            let mut data = [0xee; 8];
            guest.devices.read(address, &mut data[..width]).unwrap();
            assert!(data[..width].iter().all(|byte| *byte == 0), "{address:#x}, {width} bytes");
            assert_eq!(guest.devices.write(address, &data[..width]).unwrap(), MmioOutcome::Done);
        }
    }
    // The last bytes of one frame and the first of the next.
    for slot in Slot::ALL {
        for back in 1..8 {
            access(&mut guest, slot, DEVICE_FRAME_SIZE - back, 8, u64::MAX);
        }
    }
}
