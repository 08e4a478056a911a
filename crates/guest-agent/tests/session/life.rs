//! A function's life: load, invoke, snapshot, resume.

use firn_protocol::v2::PrepareSnapshot;
use firn_protocol::v2::guest_message::Message as Said;
use firn_protocol::v2::host_message::Message as Say;

use crate::host::{Host, expect_next, invoke, load_function, resume_record};

const RANDOM: &str = "
    import { afterRestore } from '@firn/guest';
    let restores = 0;
    afterRestore(() => { restores += 1 });
    export default () => ({ restores, random: Math.random() });";

fn prepare(host: &mut Host) {
    host.say(Say::PrepareSnapshot(PrepareSnapshot {}));
    expect_next!(host, Said::SnapshotPrepared(_));
}

#[test]
fn a_function_answers_when_it_was_loaded_without_any_snapshot() {
    let mut host = Host::load("console.log('imported'); export default (event) => event.n + 1");
    host.say(invoke(1, r#"{"n":1}"#, 60_000));
    host.say(invoke(2, r#"{"n":2}"#, 60_000));
    assert_eq!(host.answer(), "2");
    assert_eq!(host.answer(), "3");
    assert!(host.logs.contains(&"stdout: imported".into()), "{:?}", host.logs);
    host.close().unwrap();
}

#[test]
fn nothing_runs_between_freezing_and_reseeding_when_a_snapshot_is_taken() {
    let mut host = Host::load(RANDOM);
    prepare(&mut host);
    assert_eq!(host.runtime_state(), 'T');
    host.snapshot(3, 1);
    // As a VMM does it: record and request lie in the queue together.
    host.say(resume_record(1));
    host.say(invoke(1, "{}", 60_000));
    expect_next!(host, Said::Resumed(resumed) if resumed.doorbell_count == 1);
    let first = host.answer();
    assert!(first.contains(r#""restores":1"#), "{first}");
    let deeds = host.deeds.lock().unwrap().clone();
    let expected =
        ["mount", "freeze", "clean", "ring 3", "reseed true", "clock 1763870400.5", "identity 1", "thaw"];
    assert_eq!(deeds, expected);
}

#[test]
fn a_base_is_snapshotted_before_a_function_is_loaded_and_again_after_it() {
    let mut host = Host::start(RANDOM);
    prepare(&mut host);
    host.snapshot(2, 1);
    host.say(resume_record(1));
    host.say(load_function(100_000));
    expect_next!(host, Said::Resumed(resumed) if resumed.doorbell_count == 1);
    expect_next!(host, Said::FunctionReady(_));
    let mut answers = Vec::new();
    for round in 2..=4 {
        prepare(&mut host);
        host.snapshot(3, usize::try_from(round).unwrap());
        host.say(resume_record(u8::try_from(round).unwrap()));
        host.say(invoke(round, "{}", 60_000));
        expect_next!(host, Said::Resumed(resumed) if resumed.doorbell_count == round);
        answers.push(host.answer());
    }
    let random = |answer: &String| answer.rsplit(':').next().unwrap().to_owned();
    assert!(answers[2].contains(r#""restores":3"#), "{answers:?}");
    assert!(
        random(&answers[0]) != random(&answers[1]) && random(&answers[1]) != random(&answers[2]),
        "{answers:?}"
    );
}

#[test]
fn a_prepared_function_goes_on_when_the_snapshot_is_called_off() {
    let mut host = Host::load(RANDOM);
    prepare(&mut host);
    host.say(resume_record(1));
    expect_next!(host, Said::Resumed(resumed) if resumed.doorbell_count == 0);
    host.say(invoke(1, "{}", 60_000));
    host.answer();
}

#[test]
fn a_running_machine_gets_seed_and_clock_when_it_was_only_paused() {
    let mut host = Host::load(RANDOM);
    host.say(resume_record(1));
    expect_next!(host, Said::Resumed(_));
    host.say(invoke(1, "{}", 60_000));
    assert!(host.answer().contains(r#""restores":0"#));
    assert_eq!(host.deeds.lock().unwrap()[1..], ["reseed true", "clock 1763870400.5", "identity 1"]);
}

#[test]
fn unfinished_lines_are_sent_before_the_snapshot() {
    let mut host = Host::load("process.stdout.write('no line end'); export default () => 1");
    prepare(&mut host);
    assert!(host.logs.contains(&"stdout: no line end".into()), "{:?}", host.logs);
}
