//! Everything behind MMIO, and the device tree.
//!
//! [`Devices`] is host-neutral: it is driven by calls (an access of a vCPU, a descriptor that became ready) and acts through guest
//! memory, an [`InterruptLine`] and the descriptors it was given. All work is done in the calling thread, bounded by
//! the size of the queues; the caller holds one lock around it. Only flushing the scratch disk has a thread of its own.

mod cache;
mod clock;
mod console;
mod counters;
mod doorbell;
mod entropy;
mod fdt;
#[cfg(test)]
mod fdt_tests;
mod generation;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hostile_mmio;
#[cfg(test)]
mod hostile_race;
#[cfg(test)]
mod hostile_state;
mod interrupt;
mod limits;
mod options;
mod rate_limiter;
mod ready;
mod register;
mod serial;
mod state;
#[cfg(test)]
mod testing;
mod timer;
mod virtio;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::clock::ClockState;
pub use self::counters::DeviceCounters;
pub use self::doorbell::DoorbellState;
pub use self::fdt::{FdtOptions, device_tree};
pub use self::interrupt::InterruptLine;
pub use self::limits::{DeviceLimits, RateLimit, TokenBucket};
pub use self::options::DeviceOptions;
pub use self::ready::{StreamInterest, Watched};
pub use self::serial::SerialState;
pub use self::state::{DevicesState, OptionalDevicesState};
pub use self::virtio::block::BlockState;
pub use self::virtio::image::DiskImage;
pub use self::virtio::mmio::TransportState;
pub use self::virtio::net::NetState;
pub use self::virtio::queue::QueueState;
pub use self::virtio::vsock::{ConnectionState, VsockState};

use self::clock::Clock;
use self::console::Console;
use self::doorbell::Doorbell;
use self::generation::Generation;
use self::interrupt::{Interrupts, SlotInterrupt};
use self::serial::Serial;
use self::timer::Timer;
use self::virtio::block::{Access, Block};
use self::virtio::device::VirtioDevice;
use self::virtio::mmio::Transport;
use self::virtio::net::Net;
use self::virtio::rng::Rng;
use self::virtio::spare;
use self::virtio::vsock::Vsock;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::Slot;
use crate::memory::GuestMemory;

/// Serial numbers of the disks, as the guest sees them.
const ROOT_DISK_ID: &str = "firn-root";
const APP_DISK_ID: &str = "firn-app";
const SCRATCH_DISK_ID: &str = "firn-scratch";
/// How long a snapshot waits for requests that are half done.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// What a write of the guest asks of the VMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MmioOutcome {
    /// Nothing more.
    Done,
    /// The guest rang the doorbell: stop every vCPU before its next instruction and report.
    Doorbell {
        /// 1 booted, 2 base ready, 3 warm, 4 failed.
        event: u32,
        /// The number that goes with it.
        detail: u32,
    },
}

/// The devices of one microVM.
pub struct Devices {
    memory: GuestMemory,
    interrupts: Arc<Interrupts>,
    doorbell: Doorbell,
    serial: Serial,
    clock: Clock,
    generation: Generation,
    root_disk: Transport<Block>,
    app_disk: Transport<Block>,
    /// Capacity of the app disk that the guest was told, in sectors of 512 bytes.
    told_app_capacity: u64,
    vsock: Transport<Vsock>,
    scratch_disk: Option<Transport<Block>>,
    net: Option<Transport<Net>>,
    rng: Option<Transport<Rng>>,
    timer: Timer,
    mmio_reads: u64,
    mmio_writes: u64,
}

impl Devices {
    /// The devices of a microVM that boots. Writes a first generation id to guest memory.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Config`] if a disk image is no file or not a multiple of 512 bytes, or a link, an address or a limit cannot be
    /// one; [`ErrorCode::Io`] or [`ErrorCode::Memory`] if a descriptor or guest memory cannot be used.
    pub fn new(
        memory: GuestMemory,
        interrupts: Arc<dyn InterruptLine>,
        options: DeviceOptions,
    ) -> Result<Self> {
        options.limits.check()?;
        Generation::write_id(&memory, entropy::random()?)?;
        let interrupts = Interrupts::new(interrupts);
        let interrupt = |slot| SlotInterrupt::new(&interrupts, slot);
        let limits = options.limits;
        let app_disk = app_disk(options.app_disk, &limits)?;
        let console = Console::new(options.console)?;
        let vsock = Vsock::new(options.stream, None)?;
        let scratch_disk = options.scratch_disk.map(|image| scratch_disk(image, &limits)).transpose()?;
        let has_net = options.net || options.link.is_some();
        let net = has_net.then(|| Net::new(options.mac, options.link, &limits)).transpose()?;
        let rng = options.rng.then(|| Rng::new(&limits.rng));
        Ok(Self {
            doorbell: Doorbell::new(DoorbellState::default(), options.leaf),
            serial: Serial::new(&SerialState::default(), &interrupts, console)?,
            clock: Clock::new(&ClockState::default()),
            generation: Generation::new(interrupt(Slot::Generation)),
            root_disk: Transport::new(
                Block::new(ROOT_DISK_ID, Some(options.root_disk), Access::Read, &limits.root_disk)?,
                interrupt(Slot::RootDisk),
                memory.clone(),
            )?,
            told_app_capacity: app_disk.capacity(),
            app_disk: Transport::new(app_disk, interrupt(Slot::AppDisk), memory.clone())?,
            vsock: Transport::new(vsock, interrupt(Slot::Vsock), memory.clone())?,
            scratch_disk: scratch_disk
                .map(|disk| Transport::new(disk, interrupt(Slot::Scratch), memory.clone()))
                .transpose()?,
            net: net.map(|net| Transport::new(net, interrupt(Slot::Net), memory.clone())).transpose()?,
            rng: rng.map(|rng| Transport::new(rng, interrupt(Slot::Rng), memory.clone())).transpose()?,
            timer: Timer::new()?,
            mmio_reads: 0,
            mmio_writes: 0,
            memory,
            interrupts,
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
        options.limits.check()?;
        let interrupts = Interrupts::new(interrupts);
        let interrupt = |slot| SlotInterrupt::new(&interrupts, slot);
        let limits = options.limits;
        let root_disk = Block::new(ROOT_DISK_ID, Some(options.root_disk), Access::Read, &limits.root_disk)?;
        if root_disk.capacity() != state.root_disk.capacity {
            return Err(VmmError::new(
                ErrorCode::SnapshotIncompatible,
                format!(
                    "the root disk has {} sectors, that of the snapshot had {}; restore with the image it was taken with",
                    root_disk.capacity(),
                    state.root_disk.capacity,
                ),
            ));
        }
        let app_disk = app_disk(options.app_disk, &limits)?;
        let vsock = Vsock::new(options.stream, state.vsock.connection.as_ref())?;
        let vsock =
            Transport::restore(vsock, interrupt(Slot::Vsock), memory.clone(), &state.vsock.transport)?;
        if state.vsock.connection.is_some() && !vsock.is_running() {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                "the snapshot has an open agent connection, but its vsock device is not running",
            ));
        }
        let optional = &state.optional;
        let scratch_disk = match (&optional.scratch_disk, options.scratch_disk) {
            (None, None) => None,
            (saved, image) => {
                let disk = image.map(|image| scratch_disk(image, &limits)).transpose()?;
                Some(restored_scratch_disk(saved.as_ref(), disk)?)
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
        Ok(Self {
            doorbell: Doorbell::new(state.doorbell.clone(), options.leaf),
            serial: Serial::new(&state.serial, &interrupts, Console::new(options.console)?)?,
            clock: Clock::new(&state.clock),
            generation: Generation::new(interrupt(Slot::Generation)),
            root_disk: Transport::restore(
                root_disk,
                interrupt(Slot::RootDisk),
                memory.clone(),
                &state.root_disk.transport,
            )?,
            app_disk: Transport::restore(
                app_disk,
                interrupt(Slot::AppDisk),
                memory.clone(),
                &state.app_disk.transport,
            )?,
            told_app_capacity: state.app_disk.capacity,
            vsock,
            scratch_disk: scratch_disk
                .map(|(disk, state)| {
                    Transport::restore(disk, interrupt(Slot::Scratch), memory.clone(), state)
                })
                .transpose()?,
            net: net
                .map(|(net, state)| Transport::restore(net, interrupt(Slot::Net), memory.clone(), state))
                .transpose()?,
            rng: rng
                .map(|(rng, state)| Transport::restore(rng, interrupt(Slot::Rng), memory.clone(), state))
                .transpose()?,
            timer: Timer::new()?,
            mmio_reads: 0,
            mmio_writes: 0,
            memory,
            interrupts,
        })
    }

    /// The state for a snapshot. Answers what is half done: that writes guest memory and raises interrupts, so memory and
    /// interrupt controller are saved after the devices.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SnapshotRefused`] while bytes of the agent stream are underway in either direction, or while the agent's
    /// connection is being opened or closed, or if the scratch disk's image cannot be flushed in 30 seconds.
    pub fn save(&mut self) -> Result<DevicesState> {
        self.serial.flush();
        self.drain()?;
        let refused = |reason: &str| {
            VmmError::new(ErrorCode::SnapshotRefused, format!("the agent stream is not quiescent: {reason}"))
        };
        let connection = self.vsock.device().quiescent(self.vsock.queues(), &self.memory).map_err(refused)?;
        if connection.is_some() && !self.vsock.is_running() {
            return Err(refused("the guest's vsock driver has broken the device"));
        }
        Ok(DevicesState {
            doorbell: self.doorbell.state(),
            serial: self.serial.state(),
            clock: self.clock.state(),
            root_disk: BlockState {
                capacity: self.root_disk.device().capacity(),
                transport: self.root_disk.state(),
            },
            app_disk: BlockState { capacity: self.told_app_capacity, transport: self.app_disk.state() },
            vsock: VsockState { transport: self.vsock.state(), connection },
            optional: OptionalDevicesState {
                scratch_disk: self
                    .scratch_disk
                    .as_ref()
                    .map(|disk| BlockState { capacity: disk.device().capacity(), transport: disk.state() }),
                net: self.net.as_ref().map(|net| net.device().state(net.state())),
                rng: self.rng.as_ref().map(Transport::state),
            },
        })
    }

    /// Answers every request that was taken from its queue. Those that are held back stay in theirs.
    fn drain(&mut self) -> Result<()> {
        let Some(disk) = &mut self.scratch_disk else { return Ok(()) };
        let deadline = Instant::now() + DRAIN_MAX;
        // A guest that has broken its device gets no answers.
        while disk.is_running() && disk.device().wait_for_flush(deadline)? {
            disk.drive(Block::answer_flushes)?;
        }
        Ok(())
    }

    /// A guest reads `data.len()` bytes at a guest physical address. What does not exist reads as zeros.
    pub fn read(&mut self, address: u64, data: &mut [u8]) {
        self.mmio_reads = self.mmio_reads.wrapping_add(1);
        let Some((slot, offset)) = Slot::at(address) else {
            return data.fill(0);
        };
        match slot {
            Slot::Doorbell => self.doorbell.read(offset, data),
            Slot::Serial => self.serial.read(offset, data),
            Slot::Clock => self.clock.read(offset, data),
            Slot::Generation => data.fill(0),
            Slot::RootDisk => self.root_disk.read(offset, data),
            Slot::AppDisk => self.app_disk.read(offset, data),
            Slot::Vsock => self.vsock.read(offset, data),
            Slot::Scratch => read_optional(self.scratch_disk.as_ref(), offset, data),
            Slot::Net => read_optional(self.net.as_ref(), offset, data),
            Slot::Rng => read_optional(self.rng.as_ref(), offset, data),
            Slot::Balloon => spare::read(offset, data),
        }
    }

    /// A guest writes to a guest physical address. Writes to what does not exist are ignored.
    ///
    /// From a doorbell event to [`Devices::resume`] nothing is read from the agent stream: what the controller sends to one
    /// microVM must not get into a snapshot.
    ///
    /// # Errors
    ///
    /// Only for what must end the microVM: the interrupt controller cannot be reached.
    pub fn write(&mut self, address: u64, data: &[u8]) -> Result<MmioOutcome> {
        self.mmio_writes = self.mmio_writes.wrapping_add(1);
        match Slot::at(address) {
            Some((Slot::Doorbell, offset)) => {
                let outcome = self.doorbell.write(offset, data);
                if outcome != MmioOutcome::Done {
                    self.vsock.device_mut().hold(true);
                }
                return Ok(outcome);
            }
            Some((Slot::Serial, offset)) => self.serial.write(offset, data)?,
            Some((Slot::Clock, offset)) => self.clock.write(offset, data),
            Some((Slot::RootDisk, offset)) => self.root_disk.write(offset, data)?,
            Some((Slot::AppDisk, offset)) => self.app_disk.write(offset, data)?,
            Some((Slot::Vsock, offset)) => self.vsock.write(offset, data)?,
            Some((Slot::Scratch, offset)) => write_optional(self.scratch_disk.as_mut(), offset, data)?,
            Some((Slot::Net, offset)) => write_optional(self.net.as_mut(), offset, data)?,
            Some((Slot::Rng, offset)) => write_optional(self.rng.as_mut(), offset, data)?,
            Some((Slot::Generation | Slot::Balloon, _)) | None => {}
        }
        self.settle()?;
        Ok(MmioOutcome::Done)
    }

    /// Makes the guest see that it runs again: a new generation, a changed app disk, what the stream and the link already hold. What
    /// was held back when it stopped goes on. To be called when the interrupt controller is loaded and before the first guest
    /// instruction; on the source of a snapshot, too, before it goes on.
    pub fn resume(&mut self, generation: [u8; 16]) -> Result<()> {
        self.doorbell.resume();
        self.generation.change(&self.memory, generation)?;
        let capacity = self.app_disk.device().capacity();
        if capacity != self.told_app_capacity {
            self.told_app_capacity = capacity;
            self.app_disk.config_changed()?;
        }
        self.root_disk.kick()?;
        self.app_disk.kick()?;
        self.scratch_disk.as_mut().map_or(Ok(()), Transport::kick)?;
        self.rng.as_mut().map_or(Ok(()), Transport::kick)?;
        self.net.as_mut().map_or(Ok(()), Transport::kick)?;
        self.vsock.device_mut().hold(false);
        // The stream may have become readable or writable, and its other end may have gone, which was told to nobody.
        self.vsock.drive(|vsock, queues, memory| vsock.stream_ready(queues, memory))?;
        // It may have fired while the microVM stood still.
        self.timer.acknowledge();
        self.settle()
    }

    /// Carries the agent stream on over another stream socket. What it already holds is passed on by
    /// [`Devices::resume`] or [`Devices::on_stream_ready`].
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Io`] if the descriptor is no socket.
    pub fn replace_stream(&mut self, fd: OwnedFd) -> Result<()> {
        self.vsock.device_mut().replace_stream(fd)
    }

    /// Counts so far.
    pub fn counters(&self) -> DeviceCounters {
        let disks = [Some(&self.root_disk), Some(&self.app_disk), self.scratch_disk.as_ref()];
        let disks = || disks.into_iter().flatten().map(Transport::device);
        let vsock = self.vsock.device();
        let net = self.net.as_ref().map(|net| net.device().counts()).unwrap_or_default();
        DeviceCounters {
            mmio_reads: self.mmio_reads,
            mmio_writes: self.mmio_writes,
            queue_notifications: [
                self.root_disk.notifications(),
                self.app_disk.notifications(),
                self.vsock.notifications(),
                self.scratch_disk.as_ref().map_or(0, Transport::notifications),
                self.net.as_ref().map_or(0, Transport::notifications),
                self.rng.as_ref().map_or(0, Transport::notifications),
            ]
            .into_iter()
            .fold(0, u64::wrapping_add),
            interrupts_raised: self.interrupts.raised(),
            bytes_to_stream: vsock.bytes_to_stream(),
            bytes_from_stream: vsock.bytes_from_stream(),
            disk_bytes_read: disks().map(Block::bytes_read).fold(0, u64::wrapping_add),
            disk_bytes_written: disks().map(Block::bytes_written).fold(0, u64::wrapping_add),
            console_bytes_dropped: self.serial.dropped(),
            net_frames_received: net.received,
            net_frames_sent: net.sent,
            net_frames_dropped: net.dropped,
            random_bytes_given: self.rng.as_ref().map_or(0, |rng| rng.device().bytes_given()),
        }
    }
}

fn app_disk(image: Option<File>, limits: &DeviceLimits) -> Result<Block> {
    let image = image.map(|file| DiskImage::new(file, APP_DISK_ID)).transpose()?;
    Block::new(APP_DISK_ID, image, Access::Read, &limits.app_disk)
}

fn scratch_disk(image: File, limits: &DeviceLimits) -> Result<Block> {
    let image = DiskImage::new(image, SCRATCH_DISK_ID)?;
    Block::new(SCRATCH_DISK_ID, Some(image), Access::ReadWrite, &limits.scratch_disk)
}

/// The scratch disk of a snapshot: there, and of the same size, if and only if the snapshot's microVM had one.
fn restored_scratch_disk(
    saved: Option<&BlockState>,
    disk: Option<Block>,
) -> Result<(Block, &TransportState)> {
    match (saved, disk) {
        (Some(saved), Some(disk)) if disk.capacity() == saved.capacity => Ok((disk, &saved.transport)),
        (Some(saved), Some(disk)) => Err(incompatible(&format!(
            "its scratch disk has {} sectors, and the one that was passed has {}; pass a copy of the image that was made with it",
            saved.capacity,
            disk.capacity()
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

/// Reads a register of a device that a microVM may have, or of the spare slot.
fn read_optional<D: VirtioDevice>(device: Option<&Transport<D>>, offset: u64, data: &mut [u8]) {
    match device {
        Some(device) => device.read(offset, data),
        None => spare::read(offset, data),
    }
}

fn write_optional<D: VirtioDevice>(
    device: Option<&mut Transport<D>>,
    offset: u64,
    data: &[u8],
) -> Result<()> {
    device.map_or(Ok(()), |device| device.write(offset, data))
}
