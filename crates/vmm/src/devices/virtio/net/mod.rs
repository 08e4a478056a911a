//! A network card, section 5.1 of the specification: one receive and one transmit queue, no offloads.
//!
//! The link is a descriptor that the VMM was given, or nothing. Frames pass through two buffers of bounded size. What is read from
//! the link is read only when the guest has room; what the link does not take leaves frames of the guest in its queue. Both are
//! part of a snapshot as far as they hold whole frames. A frame that is half read is still on the wire of the source, and one
//! that is half sent is sent as a whole by a clone, whose wire is another one.

mod frames;
mod link;
mod mac;
mod tap;
#[cfg(test)]
mod tests;

use std::os::fd::{OwnedFd, RawFd};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_MAC, VIRTIO_NET_F_MTU, VIRTIO_NET_F_STATUS, VIRTIO_NET_S_LINK_UP,
};

use self::frames::{Broken, FRAME_MAX, FRAME_MIN, Frames, MTU};
use self::link::Link;
use super::device::VirtioDevice;
use super::mmio::TransportState;
use super::queue::{QueueFault, VirtQueue};
use crate::devices::limits::DeviceLimits;
use crate::devices::rate_limiter::RateLimiter;
use crate::error::{ErrorCode, Result, VmmError};
use crate::memory::GuestMemory;

/// Sizes of the receive and transmit queues.
const QUEUE_SIZES: [u16; 2] = [128, 128];
/// Length of the virtio header before each frame.
const HEADER_SIZE: usize = 12;
/// A header without offloads, of a frame in one buffer.
const HEADER: [u8; HEADER_SIZE] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

type Outcome = std::result::Result<(), QueueFault>;

/// State of the network card in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetState {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Whether the guest was told that the link is up.
    pub link_up: bool,
    /// Frames from the link that the guest has not got, each behind its length in four bytes, big-endian.
    pub received: Vec<u8>,
    /// Frames of the guest that the link has not got as a whole, in the same form.
    pub unsent: Vec<u8>,
    /// Registers and queues.
    pub transport: TransportState,
}

/// Counts of a network card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::devices) struct NetCounts {
    pub(in crate::devices) received: u64,
    pub(in crate::devices) sent: u64,
    pub(in crate::devices) dropped: u64,
}

/// The network card.
pub(in crate::devices) struct Net {
    mac: [u8; 6],
    link: Link,
    told_link_up: bool,
    inbox: Frames,
    outbox: Frames,
    /// Bytes of the first frame in the outbox that are sent.
    started: usize,
    receive_limiter: RateLimiter,
    transmit_limiter: RateLimiter,
    receive_held: Option<Instant>,
    transmit_held: Option<Instant>,
    counts: NetCounts,
}

impl Net {
    /// A card with this address, or one of its own.
    pub(in crate::devices) fn new(
        mac: Option<[u8; 6]>,
        link: Option<OwnedFd>,
        limits: &DeviceLimits,
    ) -> Result<Self> {
        let link = Link::new(link)?;
        Ok(Self {
            mac: mac::choose(mac)?,
            told_link_up: link.is_up(),
            link,
            inbox: Frames::default(),
            outbox: Frames::default(),
            started: 0,
            receive_limiter: RateLimiter::new(&limits.net_receive),
            transmit_limiter: RateLimiter::new(&limits.net_transmit),
            receive_held: None,
            transmit_held: None,
            counts: NetCounts::default(),
        })
    }

    /// The card of a snapshot, on a link of its own.
    pub(in crate::devices) fn restore(
        state: &NetState,
        link: Option<OwnedFd>,
        limits: &DeviceLimits,
    ) -> Result<Self> {
        let forged = |error: VmmError| VmmError { code: ErrorCode::SnapshotCorrupt, ..error };
        mac::check(state.mac).map_err(forged)?;
        Ok(Self {
            told_link_up: state.link_up,
            inbox: Frames::restore(&state.received)?,
            outbox: Frames::restore(&state.unsent)?,
            ..Self::new(Some(state.mac), link, limits)?
        })
    }

    pub(in crate::devices) fn state(&self, transport: TransportState) -> NetState {
        NetState {
            mac: self.mac,
            link_up: self.told_link_up,
            received: self.inbox.save(),
            unsent: self.outbox.save(),
            transport,
        }
    }

    pub(in crate::devices) fn link_fd(&self) -> Option<RawFd> {
        self.link.fd()
    }

    /// Whether the link went up or down since the guest was told of it last.
    pub(in crate::devices) fn take_link_change(&mut self) -> bool {
        std::mem::replace(&mut self.told_link_up, self.link.is_up()) != self.link.is_up()
    }

    pub(in crate::devices) fn counts(&self) -> NetCounts {
        let dropped = self.counts.dropped.wrapping_add(self.inbox.dropped());
        let on_tap = match &self.link {
            Link::Tap(tap) => tap.dropped(),
            Link::Down | Link::Stream(_) => 0,
        };
        NetCounts { dropped: dropped.wrapping_add(on_tap), ..self.counts }
    }

    /// The link became readable or writable, or its other end is gone.
    pub(in crate::devices) fn link_ready(
        &mut self,
        queues: &mut [VirtQueue],
        memory: &GuestMemory,
    ) -> Outcome {
        let [receive, transmit] = queues else { return Ok(()) };
        self.transmit(transmit, memory)?;
        self.receive(receive, memory)
    }

    /// Gives the guest frames, at most a queue's worth.
    fn receive(&mut self, queue: &mut VirtQueue, memory: &GuestMemory) -> Outcome {
        self.receive_held = None;
        let mut budget = queue.size();
        while queue.has_available(memory) {
            if budget == 0 {
                // The link tells of news only. For what it has told of already, the timer comes back.
                self.receive_held = Some(Instant::now());
                break;
            }
            budget -= 1;
            self.receive_held = self.receive_limiter.held_until();
            if self.receive_held.is_some() {
                break;
            }
            match self.next_frame() {
                Ok(true) => self.deliver(queue, memory)?,
                Ok(false) => break,
                Err(Broken) => self.unplug(),
            }
        }
        Ok(())
    }

    /// Whether a whole frame waits for the guest, after at most one read of the link. True if it is worth asking again.
    fn next_frame(&mut self) -> std::result::Result<bool, Broken> {
        if self.inbox.front()?.is_some() {
            return Ok(true);
        }
        self.link.receive(&mut self.inbox)
    }

    /// Puts the next frame, if it is whole, into the next chain of the guest.
    fn deliver(&mut self, queue: &mut VirtQueue, memory: &GuestMemory) -> Outcome {
        let Ok(Some(frame)) = self.inbox.front() else { return Ok(()) };
        let Some(taken) = queue.take(memory)? else { return Ok(()) };
        let room = taken.chain.and_then(|chain| chain.writable.split(HEADER_SIZE));
        let mut written = 0;
        if let Some((header, body)) = room
            && body.len() >= frame.len()
        {
            written = header.copy_from(&HEADER).saturating_add(body.copy_from(frame));
            self.receive_limiter.charge(frame.len() as u64);
            self.counts.received = self.counts.received.wrapping_add(1);
            self.inbox.pop();
        }
        // A chain without room for the frame is given back empty, and the frame goes into the next one.
        queue.complete(memory, taken.head, u32::try_from(written).unwrap_or_default())
    }

    /// Takes frames of the guest, at most a queue's worth, for as long as there is room for them.
    fn transmit(&mut self, queue: &mut VirtQueue, memory: &GuestMemory) -> Outcome {
        self.transmit_held = None;
        for _ in 0..queue.size() {
            if !self.outbox.has_room() {
                self.flush();
            }
            if !self.outbox.has_room() || !queue.has_available(memory) {
                break;
            }
            self.transmit_held = self.transmit_limiter.held_until();
            if self.transmit_held.is_some() {
                break;
            }
            let Some(taken) = queue.take(memory)? else { break };
            let frame = taken.chain.and_then(|chain| chain.readable.split(HEADER_SIZE));
            let mut bytes = [0; FRAME_MAX];
            // A frame that is too long is no frame, and neither are its first bytes.
            let frame = frame.filter(|(_, body)| (FRAME_MIN..=FRAME_MAX).contains(&body.len()));
            let length = frame.map_or(0, |(_, body)| body.copy_to(&mut bytes));
            self.transmit_limiter.charge(length as u64);
            let is_taken = self.link.is_up() && self.outbox.push(&[bytes.get(..length).unwrap_or_default()]);
            let count = if is_taken { &mut self.counts.sent } else { &mut self.counts.dropped };
            *count = count.wrapping_add(1);
            queue.complete(memory, taken.head, 0)?;
        }
        self.flush();
        Ok(())
    }

    fn flush(&mut self) {
        if !self.link.is_up() {
            // What a snapshot had to send goes the way of what the guest sends now.
            self.drop_outbox();
        } else if self.link.send(&mut self.outbox, &mut self.started).is_err() {
            self.unplug();
        }
    }

    /// The link is gone for good. What was read of a frame will not become whole.
    fn unplug(&mut self) {
        self.link = Link::Down;
        self.inbox.clear();
        self.drop_outbox();
    }

    fn drop_outbox(&mut self) {
        while let Ok(Some(_)) = self.outbox.front() {
            self.outbox.pop();
            self.counts.dropped = self.counts.dropped.wrapping_add(1);
        }
        self.started = 0;
    }
}

impl VirtioDevice for Net {
    const ID: u32 = 1;
    const QUEUE_SIZES: &'static [u16] = &QUEUE_SIZES;

    fn features(&self) -> u64 {
        1 << VIRTIO_NET_F_MAC | 1 << VIRTIO_NET_F_STATUS | 1 << VIRTIO_NET_F_MTU
    }

    fn config(&self) -> Vec<u8> {
        let status = if self.link.is_up() { VIRTIO_NET_S_LINK_UP } else { 0 };
        let [status, ..] = status.to_le_bytes();
        let [mtu_low, mtu_high] = MTU.to_le_bytes();
        // The status has two bytes; a number of queue pairs is behind it, which without VIRTIO_NET_F_MQ says nothing.
        [&self.mac[..], &[status, 0, 1, 0, mtu_low, mtu_high]].concat()
    }

    fn notified(&mut self, queue: usize, queues: &mut [VirtQueue], memory: &GuestMemory) -> Outcome {
        match (queue, queues) {
            (0, [receive, _]) => self.receive(receive, memory),
            (1, [_, transmit]) => self.transmit(transmit, memory),
            _ => Ok(()),
        }
    }

    fn held_until(&self) -> Option<Instant> {
        [self.receive_held, self.transmit_held].into_iter().flatten().min()
    }

    /// Frames stay: of the one that is half sent the rest must follow, for the link to stay in step.
    fn reset(&mut self) {
        self.receive_held = None;
        self.transmit_held = None;
    }
}
