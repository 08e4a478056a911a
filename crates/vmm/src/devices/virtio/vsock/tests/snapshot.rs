//! The connection over a snapshot, a pause and a restore.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use super::super::packet::{Header, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, operation};
use super::{Agent, read_all, with_stream};
use crate::devices::testing::stream;
use crate::devices::{MmioOutcome, Watched};
use crate::error::ErrorCode;
use crate::layout::Slot;

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
    while !agent.is_stream_waiting() {
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
    while !agent.is_stream_waiting() {
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
    assert!(!agent.is_stream_waiting());
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
