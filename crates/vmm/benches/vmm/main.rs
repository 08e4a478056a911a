//! Measures the VMM where it runs: what KVM itself costs, and what a restore, a snapshot and many clones cost beside that. Prints one
//! JSON object; `npm run bench -- vmm` runs it and judges.
//!
//! Times are in microseconds, each the median of several; on an emulated machine only their ratios mean anything. FIRN_BENCH_ROUNDS
//! says how often each is taken; restores of the smallest microVM, by which the bars are judged, three times as often, and those of a chain of
//! layers and of one layer 45 times.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that fails says where"
)]

#[cfg(target_arch = "aarch64")]
#[path = "../../tests/harness/mod.rs"]
#[allow(unused_imports, missing_docs, reason = "of the tests")]
mod harness;

#[cfg(target_arch = "aarch64")]
mod calls;
#[cfg(target_arch = "aarch64")]
mod clones;
#[cfg(target_arch = "aarch64")]
mod floor;
#[cfg(target_arch = "aarch64")]
mod memory;
#[cfg(target_arch = "aarch64")]
mod restore;
#[cfg(target_arch = "aarch64")]
mod scene;

/// How often what is judged is measured, for once that the rest is. A single restore takes up to twice as long as another one.
#[cfg(target_arch = "aarch64")]
const JUDGED: usize = 3;

/// How often a chain of layers and one layer are restored besides. Their ratio scatters by a fifth from round to round, and is to be known to a
/// hundredth.
#[cfg(target_arch = "aarch64")]
const CHAINS: usize = 42;

#[cfg(target_arch = "aarch64")]
fn main() {
    if let Ok(vcpus) = std::env::var(floor::VARIABLE) {
        return floor::run_once(vcpus.parse().unwrap());
    }
    let rounds = std::env::var("FIRN_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(9);
    let say = |what: &str| eprintln!("▶ {what}");
    // What is built may lie in a folder that the emulated machine shares with its host, where every page of a program costs a
    // message: on a disk of its own it is read once.
    let copies = tempfile::tempdir().unwrap();
    let [binary, own] = ["firn-vmm", "bench"].map(|name| copies.path().join(name));
    std::fs::copy(harness::BINARY, &binary).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), &own).unwrap();
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var(harness::BINARY_VARIABLE, &binary) };
    say("snapshots");
    let mut scenes = Vec::new();
    for (memory_mib, vcpus) in [(128, 1), (512, 1), (2048, 1), (128, 2), (128, 4)] {
        scenes.push(scene::Scene::new(memory_mib, vcpus));
    }
    say("restores, and the KVM floor");
    let mut floors = [1, 2, 4].map(|vcpus| floor::Floor::new(&own, vcpus));
    let mut restores = Vec::new();
    for (index, scene) in scenes.iter().enumerate() {
        let floor = floors.iter_mut().find(|floor| floor.vcpus == scene.vcpus).unwrap();
        let (rounds, chains) = if index == 0 { (JUDGED * rounds, CHAINS * rounds) } else { (rounds, 0) };
        restores.extend(restore::measure_all(scene, floor, rounds, chains));
    }
    let floors: Vec<_> = floors.iter().map(floor::Floor::report).collect();
    say("system calls");
    let calls: Vec<_> = scenes.iter().flat_map(calls::count).collect();
    say("memory");
    let memory = memory::measure(&scenes[0]);
    say("clones at once");
    let clones: Vec<_> =
        [1, 10, 50].into_iter().map(|count| clones::measure(&scenes[0], count, rounds)).collect();
    let snapshots: Vec<_> = scenes.iter().flat_map(|scene| scene.snapshots.clone()).collect();
    let report = serde_json::json!({
        "rounds": rounds,
        "floor": floors,
        "restore": restores,
        "calls": calls,
        "snapshot": snapshots,
        "memory": memory,
        "clones": clones,
    });
    println!("{report}");
}

#[cfg(not(target_arch = "aarch64"))]
fn main() {
    eprintln!(
        "firn-vmm runs on ARM machines with KVM only: `npm run bench -- vmm` runs this in the rig elsewhere"
    );
}

/// The middle of an odd number of values.
#[cfg(target_arch = "aarch64")]
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[cfg(target_arch = "aarch64")]
fn microseconds(since: std::time::Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap()
}

/// Waits as a process of a pool does, until the kernel is done with what the end of the last microVM has left to it.
#[cfg(target_arch = "aarch64")]
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}
