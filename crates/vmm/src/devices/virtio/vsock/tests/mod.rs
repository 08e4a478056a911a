//! The agent's side of the connection, as a driver would have it, against the device.

mod connection;
mod snapshot;

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use super::connection::BUFFER_SIZE;
use super::packet::{HEADER_SIZE, Header, TYPE_STREAM, operation};
use crate::devices::testing::{Buffer, Guest, Ring, options, stream};
use crate::devices::{DeviceOptions, DevicesState, Watched};
use crate::layout::Slot;

const GUEST_PORT: u32 = 0x1234_5678;
/// Length of a receive buffer, header included; about Linux' own.
const RECEIVE_BUFFER: usize = 3776;
const RECEIVE_BUFFERS: usize = 128;
const GUEST_BUFFER: u32 = 64 << 10;

struct Agent {
    guest: Guest,
    receive: Ring,
    transmit: Ring,
    buffers: Vec<u64>,
    outgoing: u64,
    received: u32,
    /// What the agent says it has read; by default all it received.
    forwarded: Option<u32>,
}

fn with_stream() -> (DeviceOptions, UnixStream) {
    let (device, controller) = stream();
    (DeviceOptions { stream: Some(device), ..options(&[]) }, controller)
}

fn read_all(mut stream: &UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
        _ => bytes,
    }
}

impl Agent {
    /// A guest with its driver up and all receive buffers offered.
    fn boot(options: DeviceOptions) -> Self {
        let mut agent = Self::without_buffers(options);
        agent.offer_all();
        agent
    }

    fn without_buffers(options: DeviceOptions) -> Self {
        let mut guest = Guest::boot(options);
        let mut rings = guest.start(Slot::Vsock, 3).into_iter();
        let (receive, transmit) = (rings.next().unwrap(), rings.next().unwrap());
        let buffers = (0..RECEIVE_BUFFERS).map(|_| guest.allocate(RECEIVE_BUFFER)).collect();
        let outgoing = guest.allocate(HEADER_SIZE + (1 << 20));
        Self { guest, receive, transmit, buffers, outgoing, received: 0, forwarded: None }
    }

    fn offer_all(&mut self) {
        for buffer in self.buffers.clone() {
            self.receive.offer(&self.guest, &[(buffer, RECEIVE_BUFFER, true)]);
        }
        self.receive.notify(&mut self.guest);
    }

    fn connected(options: DeviceOptions) -> Self {
        let mut agent = Self::boot(options);
        agent.send(operation::REQUEST, &[]);
        let [(response, _)] = &agent.take()[..] else { panic!("no answer") };
        assert_eq!(response.operation, operation::RESPONSE);
        assert_eq!((response.source_cid, response.source_port), (2, 1024));
        assert_eq!((response.destination_cid, response.destination_port), (3, GUEST_PORT));
        assert_eq!(response.buffer, BUFFER_SIZE);
        agent
    }

    /// The same guest, restored from a snapshot over another stream.
    fn restored(&self, options: DeviceOptions, state: &DevicesState) -> Self {
        Self {
            guest: self.guest.restore(options, state).unwrap(),
            receive: self.receive.clone(),
            transmit: self.transmit.clone(),
            buffers: self.buffers.clone(),
            ..*self
        }
    }

    fn header(&self, operation: u16) -> Header {
        Header {
            source_cid: 3,
            destination_cid: 2,
            source_port: GUEST_PORT,
            destination_port: 1024,
            length: 0,
            socket_type: TYPE_STREAM,
            operation,
            flags: 0,
            buffer: GUEST_BUFFER,
            forwarded: self.forwarded.unwrap_or(self.received),
        }
    }

    fn send(&mut self, operation: u16, data: &[u8]) {
        self.send_packet(
            Header { length: u32::try_from(data.len()).unwrap(), ..self.header(operation) },
            data,
        );
    }

    fn send_packet(&mut self, header: Header, data: &[u8]) {
        self.queue_packet(header, data);
        self.transmit.notify(&mut self.guest);
        assert_eq!(self.transmit.completed(&self.guest).len(), 1);
    }

    fn queue_packet(&mut self, header: Header, data: &[u8]) {
        self.guest.put(self.outgoing, &header.to_bytes());
        self.guest.put(self.outgoing + HEADER_SIZE as u64, data);
        let head = (self.outgoing, HEADER_SIZE, false);
        let mut buffers: Vec<Buffer> = vec![head];
        if !data.is_empty() {
            buffers.push((self.outgoing + HEADER_SIZE as u64, data.len(), false));
        }
        self.transmit.offer(&self.guest, &buffers);
    }

    /// Takes what was received and offers the buffers again.
    fn take(&mut self) -> Vec<(Header, Vec<u8>)> {
        let mut packets = Vec::new();
        for (head, written) in self.receive.completed(&self.guest) {
            let buffer = self.buffers[usize::from(head)];
            let bytes = self.guest.bytes(buffer, written);
            let (header, data) = bytes.split_at(HEADER_SIZE);
            let header = Header::from_bytes(header.try_into().unwrap());
            assert_eq!(usize::try_from(header.length).unwrap(), data.len());
            self.received = self.received.wrapping_add(header.length);
            packets.push((header, data.to_vec()));
        }
        for _ in &packets {
            let next = usize::from(self.receive.next_descriptor());
            self.receive.offer(&self.guest, &[(self.buffers[next], RECEIVE_BUFFER, true)]);
        }
        packets
    }

    /// Whether bytes that it sent wait for the host to take them.
    fn is_stream_waiting(&self) -> bool {
        self.guest.devices.is_stream_waiting()
    }

    fn take_operations(&mut self) -> Vec<u16> {
        self.take().iter().map(|(header, _)| header.operation).collect()
    }

    /// Takes all data that arrives until there is none, giving back credit as it goes.
    fn take_data(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            self.guest.devices.on_ready(Watched::Stream).unwrap();
            let packets = self.take();
            if packets.is_empty() {
                return data;
            }
            for (header, bytes) in packets {
                if header.operation == operation::DATA {
                    data.extend(bytes);
                }
            }
            self.receive.notify(&mut self.guest);
            self.send(operation::CREDIT_UPDATE, &[]);
        }
    }
}
