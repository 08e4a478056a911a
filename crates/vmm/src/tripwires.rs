//! Values that snapshots and guests hold, and that must not change by accident: a build fails here first. Who changes one on purpose
//! gives the format or interface a new version, keeps a reader for the old one, and says so in docs/architecture.md.
//!
//! Formats whose bytes are made by a library, state file and control messages, have golden bytes in their tests; the ids of registers
//! and the doorbell's map are checked where they are.

use crate::layer::format;
use crate::layout::{self, Slot};
use crate::snapshot::STATE_VERSION;
use crate::working_set;

/// The versions that this VMM writes.
const _: () = assert!(format::VERSION == 1);
const _: () = assert!(STATE_VERSION == 1);
const _: () = assert!(working_set::VERSION == 1);

/// The memory layer file.
const _: () = assert!(u64::from_le_bytes(format::MAGIC) == 0x5259_414c_4e52_4946);
const _: () = assert!(format::HEADER_LENGTH == 256);
const _: () = assert!(format::EXTENT_LENGTH == 24);
const _: () = assert!(format::GRANULE == 4096);
const _: () = assert!(format::PAGE_SIZE_MAX == 64 << 10);

/// The guest's physical address space.
const _: () = assert!(layout::GIC_DISTRIBUTOR == 0x0800_0000 && layout::GIC_DISTRIBUTOR_SIZE == 0x1_0000);
const _: () = assert!(layout::GICV2_CPU_INTERFACE == 0x0801_0000);
const _: () = assert!(layout::GICV2_CPU_INTERFACE_SIZE == 0x1_0000);
const _: () = assert!(layout::GICV3_REDISTRIBUTORS == 0x0810_0000);
const _: () = assert!(layout::GICV3_REDISTRIBUTOR_SIZE == 0x2_0000);
const _: () = assert!(layout::DEVICE_BASE == 0x0a00_0000 && layout::DEVICE_FRAME_SIZE == 0x1_0000);
const _: () = assert!(layout::MEMORY_BASE == 0x8000_0000 && layout::SYSTEM_AREA_SIZE == 0x20_0000);
const _: () = assert!(layout::GENERATION_ID_ADDRESS == 0x8000_0000);
const _: () = assert!(layout::RAM_BASE == 0x8020_0000 && layout::DEVICE_TREE_AREA_SIZE == 0x20_0000);
const _: () = assert!(layout::MEMORY_MIN == 128 << 20 && layout::MEMORY_MAX == 8 << 30);
const _: () = assert!(layout::MEMORY_GRANULE == 2 << 20);
const _: () = assert!(layout::GIC_INTERRUPTS == 64 && layout::SPI_BASE == 32);
const _: () = assert!(layout::VCPUS_MAX == 8);
const _: () = assert!(layout::GUEST_CID == 3 && layout::AGENT_PORT == 1024);

/// Nothing overlaps: redistributors end before the first device, devices before memory.
const _: () = assert!(
    layout::GICV3_REDISTRIBUTORS + layout::VCPUS_MAX as u64 * layout::GICV3_REDISTRIBUTOR_SIZE
        <= layout::DEVICE_BASE
);
const _: () =
    assert!(layout::DEVICE_BASE + Slot::ALL.len() as u64 * layout::DEVICE_FRAME_SIZE <= layout::MEMORY_BASE);
const _: () = assert!(Slot::ALL.len() <= (layout::GIC_INTERRUPTS - layout::SPI_BASE) as usize);

/// The slots, which say frame and interrupt.
const _: () = assert!(Slot::Doorbell as u8 == 0 && Slot::Serial as u8 == 1 && Slot::Clock as u8 == 2);
const _: () = assert!(Slot::Generation as u8 == 3 && Slot::RootDisk as u8 == 4 && Slot::AppDisk as u8 == 5);
const _: () = assert!(Slot::Vsock as u8 == 6 && Slot::Scratch as u8 == 7 && Slot::Net as u8 == 8);
const _: () = assert!(Slot::Rng as u8 == 9 && Slot::Balloon as u8 == 10);
