//! The system calls of a restore, counted by strace: from the receipt of the request to the first KVM_RUN of the guest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::STRACE_VARIABLE;
use crate::scene::{Attempt, Case, Scene};

pub fn count(scene: &Scene) -> Vec<Value> {
    scene.cases().iter().map(|case| count_one(scene, case)).collect()
}

fn count_one(scene: &Scene, case: &Case<'_>) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("strace");
    // SAFETY: no other thread of this process runs: all have been joined.
    unsafe { std::env::set_var(STRACE_VARIABLE, &log) };
    let mut attempt = Attempt::of(case);
    // SAFETY: as above.
    unsafe { std::env::remove_var(STRACE_VARIABLE) };
    attempt.restore(false);
    attempt.ring();
    attempt.vmm.close();
    let log = std::fs::read_to_string(&log).expect("strace is installed");
    // Each vCPU enters KVM_RUN once before there is a guest, of a prepared process before the request.
    let created = if case.prepared.is_some() { 0 } else { usize::from(scene.vcpus) };
    let calls = restore_calls(&log, created);
    let ioctls = by_name(calls.iter().filter(|call| call.0 == "ioctl").map(|call| call.1.clone()));
    assert_eq!(ioctls.get("KVM_CREATE_VCPU").copied().unwrap_or_default(), created, "{}", case.name);
    let calls_by_name = by_name(calls.iter().map(|call| call.0.clone()));
    json!({
        "case": case.name,
        "memoryMib": scene.memory_mib,
        "vcpus": scene.vcpus,
        "systemCalls": calls.len(),
        "ioctls": ioctls.values().sum::<usize>(),
        "byName": calls_by_name,
        "ioctlsByName": ioctls,
    })
}

/// Names, and what an ioctl is, of the calls of all threads between the second message on the control socket (the first asks to
/// prepare, or whether the process is up) and the guest's first KVM_RUN, which is not counted; so many come before it that run no guest.
fn restore_calls(log: &str, runs_before: usize) -> Vec<(String, String)> {
    let calls: Vec<(String, String)> = log.lines().filter_map(parse).collect();
    let messages: Vec<usize> = (0..calls.len()).filter(|index| calls[*index].0 == "recvmsg").collect();
    let start = messages.get(1).expect("two messages") + 1;
    let mut runs = (start..calls.len()).filter(|index| calls[*index].1 == "KVM_RUN");
    let end = runs.nth(runs_before).expect("the guest ran");
    calls[start..end].to_vec()
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
