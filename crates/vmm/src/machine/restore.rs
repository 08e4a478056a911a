//! Restoring a snapshot: what can be done before the function is known, and the rest.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use kvm_bindings::KVM_MP_STATE_RUNNABLE;

use super::boot::Parts;
use super::touch::{Pages, touch};
use super::vcpu_thread::Crew;
use super::{Baseline, Machine, host_fingerprint, lock, microseconds_since, new_generation, without_vcpus};
use crate::control::{Phases, RestoreRequest};
use crate::devices::{DeviceOptions, Devices, DiskImage, InterruptLine, Timer};
use crate::error::{ErrorCode, Result, VmmError};
use crate::jail::Kept;
use crate::kvm::vcpu::Counters;
use crate::kvm::{Gic, Kvm, Vcpu};
use crate::layer::{LayerFile, RangeSet, hex};
use crate::layout::{GENERATION_ID_ADDRESS, MEMORY_BASE, Slot};
use crate::memory::mapping::host_page_size;
use crate::memory::{GuestMemoryOptions, LoadOptions, Loading, Populate};
use crate::snapshot::{HostFingerprint, MachineState};
use crate::working_set::WorkingSet;

/// Most memory that becomes private before it is known what is restored, bytes: a process that waits should not take more.
const ANTICIPATED_WRITES_MAX: u64 = 16 << 20;

/// More than most restores use of their thread's stack and of the heap, in bytes. A state with SVE of 2,048 bits takes over 64 KiB.
const RESTORE_STACK: usize = 32 << 10;
const RESTORE_HEAP: usize = 96 << 10;
/// Most free memory at the end of the heap that a process that has waited keeps, in bytes.
#[cfg(target_env = "gnu")]
const HEAP_KEPT: libc::c_int = 1 << 20;

/// The files and sockets of a restore.
#[derive(Debug, Default)]
pub struct RestoreFiles {
    /// The root file system; may be left out if the process was prepared with it.
    pub root_disk: Option<File>,
    /// The app image.
    pub app_disk: Option<File>,
    /// The scratch disk, if the snapshot's microVM had one.
    pub scratch_disk: Option<File>,
    /// The network card's link.
    pub link: Option<OwnedFd>,
    /// The agent stream.
    pub stream: Option<OwnedFd>,
    /// Where the serial console goes.
    pub console: Option<File>,
    /// What clones of this snapshot write.
    pub working_set: Option<WorkingSet>,
}

impl RestoreFiles {
    /// What every restore needs, and nothing more.
    pub fn new(root_disk: File) -> Self {
        Self { root_disk: Some(root_disk), ..Self::default() }
    }
}

/// A VM that was given the state of a snapshot, has its vCPUs on their threads and the memory of some layers, and waits for what
/// differs.
pub struct Prepared {
    // Fields are dropped in this order, for the reasons that `Machine` has.
    crew: Crew,
    parts: Parts,
    gic: Gic,
    memory: Loading,
    /// For the devices.
    timer: Timer,
    root_disk: Option<DiskImage>,
    /// The VM generation id of the microVM that this becomes.
    generation: [u8; 16],
    /// What the vCPUs and the interrupt controller hold.
    held: MachineState,
    host: HostFingerprint,
    /// The app image that the topmost layer was taken with.
    app_image: Option<[u8; 32]>,
    phases: Phases,
    track_writes: bool,
    /// Whether memory is present that nothing has used.
    anticipated: bool,
    /// Whether the interrupt waits that tells the guest that its generation is a new one.
    generation_is_announced: bool,
    baseline: Baseline,
}

impl Prepared {
    /// Creates a VM like the one in `state`, maps `layers`, base first, and does all else that is the same for every snapshot on
    /// top of them. Its timers are off until [`Prepared::restore`].
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE if the state is not for this host, FIRN_SNAPSHOT_CORRUPT if it or a layer cannot be.
    pub fn new(
        kvm: &Kvm,
        crew: Crew,
        state: MachineState,
        layers: Vec<File>,
        request: &RestoreRequest,
    ) -> Result<Self> {
        let start = Instant::now();
        // Before guest code runs here: behind it, an emulated CPU took ten times as long for the restore's first write to each page.
        touch_stack();
        let (Ok(count), Some(first)) = (u8::try_from(state.vcpus.len()), state.vcpus.first()) else {
            return Err(VmmError::new(ErrorCode::SnapshotCorrupt, "state file: not 1 to 8 vCPUs"));
        };
        // Before there is a VM: its KVM would be told of each mapping.
        let layers = open(layers, request)?;
        let app_image = layers.last().and_then(|(layer, _)| layer.app_image());
        let mut memory = Loading::new(
            GuestMemoryOptions { size: state.memory_bytes, track_writes: request.track_writes },
            layers,
            &LoadOptions::default(),
        )?;
        let mut phases = Phases { load_memory: microseconds_since(start), ..Phases::default() };

        let creating = Instant::now();
        let parts = Parts::create(kvm, count, Some(first.features))?;
        // From here on this thread maps nothing.
        memory.share(&crew);
        let gic = Gic::of_snapshot(&parts.vm, state.gic.version, &parts.mpidrs)?;
        phases.create_vm = microseconds_since(creating);

        let loading = Instant::now();
        let mut host = None;
        for (vcpu, saved) in parts.vcpus.iter().zip(&state.vcpus) {
            let vcpu = lock(vcpu)?;
            vcpu.finalize_as(saved)?;
            if host.is_none() {
                let own = host_fingerprint(&vcpu, &gic)?;
                state.host.check(&own)?;
                host = Some(own);
            }
            vcpu.prepare(saved)?;
        }
        let host = host.ok_or_else(without_vcpus)?;
        let crew = crew.with_vcpus(&parts.vcpus)?;
        phases.load_vcpus = microseconds_since(loading);

        let loading = Instant::now();
        // SAFETY: `memory` is moved into the machine, whose VM is dropped before it.
        unsafe { parts.vm.set_memory(memory.host_address(), memory.size(), request.track_writes) }?;
        // The first vCPU's thread has its vCPU by now: what it has left is copied while it is busy with that.
        memory.finish()?;
        phases.load_memory += microseconds_since(loading);

        let loading = Instant::now();
        crew.wait_ready()?;
        gic.prepare(&state.gic)?;
        phases.load_gic = microseconds_since(loading);
        Ok(Self {
            crew,
            parts,
            gic,
            memory,
            timer: Timer::new()?,
            root_disk: None,
            generation: new_generation()?,
            held: state,
            host,
            app_image,
            phases,
            track_writes: request.track_writes,
            anticipated: false,
            generation_is_announced: false,
            baseline: Baseline::default(),
        })
    }

    /// Takes the root disk that whatever is restored will have.
    ///
    /// # Errors
    /// FIRN_CONFIG if it is not a regular file or not a multiple of 512 bytes, FIRN_IO.
    pub fn set_root_disk(&mut self, file: File) -> Result<()> {
        self.root_disk = Some(DiskImage::root(file)?);
        Ok(())
    }

    /// Gives the VM the memory that clones of these working sets' snapshots use, so that its guest has no exit for each page: what any of
    /// them only reads, and what all of them write, which becomes private. Returns how many pages. A page too many does no harm.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_CORRUPT if a working set is of another size of memory; FIRN_KVM, FIRN_MEMORY.
    pub fn anticipate(&mut self, working_sets: &[WorkingSet]) -> Result<u64> {
        let anticipating = Instant::now();
        let Some(first) = working_sets.first() else { return Ok(0) };
        let memory = self.memory.finish()?;
        let (mut read, mut written) = (RangeSet::default(), first.written.clone());
        for set in working_sets {
            set.check_size(memory.size())?;
            read = read.union(set.read.ranges().iter().cloned());
            written = written.intersection(&set.written);
        }
        let written = written.first(ANTICIPATED_WRITES_MAX);
        let pages = Pages { read: read.without(&written), written };
        memory.cut_blocks()?;
        memory.populate_written(&pages.written)?;
        self.anticipated = true;
        let (Some(vcpu), Some(saved)) = (self.parts.vcpus.first(), self.held.vcpus.first()) else {
            return Ok(0);
        };
        // One that is switched off runs nothing.
        if saved.power_state != KVM_MP_STATE_RUNNABLE {
            return Ok(0);
        }
        let touched = touch(&self.parts.vm, &self.crew, vcpu, &pages, host_page_size())?;
        lock(vcpu)?.prepare(saved)?;
        self.phases.populate += microseconds_since(anticipating);
        Ok(touched)
    }

    /// Ends the preparation of a process that is going to wait. What came before is not part of the start, which counts from here.
    /// Returns where the time has gone so far.
    ///
    /// # Errors
    /// FIRN_KVM; FIRN_IO if /proc cannot be read.
    pub fn end_preparation(&mut self, kept: &Kept) -> Result<Phases> {
        // Whatever runs here has a new generation, and runs behind this.
        self.parts.vm.raise(Slot::Generation.spi())?;
        self.generation_is_announced = true;
        let memory = self.memory.finish()?;
        // Every restore writes there.
        let generation = GENERATION_ID_ADDRESS - MEMORY_BASE;
        memory.populate(std::iter::once(generation..generation + 1), Populate::Write)?;
        touch_heap();
        let (minor_faults, major_faults) = kept.fault_counts()?;
        self.baseline = Baseline { load: memory.report(), minor_faults, major_faults };
        Ok(std::mem::take(&mut self.phases))
    }

    /// Has what will run the guest get ready, while it is still being found out what to restore. [`Prepared::restore`] does it, too.
    ///
    /// # Errors
    /// FIRN_DEVICE if a thread has died.
    pub fn get_ready(&self) -> Result<()> {
        self.crew.get_ready()
    }

    /// Adds the layers on top, loads `state`, or that it was prepared with, and runs.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_CORRUPT if the first layer was not made for those that are there, or the state is not of such a VM;
    /// FIRN_CONFIG if writes are to be tracked and were not from the start; FIRN_SNAPSHOT_INCOMPATIBLE, FIRN_IO and others.
    pub fn restore(
        mut self,
        state: Option<&MachineState>,
        layers: Vec<File>,
        request: &RestoreRequest,
        files: RestoreFiles,
    ) -> Result<Machine> {
        let loading = Instant::now();
        let state = state.unwrap_or(&self.held);
        if !request.paused {
            self.crew.get_ready()?;
        }
        if request.track_writes != self.track_writes {
            return Err(VmmError::new(
                ErrorCode::Config,
                "writes are tracked from the start or not at all; prepare the process for it",
            ));
        }
        if state.memory_bytes != self.memory.size() || state.vcpus.len() != self.parts.vcpus.len() {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                "the snapshot's memory size or number of vCPUs is not that of its base",
            ));
        }
        let layers = open(layers, request)?;
        if let Some((top, _)) = layers.last() {
            self.app_image = top.app_image();
        }
        self.memory.push(layers, &LoadOptions::default())?;
        self.memory.share(&self.crew);
        if request.record_reads {
            self.memory.finish()?.fault_page_by_page()?;
        }
        self.check_app_image(request)?;
        self.phases.load_memory += microseconds_since(loading);

        let populating = Instant::now();
        if let Some(working_set) = &files.working_set {
            let memory = self.memory.finish()?;
            working_set.check(memory.size(), memory.top_digest())?;
            memory.populate_written(&working_set.written)?;
        }
        self.phases.populate += microseconds_since(populating);

        state.host.check(&self.host)?;
        let registers = Registers { state, held: &self.held, vcpus: &self.parts.vcpus, gic: &self.gic };
        // While the first vCPU's thread gets ready the devices are built. If the layers have taken that long, it copies by now, and the
        // registers come first.
        let early = if self.crew.is_out()? { Some(registers.load(&mut self.phases)?) } else { None };

        let loading = Instant::now();
        let memory = self.memory.into_memory()?;
        self.phases.load_memory += microseconds_since(loading);

        let loading = Instant::now();
        let root_disk = match files.root_disk {
            Some(file) => DiskImage::root(file)?,
            None => self.root_disk.take().ok_or_else(without_root_disk)?,
        };
        let options = DeviceOptions {
            app_disk: files.app_disk,
            scratch_disk: files.scratch_disk,
            link: files.link,
            console: files.console,
            stream: files.stream,
            leaf: request.leaf,
            limits: request.limits,
            timer: Some(self.timer),
            generation_is_announced: self.generation_is_announced && !request.paused,
            ..DeviceOptions::new(root_disk)
        };
        let interrupts: Arc<dyn InterruptLine> = Arc::clone(&self.parts.vm) as Arc<dyn InterruptLine>;
        let mut devices = Devices::restore(memory.guest_memory(), interrupts, options, &state.devices)?;
        self.phases.load_devices = microseconds_since(loading);

        let loaded = match early {
            Some(loaded) => loaded,
            None => {
                let waiting = Instant::now();
                self.crew.wait_out()?;
                self.phases.load_vcpus += microseconds_since(waiting);
                registers.load(&mut self.phases)?
            }
        };
        if loaded.gic_has_changed {
            // That can take away that an interrupt waits.
            devices.forget_announcement();
        }
        if self.generation_is_announced && request.paused {
            // It may become a snapshot before it runs.
            self.gic.withdraw(Slot::Generation.spi(), &state.gic)?;
        }

        let loading = Instant::now();
        let mut machine = self.parts.assemble(
            self.crew,
            self.gic,
            memory,
            devices,
            self.track_writes,
            request.leaf,
            loaded.counters,
        )?;
        machine.baseline = self.baseline;
        machine.anticipated = self.anticipated;
        if !request.paused {
            machine.resume_as(self.generation)?;
        }
        self.phases.load_devices += microseconds_since(loading);
        machine.phases = self.phases;
        Ok(machine)
    }

    /// A layer that was taken with an app image is of no use with another one.
    fn check_app_image(&self, request: &RestoreRequest) -> Result<()> {
        match self.app_image {
            Some(expected) if Some(expected) != request.app_image => Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                format!(
                    "the snapshot was taken with the app image {}, and another one was passed",
                    hex(&expected)
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// What of a VM is given the registers of a snapshot.
struct Registers<'a> {
    state: &'a MachineState,
    /// What they hold.
    held: &'a MachineState,
    vcpus: &'a [Arc<Mutex<Vcpu>>],
    gic: &'a Gic,
}

/// What is left to do when they are there.
struct Loaded {
    /// The guest's time.
    counters: Option<Counters>,
    gic_has_changed: bool,
}

impl Registers<'_> {
    /// Writes what is not as it is held. No vCPU may be in KVM_RUN.
    fn load(&self, phases: &mut Phases) -> Result<Loaded> {
        let loading = Instant::now();
        let mut counters = None;
        for ((vcpu, saved), held) in self.vcpus.iter().zip(&self.state.vcpus).zip(&self.held.vcpus) {
            let own = lock(vcpu)?.restore(saved, held)?;
            counters.get_or_insert(own);
        }
        phases.load_vcpus += microseconds_since(loading);

        let loading = Instant::now();
        let gic_has_changed = self.gic.restore(&self.state.gic, &self.held.gic)?;
        phases.load_gic += microseconds_since(loading);
        Ok(Loaded { counters, gic_has_changed })
    }
}

impl Machine {
    /// Notes when this restore was asked for, and how long it took until its state was read.
    pub fn set_requested_at(&mut self, requested_at: Instant, read_state: u64) {
        self.phases.read_state = read_state;
        self.phases.total = microseconds_since(requested_at);
        self.requested_at = (!self.is_stopped()).then_some(requested_at);
    }
}

/// Makes the pages of the stack present that a restore needs: each is a fault less, later.
#[inline(never)]
fn touch_stack() {
    std::hint::black_box([0_u8; RESTORE_STACK]);
}

/// The same for the heap. What a restore frees stays with the C library, which by its own choice would give some of it back in the midst of
/// the restore.
fn touch_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator's, mallopt(3).
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, HEAP_KEPT)
    };
    drop(std::hint::black_box(vec![1_u8; RESTORE_HEAP]));
}

fn without_root_disk() -> VmmError {
    VmmError::new(
        ErrorCode::Protocol,
        "a restore without a root disk, in a process that was prepared with none",
    )
}

fn open(layers: Vec<File>, request: &RestoreRequest) -> Result<Vec<(LayerFile, [u8; 32])>> {
    if layers.len() != request.layers.len() {
        return Err(VmmError::new(
            ErrorCode::Protocol,
            format!("{} layers were named and {} were passed", request.layers.len(), layers.len()),
        ));
    }
    let identities = request.layers.iter().map(|identity| identity.digest);
    layers.into_iter().zip(identities).map(|(file, digest)| Ok((LayerFile::open(file)?, digest))).collect()
}
