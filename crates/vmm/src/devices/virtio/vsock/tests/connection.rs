//! Bytes both ways, credit, and how a connection begins and ends.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::super::connection::BUFFER_SIZE;
use super::super::packet::{Header, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, operation};
use super::{Agent, GUEST_BUFFER, read_all, with_stream};
use crate::devices::Watched;
use crate::devices::testing::{Buffer, options};
use crate::error::ErrorCode;
use crate::layout::Slot;

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
            assert!(agent.is_stream_waiting());
            received.extend(read_all(&controller));
            agent.guest.devices.on_ready(Watched::Stream).unwrap();
        }
        for (header, _) in agent.take() {
            assert_eq!(header.operation, operation::CREDIT_UPDATE);
            told = header.forwarded;
        }
    }
    while agent.is_stream_waiting() {
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
