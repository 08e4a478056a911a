//! What a process keeps to itself beside guest memory, and what a clone keeps beside what it wrote.

use serde_json::{Value, json};

use crate::scene::{Attempt, Scene};

/// Private bytes of a process.
#[derive(Debug, Default, Clone, Copy)]
pub struct Private {
    pub guest: u64,
    pub own: u64,
}

/// Adds up /proc/PID/smaps. Guest memory is the reservation of this size: its first mapping that children do not get starts it.
pub fn private(pid: u32, memory_bytes: u64) -> Private {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut mappings: Vec<(u64, u64, bool)> = Vec::new();
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [range, permissions, ..] = words.as_slice()
            && let Some((start, _)) = range.split_once('-')
            && permissions.len() == 4
        {
            mappings.push((u64::from_str_radix(start, 16).unwrap(), 0, false));
        }
        let Some(mapping) = mappings.last_mut() else { continue };
        match words.as_slice() {
            ["Anonymous:" | "Swap:", kibibytes, _] => {
                mapping.1 += kibibytes.parse::<u64>().unwrap() * 1024;
            }
            ["VmFlags:", flags @ ..] => mapping.2 = flags.contains(&"dc"),
            _ => {}
        }
    }
    // The reservation is aligned to 2 MiB; the kernel's own mappings are not inherited either, but lie above all others.
    let first = mappings.iter().find(|mapping| mapping.2).expect("guest memory is not inherited").0;
    let guest = first - first % (2 << 20);
    mappings.iter().fold(Private::default(), |mut sum, (start, bytes, _)| {
        if (guest..guest + memory_bytes).contains(start) {
            sum.guest += bytes;
        } else {
            sum.own += bytes;
        }
        sum
    })
}

pub fn measure(scene: &Scene) -> Value {
    let memory = scene.memory_mib << 20;
    let [base, diff, _] = scene.chain.as_slice() else { panic!("a chain has three layers") };
    // The program's own pages are shared as soon as two processes run it, which is what is usual: so one more does.
    let mut bystander = Attempt::new(Some(base), diff);
    bystander.restore(false);
    bystander.ring();
    bystander.work();
    let prepared = Attempt::new(Some(base), diff);
    let waiting = private(prepared.vmm.pid(), memory);
    drop(prepared);
    let mut clone = Attempt::new(Some(base), diff);
    clone.restore(false);
    clone.ring();
    clone.work();
    let statistics = clone.vmm.statistics();
    let idle = private(clone.vmm.pid(), memory);
    // The same once more, to learn what it wrote: keeping the record takes memory of its own.
    let mut tracked = Attempt::new(None, diff);
    tracked.restore(true);
    tracked.ring();
    tracked.work();
    let written: u64 = tracked.vmm.written_ranges().iter().map(|(start, end)| end - start).sum();
    json!({
        "preparedOwnBytes": waiting.own,
        "preparedGuestBytes": waiting.guest,
        "cloneOwnBytes": idle.own,
        "cloneGuestBytes": idle.guest,
        "cloneWrittenBytes": written,
        "cloneCopiedBytes": statistics.bytes_copied,
        "clonePrivateBytes": idle.own + idle.guest,
        "overWrittenBytes": (idle.own + idle.guest).saturating_sub(written),
    })
}
