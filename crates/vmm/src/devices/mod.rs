//! Everything behind MMIO, and the device tree.
//!
//! [`Devices`] is host-neutral: it is driven by calls (an access of a vCPU, a descriptor that became ready) and acts through guest
//! memory, an [`InterruptLine`] and the descriptors it was given. Each device has a lock of its own. Work is done in the calling thread,
//! bounded by the size of the queues; what may block, the requests of disks, is done by threads of their own ([`DiskThreads`]), which lock
//! nothing meanwhile.

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
mod making;
mod options;
mod rate_limiter;
mod ready;
mod register;
mod schedule;
mod serial;
mod state;
#[cfg(test)]
mod testing;
mod timer;
mod virtio;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

pub use self::clock::ClockState;
pub use self::counters::DeviceCounters;
pub use self::doorbell::DoorbellState;
pub use self::fdt::{FdtOptions, device_tree};
pub use self::interrupt::InterruptLine;
pub use self::limits::{DeviceLimits, RateLimit, TokenBucket};
pub use self::options::DeviceOptions;
pub use self::ready::Watched;
pub use self::serial::SerialState;
pub use self::state::{DevicesState, OptionalDevicesState};
pub use self::virtio::balloon::BalloonState;
pub use self::virtio::block::image::DiskImage;
pub use self::virtio::block::{BlockState, DiskThreads};
pub use self::virtio::mmio::TransportState;
pub use self::virtio::net::NetState;
pub use self::virtio::queue::QueueState;
pub use self::virtio::vsock::{ConnectionState, VsockState};

use self::clock::Clock;
use self::doorbell::Doorbell;
use self::generation::Generation;
use self::interrupt::Interrupts;
use self::schedule::Schedule;
use self::serial::Serial;
use self::virtio::balloon::Balloon;
use self::virtio::block::Disk;
use self::virtio::device::VirtioDevice;
use self::virtio::mmio::Transport;
use self::virtio::net::Net;
use self::virtio::rng::Rng;
use self::virtio::spare;
use self::virtio::vsock::Vsock;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::Slot;
use crate::memory::GuestMemory;

/// Serial number of the root disk, as the guest sees it.
const ROOT_DISK_ID: &str = "firn-root";
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
    schedule: Arc<Schedule>,
    doorbell: Mutex<Doorbell>,
    serial: Mutex<Serial>,
    clock: Mutex<Clock>,
    generation: Mutex<Generation>,
    root_disk: Disk,
    app_disk: Disk,
    /// Capacity of the app disk that the guest was told, in sectors of 512 bytes.
    told_app_capacity: AtomicU64,
    vsock: Mutex<Transport<Vsock>>,
    scratch_disk: Option<Disk>,
    net: Option<Mutex<Transport<Net>>>,
    rng: Option<Mutex<Transport<Rng>>>,
    balloon: Option<Mutex<Transport<Balloon>>>,
    mmio_reads: AtomicU64,
    mmio_writes: AtomicU64,
    /// Dropped last: it waits for the request that is under way.
    _threads: DiskThreads,
}

impl Devices {
    /// The microVM stands still: from here to [`Devices::resume`] disks take nothing from their queues. What they have taken is still
    /// answered; [`Devices::drain`] waits for that.
    pub fn hold(&self) -> Result<()> {
        self.disks().try_for_each(Disk::hold)
    }

    /// The state for a snapshot. Answers what is half done: that writes guest memory and raises interrupts, so memory and
    /// interrupt controller are saved after the devices.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SnapshotRefused`] while bytes of the agent stream are underway in either direction, or while the agent's
    /// connection is being opened or closed, or if a disk does not answer in 30 seconds.
    pub fn save(&self) -> Result<DevicesState> {
        lock(&self.serial)?.flush();
        let was_held = self.root_disk.is_held()?;
        self.hold()?;
        let saved = self.drain().and_then(|()| self.saved());
        if !was_held {
            self.disks().try_for_each(Disk::release)?;
        }
        saved
    }

    fn saved(&self) -> Result<DevicesState> {
        let refused = |reason: &str| {
            VmmError::new(ErrorCode::SnapshotRefused, format!("the agent stream is not quiescent: {reason}"))
        };
        let vsock = lock(&self.vsock)?;
        let connection = vsock.device().quiescent(vsock.queues(), &self.memory).map_err(refused)?;
        if connection.is_some() && !vsock.is_running() {
            return Err(refused("the guest's vsock driver has broken the device"));
        }
        let net = self.net.as_ref().map(lock).transpose()?;
        let rng = self.rng.as_ref().map(lock).transpose()?;
        let balloon = self.balloon.as_ref().map(lock).transpose()?;
        Ok(DevicesState {
            doorbell: lock(&self.doorbell)?.state(),
            serial: lock(&self.serial)?.state(),
            clock: lock(&self.clock)?.state(),
            root_disk: self.root_disk.state(None)?,
            app_disk: self.app_disk.state(Some(self.told_app_capacity.load(Ordering::Relaxed)))?,
            vsock: VsockState { transport: vsock.state(), connection },
            optional: OptionalDevicesState {
                scratch_disk: self.scratch_disk.as_ref().map(|disk| disk.state(None)).transpose()?,
                net: net.map(|net| net.device().state(net.state())),
                rng: rng.map(|rng| rng.state()),
                balloon: balloon.map(|balloon| balloon.device().state(balloon.state())),
            },
        })
    }

    fn disks(&self) -> impl Iterator<Item = &Disk> {
        [Some(&self.root_disk), Some(&self.app_disk), self.scratch_disk.as_ref()].into_iter().flatten()
    }

    /// Waits until every request that a disk has taken from its queue is answered. Those that are held back stay in theirs.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SnapshotRefused`] if that takes longer than 30 seconds.
    pub fn drain(&self) -> Result<()> {
        let deadline = Instant::now() + DRAIN_MAX;
        self.disks().try_for_each(|disk| disk.drain(deadline))
    }

    /// A guest reads `data.len()` bytes at a guest physical address. What does not exist reads as zeros.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Device`] if a thread has died.
    pub fn read(&self, address: u64, data: &mut [u8]) -> Result<()> {
        self.mmio_reads.fetch_add(1, Ordering::Relaxed);
        let Some((slot, offset)) = Slot::at(address) else {
            data.fill(0);
            return Ok(());
        };
        match slot {
            Slot::Doorbell => lock(&self.doorbell)?.read(offset, data),
            Slot::Serial => lock(&self.serial)?.read(offset, data),
            Slot::Clock => lock(&self.clock)?.read(offset, data),
            Slot::Generation => data.fill(0),
            Slot::RootDisk => self.root_disk.read(offset, data)?,
            Slot::AppDisk => self.app_disk.read(offset, data)?,
            Slot::Vsock => lock(&self.vsock)?.read(offset, data),
            Slot::Scratch => match &self.scratch_disk {
                Some(disk) => disk.read(offset, data)?,
                None => spare::read(offset, data),
            },
            Slot::Net => read_optional(self.net.as_ref(), offset, data)?,
            Slot::Rng => read_optional(self.rng.as_ref(), offset, data)?,
            Slot::Balloon => read_optional(self.balloon.as_ref(), offset, data)?,
        }
        Ok(())
    }

    /// A guest writes to a guest physical address. Writes to what does not exist are ignored.
    ///
    /// From a doorbell event to [`Devices::resume`] nothing is read from the agent stream: what the controller sends to one
    /// microVM must not get into a snapshot.
    ///
    /// # Errors
    ///
    /// Only for what must end the microVM: the interrupt controller cannot be reached.
    pub fn write(&self, address: u64, data: &[u8]) -> Result<MmioOutcome> {
        self.mmio_writes.fetch_add(1, Ordering::Relaxed);
        match Slot::at(address) {
            Some((Slot::Doorbell, offset)) => {
                let outcome = lock(&self.doorbell)?.write(offset, data);
                if outcome != MmioOutcome::Done {
                    lock(&self.vsock)?.device_mut().hold(true);
                }
                return Ok(outcome);
            }
            Some((Slot::Serial, offset)) => lock(&self.serial)?.write(offset, data)?,
            Some((Slot::Clock, offset)) => lock(&self.clock)?.write(offset, data),
            Some((Slot::RootDisk, offset)) => self.root_disk.write(offset, data)?,
            Some((Slot::AppDisk, offset)) => self.app_disk.write(offset, data)?,
            Some((Slot::Vsock, offset)) => {
                let mut vsock = lock(&self.vsock)?;
                vsock.write(offset, data);
                Transport::release(vsock)?;
            }
            Some((Slot::Scratch, offset)) => {
                self.scratch_disk.as_ref().map_or(Ok(()), |disk| disk.write(offset, data))?;
            }
            Some((Slot::Net, offset)) => self.with_net(|net| net.write(offset, data))?,
            Some((Slot::Rng, offset)) => self.with(self.rng.as_ref(), |rng| rng.write(offset, data))?,
            Some((Slot::Balloon, offset)) => {
                self.with(self.balloon.as_ref(), |balloon| balloon.write(offset, data))?;
            }
            Some((Slot::Generation, _)) | None => {}
        }
        Ok(MmioOutcome::Done)
    }

    /// Makes the guest see that it runs again: a new generation, a changed app disk, what the stream and the link already hold. What
    /// was held back when it stopped goes on. To be called when the interrupt controller is loaded and before the first guest
    /// instruction; on the source of a snapshot, too, before it goes on.
    pub fn resume(&self, generation: [u8; 16]) -> Result<()> {
        lock(&self.doorbell)?.resume();
        lock(&self.generation)?.change(&self.memory, generation)?;
        let capacity = self.app_disk.capacity()?;
        if self.told_app_capacity.swap(capacity, Ordering::Relaxed) != capacity {
            self.app_disk.config_changed()?;
        }
        // It may have fired while the microVM stood still. Whatever is held back from here on sets it anew.
        self.schedule.acknowledge()?;
        self.disks().try_for_each(Disk::release)?;
        self.with(self.rng.as_ref(), Transport::kick)?;
        self.with(self.balloon.as_ref(), Transport::kick)?;
        self.with_net(Transport::kick)?;
        let mut vsock = lock(&self.vsock)?;
        vsock.device_mut().hold(false);
        // The stream may have become readable or writable, and the other end may have gone, which was told to nobody.
        vsock.drive(|vsock, queues, memory| vsock.stream_ready(queues, memory));
        Transport::release(vsock)
    }

    /// Carries the agent stream on over another stream socket. What it already holds is passed on by
    /// [`Devices::resume`] or [`Devices::on_ready`].
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Io`] if the descriptor is no socket.
    pub fn replace_stream(&self, fd: OwnedFd) -> Result<()> {
        lock(&self.vsock)?.device_mut().replace_stream(fd)
    }

    /// Has the guest give back so many bytes of its memory by its balloon, and not more: it does so as far and as fast as it can, and takes
    /// them out again rather than run out of memory.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Config`] if the microVM has no balloon, or the size is not a multiple of 4 KiB or more than there is memory.
    pub fn set_balloon(&self, bytes: u64) -> Result<()> {
        let Some(balloon) = &self.balloon else {
            return Err(VmmError::new(
                ErrorCode::Config,
                "this microVM has no balloon; boot with one, or restore a snapshot of one that has",
            ));
        };
        let memory_bytes: u64 = self.memory.iter().map(GuestMemoryRegion::len).sum();
        if bytes > memory_bytes {
            return Err(VmmError::new(
                ErrorCode::Config,
                format!("a balloon of {bytes} bytes does not fit into {memory_bytes} bytes of guest memory"),
            ));
        }
        let mut balloon = lock(balloon)?;
        balloon.device_mut().set_target(bytes)?;
        balloon.config_changed();
        Transport::release(balloon)
    }

    /// Counts so far.
    pub fn counters(&self) -> Result<DeviceCounters> {
        let mut disk_counts = [0_u64; 3];
        for disk in self.disks() {
            for (sum, count) in disk_counts.iter_mut().zip(disk.counts()?) {
                *sum = sum.wrapping_add(count);
            }
        }
        let [disk_bytes_read, disk_bytes_written, disk_notifications] = disk_counts;
        let vsock = lock(&self.vsock)?;
        let net = self.net.as_ref().map(lock).transpose()?;
        let rng = self.rng.as_ref().map(lock).transpose()?;
        let balloon = self.balloon.as_ref().map(lock).transpose()?;
        let net_counts = net.as_ref().map(|net| net.device().counts()).unwrap_or_default();
        Ok(DeviceCounters {
            mmio_reads: self.mmio_reads.load(Ordering::Relaxed),
            mmio_writes: self.mmio_writes.load(Ordering::Relaxed),
            queue_notifications: [
                disk_notifications,
                vsock.notifications(),
                net.as_ref().map_or(0, |net| net.notifications()),
                rng.as_ref().map_or(0, |rng| rng.notifications()),
                balloon.as_ref().map_or(0, |balloon| balloon.notifications()),
            ]
            .into_iter()
            .fold(0, u64::wrapping_add),
            interrupts_raised: self.interrupts.raised(),
            bytes_to_stream: vsock.device().bytes_to_stream(),
            bytes_from_stream: vsock.device().bytes_from_stream(),
            disk_bytes_read,
            disk_bytes_written,
            console_bytes_dropped: lock(&self.serial)?.dropped(),
            net_frames_received: net_counts.received,
            net_frames_sent: net_counts.sent,
            net_frames_dropped: net_counts.dropped,
            random_bytes_given: rng.as_ref().map_or(0, |rng| rng.device().bytes_given()),
            balloon_bytes_reclaimed: balloon.as_ref().map_or(0, |balloon| balloon.device().bytes_reclaimed()),
            balloon_bytes: balloon.as_ref().map_or(0, |balloon| balloon.device().size()),
        })
    }

    /// Has a device that a microVM may have do something, and sets the timer for what it holds back.
    fn with<D: VirtioDevice>(
        &self,
        device: Option<&Mutex<Transport<D>>>,
        work: impl FnOnce(&mut Transport<D>),
    ) -> Result<()> {
        let Some(device) = device else { return Ok(()) };
        let mut device = lock(device)?;
        work(&mut device);
        if let Some(at) = device.held_until() {
            self.schedule.fire_at(at)?;
        }
        Transport::release(device)
    }

    /// The same with the network card, whose guest hears of a link that went up or down.
    fn with_net(&self, work: impl FnOnce(&mut Transport<Net>)) -> Result<()> {
        self.with(self.net.as_ref(), |net| {
            work(net);
            if net.device_mut().take_link_change() {
                net.config_changed();
            }
        })
    }

    /// Whether what was written to the scratch disk is being made durable.
    #[cfg(test)]
    pub(crate) fn is_flushing(&self) -> bool {
        self.scratch_disk.as_ref().is_some_and(Disk::is_flushing)
    }

    /// Keeps whoever reads the clock waiting, as a device does that takes long.
    #[cfg(all(test, target_arch = "aarch64"))]
    pub(crate) fn busy_clock(&self) -> impl Sized + '_ {
        lock(&self.clock)
    }
}

/// Locks a part of the devices. Who has locked a device may wait for the timer's lock; for another device's only whoever looks at all of them,
/// and of those there is one thread.
fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| dead_thread())
}

fn dead_thread() -> VmmError {
    VmmError::new(ErrorCode::Device, "a thread of this microVM has died")
}

/// Reads a register of a device that a microVM may have, or of the spare slot.
fn read_optional<D: VirtioDevice>(
    device: Option<&Mutex<Transport<D>>>,
    offset: u64,
    data: &mut [u8],
) -> Result<()> {
    match device {
        Some(device) => lock(device)?.read(offset, data),
        None => spare::read(offset, data),
    }
    Ok(())
}
