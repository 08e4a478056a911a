//! The virtio-mmio transport, section 4.2.2 of the specification: version 2 registers, no legacy interface.
//!
//! Registers are aligned 32-bit words; other accesses to them read as zero and are ignored when written. The configuration
//! space behind them is read with 1, 2, 4 or 8 bytes.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FAILED,
    VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};

use super::device::VirtioDevice;
use super::queue::{QueueFault, QueueState, RingAddress, VirtQueue};
use crate::devices::interrupt::SlotInterrupt;
use crate::devices::register as word;
use crate::error::{ErrorCode, Result, VmmError};
use crate::memory::GuestMemory;

/// "virt", read as a little-endian word.
pub(super) const MAGIC: u32 = 0x7472_6976;
/// Version of the register layout.
pub(super) const VERSION: u32 = 2;
/// "FIRN": the subsystem vendor.
const VENDOR: u32 = 0x4e52_4946;
/// Length of a shared memory region that does not exist.
const NO_SHARED_MEMORY: u32 = u32::MAX;

/// Register offsets in bytes, table 4.1 of the specification.
pub(super) mod register {
    pub(in super::super) const MAGIC_VALUE: u64 = 0x00;
    pub(in super::super) const VERSION: u64 = 0x04;
    pub(super) const DEVICE_ID: u64 = 0x08;
    pub(super) const VENDOR_ID: u64 = 0x0c;
    pub(super) const DEVICE_FEATURES: u64 = 0x10;
    pub(super) const DEVICE_FEATURES_SELECT: u64 = 0x14;
    pub(super) const DRIVER_FEATURES: u64 = 0x20;
    pub(super) const DRIVER_FEATURES_SELECT: u64 = 0x24;
    pub(super) const QUEUE_SELECT: u64 = 0x30;
    pub(super) const QUEUE_SIZE_MAX: u64 = 0x34;
    pub(super) const QUEUE_SIZE: u64 = 0x38;
    pub(super) const QUEUE_READY: u64 = 0x44;
    pub(super) const QUEUE_NOTIFY: u64 = 0x50;
    pub(super) const INTERRUPT_STATUS: u64 = 0x60;
    pub(super) const INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
    pub(super) const STATUS: u64 = 0x70;
    pub(super) const DESCRIPTOR_TABLE_LOW: u64 = 0x80;
    pub(super) const DESCRIPTOR_TABLE_HIGH: u64 = 0x84;
    pub(super) const AVAILABLE_RING_LOW: u64 = 0x90;
    pub(super) const AVAILABLE_RING_HIGH: u64 = 0x94;
    pub(super) const USED_RING_LOW: u64 = 0xa0;
    pub(super) const USED_RING_HIGH: u64 = 0xa4;
    pub(super) const SHARED_MEMORY_FIRST: u64 = 0xb0;
    pub(super) const SHARED_MEMORY_LAST: u64 = 0xbc;
    pub(super) const CONFIG_GENERATION: u64 = 0xfc;
    pub(super) const CONFIG: u64 = 0x100;
}

const ACKNOWLEDGE: u32 = VIRTIO_CONFIG_S_ACKNOWLEDGE;
const DRIVER: u32 = ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
const FEATURES_OK: u32 = DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;
const DRIVER_OK: u32 = FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
/// Bits of the status that say that the device does nothing until it is reset.
const BROKEN: u32 = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;

/// State of a transport and its queues in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportState {
    /// Device status.
    pub status: u32,
    /// Which half of the device's features is read.
    pub device_features_select: u32,
    /// Which half of the driver's features is written.
    pub driver_features_select: u32,
    /// Features that the driver accepted.
    pub driver_features: u64,
    /// The queue that the queue registers are those of.
    pub queue_select: u32,
    /// Interrupts that the driver has not acknowledged.
    pub interrupt_status: u32,
    /// Counts changes of the configuration space.
    pub config_generation: u32,
    /// The queues.
    pub queues: Vec<QueueState>,
}

/// A device behind its registers.
pub(in crate::devices) struct Transport<D> {
    device: D,
    interrupt: Arc<SlotInterrupt>,
    /// The driver is to be interrupted.
    is_interrupt_due: bool,
    memory: GuestMemory,
    /// The registers; its `queues` are empty, the queues are in the field below.
    registers: TransportState,
    queues: Vec<VirtQueue>,
    notifications: u64,
}

impl<D: VirtioDevice> Transport<D> {
    /// A device that no driver has touched.
    pub(in crate::devices) fn new(device: D, interrupt: SlotInterrupt, memory: GuestMemory) -> Result<Self> {
        let queues = D::QUEUE_SIZES.iter().map(|size| VirtQueue::new(*size)).collect::<Result<_>>()?;
        Ok(Self { queues, ..Self::without_queues(device, interrupt, memory) })
    }

    /// A device of a snapshot.
    pub(in crate::devices) fn restore(
        device: D,
        interrupt: SlotInterrupt,
        memory: GuestMemory,
        state: &TransportState,
    ) -> Result<Self> {
        let mut transport = Self::without_queues(device, interrupt, memory);
        transport.check(state)?;
        transport.queues = D::QUEUE_SIZES
            .iter()
            .zip(&state.queues)
            .map(|(size, queue)| VirtQueue::restore(*size, queue, &transport.memory))
            .collect::<Result<_>>()?;
        transport.registers = TransportState { queues: Vec::new(), ..state.clone() };
        Ok(transport)
    }

    fn without_queues(device: D, interrupt: SlotInterrupt, memory: GuestMemory) -> Self {
        let registers = TransportState::default();
        let interrupt = Arc::new(interrupt);
        let (queues, notifications) = (Vec::new(), 0);
        Self { device, interrupt, is_interrupt_due: false, memory, registers, queues, notifications }
    }

    fn check(&self, state: &TransportState) -> Result<()> {
        let progress = state.status & !BROKEN;
        let fault = if state.queues.len() != D::QUEUE_SIZES.len() {
            Some("another number of queues")
        } else if ![0, ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK].contains(&progress) {
            Some("a status that does not exist")
        } else if progress & FEATURES_OK == FEATURES_OK && !self.accepts(state.driver_features) {
            Some("features that are not offered")
        } else {
            None
        };
        match fault {
            Some(fault) => Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                format!("virtio device {} of the snapshot has {fault}", D::ID),
            )),
            None => Ok(()),
        }
    }

    pub(in crate::devices) fn state(&self) -> TransportState {
        let queues = self.queues.iter().map(VirtQueue::state).collect();
        TransportState { queues, ..self.registers.clone() }
    }

    pub(in crate::devices) fn device(&self) -> &D {
        &self.device
    }

    pub(in crate::devices) fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    pub(in crate::devices) fn queues(&self) -> &[VirtQueue] {
        &self.queues
    }

    /// Writes of the driver to QueueNotify.
    pub(in crate::devices) fn notifications(&self) -> u64 {
        self.notifications
    }

    /// Whether the driver has brought the device up and nothing has broken it since.
    pub(in crate::devices) fn is_running(&self) -> bool {
        self.registers.status == DRIVER_OK
    }

    pub(in crate::devices) fn read(&self, offset: u64, data: &mut [u8]) {
        match offset.checked_sub(register::CONFIG) {
            Some(offset) => self.read_config(offset, data),
            None => word::read(data, offset, |offset| self.read_register(offset)),
        }
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let config = self.device.config();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (to, from) in data.iter_mut().zip(config.iter().skip(start)) {
            *to = *from;
        }
    }

    fn read_register(&self, offset: u64) -> u32 {
        match offset {
            register::MAGIC_VALUE => MAGIC,
            register::VERSION => VERSION,
            register::DEVICE_ID => D::ID,
            register::VENDOR_ID => VENDOR,
            register::DEVICE_FEATURES => half(self.offered(), self.registers.device_features_select),
            register::QUEUE_SIZE_MAX => self.queue().map_or(0, |queue| u32::from(queue.size_max())),
            register::QUEUE_READY => self.queue().map_or(0, |queue| u32::from(queue.is_ready())),
            register::INTERRUPT_STATUS => self.registers.interrupt_status,
            register::STATUS => self.registers.status,
            register::SHARED_MEMORY_FIRST..=register::SHARED_MEMORY_LAST => NO_SHARED_MEMORY,
            register::CONFIG_GENERATION => self.registers.config_generation,
            _ => 0,
        }
    }

    pub(in crate::devices) fn write(&mut self, offset: u64, data: &[u8]) {
        if let Some(offset) = offset.checked_sub(register::CONFIG) {
            return self.device.write_config(offset, data);
        }
        let Some((offset, value)) = word::written(data, offset) else { return };
        match offset {
            register::DEVICE_FEATURES_SELECT => self.registers.device_features_select = value,
            register::DRIVER_FEATURES_SELECT => self.registers.driver_features_select = value,
            register::DRIVER_FEATURES => self.write_features(value),
            register::QUEUE_SELECT => self.registers.queue_select = value,
            register::QUEUE_NOTIFY => self.notify(value),
            register::INTERRUPT_ACKNOWLEDGE => self.registers.interrupt_status &= !value,
            register::STATUS => self.write_status(value),
            _ => self.write_queue(offset, value),
        }
    }

    fn queue(&self) -> Option<&VirtQueue> {
        self.queues.get(usize::try_from(self.registers.queue_select).ok()?)
    }

    fn offered(&self) -> u64 {
        self.device.features() | 1 << VIRTIO_F_VERSION_1
    }

    fn accepts(&self, features: u64) -> bool {
        features & !self.offered() == 0 && features & 1 << VIRTIO_F_VERSION_1 != 0
    }

    fn write_features(&mut self, value: u32) {
        if self.registers.status != DRIVER {
            return;
        }
        let features = &mut self.registers.driver_features;
        match self.registers.driver_features_select {
            0 => *features = *features & !u64::from(u32::MAX) | u64::from(value),
            1 => *features = *features & u64::from(u32::MAX) | u64::from(value) << 32,
            _ => {}
        }
    }

    /// The driver climbs one step at a time, gives up, or resets.
    fn write_status(&mut self, value: u32) {
        let status = self.registers.status;
        match (status & !BROKEN, value & !BROKEN) {
            _ if value == 0 => self.reset(),
            _ if value & VIRTIO_CONFIG_S_FAILED != 0 => self.registers.status |= VIRTIO_CONFIG_S_FAILED,
            (DRIVER, FEATURES_OK) if !self.accepts(self.registers.driver_features) => {}
            (0, step @ ACKNOWLEDGE)
            | (ACKNOWLEDGE, step @ DRIVER)
            | (DRIVER, step @ FEATURES_OK)
            | (FEATURES_OK, step @ DRIVER_OK) => self.registers.status = status & BROKEN | step,
            _ => {}
        }
    }

    fn reset(&mut self) {
        let config_generation = self.registers.config_generation;
        self.registers = TransportState { config_generation, ..TransportState::default() };
        for queue in &mut self.queues {
            queue.reset();
        }
        self.device.reset();
    }

    /// Queues are set up between FEATURES_OK and DRIVER_OK, and can be stopped at any time.
    fn write_queue(&mut self, offset: u64, value: u32) {
        let status = self.registers.status;
        let Ok(index) = usize::try_from(self.registers.queue_select) else { return };
        let Some(queue) = self.queues.get_mut(index) else { return };
        if offset == register::QUEUE_READY && value == 0 {
            return queue.reset();
        }
        if status != FEATURES_OK || queue.is_ready() {
            return;
        }
        match offset {
            register::QUEUE_READY => queue.start(&self.memory),
            register::QUEUE_SIZE => queue.set_size(value),
            register::DESCRIPTOR_TABLE_LOW => {
                queue.set_address(RingAddress::DescriptorTable, Some(value), None);
            }
            register::DESCRIPTOR_TABLE_HIGH => {
                queue.set_address(RingAddress::DescriptorTable, None, Some(value));
            }
            register::AVAILABLE_RING_LOW => queue.set_address(RingAddress::AvailableRing, Some(value), None),
            register::AVAILABLE_RING_HIGH => queue.set_address(RingAddress::AvailableRing, None, Some(value)),
            register::USED_RING_LOW => queue.set_address(RingAddress::UsedRing, Some(value), None),
            register::USED_RING_HIGH => queue.set_address(RingAddress::UsedRing, None, Some(value)),
            _ => {}
        }
    }

    fn notify(&mut self, queue: u32) {
        self.notifications = self.notifications.wrapping_add(1);
        if let Ok(index) = usize::try_from(queue)
            && index < self.queues.len()
        {
            self.drive(|device, queues, memory| device.notified(index, queues, memory));
        }
    }

    /// When work that the running device holds back may go on.
    pub(in crate::devices) fn held_until(&self) -> Option<Instant> {
        if self.is_running() { self.device.held_until() } else { None }
    }

    /// Works on all queues as if the driver had notified each.
    pub(in crate::devices) fn kick(&mut self) {
        self.drive(|device, queues, memory| {
            (0..queues.len()).try_for_each(|index| device.notified(index, queues, memory))
        });
    }

    /// Lets the running device work on its queues; the driver is then to be interrupted if it wants that. A driver that broke a
    /// queue is told that the device needs a reset.
    pub(in crate::devices) fn drive(
        &mut self,
        work: impl FnOnce(&mut D, &mut [VirtQueue], &GuestMemory) -> std::result::Result<(), QueueFault>,
    ) {
        if !self.is_running() {
            return;
        }
        let worked = work(&mut self.device, &mut self.queues, &self.memory).and_then(|()| {
            self.queues
                .iter_mut()
                .try_fold(false, |wanted, queue| Ok(queue.take_interrupt(&self.memory)? || wanted))
        });
        match worked {
            Ok(false) => {}
            Ok(true) => self.interrupt(VIRTIO_MMIO_INT_VRING),
            Err(QueueFault) => {
                self.registers.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
                self.interrupt(VIRTIO_MMIO_INT_CONFIG)
            }
        }
    }

    /// Tells the driver that the configuration space changed.
    pub(in crate::devices) fn config_changed(&mut self) {
        self.registers.config_generation = self.registers.config_generation.wrapping_add(1);
        if self.is_running() {
            self.interrupt(VIRTIO_MMIO_INT_CONFIG);
        }
    }

    /// The interrupt is an edge: it is raised for every event, whether or not the last was acknowledged.
    fn interrupt(&mut self, reason: u32) {
        self.registers.interrupt_status |= reason;
        self.is_interrupt_due = true;
    }

    /// Lets go of the device, then interrupts the driver if it is to be: the first that a vCPU does then is to ask the device why, and it
    /// would run into a lock that is held.
    pub(in crate::devices) fn release(mut transport: MutexGuard<'_, Self>) -> Result<()> {
        if !std::mem::take(&mut transport.is_interrupt_due) {
            return Ok(());
        }
        let interrupt = Arc::clone(&transport.interrupt);
        drop(transport);
        interrupt.raise()
    }
}

/// The lower or upper 32 bits of a set of features.
fn half(features: u64, select: u32) -> u32 {
    let [l0, l1, l2, l3, h0, h1, h2, h3] = features.to_le_bytes();
    match select {
        0 => u32::from_le_bytes([l0, l1, l2, l3]),
        1 => u32::from_le_bytes([h0, h1, h2, h3]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use crate::devices::testing::{Guest, options};
    use crate::error::ErrorCode;
    use crate::layout::{GENERATION_ID_ADDRESS, Slot};

    const DISK: Slot = Slot::RootDisk;

    fn guest() -> Guest {
        Guest::boot(options(&[0; 1024]))
    }

    #[test]
    fn devices_identify_themselves() {
        let mut guest = guest();
        let ids = [(DISK, 2), (Slot::AppDisk, 2), (Slot::Vsock, 19), (Slot::Net, 0)];
        for (slot, id) in ids {
            let read = [0x00, 0x04, 0x08].map(|offset| guest.read(slot, offset));
            assert_eq!(read, [0x7472_6976, 2, id]);
        }
        guest.write(Slot::Vsock, 0x14, 1);
        assert_eq!(guest.read(Slot::Vsock, 0x10), 1, "VIRTIO_F_VERSION_1");
        assert_eq!(guest.read(Slot::Vsock, 0x100), 3, "the guest's CID");
    }

    #[test]
    fn the_status_climbs_one_step_at_a_time() {
        let mut guest = guest();
        for (written, read) in [(3, 0), (1, 1), (0xf, 1), (3, 3), (0xf, 3), (1, 3)] {
            guest.write(DISK, 0x70, written);
            assert_eq!(guest.read(DISK, 0x70), read, "after {written:#x} was written");
        }
        guest.write(DISK, 0x70, 0x83);
        assert_eq!(guest.read(DISK, 0x70), 0x83);
        guest.write(DISK, 0x70, 0);
        assert_eq!(guest.read(DISK, 0x70), 0);
    }

    #[test]
    fn features_without_version_1_or_beyond_the_offered_are_refused() {
        for (low, high) in [(0, 0), (0, 3), (1 << 9, 1)] {
            let mut guest = guest();
            guest.write(DISK, 0x70, 1);
            guest.write(DISK, 0x70, 3);
            guest.write(DISK, 0x24, 1);
            guest.write(DISK, 0x20, high);
            guest.write(DISK, 0x24, 0);
            guest.write(DISK, 0x20, low);
            guest.write(DISK, 0x70, 0xb);
            assert_eq!(guest.read(DISK, 0x70), 3);
        }
    }

    #[test]
    fn a_queue_outside_guest_memory_does_not_start() {
        let mut guest = guest();
        guest.negotiate(DISK);
        guest.write(DISK, 0x38, 8);
        guest.write(DISK, 0x44, 1);
        assert_eq!(guest.read(DISK, 0x44), 0, "addresses of zero");
        guest.write(DISK, 0x30, 1);
        guest.write(DISK, 0x44, 1);
        assert_eq!(guest.read(DISK, 0x44), 0, "a queue that does not exist");
        assert_eq!(guest.read(DISK, 0x34), 0);
    }

    #[test]
    fn registers_ignore_other_widths_and_offsets() {
        let mut guest = guest();
        let mut data = [0xff; 8];
        guest.devices.read(DISK.address(), &mut data).unwrap();
        assert_eq!(data, [0; 8]);
        guest.devices.read(DISK.address() + 2, &mut data[..4]).unwrap();
        assert_eq!(data, [0; 8]);
        guest.devices.write(DISK.address() + 0x70, &[1]).unwrap();
        guest.devices.write(DISK.address() + 0x70, &1u64.to_le_bytes()).unwrap();
        assert_eq!(guest.read(DISK, 0x70), 0);
        let mut byte = [0];
        guest.devices.read(DISK.address() + 0x100, &mut byte).unwrap();
        assert_eq!(byte, [2], "the configuration space has bytes: two sectors");
    }

    #[test]
    fn a_broken_ring_asks_for_a_reset_and_works_after_it() {
        let mut guest = guest();
        let mut rings = guest.start(DISK, 1);
        let ring = &mut rings[0];
        guest.put(ring.available + 2, &1000u16.to_le_bytes());
        ring.notify(&mut guest);
        assert_eq!(guest.read(DISK, 0x70), 0x4f);
        assert_eq!(guest.read(DISK, 0x60), 2, "a configuration interrupt");
        assert_eq!(guest.interrupts.taken(), [DISK.spi()]);
        ring.notify(&mut guest);
        assert!(guest.interrupts.taken().is_empty());

        let mut rings = guest.start(DISK, 1);
        let status = guest.allocate(1);
        let header = guest.allocate(16);
        rings[0].offer(&guest, &[(header, 16, false), (status, 1, true)]);
        rings[0].notify(&mut guest);
        assert_eq!(rings[0].completed(&guest).len(), 1);
        assert_eq!(guest.read(DISK, 0x60), 1);
        guest.write(DISK, 0x64, 1);
        assert_eq!(guest.read(DISK, 0x60), 0);
    }

    #[test]
    fn a_driver_that_wants_no_interrupt_gets_none() {
        let mut guest = guest();
        let mut rings = guest.start(DISK, 1);
        let buffers = guest.allocate(32);
        guest.put(rings[0].available, &1u16.to_le_bytes());
        rings[0].offer(&guest, &[(buffers, 16, false), (buffers + 16, 1, true)]);
        rings[0].notify(&mut guest);
        assert_eq!(rings[0].completed(&guest).len(), 1);
        assert!(guest.interrupts.taken().is_empty());
    }

    #[test]
    fn state_goes_through_a_restore_and_forged_state_is_refused() {
        let mut guest = guest();
        guest.start(DISK, 1);
        guest.start(Slot::Vsock, 3);
        let state = guest.devices.save().unwrap();
        let mut restored = guest.restore(options(&[0; 1024]), &state).unwrap();
        assert_eq!(restored.read(DISK, 0x70), 0xf);
        assert_eq!(restored.devices.save().unwrap(), state);

        let mut forged = [state.clone(), state.clone(), state.clone(), state.clone(), state];
        forged[0].root_disk.transport.queues[0].used_ring = u64::MAX - 3;
        forged[1].root_disk.transport.queues[0].size = 3;
        forged[2].root_disk.transport.driver_features |= 1 << 50;
        forged[3].root_disk.transport.status = 0xc;
        forged[4].root_disk.transport.queues.clear();
        for state in forged {
            let error = guest.restore(options(&[0; 1024]), &state).err().unwrap();
            assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
        }
    }

    #[test]
    fn a_resume_changes_the_generation_and_interrupts() {
        let guest = guest();
        assert_ne!(guest.bytes(GENERATION_ID_ADDRESS, 16), [0; 16]);
        let state = guest.devices.save().unwrap();
        let mut restored = guest.restore(options(&[0; 1024]), &state).unwrap();
        assert!(restored.interrupts.taken().is_empty());
        restored.devices.resume([7; 16]).unwrap();
        assert_eq!(restored.bytes(GENERATION_ID_ADDRESS, 16), [7; 16]);
        assert_eq!(restored.interrupts.taken(), [Slot::Generation.spi()]);
        assert_eq!(restored.read(Slot::Doorbell, 8), 1);
    }
}
