//! Devices of a microVM that boots, and of one that is restored.

use std::fs::File;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::clock::{Clock, ClockState};
use super::console::Console;
use super::doorbell::{Doorbell, DoorbellState};
use super::generation::Generation;
use super::interrupt::{InterruptLine, Interrupts, SlotInterrupt};
use super::schedule::Schedule;
use super::serial::{Serial, SerialState};
use super::timer::Timer;
use super::virtio::balloon::Balloon;
use super::virtio::block::image::DiskImage;
use super::virtio::block::{Access, BlockState, Disk, DiskParts, DiskThreads};
use super::virtio::device::VirtioDevice;
use super::virtio::mmio::{Transport, TransportState};
use super::virtio::net::Net;
use super::virtio::rng::Rng;
use super::virtio::vsock::Vsock;
use super::{DeviceLimits, DeviceOptions, Devices, DevicesState, ROOT_DISK_ID, entropy, lock};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::Slot;
use crate::memory::GuestMemory;

/// Serial numbers of the other disks.
const APP_DISK_ID: &str = "firn-app";
const SCRATCH_DISK_ID: &str = "firn-scratch";

/// What every device of a microVM is made with.
struct Making {
    memory: GuestMemory,
    interrupts: Arc<Interrupts>,
    schedule: Arc<Schedule>,
    threads: DiskThreads,
    limits: DeviceLimits,
}

impl Making {
    fn new(
        memory: GuestMemory,
        line: Arc<dyn InterruptLine>,
        threads: Option<DiskThreads>,
        limits: DeviceLimits,
    ) -> Result<Self> {
        limits.check()?;
        Ok(Self {
            memory,
            interrupts: Interrupts::new(line),
            schedule: Arc::new(Schedule::new(Timer::new()?)),
            threads: threads.map_or_else(DiskThreads::start, Ok)?,
            limits,
        })
    }

    fn interrupt(&self, slot: Slot) -> SlotInterrupt {
        SlotInterrupt::new(&self.interrupts, slot)
    }

    /// A device that no driver has touched, or that of a snapshot.
    fn transport<D: VirtioDevice>(
        &self,
        device: D,
        slot: Slot,
        state: Option<&TransportState>,
    ) -> Result<Mutex<Transport<D>>> {
        let (interrupt, memory) = (self.interrupt(slot), self.memory.clone());
        let transport = match state {
            Some(state) => Transport::restore(device, interrupt, memory, state)?,
            None => Transport::new(device, interrupt, memory)?,
        };
        Ok(Mutex::new(transport))
    }

    fn disk(&self, slot: Slot, image: Option<DiskImage>, state: Option<&TransportState>) -> Result<Disk> {
        let (id, access, limit) = match slot {
            Slot::RootDisk => (ROOT_DISK_ID, Access::Read, &self.limits.root_disk),
            Slot::Scratch => (SCRATCH_DISK_ID, Access::ReadWrite, &self.limits.scratch_disk),
            _ => (APP_DISK_ID, Access::Read, &self.limits.app_disk),
        };
        let parts = DiskParts {
            id,
            image,
            access,
            limit,
            interrupt: self.interrupt(slot),
            memory: self.memory.clone(),
            schedule: &self.schedule,
            threads: &self.threads,
        };
        Disk::new(parts, state)
    }
}

impl Devices {
    /// The devices of a microVM that boots. Writes a first generation id to guest memory.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Config`] if a disk image is no file or not a multiple of 512 bytes, or a link, an address or a limit cannot be
    /// one; [`ErrorCode::Io`] or [`ErrorCode::Memory`] if a descriptor, a thread or guest memory cannot be had.
    pub fn new(
        memory: GuestMemory,
        interrupts: Arc<dyn InterruptLine>,
        options: DeviceOptions,
    ) -> Result<Self> {
        let limits = options.limits;
        let making = Making::new(memory, interrupts, options.disk_threads, limits)?;
        Generation::write_id(&making.memory, entropy::random()?)?;
        let app_disk = making.disk(Slot::AppDisk, image_of(options.app_disk, APP_DISK_ID)?, None)?;
        let scratch_disk = match image_of(options.scratch_disk, SCRATCH_DISK_ID)? {
            Some(image) => Some(making.disk(Slot::Scratch, Some(image), None)?),
            None => None,
        };
        let has_net = options.net || options.link.is_some();
        let net = has_net.then(|| Net::new(options.mac, options.link, &limits)).transpose()?;
        let rng = options.rng.then(|| Rng::new(&limits.rng));
        let balloon = options.balloon.then(|| Balloon::new(options.reclaimer, None));
        let console = Console::new(options.console)?;
        let serial = Serial::new(&SerialState::default(), &making.interrupts, console)?;
        Ok(Self {
            doorbell: Mutex::new(Doorbell::new(DoorbellState::default(), options.leaf)),
            serial: Mutex::new(serial),
            clock: Mutex::new(Clock::new(&ClockState::default())),
            generation: Mutex::new(Generation::new(making.interrupt(Slot::Generation))),
            root_disk: making.disk(Slot::RootDisk, Some(options.root_disk), None)?,
            told_app_capacity: AtomicU64::new(app_disk.capacity()?),
            app_disk,
            vsock: making.transport(Vsock::new(options.stream, None)?, Slot::Vsock, None)?,
            scratch_disk,
            net: net.map(|net| making.transport(net, Slot::Net, None)).transpose()?,
            rng: rng.map(|rng| making.transport(rng, Slot::Rng, None)).transpose()?,
            balloon: balloon.map(|balloon| making.transport(balloon, Slot::Balloon, None)).transpose()?,
            mmio_reads: AtomicU64::new(0),
            mmio_writes: AtomicU64::new(0),
            memory: making.memory,
            interrupts: making.interrupts,
            schedule: making.schedule,
            _threads: making.threads,
        })
    }

    /// The devices of a snapshot. Neither raises interrupts nor touches guest memory: [`Devices::resume`] does.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SnapshotCorrupt`] if the state cannot be; [`ErrorCode::SnapshotIncompatible`] if the root or scratch disk has
    /// another size than the snapshot's, or there is a scratch disk or a link for a microVM without; and those of [`Devices::new`].
    pub fn restore(
        memory: GuestMemory,
        interrupts: Arc<dyn InterruptLine>,
        options: DeviceOptions,
        state: &DevicesState,
    ) -> Result<Self> {
        let limits = options.limits;
        let making = Making::new(memory, interrupts, options.disk_threads, limits)?;
        let root_disk = options.root_disk;
        if root_disk.sectors != state.root_disk.capacity {
            return Err(VmmError::new(
                ErrorCode::SnapshotIncompatible,
                format!(
                    "the root disk has {} sectors, that of the snapshot had {}; restore with the image it was taken with",
                    root_disk.sectors, state.root_disk.capacity,
                ),
            ));
        }
        let vsock = Vsock::new(options.stream, state.vsock.connection.as_ref())?;
        let vsock = making.transport(vsock, Slot::Vsock, Some(&state.vsock.transport))?;
        if state.vsock.connection.is_some() && !lock(&vsock)?.is_running() {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                "the snapshot has an open agent connection, but its vsock device is not running",
            ));
        }
        let optional = &state.optional;
        let scratch_image = image_of(options.scratch_disk, SCRATCH_DISK_ID)?;
        let scratch_disk = match (&optional.scratch_disk, scratch_image) {
            (None, None) => None,
            (saved, image) => {
                let (image, state) = restored_scratch_disk(saved.as_ref(), image)?;
                Some(making.disk(Slot::Scratch, Some(image), Some(state))?)
            }
        };
        let net = match (&optional.net, options.link) {
            (Some(state), link) => Some((Net::restore(state, link, &limits)?, &state.transport)),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(incompatible("it has no network card, and a link for one was passed"));
            }
        };
        let rng = optional.rng.as_ref().map(|state| (Rng::new(&limits.rng), state));
        let balloon = match &optional.balloon {
            Some(state) => {
                let balloon = Balloon::new(options.reclaimer, Some(state));
                Some(making.transport(balloon, Slot::Balloon, Some(&state.transport))?)
            }
            None => None,
        };
        let app_image = image_of(options.app_disk, APP_DISK_ID)?;
        let generation = Generation::new(making.interrupt(Slot::Generation));
        let serial = Serial::new(&state.serial, &making.interrupts, Console::new(options.console)?)?;
        Ok(Self {
            doorbell: Mutex::new(Doorbell::new(state.doorbell.clone(), options.leaf)),
            serial: Mutex::new(serial),
            clock: Mutex::new(Clock::new(&state.clock)),
            generation: Mutex::new(generation),
            root_disk: making.disk(Slot::RootDisk, Some(root_disk), Some(&state.root_disk.transport))?,
            app_disk: making.disk(Slot::AppDisk, app_image, Some(&state.app_disk.transport))?,
            told_app_capacity: AtomicU64::new(state.app_disk.capacity),
            vsock,
            scratch_disk,
            net: net.map(|(net, state)| making.transport(net, Slot::Net, Some(state))).transpose()?,
            rng: rng.map(|(rng, state)| making.transport(rng, Slot::Rng, Some(state))).transpose()?,
            balloon,
            mmio_reads: AtomicU64::new(0),
            mmio_writes: AtomicU64::new(0),
            memory: making.memory,
            interrupts: making.interrupts,
            schedule: making.schedule,
            _threads: making.threads,
        })
    }
}

fn image_of(file: Option<File>, id: &str) -> Result<Option<DiskImage>> {
    file.map(|file| DiskImage::new(file, id)).transpose()
}

/// The scratch disk of a snapshot: there, and of the same size, if and only if the snapshot's microVM had one.
fn restored_scratch_disk(
    saved: Option<&BlockState>,
    image: Option<DiskImage>,
) -> Result<(DiskImage, &TransportState)> {
    match (saved, image) {
        (Some(saved), Some(image)) if image.sectors == saved.capacity => Ok((image, &saved.transport)),
        (Some(saved), Some(image)) => Err(incompatible(&format!(
            "its scratch disk has {} sectors, and the one that was passed has {}; pass a copy of the image that was made with it",
            saved.capacity, image.sectors
        ))),
        (Some(saved), None) => Err(incompatible(&format!(
            "it has a scratch disk of {} sectors, and none was passed; pass a copy of the image that was made with it",
            saved.capacity
        ))),
        (None, _) => Err(incompatible("it has no scratch disk, and one was passed")),
    }
}

fn incompatible(what: &str) -> VmmError {
    VmmError::new(ErrorCode::SnapshotIncompatible, format!("the snapshot cannot be restored so: {what}"))
}
