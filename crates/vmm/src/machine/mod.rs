//! One microVM: boot, run, stop, snapshot, restore.

mod boot;
mod restore;
mod snapshot;
mod vcpu_thread;
mod written;

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

pub use boot::BootFiles;
pub use restore::{Prepared, RestoreFiles};

use crate::control::{Event, Phases, Statistics};
use crate::devices::Devices;
use crate::error::{ErrorCode, Result, VmmError};
use crate::kvm::vcpu::Counters;
use crate::kvm::{Gic, Vcpu, Vm};
use crate::memory::MemoryStack;
use crate::snapshot::HostFingerprint;
use vcpu_thread::{Crew, Wanted};

/// A microVM with its vCPU threads. Dropping it ends them.
pub struct Machine {
    // Fields are dropped in this order: the threads must be gone before the VM, and the VM before its memory.
    crew: Crew,
    vcpus: Vec<Arc<Mutex<Vcpu>>>,
    mpidrs: Vec<u64>,
    devices: Arc<Mutex<Devices>>,
    gic: Gic,
    vm: Arc<Vm>,
    memory: MemoryStack,
    track_writes: bool,
    leaf: bool,
    /// The guest's time at the moment it was stopped, or `None` while it runs.
    stopped_at: Option<Counters>,
    phases: Phases,
}

impl Machine {
    fn first_vcpu(&self) -> Result<MutexGuard<'_, Vcpu>> {
        let vcpu =
            self.vcpus.first().ok_or_else(|| VmmError::new(ErrorCode::Config, "a microVM without vCPUs"))?;
        lock(vcpu)
    }

    /// The descriptor that becomes readable when there are [`Machine::take_events`].
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.crew.events_fd()
    }

    /// What happened since the last call. After a doorbell, call [`Machine::stop`] before anything else.
    pub fn take_events(&self) -> Vec<Event> {
        self.crew.take_events()
    }

    /// The devices, for the thread that serves their descriptors.
    pub fn devices(&self) -> Result<MutexGuard<'_, Devices>> {
        lock(&self.devices)
    }

    /// Whether the vCPUs are stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Stops all vCPUs, each behind its last instruction, and holds the guest's clock. Does nothing if they are stopped.
    ///
    /// # Errors
    /// FIRN_KVM if a vCPU does not stop in 10 seconds.
    pub fn stop(&mut self) -> Result<()> {
        if self.is_stopped() {
            return Ok(());
        }
        self.crew.stop()?;
        let counters = self.first_vcpu()?.counters()?;
        self.stopped_at = Some(counters);
        Ok(())
    }

    /// Lets the vCPUs run on from where they stopped, with a new VM generation id; what the stream holds is in the guest's
    /// receive queue before its next instruction.
    pub fn resume(&mut self) -> Result<()> {
        let Some(counters) = self.stopped_at else { return Ok(()) };
        self.devices()?.resume(new_generation()?)?;
        self.run(counters)
    }

    fn run(&mut self, counters: Counters) -> Result<()> {
        self.first_vcpu()?.set_counters(counters)?;
        self.stopped_at = None;
        self.crew.set(Wanted::Run)
    }

    /// Counters and phases so far. Reads /proc.
    pub fn statistics(&self) -> Result<Statistics> {
        let (kvm_exits, mmio_exits) = self.crew.exits();
        let devices = self.devices()?.counters();
        let load = self.memory.report();
        let (minor_faults, major_faults) = fault_counts()?;
        Ok(Statistics {
            kvm_exits,
            mmio_exits,
            interrupts: devices.interrupts_raised,
            bytes_copied: load.copied_bytes,
            bytes_mapped: load.mapped_bytes,
            load_calls: load.map_calls + load.read_calls,
            disk_bytes_read: devices.disk_bytes_read,
            private_bytes: private_bytes()?,
            minor_faults,
            major_faults,
            phases: self.phases.clone(),
        })
    }

    /// A checksum of all memory, of a stopped microVM.
    pub fn memory_checksum(&self) -> Result<u64> {
        self.memory.content_digest()
    }
}

/// What this host looks like to the guest of this VM.
fn host_fingerprint(vcpu: &Vcpu, gic: &Gic) -> Result<HostFingerprint> {
    let ids = vcpu.register_ids()?;
    let mut digest = crc64fast::Digest::new();
    for id in &ids {
        digest.write(&id.to_le_bytes());
    }
    Ok(HostFingerprint {
        midr: vcpu.read(crate::kvm::registers::MIDR_EL1)?,
        counter_frequency: crate::kvm::registers::counter_frequency(),
        page_size: u64::try_from(rustix::param::page_size()).unwrap_or_default(),
        gic: gic.version(),
        register_list: (u64::try_from(ids.len()).unwrap_or_default(), digest.sum64()),
    })
}

/// A VM generation id that no other microVM has.
fn new_generation() -> Result<[u8; 16]> {
    let mut id = [0; 16];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(VmmError::wrap(ErrorCode::Io, "draw a VM generation id"))?;
    Ok(id)
}

fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| VmmError::new(ErrorCode::Device, "a thread of this microVM has died"))
}

pub(crate) fn microseconds_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Minor and major faults of this process.
fn fault_counts() -> Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat")
        .map_err(VmmError::wrap(ErrorCode::Io, "read /proc/self/stat"))?;
    // The name of the program, in parentheses, may hold anything; fields are counted from behind it (proc(5): 10 and 12).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok((field(7), field(9)))
}

/// Bytes of memory that only this process has.
fn private_bytes() -> Result<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")
        .map_err(VmmError::wrap(ErrorCode::Io, "read /proc/self/smaps_rollup"))?;
    Ok(rollup
        .lines()
        .filter(|line| line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map(|kibibytes| kibibytes * 1024)
        .sum())
}
