//! What the devices do when a descriptor is ready, rather than when a vCPU asks.

use std::os::fd::{BorrowedFd, RawFd};
use std::time::Instant;

use super::virtio::device::VirtioDevice;
use super::virtio::mmio::Transport;
use super::{Devices, lock};
use crate::error::Result;

/// A descriptor that is to be polled for everything, edge-triggered, while the devices have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// The agent stream.
    Stream,
    /// The network card's link.
    Link,
    /// Work that was held back may go on.
    Timer,
    /// The serial console.
    Console,
}

impl Watched {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stream, Self::Link, Self::Timer, Self::Console];
}

impl Devices {
    /// Does something with the descriptor of this kind, if there is one now, while it stays open. The agent stream's changes when it is
    /// replaced; that and the link's close when the connection ends.
    pub fn with_watched<T>(
        &self,
        what: Watched,
        act: impl FnOnce(BorrowedFd<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        // SAFETY: the device owns the descriptor, and is locked.
        let act = |number: RawFd| act(unsafe { BorrowedFd::borrow_raw(number) });
        match what {
            Watched::Stream => lock(&self.vsock)?.device().stream_fd().map(act).transpose(),
            Watched::Link => {
                let Some(net) = &self.net else { return Ok(None) };
                lock(net)?.device().link_fd().map(act).transpose()
            }
            Watched::Timer => act(self.schedule.fd()?).map(Some),
            Watched::Console => lock(&self.serial)?.console_fd().map(act).transpose(),
        }
    }

    /// The number of the descriptor of this kind, if there is one now.
    pub fn watched_fd(&self, what: Watched) -> Result<Option<RawFd>> {
        self.with_watched(what, |fd| Ok(std::os::fd::AsRawFd::as_raw_fd(&fd)))
    }

    /// The descriptor of this kind became readable or writable, or its other end is gone. While the microVM stands still this is
    /// only to be called for the console, which the guest does not see; [`Devices::resume`] makes up for the others.
    ///
    /// # Errors
    ///
    /// Only for what must end the microVM: the interrupt controller cannot be reached, or the timer not be set.
    pub fn on_ready(&self, what: Watched) -> Result<()> {
        match what {
            Watched::Stream => {
                let mut vsock = lock(&self.vsock)?;
                vsock.drive(|vsock, queues, memory| vsock.stream_ready(queues, memory));
                Transport::release(vsock)
            }
            Watched::Link => {
                self.with_net(|net| net.drive(|net, queues, memory| net.link_ready(queues, memory)))
            }
            Watched::Timer => self.on_timer(),
            Watched::Console => {
                lock(&self.serial)?.on_console_writable();
                Ok(())
            }
        }
    }

    /// Whether bytes of the guest wait until the agent stream takes them.
    #[cfg(test)]
    pub(crate) fn is_stream_waiting(&self) -> bool {
        lock(&self.vsock).is_ok_and(|vsock| vsock.device().is_stream_waiting())
    }

    /// What was held back until now goes on, and the timer is set for the rest.
    fn on_timer(&self) -> Result<()> {
        self.schedule.acknowledge()?;
        let now = Instant::now();
        for disk in self.disks() {
            if let Some(at) = disk.kick_due(now)? {
                self.schedule.fire_at(at)?;
            }
        }
        self.with_net(|net| kick_due(net, now))?;
        self.with(self.rng.as_ref(), |rng| kick_due(rng, now))
    }
}

/// Works on the queues of a device whose work was held back until now at most.
fn kick_due<D: VirtioDevice>(device: &mut Transport<D>, now: Instant) {
    if device.held_until().is_some_and(|held| held <= now) {
        device.kick();
    }
}
