//! Values that snapshots and guests have, and that must not change by accident: a build fails here first.
//!
//! Formats whose bytes are made by a library, state file and control messages, have golden bytes in their tests; the ids of registers
//! and the doorbell's map are checked where they are.

use crate::abi::abi_assert;
use crate::layer::format;
use crate::layout::{self, Slot};
use crate::snapshot::{STATE_MAGIC, STATE_VERSION};
use crate::working_set;

abi_assert!(
    "the memory layer file",
    version: "layer::format::VERSION",
    written: "the table in src/layer/format.rs",
    format::VERSION == 1,
    u64::from_le_bytes(format::MAGIC) == 0x5259_414c_4e52_4946,
    format::HEADER_LENGTH == 256,
    format::EXTENT_LENGTH == 24,
    format::GRANULE == 4096,
    format::PAGE_SIZE_MAX == 64 << 10,
);

abi_assert!(
    "the state file",
    version: "snapshot::STATE_VERSION",
    written: "the table in src/snapshot/state_file.rs",
    STATE_VERSION == 1,
    u64::from_le_bytes(STATE_MAGIC) == 0x5441_5453_4e52_4946,
);

abi_assert!(
    "the working set file",
    version: "working_set::VERSION",
    written: "the table in src/working_set.rs",
    working_set::VERSION == 1,
    u64::from_le_bytes(working_set::MAGIC) == 0x5445_5357_4e52_4946,
);

abi_assert!(
    "the guest's physical address space",
    version: "snapshot::STATE_VERSION",
    written: "docs/formats.md, \"The machine that a guest sees\"",
    layout::GIC_DISTRIBUTOR == 0x0800_0000,
    layout::GIC_DISTRIBUTOR_SIZE == 0x1_0000,
    layout::GICV2_CPU_INTERFACE == 0x0801_0000,
    layout::GICV2_CPU_INTERFACE_SIZE == 0x1_0000,
    layout::GICV3_REDISTRIBUTORS == 0x0810_0000,
    layout::GICV3_REDISTRIBUTOR_SIZE == 0x2_0000,
    layout::DEVICE_BASE == 0x0a00_0000,
    layout::DEVICE_FRAME_SIZE == 0x1_0000,
    layout::MEMORY_BASE == 0x8000_0000,
    layout::SYSTEM_AREA_SIZE == 0x20_0000,
    layout::GENERATION_ID_ADDRESS == 0x8000_0000,
    layout::RAM_BASE == 0x8020_0000,
    layout::DEVICE_TREE_AREA_SIZE == 0x20_0000,
    layout::MEMORY_MIN == 128 << 20,
    layout::MEMORY_MAX == 8 << 30,
    layout::MEMORY_GRANULE == 2 << 20,
    layout::GIC_INTERRUPTS == 64,
    layout::SPI_BASE == 32,
    layout::VCPUS_MAX == 8,
    layout::GUEST_CID == 3,
    layout::AGENT_PORT == 1024,
);

abi_assert!(
    "the device slots, which say frame and interrupt",
    version: "snapshot::STATE_VERSION",
    written: "docs/formats.md, \"The machine that a guest sees\"",
    Slot::Doorbell as u8 == 0,
    Slot::Serial as u8 == 1,
    Slot::Clock as u8 == 2,
    Slot::Generation as u8 == 3,
    Slot::RootDisk as u8 == 4,
    Slot::AppDisk as u8 == 5,
    Slot::Vsock as u8 == 6,
    Slot::Scratch as u8 == 7,
    Slot::Net as u8 == 8,
    Slot::Rng as u8 == 9,
    Slot::Balloon as u8 == 10,
);

/// Nothing overlaps: redistributors end before the first device, devices before memory.
const _: () = assert!(
    layout::GICV3_REDISTRIBUTORS + layout::VCPUS_MAX as u64 * layout::GICV3_REDISTRIBUTOR_SIZE
        <= layout::DEVICE_BASE
);
const _: () =
    assert!(layout::DEVICE_BASE + Slot::ALL.len() as u64 * layout::DEVICE_FRAME_SIZE <= layout::MEMORY_BASE);
const _: () = assert!(Slot::ALL.len() <= (layout::GIC_INTERRUPTS - layout::SPI_BASE) as usize);
