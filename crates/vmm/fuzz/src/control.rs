//! A packet on the control socket, in both directions.

use std::sync::{Mutex, OnceLock};

use firn_vmm::ErrorCode;
use firn_vmm::control::{
    CONTROL_VERSION, ControlSocket, Descriptor, Event, Message, Request, RequestFrame, Response, Statistics,
};
use rustix::fd::AsFd;
use rustix::net::{SendFlags, send};

/// Inputs to start from: a packet in each direction.
pub fn seeds() -> Vec<Vec<u8>> {
    let descriptors = vec![Descriptor::Layer, Descriptor::State];
    let frame = RequestFrame { version: CONTROL_VERSION, id: 300, descriptors, request: Request::Resume };
    let result = Ok(Response::Statistics(Box::<Statistics>::default()));
    vec![
        postcard::to_stdvec(&frame).unwrap(),
        postcard::to_stdvec(&Message::Response { id: 300, result }).unwrap(),
        postcard::to_stdvec(&Message::Event(Event::Doorbell { event: 2, detail: 7 })).unwrap(),
    ]
}

pub fn run(bytes: &[u8]) {
    static SOCKETS: OnceLock<Mutex<(ControlSocket, ControlSocket)>> = OnceLock::new();
    let sockets = SOCKETS.get_or_init(|| Mutex::new(ControlSocket::pair().unwrap())).lock().unwrap();
    let (near, far) = &*sockets;
    // An empty packet is what a closed socket looks like.
    if bytes.is_empty() || bytes.len() > 64 << 10 {
        return;
    }
    send(near.as_fd(), bytes, SendFlags::empty()).unwrap();
    match far.receive::<RequestFrame>() {
        Ok(Some(received)) => {
            near.send(&received.message, &[]).unwrap();
            assert_eq!(far.receive::<RequestFrame>().unwrap().unwrap().message, received.message);
        }
        Ok(None) => panic!("the socket was taken for closed"),
        Err(error) => assert_eq!(error.code, ErrorCode::Protocol),
    }
    send(near.as_fd(), bytes, SendFlags::empty()).unwrap();
    match far.receive::<Message>() {
        Ok(Some(received)) => {
            near.send(&received.message, &[]).unwrap();
            assert_eq!(far.receive::<Message>().unwrap().unwrap().message, received.message);
        }
        Ok(None) => panic!("the socket was taken for closed"),
        Err(error) => assert_eq!(error.code, ErrorCode::Protocol),
    }
}
