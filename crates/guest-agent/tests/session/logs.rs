//! Whose a log line is.

use firn_protocol::v2::LogLine;
use firn_protocol::v2::PrepareSnapshot;
use firn_protocol::v2::guest_message::Message as Said;
use firn_protocol::v2::host_message::Message as Say;

use crate::host::{Host, expect_next, invoke};

/// Lines as (invocation, level, stream, text).
fn lines(host: &Host, wanted: impl Fn(&str) -> bool) -> Vec<(u32, &str, &str, String)> {
    let text = |line: &LogLine| String::from_utf8(line.line.clone()).unwrap();
    let found = host.lines.iter().filter(|line| wanted(&text(line)));
    found.map(|line| (line.invocation, line.level.as_str(), line.stream.as_str(), text(line))).collect()
}

/// Has the session go round until everything that was printed before has arrived.
fn settle(host: &mut Host, id: u32) {
    host.say(invoke(id, r#"{"op":"nothing"}"#, 60_000));
    host.answer();
}

const PROGRAM: &str = r#"
    import { writeSync } from "node:fs";
    const work = {
      nothing: () => {},
      late: () => new Promise((resolve) => { setTimeout(() => { console.log("LATE"); process.stdout.write("LATE partial"); }, 100); resolve(); }),
      wait: () => new Promise((resolve) => setTimeout(() => { console.log("WAITED"); resolve(); }, 500)),
      partial: () => { process.stdout.write("PARTIAL"); },
      whole: () => console.log("WHOLE"),
      order: () => { console.log("ORDER 1"); console.error("ORDER 2"); console.warn("ORDER 3"); console.debug("ORDER 4"); },
      long: () => console.log("LONG ab" + "\u00e9".repeat(20_000)),
      raw: () => writeSync(1, "RAW one\nRAW two"),
      ended: () => { console.error("ENDED"); process.exit(1); },
    };
    export default ({ op }) => work[op]();"#;

#[test]
fn a_line_has_the_invocation_that_printed_it_when_another_one_runs_by_then() {
    let mut host = Host::load(PROGRAM);
    host.say(invoke(1, r#"{"op":"late"}"#, 60_000));
    host.answer();
    host.say(invoke(2, r#"{"op":"wait"}"#, 60_000));
    host.answer();
    assert_eq!(lines(&host, |text| text == "LATE"), [(1, "info", "stdout", "LATE".into())]);
    assert_eq!(lines(&host, |text| text == "WAITED"), [(2, "info", "stdout", "WAITED".into())]);
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    expect_next!(host, Said::SnapshotPrepared(_));
    assert_eq!(lines(&host, |text| text == "LATE partial"), [(1, "info", "stdout", "LATE partial".into())]);
}

#[test]
fn a_line_without_an_end_is_of_the_invocation_that_printed_it() {
    let mut host = Host::load(PROGRAM);
    for (id, op) in [(1, "partial"), (2, "whole"), (3, "raw"), (4, "whole")] {
        host.say(invoke(id, &format!("{{\"op\":\"{op}\"}}"), 60_000));
        host.answer();
    }
    let printed: Vec<(u32, String)> =
        lines(&host, |_| true).into_iter().map(|(id, _, _, text)| (id, text)).collect();
    let expected = [(1, "PARTIAL"), (2, "WHOLE"), (3, "RAW one"), (3, "RAW two"), (4, "WHOLE")]
        .map(|(id, text)| (id, text.into()));
    assert_eq!(printed, expected);
}

#[test]
fn lines_keep_their_order_and_their_level_when_they_are_of_both_streams() {
    let mut host = Host::load(PROGRAM);
    host.say(invoke(1, r#"{"op":"order"}"#, 60_000));
    host.answer();
    let expected = [
        (1, "info", "stdout", "ORDER 1".into()),
        (1, "error", "stderr", "ORDER 2".into()),
        (1, "warn", "stderr", "ORDER 3".into()),
        (1, "debug", "stdout", "ORDER 4".into()),
    ];
    assert_eq!(lines(&host, |text| text.starts_with("ORDER")), expected);
}

#[test]
fn a_long_line_is_cut_between_characters() {
    let mut host = Host::load(PROGRAM);
    host.say(invoke(1, r#"{"op":"long"}"#, 60_000));
    host.answer();
    settle(&mut host, 2);
    let pieces: Vec<String> = lines(&host, |_| true).into_iter().map(|(_, _, _, text)| text).collect();
    assert!(pieces.len() > 1);
    assert_eq!(pieces.concat(), format!("LONG ab{}", "\u{e9}".repeat(20_000)));
}

#[test]
fn the_last_line_of_a_process_is_not_lost() {
    let mut host = Host::load(PROGRAM);
    host.say(invoke(7, r#"{"op":"ended"}"#, 60_000));
    assert_eq!(host.next_result().end.function_error, "Unhandled");
    assert_eq!(lines(&host, |text| text == "ENDED"), [(7, "error", "stderr", "ENDED".into())]);
}
