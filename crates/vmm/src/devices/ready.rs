//! What the devices do when a descriptor is ready, rather than when a vCPU asks.

use std::os::fd::RawFd;
use std::time::Instant;

use super::Devices;
use super::virtio::device::VirtioDevice;
use super::virtio::mmio::Transport;
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
    /// What the guest wrote to the scratch disk is durable, as it asked for.
    Flush,
    /// The serial console.
    Console,
}

impl Watched {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Stream, Self::Link, Self::Timer, Self::Flush, Self::Console];
}

/// What to poll the agent stream for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamInterest {
    /// The guest can take more bytes.
    pub readable: bool,
    /// Bytes of the guest wait to be written.
    pub writable: bool,
}

impl Devices {
    /// The descriptor of this kind, if there is one now. The agent stream's changes when it is replaced; that and the link's close
    /// when the connection ends.
    pub fn watched_fd(&self, what: Watched) -> Option<RawFd> {
        match what {
            Watched::Stream => self.vsock.device().stream_fd(),
            Watched::Link => self.net.as_ref().and_then(|net| net.device().link_fd()),
            Watched::Timer => Some(self.timer.fd()),
            Watched::Flush => self.scratch_disk.as_ref().and_then(|disk| disk.device().flush_fd()),
            Watched::Console => self.serial.console_fd(),
        }
    }

    /// The descriptor of this kind became readable or writable, or its other end is gone. While the microVM stands still this is
    /// only to be called for the console, which the guest does not see; [`Devices::resume`] makes up for the others.
    ///
    /// # Errors
    ///
    /// Only for what must end the microVM: the interrupt controller cannot be reached, or the timer not be set.
    pub fn on_ready(&mut self, what: Watched) -> Result<()> {
        match what {
            Watched::Stream => {
                self.vsock.drive(|vsock, queues, memory| vsock.stream_ready(queues, memory))?
            }
            Watched::Link => {
                if let Some(net) = &mut self.net {
                    net.drive(|net, queues, memory| net.link_ready(queues, memory))?;
                }
            }
            Watched::Timer => self.on_timer()?,
            // An answer makes room for requests that wait.
            Watched::Flush => self.scratch_disk.as_mut().map_or(Ok(()), Transport::kick)?,
            Watched::Console => {
                self.serial.on_console_writable();
                return Ok(());
            }
        }
        self.settle()
    }

    /// What was held back until now goes on.
    fn on_timer(&mut self) -> Result<()> {
        self.timer.acknowledge();
        let now = Instant::now();
        kick_due(Some(&mut self.root_disk), now)?;
        kick_due(Some(&mut self.app_disk), now)?;
        kick_due(self.scratch_disk.as_mut(), now)?;
        kick_due(self.net.as_mut(), now)?;
        kick_due(self.rng.as_mut(), now)
    }

    /// What follows from any work: the guest hears of a link that went up or down, and the timer is set for what is held back.
    pub(super) fn settle(&mut self) -> Result<()> {
        if let Some(net) = &mut self.net
            && net.device_mut().take_link_change()
        {
            net.config_changed()?;
        }
        let held = [
            self.root_disk.held_until(),
            self.app_disk.held_until(),
            self.scratch_disk.as_ref().and_then(Transport::held_until),
            self.net.as_ref().and_then(Transport::held_until),
            self.rng.as_ref().and_then(Transport::held_until),
        ];
        held.into_iter().flatten().min().map_or(Ok(()), |at| self.timer.fire_at(at))
    }

    /// What to poll the agent stream for now. It changes with every [`Devices::write`] and [`Devices::on_ready`]; an edge-triggered
    /// poll for everything needs not ask.
    pub fn stream_interest(&self) -> StreamInterest {
        self.vsock.device().interest(self.vsock.queues(), &self.memory)
    }
}

/// Works on the queues of a device whose work was held back until now at most.
fn kick_due<D: VirtioDevice>(device: Option<&mut Transport<D>>, now: Instant) -> Result<()> {
    match device {
        Some(device) if device.held_until().is_some_and(|held| held <= now) => device.kick(),
        _ => Ok(()),
    }
}
