//! Restoring a snapshot: what can be done before the function is known, and the rest.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use super::boot::Parts;
use super::{Machine, host_fingerprint, microseconds_since};
use crate::control::{Phases, RestoreRequest};
use crate::devices::{DeviceOptions, Devices, InterruptLine};
use crate::error::{ErrorCode, Result, VmmError};
use crate::kvm::{Gic, Kvm};
use crate::layer::{LayerFile, hex};
use crate::layout::VCPUS_MAX;
use crate::memory::{GuestMemoryOptions, MemoryStack};
use crate::snapshot::MachineState;

/// The files and sockets of a restore.
#[derive(Debug)]
pub struct RestoreFiles {
    /// The root file system.
    pub root_disk: File,
    /// The app image.
    pub app_disk: Option<File>,
    /// The agent stream.
    pub stream: Option<OwnedFd>,
    /// Where the serial console goes.
    pub console: Option<File>,
}

/// A VM with vCPUs, interrupt controller and the memory of some layers, waiting for the rest.
pub struct Prepared {
    parts: Parts,
    gic: Gic,
    memory: MemoryStack,
    /// The app image that the topmost layer was taken with.
    app_image: Option<[u8; 32]>,
    phases: Phases,
    track_writes: bool,
}

impl Prepared {
    /// Creates a VM like the one in `state` and maps `layers`, base first.
    pub fn new(state: &MachineState, layers: Vec<File>, request: &RestoreRequest) -> Result<Self> {
        let start = Instant::now();
        let vcpus = u8::try_from(state.vcpus.len()).unwrap_or(u8::MAX);
        if vcpus == 0 || vcpus > VCPUS_MAX {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                format!("state file: {} vCPUs, of 1 to {VCPUS_MAX}", state.vcpus.len()),
            ));
        }
        let kvm = Kvm::open()?;
        let parts = Parts::create(&kvm, vcpus)?;
        let gic = Gic::new(&parts.vm, Some(state.gic.version)).map_err(|error| {
            VmmError::new(
                ErrorCode::SnapshotIncompatible,
                format!("the snapshot has an interrupt controller that this host has not: {}", error.message),
            )
        })?;
        let mut phases = Phases { create_vm: microseconds_since(start), ..Phases::default() };
        let loading = Instant::now();
        let layers = open(layers, request)?;
        let app_image = layers.last().and_then(|(layer, _)| layer.app_image());
        let memory = MemoryStack::from_layers(
            GuestMemoryOptions { size: state.memory_bytes, track_writes: request.track_writes },
            layers,
        )?;
        // SAFETY: `memory` is moved into the machine, whose VM is dropped before it.
        unsafe { parts.vm.set_memory(memory.host_address(), memory.size(), request.track_writes) }?;
        phases.load_memory = microseconds_since(loading);
        Ok(Self { parts, gic, memory, app_image, phases, track_writes: request.track_writes })
    }

    /// Adds the layers on top, loads `state` and runs.
    pub fn restore(
        mut self,
        state: &MachineState,
        layers: Vec<File>,
        request: &RestoreRequest,
        files: RestoreFiles,
    ) -> Result<Machine> {
        let loading = Instant::now();
        if state.memory_bytes != self.memory.size() || state.vcpus.len() != self.parts.vcpus.len() {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                "the snapshot's memory size or number of vCPUs is not that of its base",
            ));
        }
        for (layer, digest) in open(layers, request)? {
            self.app_image = layer.app_image();
            self.memory.push(layer, digest)?;
        }
        self.check_app_image(request)?;
        self.phases.load_memory += microseconds_since(loading);

        let vcpus = Instant::now();
        let mut counters = None;
        for (vcpu, saved) in self.parts.vcpus.iter().zip(&state.vcpus) {
            vcpu.finalize_as(saved)?;
            if counters.is_none() {
                state.host.check(&host_fingerprint(vcpu, &self.gic)?)?;
            }
            let own = vcpu.restore(saved)?;
            counters.get_or_insert(own);
        }
        self.phases.load_vcpus = microseconds_since(vcpus);

        let gic = Instant::now();
        self.gic.restore(&state.gic, &self.parts.mpidrs)?;
        self.phases.load_gic = microseconds_since(gic);

        let loading = Instant::now();
        let options = DeviceOptions {
            root_disk: files.root_disk,
            app_disk: files.app_disk,
            console: files.console,
            stream: files.stream,
            leaf: request.leaf,
        };
        let interrupts: Arc<dyn InterruptLine> = Arc::clone(&self.parts.vm) as Arc<dyn InterruptLine>;
        let devices = Devices::restore(self.memory.guest_memory(), interrupts, options, &state.devices)?;
        let mut machine =
            self.parts.assemble(self.gic, self.memory, devices, self.track_writes, request.leaf, counters)?;
        if !request.paused {
            machine.resume()?;
        }
        self.phases.load_devices = microseconds_since(loading);
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

impl Machine {
    /// Records how long the start took besides what the machine saw itself, in microseconds.
    pub fn set_start_times(&mut self, read_state: u64, total: u64) {
        self.phases.read_state = read_state;
        self.phases.total = total;
    }
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
