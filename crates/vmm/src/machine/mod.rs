//! One microVM: boot, run, stop, snapshot, restore.
//!
//! A guest that counts and rings the doorbell with the count; a clone of it counts on.
//!
//! ```
//! use std::fs::{File, read};
//! use std::io::Write;
//!
//! use firn_vmm::VmmError;
//! use firn_vmm::control::{BootRequest, Event, LayerIdentity, RestoreRequest, SnapshotRequest};
//! use firn_vmm::kvm::Kvm;
//! use firn_vmm::machine::{BootFiles, Machine, Prepared, RestoreFiles};
//! use rustix::event::{PollFd, PollFlags, Timespec, poll};
//!
//! // An arm64 Image: a header of 64 bytes, which begins with a branch over it, and a program.
//! const HEADER: [u32; 16] = [0x1400_0010, 0, 0, 0, 0x1_0000, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0x644d_5241, 0];
//! const PROGRAM: [u32; 6] = [
//!     0xd2a1_4013, //    mov x19, #0x0a000000   the doorbell
//!     0x5280_0041, //    mov w1, #2             "base ready"
//!     0x1100_06b5, // 1: add w21, w21, #1
//!     0xb900_0e75, //    str w21, [x19, #0xc]   DETAIL
//!     0xb900_1261, //    str w1, [x19, #0x10]   EVENT: the microVM stands still behind this instruction
//!     0x17ff_fffd, //    b 1b
//! ];
//!
//! fn wait_for_doorbell(machine: &mut Machine) -> Result<u32, VmmError> {
//!     let deadline = Timespec { tv_sec: 60, tv_nsec: 0 };
//!     poll(&mut [PollFd::from_borrowed_fd(machine.events_fd(), PollFlags::IN)], Some(&deadline)).expect("poll");
//!     let events = machine.take_events();
//!     machine.stop()?;
//!     let [Event::Doorbell { detail, .. }] = events[..] else { panic!("{events:?}") };
//!     Ok(detail)
//! }
//!
//! let folder = tempfile::tempdir()?;
//! let path = |name: &str| folder.path().join(name);
//! let mut kernel = File::create_new(path("Image"))?;
//! for instruction in HEADER.iter().chain(&PROGRAM) {
//!     kernel.write_all(&instruction.to_le_bytes())?;
//! }
//! File::create_new(path("disk"))?;
//!
//! let kvm = Kvm::open()?;
//! let files = BootFiles::new(File::open(path("Image"))?, File::open(path("disk"))?);
//! let mut source = Machine::boot(&kvm, &BootRequest::default(), files)?;
//! assert_eq!(wait_for_doorbell(&mut source)?, 1);
//!
//! let pagemap = File::open("/proc/self/pagemap")?;
//! let [mut layer, mut state] = [File::create_new(path("base.layer"))?, File::create_new(path("base.state"))?];
//! source.snapshot(&SnapshotRequest { app_image: None }, &pagemap, &mut layer, &mut state)?;
//!
//! // SHA-256 of the file, which is not computed here.
//! let request = RestoreRequest { layers: vec![LayerIdentity { digest: [0xd1; 32] }], ..RestoreRequest::default() };
//! let state = firn_vmm::snapshot::decode(&read(path("base.state"))?)?;
//! // Everything that can be done before it is known which snapshot on top of these layers is wanted; then the rest.
//! let prepared = Prepared::new(&kvm, state, vec![File::open(path("base.layer"))?], &request, &[])?;
//! let files = RestoreFiles::new(File::open(path("disk"))?);
//! let mut clone = prepared.restore(None, Vec::new(), &RestoreRequest::default(), files)?;
//! assert_eq!(wait_for_doorbell(&mut clone)?, 2);
//!
//! source.resume()?; // goes on, too
//! assert_eq!(wait_for_doorbell(&mut source)?, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod boot;
mod prepare;
mod pretouch;
mod restore;
mod snapshot;
mod vcpu_threads;
mod working_set;
#[cfg(feature = "test-support")]
mod written;

use std::hash::Hasher;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub use boot::BootFiles;
pub use prepare::Prepared;
pub use restore::RestoreFiles;

use crate::checksum::hasher;
use crate::control::{Event, Phases, Statistics};
use crate::devices::Devices;
use crate::error::{ErrorCode, Result, VmmError};
use crate::jail::ProcFiles;
use crate::kvm::vcpu::Counters;
use crate::kvm::{Gic, Vcpu, Vm};
use crate::memory::{LoadReport, MemoryStack};
use crate::snapshot::register_id::is_identification;
use crate::snapshot::{HostFingerprint, VectorLengths};
use vcpu_threads::{Command, VcpuThreads};

/// A microVM with its vCPU threads. Dropping it ends them.
pub struct Machine {
    threads: VcpuThreads,
    devices: Arc<Devices>,
    gic: Gic,
    vm: Arc<Vm>,
    memory: MemoryStack,
    track_writes: bool,
    leaf: bool,
    /// The guest's time at the moment it was stopped, or `None` while it runs.
    stopped_at: Option<Counters>,
    phases: Phases,
    /// When it was asked for, if it has run ever since it was there.
    requested_at: Option<Instant>,
    /// When the guest's time began to go on, the first time.
    started: Option<Instant>,
    baseline: Baseline,
    /// Whether memory was made present before it was known what is restored.
    is_pretouched: bool,
}

/// What a process had counted when it was told what to restore: preparing it is not part of the start.
#[derive(Debug, Clone, Copy, Default)]
struct Baseline {
    load: LoadReport,
    minor_faults: u64,
    major_faults: u64,
}

impl Machine {
    fn new(
        threads: VcpuThreads,
        devices: Devices,
        gic: Gic,
        vm: Arc<Vm>,
        memory: MemoryStack,
        track_writes: bool,
    ) -> Result<Self> {
        let devices = Arc::new(devices);
        threads.connect(&devices)?;
        Ok(Self {
            threads,
            devices,
            gic,
            vm,
            memory,
            track_writes,
            leaf: false,
            stopped_at: None,
            phases: Phases::default(),
            requested_at: None,
            started: None,
            baseline: Baseline::default(),
            is_pretouched: false,
        })
    }

    fn first_vcpu(&self) -> Result<MutexGuard<'_, Vcpu>> {
        lock(self.threads.vcpus().next().ok_or_else(without_vcpus)?)
    }

    /// The descriptor that becomes readable when there are [`Machine::take_events`].
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.threads.events_fd()
    }

    /// What happened since the last call. After a doorbell, call [`Machine::stop`] before anything else.
    pub fn take_events(&self) -> Vec<Event> {
        self.threads.take_events()
    }

    /// The devices, for the thread that serves their descriptors.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Whether the vCPUs are stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Stops all vCPUs, each behind its last instruction, and holds the guest's clock. Does nothing if they are stopped.
    ///
    /// # Errors
    /// FIRN_KVM if a vCPU does not stop in 10 seconds; the microVM goes on.
    pub fn stop(&mut self) -> Result<()> {
        if self.is_stopped() {
            return Ok(());
        }
        self.threads.stop()?;
        let counters = self.first_vcpu()?.counters()?;
        self.stopped_at = Some(counters);
        self.devices.hold()
    }

    /// Lets the vCPUs run on from where they stopped, with a new VM generation id; what the stream holds is in the guest's
    /// receive queue before its next instruction.
    pub fn resume(&mut self) -> Result<()> {
        let Some(counters) = self.stopped_at else { return Ok(()) };
        self.devices.resume(new_generation()?)?;
        // Last of all: the guest's time goes on from here.
        self.first_vcpu()?.set_counters(counters)?;
        self.started.get_or_insert_with(Instant::now);
        self.stopped_at = None;
        self.threads.set(Command::Run)
    }

    /// Counters and phases so far. Reads the files of /proc that the process has proc_files.
    pub fn statistics(&self, proc_files: &ProcFiles) -> Result<Statistics> {
        let (kvm_exits, mmio_exits) = self.threads.exits();
        let devices = self.devices.counters()?;
        let load = self.memory.report().since(&self.baseline.load);
        let (minor_faults, major_faults) = proc_files.fault_counts()?;
        Ok(Statistics {
            kvm_exits,
            mmio_exits,
            interrupts: devices.interrupts_raised,
            bytes_copied: load.copied_bytes,
            bytes_mapped: load.mapped_bytes,
            bytes_populated: load.populated_bytes,
            load_calls: load.map_calls + load.read_calls + load.populate_calls,
            disk_bytes_read: devices.disk_bytes_read,
            private_bytes: proc_files.private_bytes()?,
            minor_faults: minor_faults.saturating_sub(self.baseline.minor_faults),
            major_faults: major_faults.saturating_sub(self.baseline.major_faults),
            phases: self.phases(),
            disk_bytes_written: devices.disk_bytes_written,
            net_frames_received: devices.net_frames_received,
            net_frames_sent: devices.net_frames_sent,
            net_frames_dropped: devices.net_frames_dropped,
            random_bytes: devices.random_bytes_given,
            balloon_bytes: devices.balloon_bytes,
            balloon_bytes_reclaimed: devices.balloon_bytes_reclaimed,
            console_bytes_dropped: devices.console_bytes_dropped,
        })
    }

    fn phases(&self) -> Phases {
        let mut phases = self.phases.clone();
        if let (Some(requested), Some(first_run)) = (self.requested_at, self.threads.first_run()) {
            phases.total = microseconds(first_run.saturating_duration_since(requested));
            let started = self.started.unwrap_or(first_run);
            phases.start_vcpus = microseconds(first_run.saturating_duration_since(started));
        }
        phases
    }

    /// A checksum of all memory, of a stopped microVM.
    pub fn memory_checksum(&self) -> Result<u64> {
        self.devices.drain()?;
        self.memory.content_digest()
    }
}

/// What this host looks like to the guest of this VM, whose vCPU is final.
fn host_fingerprint(vcpu: &Vcpu, gic: &Gic) -> Result<HostFingerprint> {
    use crate::kvm::registers::{MIDR_EL1, SVE_VECTOR_LENGTHS, counter_frequency};
    let ids = vcpu.register_ids()?;
    let mut hasher = hasher();
    let mut id_registers = Vec::new();
    let mut vector_lengths = VectorLengths::default();
    for &id in &ids {
        hasher.write(&id.to_le_bytes());
        if is_identification(id) {
            id_registers.push((id, vcpu.read(id)?));
        } else if id == SVE_VECTOR_LENGTHS {
            let mut bytes = [0; 64];
            vcpu.read_bytes(id, &mut bytes)?;
            vector_lengths = VectorLengths::from_register(&bytes);
        }
    }
    Ok(HostFingerprint {
        midr: vcpu.read(MIDR_EL1)?,
        counter_frequency: counter_frequency(),
        page_size: u64::try_from(rustix::param::page_size()).unwrap_or_default(),
        gic: gic.version(),
        register_list: (u64::try_from(ids.len()).unwrap_or_default(), hasher.finish()),
        id_registers,
        vector_lengths,
    })
}

/// A VM generation id that no other microVM has.
fn new_generation() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(VmmError::wrap(ErrorCode::Io, "draw a VM generation id"))?;
    Ok(id)
}

fn without_vcpus() -> VmmError {
    VmmError::new(ErrorCode::Config, "a microVM without vCPUs")
}

fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| VmmError::new(ErrorCode::Device, "a thread of this microVM has died"))
}

pub(crate) fn microseconds_since(start: Instant) -> u64 {
    microseconds(start.elapsed())
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::control::BootRequest;
    use crate::kvm::Kvm;
    use crate::kvm::registers::counter_frequency;
    use crate::layout::Slot;

    /// A guest on its first vCPU that reads a register of a device for ever.
    fn reader(vcpus: u8) -> Machine {
        let base = u32::try_from(Slot::Clock.address() >> 16).unwrap();
        let header = [0x1400_0010, 0, 0, 0, 0x1_0000, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0x644d_5241, 0];
        let program = [
            0xd2a0_0013 | base << 5, //    movz x19, #base, lsl #16
            0xb940_0261,             // 1: ldr w1, [x19]
            0x17ff_ffff,             //    b 1b
        ];
        let mut kernel = tempfile::tempfile().unwrap();
        for word in header.iter().chain(&program) {
            kernel.write_all(&u32::to_le_bytes(*word)).unwrap();
        }
        let files = BootFiles::new(kernel, tempfile::tempfile().unwrap());
        let kvm = Kvm::open().unwrap();
        Machine::boot(&kvm, &BootRequest { vcpus, ..BootRequest::default() }, files).unwrap()
    }

    fn wait_for_mmio_exits(machine: &Machine, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while machine.threads.exits().1 < count {
            assert!(Instant::now() < deadline, "{count} exits");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn time_passes_for_as_long_as_a_microvm_runs_and_no_longer() {
        let mut machine = reader(1);
        machine.stop().unwrap();
        for _ in 0..100 {
            let before = machine.stopped_at.unwrap().timer;
            std::thread::sleep(Duration::from_millis(3));
            let start = Instant::now();
            machine.resume().unwrap();
            // At once: the vCPU may not have come to run.
            machine.stop().unwrap();
            let most = start.elapsed().as_nanos() * u128::from(counter_frequency()) / 1_000_000_000 + 1;
            let passed = machine.stopped_at.unwrap().timer.checked_sub(before).unwrap();
            assert!(u128::from(passed) <= most, "{passed} ticks of at most {most}");
        }
    }

    #[test]
    fn the_interrupt_controller_can_be_read_of_a_microvm_that_is_stopped_as_soon_as_it_is_booted() {
        for _ in 0..20 {
            let mut machine = reader(8);
            machine.stop().unwrap();
            for _ in 0..20 {
                machine.gic.save().unwrap();
            }
        }
    }

    #[test]
    fn a_microvm_that_does_not_stop_in_time_goes_on_and_can_be_stopped_later() {
        let mut machine = reader(1);
        machine.stop().unwrap();
        let devices = Arc::clone(&machine.devices);
        // As by a device that takes long: the vCPU counts its exit and waits.
        let busy = devices.busy_clock();
        let exits = machine.threads.exits().1;
        machine.stopped_at = None;
        machine.threads.set(Command::Run).unwrap();
        wait_for_mmio_exits(&machine, exits + 1);
        assert_eq!(machine.stop().unwrap_err().code, ErrorCode::Kvm);
        assert!(!machine.is_stopped());
        drop(busy);
        wait_for_mmio_exits(&machine, exits + 10);
        machine.stop().unwrap();
        assert!(machine.is_stopped());
    }
}
