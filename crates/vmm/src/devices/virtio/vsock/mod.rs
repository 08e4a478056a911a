//! The agent stream as a vsock device, section 5.10 of the specification.
//!
//! There is exactly one connection: from any port of the guest to [`AGENT_PORT`] of the host. Its bytes go to and come from a
//! stream socket that the VMM was given, straight from and into the guest's buffers. Everything else the guest sends
//! is answered with a RESET. The connection outlives snapshots: the event queue is never used, so the guest never hears of a
//! transport reset.

mod connection;
mod packet;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};

use serde::{Deserialize, Serialize};

pub use self::connection::ConnectionState;

use self::connection::Connection;
use self::packet::{HEADER_SIZE, HOST_CID, Header, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, TYPE_STREAM, operation};
use self::stream::{Broken, HostStream, Reading};
use super::chain::{Buffers, Chain};
use super::device::VirtioDevice;
use super::mmio::TransportState;
use super::queue::{QueueFault, VirtQueue};
use crate::error::Result;
use crate::layout::{AGENT_PORT, GUEST_CID};
use crate::memory::GuestMemory;

/// Sizes of the receive, transmit and event queues.
const QUEUE_SIZES: [u16; 3] = [128, 128, 8];
/// While this many answers wait for receive buffers, nothing more is taken from the transmit queue.
const ANSWERS_MAX: usize = 64;
/// Most bytes of one packet to the guest; what Linux sends at most.
const PAYLOAD_MAX: usize = 64 << 10;

type Outcome<T = ()> = std::result::Result<T, QueueFault>;

/// State of the vsock device in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockState {
    /// Registers and queues.
    pub transport: TransportState,
    /// The agent's connection, if it is open.
    pub connection: Option<ConnectionState>,
}

/// The vsock device.
pub(in crate::devices) struct Vsock {
    stream: HostStream,
    connection: Option<Connection>,
    /// Packets of the host that wait for receive buffers; data waits in the stream.
    answers: VecDeque<Header>,
    /// The guest rang the doorbell: what the controller sends from now on is for after it.
    held: bool,
    bytes_to_stream: u64,
    bytes_from_stream: u64,
}

impl Vsock {
    /// A device with the connection of a snapshot, if any.
    pub(in crate::devices) fn new(
        stream: Option<OwnedFd>,
        connection: Option<&ConnectionState>,
    ) -> Result<Self> {
        Ok(Self {
            stream: HostStream::new(stream)?,
            connection: connection.map(Connection::restore).transpose()?,
            answers: VecDeque::new(),
            held: false,
            bytes_to_stream: 0,
            bytes_from_stream: 0,
        })
    }

    pub(in crate::devices) fn stream_fd(&self) -> Option<RawFd> {
        self.stream.fd()
    }

    pub(in crate::devices) fn replace_stream(&mut self, fd: OwnedFd) -> Result<()> {
        self.stream.replace(fd)
    }

    /// While held, nothing is read from the stream.
    pub(in crate::devices) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    pub(in crate::devices) fn bytes_to_stream(&self) -> u64 {
        self.bytes_to_stream
    }

    pub(in crate::devices) fn bytes_from_stream(&self) -> u64 {
        self.bytes_from_stream
    }

    /// Whether bytes of the guest wait until the stream takes them.
    #[cfg(test)]
    pub(in crate::devices) fn is_stream_waiting(&self) -> bool {
        self.stream.is_waiting()
    }

    /// The connection for a snapshot, or why there can be none now.
    pub(in crate::devices) fn quiescent(
        &self,
        queues: &[VirtQueue],
        memory: &GuestMemory,
    ) -> std::result::Result<Option<ConnectionState>, &'static str> {
        if matches!(queues, [_, transmit, _] if transmit.has_available(memory)) {
            return Err("the guest has sent packets that were not looked at yet");
        }
        if !self.answers.is_empty() {
            return Err("packets wait for receive buffers of the guest");
        }
        let Some(connection) = &self.connection else {
            return Ok(None);
        };
        if self.stream.is_waiting() {
            return Err("bytes of the agent were not read by the controller yet");
        }
        if connection.host_shutdown != 0 || connection.guest_shutdown != 0 {
            return Err("the agent's connection is being closed");
        }
        if self.stream.is_readable() {
            return Err("bytes of the controller, or its end, were not passed on to the agent yet");
        }
        Ok(Some(connection.state().clone()))
    }

    /// The stream became readable or writable, or its other end closed.
    pub(in crate::devices) fn stream_ready(
        &mut self,
        queues: &mut [VirtQueue],
        memory: &GuestMemory,
    ) -> Outcome {
        self.stream.wake();
        self.flush();
        self.work(queues, memory)
    }

    /// Takes what the guest sent and gives it what there is, each at most a queue's worth.
    fn work(&mut self, queues: &mut [VirtQueue], memory: &GuestMemory) -> Outcome {
        let [receive, transmit, _] = queues else { return Ok(()) };
        let mut budget = transmit.size();
        loop {
            self.transmit(transmit, memory, &mut budget)?;
            let answers = self.answers.len();
            self.receive(receive, memory)?;
            // Transmission stopped for want of room for answers, and now there is some.
            let resumes = answers >= ANSWERS_MAX && self.answers.len() < ANSWERS_MAX;
            if !resumes || budget == 0 {
                return Ok(());
            }
        }
    }

    /// Takes packets of the guest.
    fn transmit(&mut self, queue: &mut VirtQueue, memory: &GuestMemory, budget: &mut u16) -> Outcome {
        while *budget > 0 && self.answers.len() < ANSWERS_MAX {
            let Some(taken) = queue.take(memory)? else { break };
            *budget -= 1;
            if let Some(chain) = taken.chain {
                self.take_packet(chain);
            }
            queue.complete(memory, taken.head, 0)?;
        }
        Ok(())
    }

    fn take_packet(&mut self, chain: Chain<'_>) {
        let Some((head, data)) = chain.readable.split(HEADER_SIZE) else { return };
        let mut bytes = [0; HEADER_SIZE];
        head.copy_to(&mut bytes);
        let header = Header::from_bytes(bytes);
        if header.source_cid != GUEST_CID {
            return;
        }
        let is_ours = header.destination_cid == HOST_CID
            && header.destination_port == AGENT_PORT
            && header.socket_type == TYPE_STREAM;
        let is_connected = self.connection.as_ref().is_some_and(|connection| connection.is_from(&header));
        match header.operation {
            operation::REQUEST if is_ours && self.connection.is_none() && self.stream.is_open() => {
                let response =
                    self.connection.insert(Connection::requested(&header)).packet(operation::RESPONSE);
                self.answers.push_back(response);
            }
            operation::RESET if is_ours && is_connected => self.disconnect(),
            operation::RESET => {}
            _ if is_ours && is_connected => self.take_connected(&header, data),
            _ => self.answers.push_back(header.reset()),
        }
    }

    /// Takes a packet of the agent's connection.
    fn take_connected(&mut self, header: &Header, data: Buffers<'_>) {
        let Some(connection) = &mut self.connection else { return };
        connection.observe(header);
        match header.operation {
            operation::DATA if connection.guest_shutdown & SHUTDOWN_SEND == 0 => {
                self.take_data(header.length, data);
            }
            operation::SHUTDOWN => {
                connection.guest_shutdown |= header.flags & (SHUTDOWN_RECEIVE | SHUTDOWN_SEND);
                self.settle();
            }
            operation::CREDIT_UPDATE => {}
            operation::CREDIT_REQUEST => connection.owe_update(),
            _ => self.reset_connection(),
        }
    }

    fn take_data(&mut self, length: u32, data: Buffers<'_>) {
        let Some(connection) = &mut self.connection else { return };
        let data = data.truncated(usize::try_from(length).unwrap_or(usize::MAX));
        let is_wanted = connection.host_shutdown & SHUTDOWN_RECEIVE == 0;
        if !is_wanted || u32::try_from(data.len()) != Ok(length) || !connection.count_received(length) {
            return self.reset_connection();
        }
        let written = self.stream.write(&data);
        self.count_forwarded(written);
    }

    fn flush(&mut self) {
        let written = self.stream.flush();
        self.count_forwarded(written);
        self.settle();
        let ended = self.connection.as_ref().is_some_and(|connection| connection.host_shutdown != 0);
        if ended && self.stream.is_hung_up() {
            self.tell_shutdown();
        }
    }

    /// Tells the guest that the other end of the stream will not send, and if it is gone, not receive any more.
    fn tell_shutdown(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let mut flags = SHUTDOWN_SEND;
        if self.stream.is_hung_up() {
            flags |= SHUTDOWN_RECEIVE;
            self.stream.close();
        }
        if connection.host_shutdown | flags != connection.host_shutdown {
            connection.host_shutdown |= flags;
            let shutdown = Header { flags, ..connection.packet(operation::SHUTDOWN) };
            self.answers.push_back(shutdown);
        }
    }

    fn count_forwarded(&mut self, written: std::result::Result<usize, Broken>) {
        let Ok(written) = written else { return self.reset_connection() };
        self.bytes_to_stream = self.bytes_to_stream.wrapping_add(written as u64);
        // At most the buffer's size is ever written at once.
        if let (Some(connection), Ok(written)) = (&mut self.connection, u32::try_from(written)) {
            connection.count_forwarded(written);
        }
    }

    /// Goes on with closing once everything the guest sent is written.
    fn settle(&mut self) {
        let Some(connection) = &self.connection else { return };
        if self.stream.is_waiting() && connection.host_shutdown & SHUTDOWN_RECEIVE == 0 {
            return;
        }
        if connection.guest_shutdown & SHUTDOWN_SEND != 0 {
            self.stream.end();
            if connection.guest_shutdown & SHUTDOWN_RECEIVE != 0 {
                self.reset_connection();
            }
        }
    }

    /// Ends the connection and tells the guest.
    fn reset_connection(&mut self) {
        if let Some(connection) = &mut self.connection {
            let reset = connection.packet(operation::RESET);
            self.answers.push_back(reset);
        }
        self.disconnect();
    }

    /// Ends the connection. A new one would not be at a frame boundary of the stream, so that is closed.
    fn disconnect(&mut self) {
        if self.connection.take().is_some() {
            self.stream.close();
        }
    }

    fn can_read(&self) -> bool {
        self.stream.is_open()
            && !self.held
            && self.connection.as_ref().is_some_and(|connection| {
                connection.host_shutdown == 0
                    && connection.guest_shutdown & SHUTDOWN_RECEIVE == 0
                    && connection.credit() > 0
            })
    }

    fn has_packet(&self) -> bool {
        !self.answers.is_empty()
            || self.can_read() && self.stream.may_have_bytes()
            || self
                .connection
                .as_ref()
                .is_some_and(|connection| connection.update_due() || connection.credit_request_due())
    }

    /// Gives the guest answers and data.
    fn receive(&mut self, queue: &mut VirtQueue, memory: &GuestMemory) -> Outcome {
        for _ in 0..queue.size() {
            if !self.has_packet() {
                break;
            }
            let Some(taken) = queue.take(memory)? else { break };
            let room = taken.chain.and_then(|chain| chain.writable.split(HEADER_SIZE));
            let Some((head, room)) = room else {
                queue.complete(memory, taken.head, 0)?;
                continue;
            };
            let Some(header) = self.next_packet(room) else {
                queue.put_back();
                break;
            };
            let header_size = u32::try_from(head.copy_from(&header.to_bytes())).unwrap_or_default();
            queue.complete(memory, taken.head, header.length.saturating_add(header_size))?;
        }
        Ok(())
    }

    /// The next packet for the guest; its payload, if any, is in `room`.
    fn next_packet(&mut self, room: Buffers<'_>) -> Option<Header> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let can_read = self.can_read() && self.stream.may_have_bytes();
        let connection = self.connection.as_mut()?;
        if connection.update_due() {
            return Some(connection.packet(operation::CREDIT_UPDATE));
        }
        if connection.credit_request_due() {
            connection.count_credit_request();
            return Some(connection.packet(operation::CREDIT_REQUEST));
        }
        if !can_read {
            return None;
        }
        let credit = usize::try_from(connection.credit()).unwrap_or(usize::MAX);
        match self.stream.read(&room.truncated(credit.min(PAYLOAD_MAX))) {
            Reading::Nothing => None,
            Reading::Bytes(length) => {
                self.bytes_from_stream = self.bytes_from_stream.wrapping_add(length as u64);
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                connection.count_sent(length);
                Some(Header { length, ..connection.packet(operation::DATA) })
            }
            Reading::End => {
                self.tell_shutdown();
                self.answers.pop_front()
            }
            Reading::Broken => {
                self.reset_connection();
                self.answers.pop_front()
            }
        }
    }
}

impl VirtioDevice for Vsock {
    const ID: u32 = 19;
    const QUEUE_SIZES: &'static [u16] = &QUEUE_SIZES;

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        GUEST_CID.to_le_bytes().to_vec()
    }

    fn notified(&mut self, _queue: usize, queues: &mut [VirtQueue], memory: &GuestMemory) -> Outcome {
        self.work(queues, memory)
    }

    fn reset(&mut self) {
        self.disconnect();
        self.answers.clear();
    }
}
