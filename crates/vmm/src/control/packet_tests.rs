//! Packets that no VMM and no controller would send: an error of the protocol, and the socket goes on.

use std::fmt::Debug;

use proptest::prelude::*;
use rustix::fd::AsFd;
use rustix::net::{SendFlags, send};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::devices::DeviceLimits;
use crate::error::{ErrorCode, VmmError};

fn frames() -> Vec<RequestFrame> {
    let boot = BootRequest {
        vcpus: 3,
        memory_bytes: 300 << 20,
        command_line: "quiet loglevel=0".to_owned(),
        gic: Some(GicVersion::V2),
        track_writes: true,
        rng: true,
        net: true,
        balloon: true,
        mac: Some([2, 0, 0, 0, 0, 7]),
        limits: DeviceLimits::default(),
    };
    let restore = RestoreRequest {
        layers: vec![LayerIdentity { digest: [0xab; 32] }; 3],
        app_image: Some([0xcd; 32]),
        leaf: true,
        paused: true,
        track_writes: false,
        record_reads: false,
        limits: DeviceLimits::default(),
    };
    let requests = [
        Request::Boot(boot),
        Request::Prepare(restore.clone()),
        Request::Restore(restore),
        Request::Snapshot(SnapshotRequest { app_image: Some([1; 32]) }),
        Request::Resume,
        Request::WrittenRanges,
    ];
    let descriptors = vec![Descriptor::Layer, Descriptor::State, Descriptor::RootDisk];
    let frame = |request| RequestFrame { version: 1, id: 70_000, descriptors: descriptors.clone(), request };
    requests.into_iter().map(frame).collect()
}

fn messages() -> Vec<Message> {
    let response = |result| Message::Response { id: 300, result };
    vec![
        response(Ok(Response::Done)),
        response(Ok(Response::Snapshot(SnapshotReport { extents: 129, ..SnapshotReport::default() }))),
        response(Ok(Response::Statistics(Box::default()))),
        response(Ok(Response::WrittenRanges(vec![(1 << 31, 1 << 32); 9]))),
        response(Err(VmmError::new(ErrorCode::Guest, "the guest did something"))),
        Message::Event(Event::Doorbell { event: 2, detail: u32::MAX }),
        Message::Event(Event::Failed(VmmError::new(ErrorCode::Kvm, "it cannot go on"))),
    ]
}

/// What the other end makes of a packet: something that survives being sent on, or an error of the protocol.
fn receive<T: Serialize + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) -> Option<T> {
    let (near, far) = ControlSocket::pair().unwrap();
    send(near.as_fd(), bytes, SendFlags::empty()).unwrap();
    match far.receive::<T>() {
        Ok(received) => {
            let message = received.unwrap().message;
            near.send(&message, &[]).unwrap();
            assert_eq!(far.receive::<T>().unwrap().unwrap().message, message);
            Some(message)
        }
        Err(error) => {
            assert_eq!(error.code, ErrorCode::Protocol);
            None
        }
    }
}

fn encoded() -> Vec<Vec<u8>> {
    let frames = frames().into_iter().map(|frame| postcard::to_stdvec(&frame).unwrap());
    frames.chain(messages().into_iter().map(|message| postcard::to_stdvec(&message).unwrap())).collect()
}

#[test]
fn a_packet_cut_short_anywhere_is_an_error_and_so_is_one_too_long() {
    for frame in frames() {
        let bytes = postcard::to_stdvec(&frame).unwrap();
        assert_eq!(receive::<RequestFrame>(&bytes), Some(frame));
        for length in 1..bytes.len() {
            assert_eq!(receive::<RequestFrame>(&bytes[..length]), None, "{length} of {} bytes", bytes.len());
        }
    }
    assert_eq!(receive::<RequestFrame>(&vec![0; PACKET_MAX + 1]), None);
    assert_eq!(receive::<Message>(&vec![0xff; PACKET_MAX]), None);
}

proptest! {
    #[test]
    fn any_packet_is_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
        receive::<RequestFrame>(&bytes);
        receive::<Message>(&bytes);
    }

    #[test]
    fn a_packet_that_was_changed_is_another_message_or_an_error(
        which in prop::sample::select(encoded()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = which;
        for (at, value) in changes {
            let index = at.index(bytes.len());
            bytes[index] = value;
        }
        receive::<RequestFrame>(&bytes);
        receive::<Message>(&bytes);
    }
}
