//! The bytes that the TypeScript side checks too: both must read and write each message in the same way.

use crate::v2::{
    GuestMessage, HostMessage, RuntimeCommand, RuntimeLog, RuntimeReport, RuntimeResume, host_message,
};
use crate::{FrameDecoder, Message, decode, frame};

const GOLDEN: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packages/protocol/test/golden.hex"));

fn entries() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, hexadecimal) = line.split_once(' ').unwrap();
        let digits = hexadecimal.as_bytes().chunks(2);
        let bytes =
            digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
        (name, bytes)
    })
}

fn written_again<M: Message + Default>(framed: &[u8]) -> Vec<u8> {
    let mut decoder = FrameDecoder::new();
    decoder.push(framed);
    let message: M = decode(decoder.next_message().unwrap().unwrap()).unwrap();
    assert_eq!(decoder.pending_bytes(), 0);
    frame(&message).unwrap()
}

#[test]
fn every_golden_message_is_written_as_it_was_read() {
    let mut seen = 0;
    for (name, framed) in entries() {
        let again = match name.split('.').next().unwrap() {
            "host" => written_again::<HostMessage>(&framed),
            "guest" => written_again::<GuestMessage>(&framed),
            "runtime_command" => written_again::<RuntimeCommand>(&framed),
            "runtime_report" => written_again::<RuntimeReport>(&framed),
            "runtime_resume" => written_again::<RuntimeResume>(&framed),
            "runtime_log" => written_again::<RuntimeLog>(&framed),
            other => panic!("unknown kind {other}"),
        };
        assert_eq!(again, framed, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 38);
}

#[test]
fn the_golden_resume_record_has_the_fields_that_were_written() {
    let (_, framed) = entries().find(|(name, _)| *name == "host.resume").unwrap();
    let message: HostMessage = decode(&framed[4..]).unwrap();
    let Some(host_message::Message::Resume(record)) = message.message else { panic!("{message:?}") };
    assert_eq!(record.generation, (0..16).collect::<Vec<u8>>());
    assert_eq!(record.entropy, (0..64).map(|index| 255 - index).collect::<Vec<u8>>());
    assert_eq!((record.clock_seconds, record.clock_nanoseconds), (1_763_870_400, 999_999_999));
}
