//! What can be done of a restore before it is known which function is wanted.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::boot::Parts;
use super::pretouch::{self, Pages};
use super::vcpu_threads::{FIRST_RUN_MAX, FirstRun, VcpuThreads};
use super::{Baseline, host_fingerprint, lock, microseconds_since, without_vcpus};
use crate::control::{Phases, RestoreRequest};
use crate::devices::DiskThreads;
use crate::error::{ErrorCode, Result, VmmError};
use crate::jail::ProcFiles;
use crate::kvm::{Gic, Kvm, Vcpu, Vm};
use crate::layer::LayerFile;
use crate::memory::{GuestMemoryOptions, MemoryStack};
use crate::snapshot::{HostFingerprint, MachineState};
use crate::working_set::WorkingSet;

/// A VM that was given the state of a snapshot, has its vCPUs on their threads and the memory of some layers, and waits for what
/// differs.
pub struct Prepared {
    pub(super) threads: VcpuThreads,
    pub(super) vm: Arc<Vm>,
    pub(super) gic: Gic,
    pub(super) memory: MemoryStack,
    /// What the vCPUs and the interrupt controller have.
    pub(super) state: MachineState,
    pub(super) host: HostFingerprint,
    /// The app image that the topmost layer was taken with.
    pub(super) app_image: Option<[u8; 32]>,
    /// Until there are disks.
    pub(super) disk_threads: Option<DiskThreads>,
    pub(super) phases: Phases,
    pub(super) track_writes: bool,
    /// Whether memory is present that nothing has used.
    pub(super) is_pretouched: bool,
    touched_pages: u64,
    pub(super) baseline: Baseline,
}

impl Prepared {
    /// Creates a VM like the one in `state`, maps `layers`, base first, and does all else that is the same for every snapshot on
    /// top of them. Its timers are off until [`Prepared::restore`].
    ///
    /// The VM is given the memory that clones of the working sets' snapshots use, so that its guest has no exit for each page: what any
    /// of them only reads, and what all of them write, which becomes private. A page too many does no harm.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE if the state is not for this host, FIRN_SNAPSHOT_CORRUPT if it, a layer or a working set cannot be.
    pub fn new(
        kvm: &Kvm,
        state: MachineState,
        layers: Vec<File>,
        request: &RestoreRequest,
        working_sets: &[WorkingSet],
    ) -> Result<Self> {
        let start = Instant::now();
        let (Ok(count), Some(first)) = (u8::try_from(state.vcpus.len()), state.vcpus.first()) else {
            return Err(VmmError::new(ErrorCode::SnapshotCorrupt, "state file: not 1 to 8 vCPUs"));
        };
        // Before there is a VM: its KVM would be told of each mapping.
        let layers = open(layers, request)?;
        let app_image = layers.last().and_then(|(layer, _)| layer.app_image());
        let options = GuestMemoryOptions { size: state.memory_bytes, track_writes: request.track_writes };
        let mut memory = MemoryStack::from_layers(options, layers)?;
        let mut phases = Phases { load_memory: microseconds_since(start), ..Phases::default() };

        let populating = Instant::now();
        let pages = Pages::of(working_sets, memory.size())?;
        pages.as_ref().map_or(Ok(()), |pages| pages.make_present(&mut memory))?;
        phases.populate = microseconds_since(populating);

        let creating = Instant::now();
        let Parts { vm, vcpus, mpidrs } = Parts::create(kvm, count, Some(first.features))?;
        let gic = Gic::of_snapshot(&vm, state.gic.version, &mpidrs)?;
        vm.set_memory(&memory, request.track_writes)?;
        phases.create_vm = microseconds_since(creating);

        let writing = Instant::now();
        let host = write_registers(&state, &vcpus, &gic)?;
        phases.load_vcpus = microseconds_since(writing);

        let touching = Instant::now();
        let touches = match (&pages, vcpus.first()) {
            (Some(pages), Some(vcpu)) => pages.begin(&vm, &*lock(vcpu)?, first, memory.page_size())?,
            _ => false,
        };
        let first_run = touches.then(|| Box::new(pretouch::run) as FirstRun);
        let limit = if touches { pretouch::LIMIT } else { FIRST_RUN_MAX };
        let threads = VcpuThreads::start(vcpus, first_run, limit)?;
        let mut touched_pages = 0;
        if touches {
            let vcpu = lock(threads.vcpus().next().ok_or_else(without_vcpus)?)?;
            touched_pages = pretouch::finish(&vm, &vcpu)?;
            vcpu.prepare(first)?;
        }
        phases.populate += microseconds_since(touching);

        let writing = Instant::now();
        gic.prepare(&state.gic)?;
        phases.load_gic = microseconds_since(writing);
        Ok(Self {
            threads,
            vm,
            gic,
            memory,
            state,
            host,
            app_image,
            disk_threads: Some(DiskThreads::start()?),
            phases,
            track_writes: request.track_writes,
            is_pretouched: pages.is_some(),
            touched_pages,
            baseline: Baseline::default(),
        })
    }

    /// Pages that were entered into the VM's translation tables, as working sets say.
    pub fn touched_pages(&self) -> u64 {
        self.touched_pages
    }

    /// Ends the preparation of a process that is going to wait. What came before is not part of the start, which counts from here.
    /// Returns where the time has gone so far.
    ///
    /// # Errors
    /// FIRN_IO if /proc cannot be read.
    pub fn end_preparation(&mut self, proc_files: &ProcFiles) -> Result<Phases> {
        let (minor_faults, major_faults) = proc_files.fault_counts()?;
        self.baseline = Baseline { load: self.memory.report(), minor_faults, major_faults };
        Ok(std::mem::take(&mut self.phases))
    }
}

/// Makes the vCPUs final and writes their registers, before they have run. Returns what this host looks like to them.
fn write_registers(state: &MachineState, vcpus: &[Arc<Mutex<Vcpu>>], gic: &Gic) -> Result<HostFingerprint> {
    let mut host = None;
    for (vcpu, saved) in vcpus.iter().zip(&state.vcpus) {
        let vcpu = lock(vcpu)?;
        vcpu.finalize_as(saved)?;
        if host.is_none() {
            let own = host_fingerprint(&vcpu, gic)?;
            state.host.check(&own)?;
            host = Some(own);
        }
        vcpu.prepare(saved)?;
    }
    host.ok_or_else(without_vcpus)
}

/// Opens layers and says what each is called.
pub(super) fn open(layers: Vec<File>, request: &RestoreRequest) -> Result<Vec<(LayerFile, [u8; 32])>> {
    if layers.len() != request.layers.len() {
        return Err(VmmError::new(
            ErrorCode::Protocol,
            format!("{} layers were named and {} were passed", request.layers.len(), layers.len()),
        ));
    }
    let identities = request.layers.iter().map(|identity| identity.digest);
    layers.into_iter().zip(identities).map(|(file, digest)| Ok((LayerFile::open(file)?, digest))).collect()
}
