//! The system calls of a restore, counted by strace: from the receipt of the request to the first KVM_RUN of the guest.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{STRACE_VARIABLE, Snapshot};
use crate::scene::{Attempt, Scene};

pub fn count(scene: &Scene) -> Value {
    let [base, two, three] = scene.chain.as_slice() else { panic!("a chain has three layers") };
    let working_set = Some(scene.working_set.as_path());
    let cases: [(&str, Option<&Snapshot>, Option<&Path>, &Snapshot); 7] = [
        ("base alone", None, None, base),
        ("two layers", None, None, two),
        ("three layers", None, None, three),
        ("prepared, nothing on top", Some(base), None, base),
        ("prepared with a working set, nothing on top", Some(base), working_set, base),
        ("prepared, one layer on top", Some(base), None, two),
        ("prepared, two layers on top", Some(base), None, three),
    ];
    let counted = cases.map(|(name, prepared, working_set, snapshot)| {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("strace");
        // SAFETY: no other thread of this process runs: all have been joined.
        unsafe { std::env::set_var(STRACE_VARIABLE, &log) };
        let mut attempt = Attempt::with(prepared, working_set, snapshot);
        // SAFETY: as above.
        unsafe { std::env::remove_var(STRACE_VARIABLE) };
        attempt.restore(false);
        attempt.ring();
        attempt.vmm.close();
        let log = std::fs::read_to_string(&log).expect("strace is installed");
        let calls = restore_calls(&log);
        let ioctls = by_name(calls.iter().filter(|call| call.0 == "ioctl").map(|call| call.1.clone()));
        let calls_by_name = by_name(calls.iter().map(|call| call.0.clone()));
        json!({
            "case": name,
            "systemCalls": calls.len(),
            "ioctls": ioctls.values().sum::<usize>(),
            "byName": calls_by_name,
            "ioctlsByName": ioctls,
        })
    });
    counted.into()
}

/// Names, and what an ioctl is, of the calls of all threads between the second message on the control socket (the first asks to
/// prepare, or whether the process is up) and the last KVM_RUN before the guest's first exit, which is not counted.
fn restore_calls(log: &str) -> Vec<(String, String)> {
    let calls: Vec<(String, String)> = log.lines().filter_map(parse).collect();
    let messages: Vec<usize> = (0..calls.len()).filter(|index| calls[*index].0 == "recvmsg").collect();
    let start = messages.get(1).expect("two messages") + 1;
    let first_run = calls.iter().skip(start).position(|(_, what)| what == "KVM_RUN").expect("the guest ran");
    calls[start..start + first_run].to_vec()
}

/// `PID name(arguments) = result`, or the beginning of a call that another thread's came between.
fn parse(line: &str) -> Option<(String, String)> {
    let call = line.split_once(' ')?.1.trim_start();
    let (name, arguments) = call.split_once('(')?;
    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return None;
    }
    let what = if name == "ioctl" {
        arguments.split([',', ')', ' ']).filter(|word| !word.is_empty()).nth(1)?
    } else {
        ""
    };
    Some((name.to_owned(), what.to_owned()))
}

fn by_name(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    names.fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}
