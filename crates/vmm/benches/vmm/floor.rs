//! The KVM floor: a VM with its vCPUs, interrupt controller and memory, whose guest leaves at its first instructions.
//!
//! It is measured in processes like those that microVMs have: each waits for a word, and then does it for the first time. How long it takes
//! in a process that has just done the same is told beside it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use firn_vmm::kvm::{Gic, Kvm, Vcpu, Vm};
use firn_vmm::layout::RAM_BASE;
use firn_vmm::memory::{GuestMemoryOptions, MemoryStack};
use kvm_ioctls::VcpuExit;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vm_memory::{Bytes, GuestAddress};

use crate::{median, microseconds, settle};

/// The variable that makes this program one of those processes; its value is the number of vCPUs.
pub const VARIABLE: &str = "FIRN_BENCH_FLOOR";

/// `mov x1, #0x0a000000; str w1, [x1]`: a store to where there is no memory.
const PROGRAM: [u32; 2] = [0xd2a1_4001, 0xb900_0021];
const MEMORY: u64 = 128 << 20;

/// Times of one run, in microseconds: until the interrupt controller is there, the registers of a boot are set, all registers are
/// set, the guest has left.
#[derive(Serialize, Deserialize)]
struct Run {
    created: u64,
    set: u64,
    all_set: u64,
    total: u64,
}

impl Run {
    /// Without the registers that only a restore sets.
    fn boot(&self) -> u64 {
        self.total - (self.all_set - self.set)
    }
}

/// What was measured with so many vCPUs.
pub struct Floor<'a> {
    program: &'a Path,
    pub vcpus: u8,
    runs: Vec<Run>,
    repeated: Vec<Run>,
}

impl<'a> Floor<'a> {
    /// `program` is this one.
    pub fn new(program: &'a Path, vcpus: u8) -> Self {
        Self { program, vcpus, runs: Vec::new(), repeated: Vec::new() }
    }

    pub fn measure(&mut self) {
        self.runs.push(run_in_process(self.program, self.vcpus));
        // Once for the caches.
        run(self.vcpus, settle);
        self.repeated.push(run(self.vcpus, settle));
    }

    pub fn report(&self) -> Value {
        let of = |field: fn(&Run) -> u64| median(self.runs.iter().map(field).collect());
        let of_repeated = |field: fn(&Run) -> u64| median(self.repeated.iter().map(field).collect());
        json!({
            "vcpus": self.vcpus,
            "createUs": of(|run| run.created),
            "registersUs": of(|run| run.set - run.created),
            "allRegistersUs": of(|run| run.all_set - run.set),
            "runUs": of(|run| run.total - run.all_set),
            "bootUs": of(Run::boot),
            "restoreUs": of(|run| run.total),
            "repeatedBootUs": of_repeated(Run::boot),
            "repeatedRestoreUs": of_repeated(|run| run.total),
        })
    }
}

fn run_in_process(program: &Path, vcpus: u8) -> Run {
    let mut child = Command::new(program)
        .env(VARIABLE, vcpus.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    settle();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let run = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    run
}

/// One such process: says that it is ready, waits for a word, and prints what it has measured.
pub fn run_once(vcpus: u8) {
    let run = run(vcpus, || {
        println!("ready");
        std::io::stdin().read_exact(&mut [0]).unwrap();
    });
    println!("{}", serde_json::to_string(&run).unwrap());
}

fn run(vcpus: u8, wait: impl FnOnce()) -> Run {
    let memory = MemoryStack::anonymous(GuestMemoryOptions { size: MEMORY, track_writes: false }).unwrap();
    let program: Vec<u8> = PROGRAM.iter().flat_map(|word| word.to_le_bytes()).collect();
    memory.guest_memory().write_slice(&program, GuestAddress(RAM_BASE)).unwrap();
    wait();
    let start = Instant::now();
    let kvm = Kvm::open().unwrap();
    let vm = Vm::new(&kvm).unwrap();
    let features = vm.vcpu_features(None).unwrap();
    let mut all: Vec<Vcpu> = (0..vcpus).map(|index| Vcpu::new(&vm, index, features).unwrap()).collect();
    let mpidrs: Vec<u64> = all.iter().map(|vcpu| vcpu.mpidr().unwrap()).collect();
    let _gic = Gic::new(&vm, None, &mpidrs).unwrap();
    vm.set_memory(&memory, false).unwrap();
    let created = microseconds(start);
    for vcpu in &all {
        vcpu.finalize().unwrap();
        vcpu.set_boot_registers(RAM_BASE, 0).unwrap();
    }
    let set = microseconds(start);
    // What they are is not a part of it.
    let states: Vec<_> = all.iter().map(|vcpu| vcpu.save(vcpu.counters().unwrap()).unwrap()).collect();
    let reading = microseconds(start) - set;
    for (vcpu, state) in all.iter().zip(&states) {
        vcpu.prepare(state).unwrap();
    }
    let all_set = microseconds(start) - reading;
    match all[0].run().unwrap() {
        VcpuExit::MmioWrite(0x0a00_0000, _) => {}
        other => panic!("the guest left by {other:?}"),
    }
    let total = microseconds(start) - reading;
    drop((all, vm));
    Run { created, set, all_set, total }
}
