//! What goes wrong in the function, or at the host.

use std::time::{Duration, Instant};

use firn_guest_agent::AgentError;
use firn_protocol::v2::guest_message::Message as Said;
use firn_protocol::v2::host_message::Message as Say;
use firn_protocol::v2::{FunctionFailed, PrepareSnapshot, ResumeRecord};

use crate::host::{Answer, Host, expect_next, invoke, load_function, resume_record};

fn failed(host: &mut Host) -> FunctionFailed {
    match host.next() {
        Said::FunctionFailed(failed) => failed,
        other => host.unexpected("a failure", &other),
    }
}

fn text(result: &Answer) -> String {
    assert_eq!(result.end.function_error, "Unhandled");
    String::from_utf8(result.payload.clone()).unwrap()
}

#[test]
fn an_invocation_fails_and_the_host_is_told_when_the_function_exits() {
    let mut host = Host::load("export default () => { console.error('bye'); process.exit(3) }");
    host.say(invoke(1, "{}", 60_000));
    // First the invocation that it belongs to, then the instance.
    assert!(text(&host.next_result()).contains("Runtime exited with status 3"));
    let failure = failed(&mut host);
    assert_eq!(failure.code, "FIRN_FUNCTION_EXITED");
    assert!(failure.message.contains("exited with status 3"), "{}", failure.message);
    assert!(host.logs.contains(&"stderr: bye".into()), "{:?}", host.logs);
    // The stream still works, and says so.
    host.say(invoke(2, "{}", 60_000));
    // It never reached the function, and may be made again elsewhere.
    expect_next!(host, Said::InvokeRefused(refused) if refused.id == 2 && refused.code == "FIRN_FUNCTION_EXITED");
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    assert_eq!(failed(&mut host).code, "FIRN_FUNCTION_EXITED");
    host.close().unwrap();
}

#[test]
fn a_load_fails_when_the_function_exits_at_import() {
    let mut host = Host::start("process.kill(process.pid, 'SIGKILL')");
    host.say(load_function(60_000));
    let failure = failed(&mut host);
    assert_eq!(failure.code, "FIRN_FUNCTION_EXITED");
    assert!(failure.message.contains("killed by signal 9"), "{}", failure.message);
}

#[test]
fn the_runtime_is_killed_when_an_invocation_blocks_its_process() {
    let mut host = Host::load("export default () => { for (;;) {} }");
    host.say(invoke(1, "{}", 200));
    host.say(invoke(2, "{}", 60_000));
    assert!(text(&host.next_result()).contains("Task timed out after 0.20 seconds"));
    assert!(text(&host.next_result()).contains("Runtime.ExitError"));
    let failure = failed(&mut host);
    assert_eq!(failure.code, "FIRN_FUNCTION_EXITED");
    assert!(failure.message.contains("did not end in time"), "{}", failure.message);
    assert!(host.deeds.lock().unwrap().contains(&"kill".into()));
}

#[test]
fn the_runtime_is_killed_when_the_import_blocks_its_process() {
    let mut host = Host::start("for (;;) {}");
    host.say(load_function(100));
    assert_eq!(failed(&mut host).code, "FIRN_FUNCTION_NOT_READY");
    host.close().unwrap();
}

#[test]
fn the_runtime_is_stopped_when_it_writes_nonsense_to_its_bridge() {
    // A frame that announces 4 GiB, and one whose contents are no message.
    for bytes in ["[255, 255, 255, 255]", "[2, 0, 0, 0, 255, 255]"] {
        let mut host = Host::load(&format!(
            "import {{ writeSync }} from 'node:fs';
             import {{ bridge }} from './bridge.js';
             export default () => {{ writeSync(bridge, Uint8Array.from({bytes})); return new Promise(() => {{}}) }}"
        ));
        host.say(invoke(1, "{}", 100_000));
        assert!(text(&host.next_result()).contains("broke the protocol"));
        let failure = failed(&mut host);
        assert!(failure.message.contains("broke the protocol"), "{}", failure.message);
    }
}

#[test]
fn forged_reports_of_the_function_reach_nobody() {
    // Answers of invocations that do not exist, and reports that fit no step: 42 has answered nothing.
    let mut host = Host::load(
        "import { writeSync } from 'node:fs';
         import { bridge } from './bridge.js';
         const about = [50, 58, 66, 74].map((field) => [4, 0, 0, 0, field, 2, 8, 42]);
         const frames = [...about, [2, 0, 0, 0, 34, 0], [2, 0, 0, 0, 42, 0], [2, 0, 0, 0, 18, 0], [0, 0, 0, 0]];
         export default () => { for (const frame of frames) writeSync(bridge, Uint8Array.from(frame)); return 'done' }",
    );
    host.say(invoke(1, "{}", 100_000));
    assert_eq!(host.answer(), r#""done""#);
}

#[test]
fn the_function_goes_on_when_it_prints_more_than_the_host_reads() {
    let printed = std::env::temp_dir().join(format!("firn-printed-{}", std::process::id()));
    let mut host = Host::load(&format!(
        "import {{ writeFileSync }} from 'node:fs';
         export default async ({{ quiet }}) => {{
           if (quiet) return 'quiet';
           for (let i = 0; i < 600; i++) console.log('x'.repeat(10_000));
           // What does not fit into the pipe waits in here, and is not printed yet.
           await new Promise((printed) => process.stdout.write('', printed));
           writeFileSync({printed:?}, '');
           return 'printed';
         }}"
    ));
    host.say(invoke(1, "{}", 60_000));
    // Nobody reads until everything is printed.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !printed.exists() {
        assert!(Instant::now() < deadline, "the function waits for somebody who reads");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(&printed).unwrap();
    assert_eq!(host.answer(), r#""printed""#);
    // The agent says so as soon as there is room again, which is at the latest when the answer has been read.
    host.say(invoke(2, r#"{"quiet":true}"#, 60_000));
    assert_eq!(host.answer(), r#""quiet""#);
    let came = host.logs.iter().filter(|line| line.starts_with("stdout: x")).count();
    let dropped: usize = host
        .logs
        .iter()
        .filter_map(|line| line.strip_prefix("agent: ")?.split_once(" log lines were dropped"))
        .map(|(count, _)| count.parse::<usize>().unwrap())
        .sum();
    assert!(dropped > 0);
    assert_eq!(came + dropped, 600);
}

#[test]
fn the_session_ends_when_the_first_message_after_a_snapshot_is_no_resume_record() {
    let mut host = Host::load("export default () => 1");
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    expect_next!(host, Said::SnapshotPrepared(_));
    host.snapshot(3, 1);
    host.say(invoke(1, "{}", 60_000));
    assert!(matches!(host.wait(), Err(AgentError::Unexpected(_))));
    assert!(!host.deeds.lock().unwrap().contains(&"thaw".into()));
}

#[test]
fn the_session_ends_when_a_resume_record_is_not_whole() {
    let mut host = Host::load("export default () => 1");
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    expect_next!(host, Said::SnapshotPrepared(_));
    host.say(Say::Resume(ResumeRecord {
        generation: vec![1; 16],
        entropy: vec![1; 63],
        ..ResumeRecord::default()
    }));
    assert!(matches!(host.wait(), Err(AgentError::Unexpected(_))));
    assert!(!host.deeds.lock().unwrap().contains(&"thaw".into()));
}

#[test]
fn a_snapshot_fails_and_the_function_goes_on_when_its_hook_throws() {
    let mut host = Host::load(
        "import { beforeSnapshot } from '@firn/guest';
         beforeSnapshot(() => { throw new Error('busy') });
         export default () => 1",
    );
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    assert_eq!(failed(&mut host).code, "FIRN_FUNCTION_HOOK");
    host.say(invoke(1, "{}", 60_000));
    assert_eq!(host.answer(), "1");
    assert!(!host.deeds.lock().unwrap().contains(&"freeze".into()));
}

#[test]
fn an_invocation_that_cannot_be_started_is_refused() {
    let mut host = Host::load("export default () => new Promise(() => {})");
    host.say(invoke(0, "{}", 100_000));
    expect_next!(host, Said::InvokeRefused(refused) if refused.id == 0 && refused.code == "FIRN_AGENT");
    for id in 1..=1025 {
        host.say(invoke(id, "{}", 100_000));
    }
    expect_next!(host, Said::InvokeRefused(refused) if refused.id == 1025 && refused.code == "FIRN_AGENT");
}

#[test]
fn a_second_invocation_with_the_same_id_is_ignored_and_cancelling_reaches_the_first() {
    let mut host = Host::load(
        "export default (event, { signal }) =>
           new Promise((resolve) => signal.addEventListener('abort', () => resolve('aborted')))",
    );
    host.say(invoke(1, "{}", 100_000));
    host.say(invoke(1, "{}", 100_000));
    host.say(Say::CancelInvoke(firn_protocol::v2::CancelInvoke { id: 1 }));
    assert_eq!(host.answer(), r#""aborted""#);
    host.say(resume_record(9));
    expect_next!(host, Said::Resumed(_));
    assert!(host.logs.iter().any(|line| line.contains("Invocation 1 is ignored")), "{:?}", host.logs);
}
