//! Where everything is in the guest's physical address space. Addresses and sizes in bytes.
//!
//! These values are an ABI: a snapshot taken with one map cannot be restored with another.

/// Base of the GIC distributor, v2 and v3.
pub const GIC_DISTRIBUTOR: u64 = 0x0800_0000;
/// Size of the distributor's frame.
pub const GIC_DISTRIBUTOR_SIZE: u64 = 0x1_0000;
/// Base of the GICv2 CPU interface.
pub const GICV2_CPU_INTERFACE: u64 = 0x0801_0000;
/// Size of the GICv2 CPU interface's frame.
pub const GICV2_CPU_INTERFACE_SIZE: u64 = 0x1_0000;
/// Base of the GICv3 redistributors.
pub const GICV3_REDISTRIBUTORS: u64 = 0x0810_0000;
/// Size of one vCPU's redistributor (RD and SGI frames).
pub const GICV3_REDISTRIBUTOR_SIZE: u64 = 0x2_0000;

/// Base of device slot 0.
pub const DEVICE_BASE: u64 = 0x0a00_0000;
/// Size of a device slot: the largest page of any host, so that a frame never shares a page.
pub const DEVICE_FRAME_SIZE: u64 = 0x1_0000;

/// Base of guest memory.
pub const MEMORY_BASE: u64 = 0x8000_0000;
/// Size of the system area at the start of guest memory, which the device tree does not list as RAM.
pub const SYSTEM_AREA_SIZE: u64 = 0x20_0000;
/// Where the 16 bytes of the VM generation id are.
pub const GENERATION_ID_ADDRESS: u64 = MEMORY_BASE;
/// First address the guest may use as RAM, and where the kernel is loaded.
pub const RAM_BASE: u64 = MEMORY_BASE + SYSTEM_AREA_SIZE;
/// Size of the area at the end of guest memory into which the device tree is put.
pub const DEVICE_TREE_AREA_SIZE: u64 = 0x20_0000;

/// Where the program is that touches memory before there is a guest; taken away before one runs.
pub const PRETOUCH_PROGRAM: u64 = 0x4000_0000;
/// Most memory of that program, in bytes.
pub const PRETOUCH_PROGRAM_MAX: usize = 32 << 20;
/// Where that program writes to when it is done: nothing is there.
pub const PRETOUCH_DONE: u64 = 0x3fff_0000;

/// Smallest guest memory, 128 MiB.
pub const MEMORY_MIN: u64 = 128 << 20;
/// Largest guest memory, 8 GiB.
pub const MEMORY_MAX: u64 = 8 << 30;
/// Memory sizes are multiples of this, 2 MiB.
pub const MEMORY_GRANULE: u64 = 2 << 20;
/// Most vCPUs of a microVM: the limit of GICv2.
pub const VCPUS_MAX: u8 = 8;

/// Number of interrupts that the GIC is created with (INTIDs, a multiple of 32).
pub const GIC_INTERRUPTS: u32 = 64;
/// First shared peripheral interrupt's INTID.
pub const SPI_BASE: u32 = 32;

/// The guest's vsock context id.
pub const GUEST_CID: u64 = 3;
/// The port on the host (CID 2) that the guest agent connects to.
pub const AGENT_PORT: u32 = 1024;

/// A device slot: a frame and an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Slot {
    /// The doorbell.
    Doorbell = 0,
    /// The 16550A serial console.
    Serial = 1,
    /// The PL031 real-time clock.
    Clock = 2,
    /// The VM generation id: only its interrupt is used.
    Generation = 3,
    /// virtio-blk: the root file system, read-only.
    RootDisk = 4,
    /// virtio-blk: the app disk, read-only; of capacity 0 until there is one.
    AppDisk = 5,
    /// virtio-vsock.
    Vsock = 6,
    /// virtio-blk: the scratch disk, which can be written; spare in a microVM without.
    Scratch = 7,
    /// virtio-net; spare in a microVM without.
    Net = 8,
    /// virtio-rng; spare in a microVM without.
    Rng = 9,
    /// Spare: virtio-balloon.
    Balloon = 10,
}

impl Slot {
    /// Every slot, in order.
    pub const ALL: [Slot; 11] = [
        Slot::Doorbell,
        Slot::Serial,
        Slot::Clock,
        Slot::Generation,
        Slot::RootDisk,
        Slot::AppDisk,
        Slot::Vsock,
        Slot::Scratch,
        Slot::Net,
        Slot::Rng,
        Slot::Balloon,
    ];

    /// Guest physical address of the slot's frame.
    pub const fn address(self) -> u64 {
        DEVICE_BASE + self as u64 * DEVICE_FRAME_SIZE
    }

    /// The slot's shared peripheral interrupt, counted from 0; its INTID is this plus [`SPI_BASE`].
    pub const fn spi(self) -> u32 {
        self as u32
    }

    /// The slot and the offset in its frame that a guest physical address falls into, if any.
    pub fn at(address: u64) -> Option<(Slot, u64)> {
        let offset = address.checked_sub(DEVICE_BASE)?;
        let index = usize::try_from(offset / DEVICE_FRAME_SIZE).ok()?;
        let slot = Self::ALL.get(index)?;
        Some((*slot, offset % DEVICE_FRAME_SIZE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_finds_the_slot_of_each_frame_and_nothing_beyond() {
        for slot in Slot::ALL {
            assert_eq!(Slot::at(slot.address()), Some((slot, 0)));
            assert_eq!(Slot::at(slot.address() + 0xffff), Some((slot, 0xffff)));
        }
        assert_eq!(Slot::at(DEVICE_BASE - 1), None);
        assert_eq!(Slot::at(DEVICE_BASE + 11 * DEVICE_FRAME_SIZE), None);
    }

    #[test]
    fn the_map_is_the_one_snapshots_were_taken_with() {
        assert_eq!(Slot::Doorbell.address(), 0x0a00_0000);
        assert_eq!(Slot::Vsock.address(), 0x0a06_0000);
        assert_eq!((MEMORY_BASE, RAM_BASE), (0x8000_0000, 0x8020_0000));
    }
}
