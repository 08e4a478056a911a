//! Payloads longer than a message, and what goes with an answer.

use firn_protocol::INITIAL_CREDIT_BYTES;
use firn_protocol::v2::guest_message::Message as Said;
use firn_protocol::v2::host_message::Message as Say;
use firn_protocol::v2::{CancelInvoke, Credit, Invoke, PayloadChunk, PrepareSnapshot};

use crate::host::{Host, expect_next, invoke, load_function, resume_record};

const ECHO: &str = "
    export default { fetch: async (request) => new Response(request.body === null ? 'none' : await request.arrayBuffer()) };";

fn request(id: u32, payload: &[u8], more: bool) -> Say {
    let (method, url) = ("POST".into(), "http://function/".into());
    let (kind, payload) = ("http".into(), payload.into());
    Say::Invoke(Invoke { id, timeout_ms: 60_000, kind, payload, method, url, more, ..Invoke::default() })
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

#[test]
fn payloads_longer_than_a_frame_go_both_ways() {
    let mut host = Host::load(ECHO);
    let whole = bytes(20 << 20);
    let (first, rest) = whole.split_at(INITIAL_CREDIT_BYTES);
    host.say(request(1, first, true));
    let mut credit = 0;
    let mut chunks = rest.chunks(64 * 1024).peekable();
    while let Some(chunk) = chunks.next() {
        while credit < chunk.len() {
            match host.next() {
                Said::Credit(Credit { id: 1, bytes }) => credit += usize::try_from(bytes).unwrap(),
                other => host.unexpected("credit", &other),
            }
        }
        credit -= chunk.len();
        let last = chunks.peek().is_none();
        host.say(Say::PayloadChunk(PayloadChunk { id: 1, data: chunk.into(), last }));
    }
    let answer = loop {
        // Credit for what was under way.
        match host.next() {
            Said::Credit(_) => {}
            Said::ResponseHead(head) => break host.rest_of(head),
            other => host.unexpected("an answer", &other),
        }
    };
    assert_eq!(answer.end.function_error, "");
    assert!(answer.payload == whole);
}

#[test]
fn a_runtime_sends_no_more_than_the_host_takes() {
    let mut host = Host::load("export default ({ n }) => 'x'.repeat(n)");
    host.say(invoke(1, &format!("{{\"n\":{}}}", 1 << 20), 60_000));
    let Said::ResponseHead(head) = host.next() else { panic!() };
    assert_eq!(head.payload.len(), INITIAL_CREDIT_BYTES);
    // Others are answered while this one waits.
    host.say(invoke(2, "{\"n\":3}", 60_000));
    assert_eq!(host.answer(), "\"xxx\"");
    host.say(Say::Credit(Credit { id: 1, bytes: 10 }));
    expect_next!(host, Said::PayloadChunk(chunk) if chunk.id == 1 && chunk.data.len() == 10);
    host.say(Say::CancelInvoke(CancelInvoke { id: 1 }));
    expect_next!(host, Said::InvokeEnd(end) if end.id == 1 && end.error_type == "AbortError");
    host.say(invoke(3, "{\"n\":1}", 60_000));
    assert_eq!(host.answer(), "\"x\"");
}

#[test]
fn a_runtime_is_stopped_when_it_sends_more_than_it_has_credit_for() {
    // A head of 200 KiB, and a piece as long: framed by hand.
    let mut host = Host::load(
        "import { writeSync } from 'node:fs';
         import { bridge } from './bridge.js';
         const varint = (n) => n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)];
         const field = (number, contents) => Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(contents.length)]), contents]);
         const send = (number, body) => {
           const message = field(number, body);
           const length = Buffer.alloc(4);
           length.writeUInt32LE(message.length);
           let left = Buffer.concat([length, message]);
           while (left.length > 0) try { left = left.subarray(writeSync(bridge, left)); } catch {}
         };
         const id = Buffer.from([8, 1]);
         const data = Buffer.alloc(200 * 1024);
         export default () => {
           send(6, Buffer.concat([id, field(4, data)]));
           send(7, Buffer.concat([id, field(2, data)]));
           return new Promise(() => {});
         }",
    );
    host.say(invoke(1, "{}", 100_000));
    expect_next!(host, Said::ResponseHead(head) if head.payload.len() == 200 * 1024);
    expect_next!(host, Said::InvokeEnd(end) if end.error_message.contains("more than it had credit for"));
    expect_next!(host, Said::FunctionFailed(failed) if failed.message.contains("broke the protocol"));
}

#[test]
fn an_end_tells_what_an_invocation_took_and_the_first_one_what_the_start_took() {
    let mut host =
        Host::load("export default async (ms) => new Promise((resolve) => setTimeout(resolve, ms))");
    host.say(invoke(1, "50", 60_000));
    let first = host.next_result().end;
    assert!(first.duration_us >= 40_000 && first.init_us > 0 && first.restore_us == 0, "{first:?}");
    assert_eq!(first.memory_peak_kib, 4321);
    host.say(invoke(2, "0", 60_000));
    let second = host.next_result().end;
    assert_eq!((second.init_us, second.restore_us), (0, 0));
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    expect_next!(host, Said::SnapshotPrepared(prepared) if prepared.warnings.is_empty());
    host.snapshot(3, 1);
    host.say(resume_record(1));
    host.say(invoke(3, "0", 60_000));
    expect_next!(host, Said::Resumed(resumed) if resumed.agent_abi == 2 && resumed.runtime_version == "24.9.0");
    let third = host.next_result().end;
    assert!(third.init_us == 0 && third.restore_us > 0, "{third:?}");
}

#[test]
fn the_environment_comes_with_the_resume_and_is_there_for_the_hooks() {
    let mut host = Host::start(
        "import { afterRestore } from '@firn/guest';
         const seen = [process.env.SECRET];
         afterRestore(() => { seen.push(process.env.SECRET) });
         export default () => [...seen, process.env.SECRET]",
    );
    host.say(load_function(100_000));
    expect_next!(host, Said::FunctionReady(_));
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    expect_next!(host, Said::SnapshotPrepared(_));
    host.snapshot(3, 1);
    host.say(resume_record(7));
    host.say(invoke(1, "{}", 60_000));
    expect_next!(host, Said::Resumed(_));
    assert_eq!(host.answer(), r#"[null,"secret 7","secret 7"]"#);
    // A machine that runs takes other variables as well.
    host.say(resume_record(8));
    expect_next!(host, Said::Resumed(_));
    host.say(invoke(2, "{}", 60_000));
    assert_eq!(host.answer(), r#"[null,"secret 7","secret 8"]"#);
}

#[test]
fn child_processes_in_a_snapshot_are_warned_of() {
    let mut host = Host::load(
        "import { spawn } from 'node:child_process';
         spawn('sleep', ['60']).unref();
         export default () => 1",
    );
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    let Said::SnapshotPrepared(prepared) = host.next() else { panic!() };
    let [warning] = prepared.warnings.as_slice() else { panic!("{prepared:?}") };
    assert_eq!(warning.code, "FIRN_CHILD_PROCESS");
    assert!(warning.message.contains("child (process "), "{}", warning.message);
    assert!(host.logs.iter().any(|line| line.starts_with("agent: FIRN_CHILD_PROCESS: ")), "{:?}", host.logs);
}
