//! Restoring a snapshot in what was prepared for it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use super::prepare::{Prepared, open};
use super::{Machine, lock, microseconds_since, without_vcpus};
use crate::control::RestoreRequest;
use crate::devices::{DeviceOptions, Devices, DevicesState, DiskImage, InterruptLine};
use crate::error::{ErrorCode, Result, VmmError};
use crate::kvm::vcpu::Counters;
use crate::layer::hex;
use crate::snapshot::MachineState;
use crate::working_set::WorkingSet;

/// The files and sockets of a restore.
#[derive(Debug)]
pub struct RestoreFiles {
    /// The root file system.
    pub root_disk: File,
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
    pub const fn new(root_disk: File) -> Self {
        Self {
            root_disk,
            app_disk: None,
            scratch_disk: None,
            link: None,
            stream: None,
            console: None,
            working_set: None,
        }
    }
}

impl Prepared {
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
        mut files: RestoreFiles,
    ) -> Result<Machine> {
        let working_set = files.working_set.take();
        self.check(state, request)?;
        self.load_memory(layers, request, working_set.as_ref())?;
        let devices = self.load_devices(state, request, files)?;
        let counters = self.load_registers(state)?;
        self.start(devices, counters, request)
    }

    /// Whether this VM can become what is wanted, as far as that can be told without its layers.
    fn check(&self, state: Option<&MachineState>, request: &RestoreRequest) -> Result<()> {
        if request.track_writes != self.track_writes {
            return Err(VmmError::new(
                ErrorCode::Config,
                "writes are tracked from the start or not at all; prepare the process for it",
            ));
        }
        let Some(state) = state else { return Ok(()) };
        if state.memory_bytes != self.memory.size() || state.vcpus.len() != self.state.vcpus.len() {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                "the snapshot's memory size or number of vCPUs is not that of its base",
            ));
        }
        state.host.check(&self.host)
    }

    fn load_memory(
        &mut self,
        layers: Vec<File>,
        request: &RestoreRequest,
        working_set: Option<&WorkingSet>,
    ) -> Result<()> {
        let loading = Instant::now();
        let layers = open(layers, request)?;
        if let Some((top, _)) = layers.last() {
            self.app_image = top.app_image();
        }
        self.check_app_image(request)?;
        if !layers.is_empty() {
            self.memory.push(layers)?;
        }
        if request.record_reads {
            self.memory.fault_page_by_page()?;
        }
        self.phases.load_memory += microseconds_since(loading);

        let populating = Instant::now();
        if let Some(working_set) = working_set {
            working_set.check(self.memory.size(), self.memory.top_digest())?;
            self.memory.populate_written(&working_set.written)?;
        }
        self.phases.populate += microseconds_since(populating);
        Ok(())
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

    /// The devices neither interrupt nor touch memory before the start.
    fn load_devices(
        &mut self,
        state: Option<&MachineState>,
        request: &RestoreRequest,
        files: RestoreFiles,
    ) -> Result<Devices> {
        let loading = Instant::now();
        let options = DeviceOptions {
            app_disk: files.app_disk,
            scratch_disk: files.scratch_disk,
            link: files.link,
            console: files.console,
            stream: files.stream,
            leaf: request.leaf,
            limits: request.limits,
            disk_threads: self.disk_threads.take(),
            reclaimer: Some(self.memory.reclaimer()),
            ..DeviceOptions::new(DiskImage::root(files.root_disk)?)
        };
        let interrupts: Arc<dyn InterruptLine> = Arc::clone(&self.vm) as Arc<dyn InterruptLine>;
        let state: &DevicesState = &state.unwrap_or(&self.state).devices;
        let devices = Devices::restore(self.memory.guest_memory(), interrupts, options, state)?;
        self.phases.load_devices = microseconds_since(loading);
        Ok(devices)
    }

    /// Writes what is not as it was prepared. Returns the guest's time, which is written when it starts.
    fn load_registers(&mut self, state: Option<&MachineState>) -> Result<Counters> {
        let state = state.unwrap_or(&self.state);
        let loading = Instant::now();
        let mut counters = None;
        for ((vcpu, saved), prepared) in self.threads.vcpus().zip(&state.vcpus).zip(&self.state.vcpus) {
            let own = lock(vcpu)?.restore(saved, prepared)?;
            counters.get_or_insert(own);
        }
        self.phases.load_vcpus += microseconds_since(loading);

        let loading = Instant::now();
        self.gic.restore(&state.gic, &self.state.gic)?;
        self.phases.load_gic += microseconds_since(loading);
        counters.ok_or_else(without_vcpus)
    }

    fn start(self, devices: Devices, counters: Counters, request: &RestoreRequest) -> Result<Machine> {
        let starting = Instant::now();
        let mut machine =
            Machine::new(self.threads, devices, self.gic, self.vm, self.memory, self.track_writes)?;
        machine.leaf = request.leaf;
        machine.stopped_at = Some(counters);
        machine.baseline = self.baseline;
        machine.is_pretouched = self.is_pretouched;
        machine.phases = self.phases;
        if !request.paused {
            machine.resume()?;
        }
        machine.phases.load_devices += microseconds_since(starting);
        Ok(machine)
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
