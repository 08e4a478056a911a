//! The agent's side of the connection, as a driver would have it, against the device.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use super::connection::BUFFER_SIZE;
use super::packet::{HEADER_SIZE, Header, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, TYPE_STREAM, operation};
use crate::devices::testing::{Buffer, Guest, Ring, options, stream};
use crate::devices::{DeviceOptions, DevicesState, MmioOutcome, StreamInterest, Watched};
use crate::error::ErrorCode;
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

#[test]
fn bytes_go_both_ways() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    assert_eq!(agent.guest.interrupts.taken().len(), 1, "one notification, one interrupt");
    agent.send(operation::DATA, b"hello from the guest");
    assert_eq!(read_all(&controller), b"hello from the guest");

    (&controller).write_all(b"hello from the host").unwrap();
    agent.guest.devices.on_ready(Watched::Stream).unwrap();
    let packets = agent.take();
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].1, b"hello from the host");
    assert_eq!(packets[0].0.operation, operation::DATA);
    assert_eq!(packets[0].0.forwarded, 20);
    let counters = agent.guest.devices.counters().unwrap();
    assert_eq!((counters.bytes_to_stream, counters.bytes_from_stream), (20, 19));
}

#[test]
fn a_packet_of_many_descriptors_arrives_whole() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    let header = Header { length: 30, ..agent.header(operation::DATA) };
    let start = agent.outgoing;
    agent.guest.put(start, &header.to_bytes());
    agent.guest.put(start + 44, b"zero copy in pieces of a page.");
    let cuts: [Buffer; 4] =
        [(start, 20, false), (start + 20, 25, false), (start + 45, 9, false), (start + 54, 20, false)];
    agent.transmit.offer(&agent.guest, &cuts);
    agent.transmit.notify(&mut agent.guest);
    assert_eq!(read_all(&controller), b"zero copy in pieces of a page.");
}

#[test]
fn a_large_transfer_to_the_guest_keeps_to_its_credit() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    let sent: Vec<u8> = (0..1u32 << 20).map(|index| u8::try_from(index % 253).unwrap()).collect();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || {
        controller.set_nonblocking(false).unwrap();
        (&controller).write_all(&sent).unwrap();
        controller
    });
    // The agent reads nothing: exactly its buffer's worth arrives, then one request for credit.
    agent.forwarded = Some(0);
    let mut received = Vec::new();
    let mut requests = 0;
    while received.len() < GUEST_BUFFER as usize {
        agent.guest.devices.on_ready(Watched::Stream).unwrap();
        for (header, data) in agent.take() {
            requests += usize::from(header.operation == operation::CREDIT_REQUEST);
            received.extend(data);
        }
        agent.receive.notify(&mut agent.guest);
    }
    for _ in 0..10 {
        agent.guest.devices.on_ready(Watched::Stream).unwrap();
        agent.send(operation::CREDIT_UPDATE, &[]);
        requests += agent.take_operations().len();
    }
    assert_eq!((received.len(), requests), (GUEST_BUFFER as usize, 1));
    assert_eq!(agent.guest.devices.stream_interest().unwrap(), StreamInterest::default());

    agent.forwarded = None;
    agent.send(operation::CREDIT_UPDATE, &[]);
    while received.len() < expected.len() {
        received.extend(agent.take_data());
    }
    assert!(received == expected);
    writer.join().unwrap();
}

#[test]
fn a_large_transfer_to_the_host_is_buffered_and_credit_is_given_back() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    let chunk: Vec<u8> = (0..32u32 << 10).map(|index| u8::try_from(index % 241).unwrap()).collect();
    let (mut sent, mut told) = (0u32, 0u32);
    let mut received = Vec::new();
    let mut was_full = false;
    while sent < 4 << 20 {
        if BUFFER_SIZE - sent.wrapping_sub(told) >= 32 << 10 {
            agent.send(operation::DATA, &chunk);
            sent += 32 << 10;
        } else {
            was_full = true;
            assert!(agent.guest.devices.stream_interest().unwrap().writable);
            received.extend(read_all(&controller));
            agent.guest.devices.on_ready(Watched::Stream).unwrap();
        }
        for (header, _) in agent.take() {
            assert_eq!(header.operation, operation::CREDIT_UPDATE);
            told = header.forwarded;
        }
    }
    while agent.guest.devices.stream_interest().unwrap().writable {
        received.extend(read_all(&controller));
        agent.guest.devices.on_ready(Watched::Stream).unwrap();
    }
    received.extend(read_all(&controller));
    assert!(was_full);
    assert_eq!(received.len(), 4 << 20);
    assert!(received.chunks(32 << 10).all(|piece| piece == chunk));
}

#[test]
fn a_guest_that_overruns_the_buffer_or_lies_about_lengths_is_cut_off() {
    let overrun = BUFFER_SIZE as usize + 1;
    for (claimed, length) in [(overrun, overrun), (100, 99)] {
        let (options, controller) = with_stream();
        let mut agent = Agent::connected(options);
        let claimed = u32::try_from(claimed).unwrap();
        let header = Header { length: claimed, ..agent.header(operation::DATA) };
        agent.send_packet(header, &vec![1; length]);
        assert_eq!(agent.take_operations(), [operation::RESET]);
        assert_eq!(agent.guest.devices.watched_fd(Watched::Stream).unwrap(), None);
        assert_eq!((&controller).read(&mut [0]).unwrap(), 0, "the stream is closed");
    }
}

#[test]
fn a_credit_request_is_answered() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    agent.send(operation::DATA, b"abc");
    agent.send(operation::CREDIT_REQUEST, &[]);
    let packets = agent.take();
    assert_eq!(packets.len(), 1);
    let update = packets[0].0;
    assert_eq!(
        (update.operation, update.forwarded, update.buffer),
        (operation::CREDIT_UPDATE, 3, BUFFER_SIZE)
    );
    drop(controller);
}

#[test]
fn everything_but_the_one_connection_is_reset() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    let request = agent.header(operation::REQUEST);
    let strays = [
        Header { source_port: 1, ..request },
        Header { destination_port: 80, ..request },
        Header { destination_cid: 7, ..request },
        Header { socket_type: 2, ..request },
        Header { source_port: 1, operation: operation::SHUTDOWN, ..request },
        Header { source_port: 1, operation: 99, ..request },
    ];
    for stray in strays {
        agent.send_packet(stray, &[]);
        let packets = agent.take();
        let [(reset, _)] = &packets[..] else { panic!("{} answers to {stray:?}", packets.len()) };
        assert_eq!(*reset, stray.reset());
        assert_eq!((reset.source_port, reset.destination_port), (stray.destination_port, stray.source_port));
    }
    agent.send_packet(Header { source_port: 1, operation: operation::RESET, ..request }, &[]);
    agent.send_packet(Header { source_cid: 4, ..request }, &[]);
    assert!(agent.take().is_empty(), "no answer to a reset, or to who this guest is not");
    agent.send(operation::DATA, b"still there");
    assert_eq!(read_all(&controller), b"still there");
}

#[test]
fn without_a_stream_a_request_is_reset() {
    let mut agent = Agent::boot(options(&[]));
    agent.send(operation::REQUEST, &[]);
    assert_eq!(agent.take_operations(), [operation::RESET]);
}

#[test]
fn answers_wait_for_receive_buffers_and_hold_up_the_guest() {
    let (options, _controller) = with_stream();
    let mut agent = Agent::without_buffers(options);
    let stray = Header { destination_port: 1, ..agent.header(operation::REQUEST) };
    for _ in 0..100 {
        agent.queue_packet(stray, &[]);
    }
    agent.transmit.notify(&mut agent.guest);
    assert_eq!(agent.transmit.completed(&agent.guest).len(), 64);
    let refused = agent.guest.devices.save().unwrap_err();
    assert_eq!(refused.code, ErrorCode::SnapshotRefused);
    agent.offer_all();
    assert_eq!(agent.transmit.completed(&agent.guest).len(), 36);
    assert_eq!(agent.take_operations(), [operation::RESET; 100]);
}

#[test]
fn a_guest_that_closes_gets_its_last_bytes_through() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    agent.send(operation::DATA, b"last words");
    let both = SHUTDOWN_RECEIVE | SHUTDOWN_SEND;
    agent.send_packet(Header { flags: both, ..agent.header(operation::SHUTDOWN) }, &[]);
    assert_eq!(agent.take_operations(), [operation::RESET]);
    assert_eq!(read_all(&controller), b"last words");
    assert_eq!((&controller).read(&mut [0]).unwrap(), 0);
    agent.send(operation::REQUEST, &[]);
    assert_eq!(agent.take_operations(), [operation::RESET], "the stream went with its connection");
}

#[test]
fn a_half_closed_guest_still_receives() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    agent.send_packet(Header { flags: SHUTDOWN_SEND, ..agent.header(operation::SHUTDOWN) }, &[]);
    assert_eq!((&controller).read(&mut [0]).unwrap(), 0);
    (&controller).write_all(b"answer").unwrap();
    assert_eq!(agent.take_data(), b"answer");
    agent.send(operation::DATA, b"after its own end");
    assert_eq!(agent.take_operations(), [operation::RESET]);
}

#[test]
fn the_end_of_the_stream_is_the_end_of_the_connection() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    (&controller).write_all(b"bye").unwrap();
    controller.shutdown(Shutdown::Write).unwrap();
    agent.guest.devices.on_ready(Watched::Stream).unwrap();
    let packets = agent.take();
    assert_eq!(packets[0].1, b"bye");
    assert_eq!((packets[1].0.operation, packets[1].0.flags), (operation::SHUTDOWN, SHUTDOWN_SEND));
    agent.send(operation::DATA, b"thanks");
    assert_eq!(read_all(&controller), b"thanks");
    assert!(!agent.guest.devices.stream_interest().unwrap().readable);

    drop(controller);
    agent.guest.devices.on_ready(Watched::Stream).unwrap();
    let packets = agent.take();
    assert_eq!(packets[0].0.flags, SHUTDOWN_RECEIVE | SHUTDOWN_SEND);
    assert_eq!(agent.guest.devices.watched_fd(Watched::Stream).unwrap(), None);
    agent.send(operation::DATA, b"anybody?");
    assert_eq!(agent.take_operations(), [operation::RESET]);
}

#[test]
fn a_reset_of_the_device_ends_the_connection_but_keeps_an_unused_stream() {
    let (options, controller) = with_stream();
    let mut agent = Agent::boot(options);
    agent.guest.write(Slot::Vsock, 0x70, 0);
    assert!(agent.guest.devices.watched_fd(Watched::Stream).unwrap().is_some());

    agent.guest.write(Slot::Vsock, 0x70, 0);
    drop(controller);

    let (options, _controller) = with_stream();
    let mut agent = Agent::connected(options);
    agent.guest.write(Slot::Vsock, 0x70, 0);
    assert_eq!(agent.guest.devices.watched_fd(Watched::Stream).unwrap(), None);
}

#[test]
fn a_connection_goes_on_in_a_clone_with_what_its_stream_already_holds() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    (&controller).write_all(b"prepare").unwrap();
    assert_eq!(agent.take_data(), b"prepare");
    agent.send(operation::DATA, b"prepared");
    assert_eq!(read_all(&controller), b"prepared");
    let state = agent.guest.devices.save().unwrap();

    let mut clones = Vec::new();
    for name in [&b"first"[..], b"second"] {
        let (options, controller) = with_stream();
        (&controller).write_all(name).unwrap();
        let mut clone = agent.restored(options, &state);
        assert!(clone.guest.interrupts.taken().is_empty());
        assert!(clone.take().is_empty(), "a restore leaves guest memory alone");
        clone.guest.devices.resume([9; 16]).unwrap();
        assert_eq!(clone.guest.interrupts.taken(), [Slot::Generation.spi(), Slot::Vsock.spi()]);
        let packets = clone.take();
        assert_eq!(packets[0].1, name);
        assert_eq!(packets[0].0.forwarded, 8);
        clones.push((clone, controller));
    }
    for (clone, controller) in &mut clones {
        clone.send(operation::DATA, b"resumed");
        assert_eq!(read_all(controller), b"resumed");
        assert_eq!(clone.guest.devices.save().unwrap().doorbell.generation, 1);
    }
    // The source goes on, too, over a stream of its own.
    let (device, controller) = stream();
    (&controller).write_all(b"on you go").unwrap();
    agent.guest.devices.replace_stream(device).unwrap();
    agent.guest.devices.resume([8; 16]).unwrap();
    let packets = agent.take();
    assert_eq!(packets[0].1, b"on you go");
    agent.send(operation::DATA, b"gone");
    assert_eq!(read_all(&controller), b"gone");
}

#[test]
fn counts_wrap_in_a_connection_that_goes_on() {
    let (options, _controller) = with_stream();
    let agent = Agent::connected(options);
    let mut state = agent.guest.devices.save().unwrap();
    let almost = u32::MAX - 1000;
    {
        let connection = state.vsock.connection.as_mut().unwrap();
        connection.sent = almost;
        connection.guest_forwarded = almost;
        (connection.received, connection.forwarded, connection.told) = (almost, almost, almost);
    }
    let (options, controller) = with_stream();
    let mut clone = agent.restored(options, &state);
    clone.received = almost;
    let sent = vec![7; 200_000];
    let mut received = Vec::new();
    for chunk in sent.chunks(20_000) {
        (&controller).write_all(chunk).unwrap();
        received.extend(clone.take_data());
        clone.send(operation::DATA, chunk);
        assert_eq!(read_all(&controller), chunk);
    }
    assert_eq!(received, sent);
    let saved = clone.guest.devices.save().unwrap().vsock.connection.unwrap();
    assert_eq!(saved.received, almost.wrapping_add(200_000));
    assert_eq!(saved.sent, saved.received);
}

#[test]
fn a_snapshot_is_refused_while_bytes_are_underway() {
    let refused = |agent: &mut Agent| {
        let error = agent.guest.devices.save().unwrap_err();
        assert_eq!(error.code, ErrorCode::SnapshotRefused);
        error.message
    };
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    (&controller).write_all(b"x").unwrap();
    assert!(refused(&mut agent).contains("controller"));
    agent.take_data();
    agent.guest.devices.save().unwrap();

    agent.queue_packet(Header { length: 1, ..agent.header(operation::DATA) }, b"y");
    assert!(refused(&mut agent).contains("not looked at"));
    agent.transmit.notify(&mut agent.guest);
    assert_eq!(agent.transmit.completed(&agent.guest).len(), 1);
    assert_eq!(read_all(&controller), b"y");
    agent.guest.devices.save().unwrap();

    let mut sent = 0;
    while !agent.guest.devices.stream_interest().unwrap().writable {
        agent.send(operation::DATA, &[0; 4096]);
        agent.take();
        sent += 4096;
        assert!(sent < 16 << 20);
    }
    assert!(refused(&mut agent).contains("not read"));
    read_all(&controller);
    agent.guest.devices.on_ready(Watched::Stream).unwrap();
    agent.take();
    agent.guest.devices.save().unwrap();

    read_all(&controller);
    drop(controller);
    assert!(refused(&mut agent).contains("controller"));
    agent.guest.devices.on_ready(Watched::Stream).unwrap();
    agent.take();
    assert!(refused(&mut agent).contains("closed"));
}

#[test]
fn what_arrives_behind_the_doorbell_waits_for_the_resume() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    let event = agent.guest.devices.write(Slot::Doorbell.address() + 0x10, &2u32.to_le_bytes()).unwrap();
    assert_eq!(event, MmioOutcome::Doorbell { event: 2, detail: 0 });
    (&controller).write_all(b"entropy").unwrap();
    agent.guest.devices.on_ready(Watched::Stream).unwrap();
    agent.receive.notify(&mut agent.guest);
    assert!(agent.take().is_empty());
    assert_eq!(agent.guest.devices.save().unwrap_err().code, ErrorCode::SnapshotRefused);
    agent.guest.devices.resume([3; 16]).unwrap();
    assert_eq!(agent.take()[0].1, b"entropy");
}

#[test]
fn a_forged_connection_is_refused() {
    let (options, _controller) = with_stream();
    let agent = Agent::connected(options);
    let state = agent.guest.devices.save().unwrap();
    let mut not_running = state.clone();
    not_running.vsock.transport.status = 0xb;
    let mut impossible = state;
    impossible.vsock.connection.as_mut().unwrap().received += 1;
    for state in [not_running, impossible] {
        let (options, _controller) = with_stream();
        let error = agent.guest.restore(options, &state).err().unwrap();
        assert_eq!(error.code, ErrorCode::SnapshotCorrupt);
    }
}

/// An agent of which more waits than its stream takes, and the controller's end of that.
fn with_bytes_that_wait() -> (Agent, UnixStream, usize) {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    let mut sent = 0;
    while !agent.guest.devices.stream_interest().unwrap().writable {
        agent.send(operation::DATA, &[7; 4096]);
        agent.take();
        sent += 4096;
    }
    (agent, controller, sent)
}

#[test]
fn what_the_controller_makes_room_for_while_the_microvm_stands_still_arrives_when_it_resumes() {
    let (agent, controller, sent) = with_bytes_that_wait();
    let mut received = read_all(&controller).len();
    assert!(received < sent);
    agent.guest.devices.resume([3; 16]).unwrap();
    received += read_all(&controller).len();
    assert_eq!(received, sent);
    assert!(!agent.guest.devices.stream_interest().unwrap().writable);
}

#[test]
fn what_waits_is_written_to_a_stream_that_replaces_the_other_when_the_microvm_resumes() {
    let (agent, controller, sent) = with_bytes_that_wait();
    let (device, second) = stream();
    agent.guest.devices.replace_stream(device).unwrap();
    agent.guest.devices.resume([3; 16]).unwrap();
    assert_eq!(read_all(&controller).len() + read_all(&second).len(), sent);
}

#[test]
fn a_controller_that_goes_while_the_microvm_stands_still_is_missed_when_it_resumes() {
    let (options, controller) = with_stream();
    let mut agent = Agent::connected(options);
    controller.shutdown(Shutdown::Write).unwrap();
    agent.guest.devices.on_ready(Watched::Stream).unwrap();
    assert_eq!(agent.take_operations(), [operation::SHUTDOWN]);
    drop(controller);
    agent.guest.devices.resume([3; 16]).unwrap();
    assert_eq!(agent.take()[0].0.flags, SHUTDOWN_RECEIVE | SHUTDOWN_SEND);
    assert_eq!(agent.guest.devices.watched_fd(Watched::Stream).unwrap(), None);
}
