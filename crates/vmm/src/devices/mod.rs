//! Everything behind MMIO, and the device tree.
//!
//! [`Devices`] is host-neutral: it is driven by calls (an access of a vCPU, a stream that became ready) and acts through guest
//! memory, an [`InterruptLine`] and the descriptors it was given. All work is done in the calling thread, bounded by
//! the size of the queues; the caller holds one lock around it.

mod cache;
mod clock;
mod console;
mod counters;
mod doorbell;
mod entropy;
mod fdt;
mod generation;
#[cfg(test)]
mod hostile;
mod interrupt;
mod register;
mod serial;
#[cfg(test)]
mod testing;
mod virtio;

use std::fs::File;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::clock::ClockState;
pub use self::counters::DeviceCounters;
pub use self::doorbell::DoorbellState;
pub use self::fdt::{FdtOptions, device_tree};
pub use self::interrupt::InterruptLine;
pub use self::serial::SerialState;
pub use self::virtio::block::BlockState;
pub use self::virtio::mmio::TransportState;
pub use self::virtio::queue::QueueState;
pub use self::virtio::vsock::{ConnectionState, VsockState};

use self::clock::Clock;
use self::console::Console;
use self::doorbell::Doorbell;
use self::generation::Generation;
use self::interrupt::{Interrupts, SlotInterrupt};
use self::serial::Serial;
use self::virtio::block::Block;
use self::virtio::mmio::Transport;
use self::virtio::spare;
use self::virtio::vsock::Vsock;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::Slot;
use crate::memory::GuestMemory;

/// Serial numbers of the disks, as the guest sees them.
const ROOT_DISK_ID: &str = "firn-root";
const APP_DISK_ID: &str = "firn-app";

/// The descriptors that a microVM's devices work on.
pub struct DeviceOptions {
    /// The root file system. Read-only; its size is a multiple of 512 bytes.
    pub root_disk: File,
    /// The app image; without one the app disk has capacity 0.
    pub app_disk: Option<File>,
    /// Nonblocking write end for the serial console's output. Bytes are lost when it is full.
    pub console: Option<File>,
    /// Nonblocking stream socket: the host's end of the agent stream.
    pub stream: Option<OwnedFd>,
    /// Whether the microVM is restored to serve: a leaf ignores doorbell events.
    pub leaf: bool,
}

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

/// What to poll the agent stream for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamInterest {
    /// The guest can take more bytes.
    pub readable: bool,
    /// Bytes of the guest wait to be written.
    pub writable: bool,
}

/// State of all devices in a snapshot: plain old data, checked when it is restored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DevicesState {
    /// The doorbell.
    pub doorbell: DoorbellState,
    /// The serial console.
    pub serial: SerialState,
    /// The real-time clock.
    pub clock: ClockState,
    /// The root disk.
    pub root_disk: BlockState,
    /// The app disk.
    pub app_disk: BlockState,
    /// The agent stream.
    pub vsock: VsockState,
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
    mmio_reads: u64,
    mmio_writes: u64,
}

impl Devices {
    /// The devices of a microVM that boots. Writes a first generation id to guest memory.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Config`] if a disk image is no file or not a multiple of 512 bytes; [`ErrorCode::Io`] or
    /// [`ErrorCode::Memory`] if a descriptor or guest memory cannot be used.
    pub fn new(
        memory: GuestMemory,
        interrupts: Arc<dyn InterruptLine>,
        options: DeviceOptions,
    ) -> Result<Self> {
        Generation::write_id(&memory, entropy::random()?)?;
        let interrupts = Interrupts::new(interrupts);
        let interrupt = |slot| SlotInterrupt::new(&interrupts, slot);
        let app_disk = Block::new(APP_DISK_ID, options.app_disk)?;
        let console = Console::new(options.console);
        let vsock = Vsock::new(options.stream, None)?;
        Ok(Self {
            doorbell: Doorbell::new(DoorbellState::default(), options.leaf),
            serial: Serial::new(&SerialState::default(), &interrupts, console)?,
            clock: Clock::new(&ClockState::default()),
            generation: Generation::new(interrupt(Slot::Generation)),
            root_disk: Transport::new(
                Block::new(ROOT_DISK_ID, Some(options.root_disk))?,
                interrupt(Slot::RootDisk),
                memory.clone(),
            )?,
            told_app_capacity: app_disk.capacity(),
            app_disk: Transport::new(app_disk, interrupt(Slot::AppDisk), memory.clone())?,
            vsock: Transport::new(vsock, interrupt(Slot::Vsock), memory.clone())?,
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
    /// [`ErrorCode::SnapshotCorrupt`] if the state cannot be; [`ErrorCode::SnapshotIncompatible`] if the root disk has
    /// another size than the snapshot's; and those of [`Devices::new`].
    pub fn restore(
        memory: GuestMemory,
        interrupts: Arc<dyn InterruptLine>,
        options: DeviceOptions,
        state: &DevicesState,
    ) -> Result<Self> {
        let interrupts = Interrupts::new(interrupts);
        let interrupt = |slot| SlotInterrupt::new(&interrupts, slot);
        let root_disk = Block::new(ROOT_DISK_ID, Some(options.root_disk))?;
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
        let app_disk = Block::new(APP_DISK_ID, options.app_disk)?;
        let vsock = Vsock::new(options.stream, state.vsock.connection.as_ref())?;
        let vsock =
            Transport::restore(vsock, interrupt(Slot::Vsock), memory.clone(), &state.vsock.transport)?;
        if state.vsock.connection.is_some() && !vsock.is_running() {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                "the snapshot has an open agent connection, but its vsock device is not running",
            ));
        }
        Ok(Self {
            doorbell: Doorbell::new(state.doorbell.clone(), options.leaf),
            serial: Serial::new(&state.serial, &interrupts, Console::new(options.console))?,
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
            mmio_reads: 0,
            mmio_writes: 0,
            memory,
            interrupts,
        })
    }

    /// The state for a snapshot. Changes nothing that the guest can see.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SnapshotRefused`] while bytes of the agent stream are underway in either direction, or while the agent's
    /// connection is being opened or closed.
    pub fn save(&mut self) -> Result<DevicesState> {
        self.serial.flush();
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
        })
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
            Slot::Scratch | Slot::Net | Slot::Rng | Slot::Balloon => spare::read(offset, data),
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
            _ => {}
        }
        Ok(MmioOutcome::Done)
    }

    /// Makes the guest see that it runs again: a new generation, a changed app disk, what the stream already holds. To be
    /// called when the interrupt controller is loaded and before the first guest instruction; on the source of a
    /// snapshot, too, before it goes on.
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
        self.vsock.device_mut().hold(false);
        self.vsock.kick()
    }

    /// The agent stream's descriptor, if it is open. It closes when the connection ends.
    pub fn stream_fd(&self) -> Option<RawFd> {
        self.vsock.device().stream_fd()
    }

    /// What to poll the agent stream for now. It changes with every [`Devices::write`] and
    /// [`Devices::on_stream_ready`]; an edge-triggered poll for everything needs not ask.
    pub fn stream_interest(&self) -> StreamInterest {
        self.vsock.device().interest(self.vsock.queues(), &self.memory)
    }

    /// The agent stream became readable or writable, or its other end closed.
    pub fn on_stream_ready(&mut self) -> Result<()> {
        self.vsock.drive(|vsock, queues, memory| vsock.stream_ready(queues, memory))
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
        let disks = [self.root_disk.device(), self.app_disk.device()];
        let vsock = self.vsock.device();
        DeviceCounters {
            mmio_reads: self.mmio_reads,
            mmio_writes: self.mmio_writes,
            queue_notifications: [
                self.root_disk.notifications(),
                self.app_disk.notifications(),
                self.vsock.notifications(),
            ]
            .into_iter()
            .fold(0, u64::wrapping_add),
            interrupts_raised: self.interrupts.raised(),
            bytes_to_stream: vsock.bytes_to_stream(),
            bytes_from_stream: vsock.bytes_from_stream(),
            disk_bytes_read: disks.iter().map(|disk| disk.bytes_read()).fold(0, u64::wrapping_add),
            console_bytes_dropped: self.serial.dropped(),
        }
    }
}
