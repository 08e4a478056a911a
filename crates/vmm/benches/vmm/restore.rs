//! From the request to the guest's first instructions, with and without a process that was prepared.

use std::time::Instant;

use firn_vmm::control::Statistics;
use serde_json::{Value, json};

use crate::floor::Floor;
use crate::scene::{Attempt, CHAIN, ONE_LAYER, Scene};
use crate::{median, microseconds, settle};

/// One restore.
struct Run {
    /// From the receipt of the request until the guest's first instruction: until the guest's time goes on, and what has passed of that.
    first_instruction: u64,
    /// From sending the request until its response.
    response: u64,
    /// Until the guest's first instructions, a store to the doorbell, have run, and that was heard of.
    doorbell: u64,
    /// Until the guest has written its 128 pages besides.
    round: u64,
    statistics: Statistics,
}

/// Measures restores, and the floor between them, and then the chain and the one layer `chains` times more.
pub fn measure_all(scene: &Scene, floor: &mut Floor<'_>, rounds: usize, chains: usize) -> Vec<Value> {
    let cases = scene.cases();
    // Round after round through all cases, so that what else the machine does falls on all alike, and each time beginning with another
    // one: what ran before it shows in how long a restore takes. So a chain is compared to one layer: an emulated CPU is half as fast now
    // and then, for one restore or for some rounds, and the medians of two cases can be of different speeds.
    let mut runs: Vec<Vec<Run>> = cases.iter().map(|_| Vec::new()).collect();
    let place_of = |name: &str| cases.iter().position(|case| case.name == name).unwrap();
    let all: Vec<usize> = (0..cases.len()).collect();
    let [chain, one_layer] = [CHAIN, ONE_LAYER].map(place_of);
    for round in 0..=rounds + chains {
        // The first finds cold caches.
        let counts = round > 0;
        let takes_all = round <= rounds;
        if counts && takes_all {
            floor.measure();
        }
        let measured = if takes_all { all.as_slice() } else { &[chain, one_layer] };
        for place in 0..measured.len() {
            let index = measured[(round + place) % measured.len()];
            let run = run(Attempt::of(&cases[index]));
            if counts {
                runs[index].push(run);
            }
        }
    }
    let reports = cases.iter().zip(&runs).map(|(case, own)| {
        let of = |field: &dyn Fn(&Run) -> u64| median(own.iter().map(field).collect());
        let times_one_layer = |field: &dyn Fn(&Run) -> u64| {
            let pairs = own.iter().zip(&runs[one_layer]);
            // Rounded up: a bar that is missed by little is missed.
            median(pairs.map(|(own, other)| (field(own) * 1000).div_ceil(field(other))).collect()) as f64
                / 1000.0
        };
        json!({
            "case": case.name,
            "memoryMib": scene.memory_mib,
            "vcpus": scene.vcpus,
            "layers": case.snapshot.layers.len(),
            "prepared": case.prepared.is_some(),
            "responseUs": of(&|run| run.response),
            "doorbellUs": of(&|run| run.doorbell),
            "roundUs": of(&|run| run.round),
            "timesOneLayer": {
                "doorbell": times_one_layer(&|run| run.doorbell),
                "round": times_one_layer(&|run| run.round),
            },
            "firstInstructionUs": of(&|run| run.first_instruction),
            "firstRunUs": of(&|run| run.statistics.phases.total),
            "kvmExits": of(&|run| run.statistics.kvm_exits),
            "mmioExits": of(&|run| run.statistics.mmio_exits),
            "bytesCopied": of(&|run| run.statistics.bytes_copied),
            "bytesMapped": of(&|run| run.statistics.bytes_mapped),
            "loadCalls": of(&|run| run.statistics.load_calls),
            "minorFaults": of(&|run| run.statistics.minor_faults),
            // Of a prepared process the first two are of the preparation, in part or all.
            "phasesUs": {
                "createVm": of(&|run| run.statistics.phases.create_vm),
                "loadMemory": of(&|run| run.statistics.phases.load_memory),
                "populate": of(&|run| run.statistics.phases.populate),
                "readState": of(&|run| run.statistics.phases.read_state),
                "loadVcpus": of(&|run| run.statistics.phases.load_vcpus),
                "loadGic": of(&|run| run.statistics.phases.load_gic),
                "loadDevices": of(&|run| run.statistics.phases.load_devices),
                "startVcpus": of(&|run| run.statistics.phases.start_vcpus),
            },
        })
    });
    reports.collect()
}

fn run(mut attempt: Attempt<'_>) -> Run {
    settle();
    let start = Instant::now();
    attempt.restore(false);
    let response = microseconds(start);
    attempt.ring();
    let doorbell = microseconds(start);
    let statistics = attempt.vmm.statistics();
    let start = Instant::now();
    let began = attempt.work();
    let round = doorbell + microseconds(start);
    let phases = &statistics.phases;
    let first_instruction = phases.total - phases.start_vcpus + attempt.since_restore(began);
    Run { first_instruction, response, doorbell, round, statistics }
}
