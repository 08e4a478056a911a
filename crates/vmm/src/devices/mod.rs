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
mod interrupt;
mod register;
mod serial;
#[cfg(test)]
mod testing;

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::clock::ClockState;
pub use self::counters::DeviceCounters;
pub use self::doorbell::DoorbellState;
pub use self::fdt::{FdtOptions, device_tree};
pub use self::interrupt::InterruptLine;
pub use self::serial::SerialState;

use self::clock::Clock;
use self::console::Console;
use self::doorbell::Doorbell;
use self::generation::Generation;
use self::interrupt::{Interrupts, SlotInterrupt};
use self::serial::Serial;
use crate::error::Result;
use crate::layout::Slot;
use crate::memory::GuestMemory;

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
}

/// The devices of one microVM.
pub struct Devices {
    memory: GuestMemory,
    interrupts: Arc<Interrupts>,
    doorbell: Doorbell,
    serial: Serial,
    clock: Clock,
    generation: Generation,
    stream: Option<OwnedFd>,
    counters: DeviceCounters,
}

impl Devices {
    /// The devices of a microVM that boots. Writes a first generation id to guest memory.
    pub fn new(
        memory: GuestMemory,
        interrupts: Arc<dyn InterruptLine>,
        options: DeviceOptions,
    ) -> Result<Self> {
        Generation::write_id(&memory, entropy::random()?)?;
        let state = DevicesState {
            doorbell: DoorbellState::default(),
            serial: SerialState::default(),
            clock: ClockState::default(),
        };
        Self::restore(memory, interrupts, options, &state)
    }

    /// The devices of a snapshot. Neither raises interrupts nor touches guest memory: [`Devices::resume`] does.
    pub fn restore(
        memory: GuestMemory,
        interrupts: Arc<dyn InterruptLine>,
        options: DeviceOptions,
        state: &DevicesState,
    ) -> Result<Self> {
        let interrupts = Interrupts::new(interrupts);
        Ok(Self {
            memory,
            doorbell: Doorbell::new(state.doorbell.clone(), options.leaf),
            serial: Serial::new(&state.serial, &interrupts, Console::new(options.console))?,
            clock: Clock::new(&state.clock),
            generation: Generation::new(SlotInterrupt::new(&interrupts, Slot::Generation)),
            stream: options.stream,
            counters: DeviceCounters::default(),
            interrupts,
        })
    }

    /// The state for a snapshot.
    pub fn save(&mut self) -> Result<DevicesState> {
        self.serial.flush();
        Ok(DevicesState {
            doorbell: self.doorbell.state(),
            serial: self.serial.state(),
            clock: self.clock.state(),
        })
    }

    /// A guest reads `data.len()` bytes at a guest physical address. What does not exist reads as zeros.
    pub fn read(&mut self, address: u64, data: &mut [u8]) {
        self.counters.mmio_reads = self.counters.mmio_reads.wrapping_add(1);
        match Slot::at(address) {
            Some((Slot::Doorbell, offset)) => self.doorbell.read(offset, data),
            Some((Slot::Serial, offset)) => self.serial.read(offset, data),
            Some((Slot::Clock, offset)) => self.clock.read(offset, data),
            _ => data.fill(0),
        }
    }

    /// A guest writes to a guest physical address. Writes to what does not exist are ignored.
    ///
    /// # Errors
    ///
    /// Only for what must end the microVM: the interrupt controller cannot be reached.
    pub fn write(&mut self, address: u64, data: &[u8]) -> Result<MmioOutcome> {
        self.counters.mmio_writes = self.counters.mmio_writes.wrapping_add(1);
        match Slot::at(address) {
            Some((Slot::Doorbell, offset)) => return Ok(self.doorbell.write(offset, data)),
            Some((Slot::Serial, offset)) => self.serial.write(offset, data)?,
            Some((Slot::Clock, offset)) => self.clock.write(offset, data),
            _ => {}
        }
        Ok(MmioOutcome::Done)
    }

    /// Makes the guest see that it runs again.
    pub fn resume(&mut self, generation: [u8; 16]) -> Result<()> {
        self.doorbell.resume();
        self.generation.change(&self.memory, generation)
    }

    /// The agent stream's descriptor, if it is open.
    pub fn stream_fd(&self) -> Option<RawFd> {
        self.stream.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// What to poll the agent stream for now.
    pub fn stream_interest(&self) -> StreamInterest {
        StreamInterest::default()
    }

    /// The agent stream became readable or writable, or its other end closed.
    pub fn on_stream_ready(&mut self) -> Result<()> {
        Ok(())
    }

    /// Carries the agent stream on over another nonblocking descriptor.
    pub fn replace_stream(&mut self, fd: OwnedFd) {
        self.stream = Some(fd);
    }

    /// Counts so far.
    pub fn counters(&self) -> DeviceCounters {
        DeviceCounters {
            interrupts_raised: self.interrupts.raised(),
            console_bytes_dropped: self.serial.dropped(),
            ..self.counters
        }
    }
}
