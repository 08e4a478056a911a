//! The agent stream: frames, cut anywhere, and the messages in them.

use firn_protocol::{FrameDecoder, decode, frame, v2};
use prost::Message;

use crate::input::Input;

/// Inputs to start from: two frames, cut into pieces of eight bytes.
pub fn seeds() -> Vec<Vec<u8>> {
    let header = v2::Header { name: "a".to_owned(), value: "b".to_owned() };
    let head = v2::ResponseHead { id: 1, status: 200, headers: vec![header; 2], ..Default::default() };
    let answer = v2::GuestMessage { message: Some(v2::guest_message::Message::ResponseHead(head)) };
    let resume = v2::ResumeRecord { generation: vec![1; 16], entropy: vec![2; 64], ..Default::default() };
    let host = v2::HostMessage { message: Some(v2::host_message::Message::Resume(resume)) };
    vec![[vec![7], frame(&answer).unwrap(), frame(&host).unwrap()].concat()]
}

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let piece = usize::from(input.u8()) + 1;
    let mut decoder = FrameDecoder::new();
    let mut pushed = 0;
    while !input.is_empty() {
        let bytes = input.bytes(piece);
        decoder.push(bytes);
        pushed += bytes.len();
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => {
                    let message = message.to_vec();
                    try_all(&message);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(decoder.pending_bytes() <= pushed);
    }
    decoder.shrink();
}

fn try_all(message: &[u8]) {
    round_trip::<v2::GuestMessage>(message);
    round_trip::<v2::HostMessage>(message);
    round_trip::<v2::RuntimeCommand>(message);
    round_trip::<v2::RuntimeReport>(message);
    round_trip::<v2::RuntimeResume>(message);
    round_trip::<v2::RuntimeLog>(message);
}

/// What decodes is encoded to something that decodes to the same.
fn round_trip<M: Message + Default + PartialEq>(bytes: &[u8]) {
    if let Ok(message) = decode::<M>(bytes) {
        let framed = frame(&message).unwrap();
        assert!(decode::<M>(&framed[4..]).unwrap() == message);
    }
}
