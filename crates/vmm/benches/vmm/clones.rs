//! Many clones of one snapshot at once.

use std::sync::Barrier;
use std::time::Instant;

use serde_json::{Value, json};

use crate::memory::private;
use crate::scene::{Attempt, Scene};
use crate::{median, microseconds};

pub fn measure(scene: &Scene, count: usize, rounds: usize) -> Value {
    let rounds = if count > 10 { 3 } else { rounds };
    let mut report = json!({ "count": count });
    for (name, is_prepared) in [("", false), ("prepared", true)] {
        let runs: Vec<(u64, u64, u64)> = (0..rounds).map(|_| run(scene, count, is_prepared)).collect();
        let of = |field: fn(&(u64, u64, u64)) -> u64| median(runs.iter().map(field).collect());
        let key = |what: &str| {
            if name.is_empty() {
                what.to_owned()
            } else {
                format!("{name}{}{}", what[..1].to_uppercase(), &what[1..])
            }
        };
        report[key("allAnsweredUs")] = of(|run| run.0).into();
        report[key("ownBytes")] = of(|run| run.1).into();
        report[key("guestBytes")] = of(|run| run.2).into();
    }
    report
}

/// Time until the first instructions of all have run, and when each has done a round, the private bytes of the largest, its own and
/// the guest's.
fn run(scene: &Scene, count: usize, is_prepared: bool) -> (u64, u64, u64) {
    let [base, diff, _] = scene.chain.as_slice() else { panic!("a chain has three layers") };
    let mut attempts: Vec<Attempt<'_>> =
        (0..count).map(|_| Attempt::new(is_prepared.then_some(base), diff)).collect();
    let together = &Barrier::new(count);
    // Nobody but the threads themselves is sure to have a CPU when they begin.
    let starts: Vec<Instant> = std::thread::scope(|scope| {
        let threads = attempts.iter_mut().map(|attempt| {
            scope.spawn(move || {
                together.wait();
                let start = Instant::now();
                attempt.restore(false);
                attempt.ring();
                start
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let answered = microseconds(starts.into_iter().min().unwrap());
    for attempt in &mut attempts {
        attempt.work();
    }
    let memory = scene.memory_mib << 20;
    let all: Vec<_> = attempts.iter().map(|attempt| private(attempt.vmm.pid(), memory)).collect();
    let own = all.iter().map(|private| private.own).max().unwrap();
    (answered, own, all.iter().map(|private| private.guest).max().unwrap())
}
