//! A guest with snapshots to restore: a chain of three layers, and one layer that holds what the three do.

use std::fs::File;
use std::path::{Path, PathBuf};

use firn_vmm::control::{BootRequest, Descriptor, LayerIdentity, Request, RestoreRequest};
use firn_vmm::devices::DeviceLimits;
use firn_vmm::kvm::registers::TIMER_COUNT;
use firn_vmm::snapshot::decode;
use serde_json::{Value, json};

use crate::harness::{Snapshot, Vmm, boot_request, file_with, guest, read};

/// Snapshots of one guest. A round of its program writes 64 pages and zeros or writes 64 others; behind a snapshot it rings at once.
pub struct Scene {
    pub memory_mib: u64,
    pub vcpus: u8,
    /// Of one, two and three layers: `chain[n]` is of the round n + 1.
    pub chain: Vec<Snapshot>,
    /// Of the third round, in one layer.
    pub flat: Snapshot,
    /// What clones of the first use until they ring.
    pub working_set: PathBuf,
    /// What taking them cost.
    pub snapshots: Vec<Value>,
    _directory: tempfile::TempDir,
}

/// The case to which a chain of layers is compared.
pub const ONE_LAYER: &str = "three layers as one";
/// And that chain.
pub const CHAIN: &str = "three layers";

/// A way to restore a snapshot: in a new process, or in one that was prepared with some of its layers and with a working set.
pub struct Case<'a> {
    pub name: &'static str,
    pub prepared: Option<&'a Snapshot>,
    pub working_set: Option<&'a Path>,
    pub snapshot: &'a Snapshot,
}

impl Scene {
    /// All that is measured.
    pub fn cases(&self) -> [Case<'_>; 8] {
        let [base, two, three] = self.chain.as_slice() else { panic!("a chain has three layers") };
        let fresh = |name, snapshot| Case { name, prepared: None, working_set: None, snapshot };
        let prepared = |name, snapshot| Case { prepared: Some(base), ..fresh(name, snapshot) };
        [
            fresh("base alone", base),
            fresh("two layers", two),
            fresh(CHAIN, three),
            fresh(ONE_LAYER, &self.flat),
            prepared("prepared, nothing on top", base),
            Case {
                working_set: Some(&self.working_set),
                ..prepared("prepared with a working set, nothing on top", base)
            },
            prepared("prepared, one layer on top", two),
            prepared("prepared, two layers on top", three),
        ]
    }

    pub fn new(memory_mib: u64, vcpus: u8) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut source = boot(memory_mib, vcpus);
        let mut snapshots = Vec::new();
        let mut note = |layers: usize, snapshot: &Snapshot| {
            let report = &snapshot.report;
            snapshots.push(json!({
                "memoryMib": memory_mib, "vcpus": vcpus, "layers": layers, "us": report.microseconds,
                "candidateBytes": report.candidate_bytes, "dataBytes": report.data_bytes, "extents": report.extents,
                "layerFileBytes": report.layer_file_bytes, "stateFileBytes": report.state_file_bytes,
            }));
        };
        let base = source.snapshot(None, directory.path(), "base");
        note(1, &base);
        for round in 2..4 {
            work(&mut source, round);
        }
        let flat = source.snapshot(None, directory.path(), "flat");
        drop(source);
        let mut chain = vec![base];
        for (round, name) in [(2, "one"), (3, "two")] {
            let below = chain.last().unwrap().clone();
            let mut vmm = Vmm::restore_paused(&below);
            work(&mut vmm, round);
            let snapshot = vmm.snapshot(Some(&below), directory.path(), name);
            note(chain.len() + 1, &snapshot);
            chain.push(snapshot);
        }
        let working_set = directory.path().join("working-set");
        let mut clone = Vmm::restore_recording_reads(&chain[0]);
        assert_eq!(clone.doorbell().0, 1);
        clone.record_working_set(&working_set, None).unwrap();
        Self { memory_mib, vcpus, chain, flat, working_set, snapshots, _directory: directory }
    }
}

fn boot(memory_mib: u64, vcpus: u8) -> Vmm {
    let request = BootRequest { vcpus, memory_bytes: memory_mib << 20, gic: None, ..boot_request() };
    let mut vmm = Vmm::boot_as(&guest::rounds(), request);
    assert_round(vmm.doorbell(), 1);
    vmm
}

/// Lets a guest that stands at its snapshot do the round behind it.
fn work(vmm: &mut Vmm, round: u32) {
    vmm.resume();
    assert_eq!(vmm.doorbell().0, 1);
    vmm.resume();
    assert_round(vmm.doorbell(), round);
}

/// The detail of event 2 ends with the count of rounds.
fn assert_round((event, detail): (u32, u32), round: u32) {
    assert_eq!((event, detail % 4), (2, round % 4));
}

/// A restore of a snapshot in a process, the first `prepared` layers of which are there before.
pub struct Attempt<'a> {
    snapshot: &'a Snapshot,
    prepared: usize,
    state: File,
    layers: Vec<File>,
    disk: File,
    pub vmm: Vmm,
}

impl<'a> Attempt<'a> {
    /// A process that waits for the rest of the layers of `snapshot`; `base` is of those that it has already.
    pub fn new(base: Option<&Snapshot>, snapshot: &'a Snapshot) -> Self {
        Self::with(base, None, snapshot)
    }

    /// A process that is about to do what the case says.
    pub fn of(case: &Case<'a>) -> Self {
        Self::with(case.prepared, case.working_set, case.snapshot)
    }

    fn with(base: Option<&Snapshot>, working_set: Option<&Path>, snapshot: &'a Snapshot) -> Self {
        let mut vmm = Vmm::spawn();
        let prepared = base.map_or(0, |base| base.layers.len());
        let layers = snapshot.layers.iter().map(|(path, _)| File::open(path).unwrap()).collect();
        let (state, disk) = (File::open(&snapshot.state).unwrap(), file_with(&[0; 512]));
        match base {
            Some(base) => {
                let below: Vec<File> =
                    base.layers.iter().map(|(path, _)| File::open(path).unwrap()).collect();
                let state = File::open(&base.state).unwrap();
                let working_set = working_set.map(|path| File::open(path).unwrap());
                let mut files: Vec<_> = below.iter().map(|file| (Descriptor::Layer, file)).collect();
                files.push((Descriptor::State, &state));
                files.extend(working_set.iter().map(|file| (Descriptor::WorkingSet, file)));
                vmm.request(Request::Prepare(request(base, 0, false)), &files).unwrap();
            }
            // The process is up when it answers: what it costs to start one is not the restore's.
            None => drop(vmm.request(Request::Statistics, &[])),
        }
        Self { snapshot, prepared, state, layers, disk, vmm }
    }

    /// Restores and returns when the process says that it has.
    pub fn restore(&mut self, track_writes: bool) {
        let mut files: Vec<_> =
            self.layers.iter().skip(self.prepared).map(|file| (Descriptor::Layer, file)).collect();
        files.push((Descriptor::State, &self.state));
        files.push((Descriptor::RootDisk, &self.disk));
        let request = request(self.snapshot, self.prepared, track_writes);
        self.vmm.request(Request::Restore(request), &files).unwrap();
    }

    /// Waits until the guest's first instructions have run.
    pub fn ring(&mut self) {
        assert_eq!(self.vmm.doorbell().0, 1);
    }

    /// Lets the guest do a round, and waits for that. Returns the low half of the counter at its first instruction.
    pub fn work(&mut self) -> u32 {
        self.vmm.resume();
        let (event, began) = self.vmm.doorbell();
        assert_eq!(event, 2);
        began
    }

    /// How much of the guest's time, in microseconds, had passed at this count of its counter since it was given the time of its snapshot.
    pub fn since_restore(&self, count: u32) -> u64 {
        let state = decode(&read(&self.snapshot.state)).unwrap();
        let (_, saved) = state.vcpus[0].registers().find(|(id, _)| *id == TIMER_COUNT).unwrap();
        let saved = u32::from_le_bytes(*saved.first_chunk().unwrap());
        u64::from(count.wrapping_sub(saved)) * 1_000_000 / state.host.counter_frequency
    }
}

fn request(snapshot: &Snapshot, prepared: usize, track_writes: bool) -> RestoreRequest {
    let layers = snapshot.layers.iter().skip(prepared);
    RestoreRequest {
        layers: layers.map(|(_, digest)| LayerIdentity { digest: *digest }).collect(),
        app_image: None,
        leaf: false,
        paused: false,
        track_writes,
        record_reads: false,
        limits: DeviceLimits::default(),
    }
}
