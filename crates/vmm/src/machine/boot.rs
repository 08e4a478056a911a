//! A regular boot.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use linux_loader::loader::KernelLoader;
use linux_loader::loader::pe::PE;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _, ReadVolatile};

use super::vcpu_thread::{Crew, Wanted};
use super::{Baseline, Machine, lock, microseconds_since};
use crate::control::{BootRequest, Phases};
use crate::devices::{DeviceOptions, Devices, DiskImage, FdtOptions, InterruptLine, device_tree};
use crate::error::{ErrorCode, Result, VmmError};
use crate::file_length::regular_file_length;
use crate::kvm::vcpu::Counters;
use crate::kvm::{Gic, Kvm, Vcpu, Vm};
use crate::layout::{
    DEVICE_TREE_AREA_SIZE, MEMORY_BASE, MEMORY_GRANULE, MEMORY_MAX, MEMORY_MIN, RAM_BASE, VCPUS_MAX,
};
use crate::memory::{GuestMemory, GuestMemoryOptions, MemoryStack};

/// The files and sockets of a regular boot.
#[derive(Debug)]
pub struct BootFiles {
    /// The kernel, an arm64 Image.
    pub kernel: File,
    /// An initial RAM disk.
    pub initrd: Option<File>,
    /// The root file system.
    pub root_disk: File,
    /// The app image.
    pub app_disk: Option<File>,
    /// The scratch disk.
    pub scratch_disk: Option<File>,
    /// The network card's link.
    pub link: Option<OwnedFd>,
    /// The agent stream.
    pub stream: Option<OwnedFd>,
    /// Where the serial console goes.
    pub console: Option<File>,
}

impl BootFiles {
    /// What every boot needs, and nothing more.
    pub const fn new(kernel: File, root_disk: File) -> Self {
        Self {
            kernel,
            initrd: None,
            root_disk,
            app_disk: None,
            scratch_disk: None,
            link: None,
            stream: None,
            console: None,
        }
    }
}

impl Machine {
    /// Boots a kernel. The microVM runs when this returns.
    pub fn boot(kvm: &Kvm, crew: Crew, request: &BootRequest, files: BootFiles) -> Result<Self> {
        let start = Instant::now();
        check(request)?;
        let vm = Parts::create(kvm, request.vcpus, None)?;
        let gic = Gic::new(&vm.vm, request.gic, &vm.mpidrs)?;
        let mut phases = Phases { create_vm: microseconds_since(start), ..Phases::default() };

        let loading = Instant::now();
        let memory = MemoryStack::anonymous(GuestMemoryOptions {
            size: request.memory_bytes,
            track_writes: request.track_writes,
        })?;
        // SAFETY: `memory` is moved into the machine, whose VM is dropped before it.
        unsafe { vm.vm.set_memory(memory.host_address(), memory.size(), request.track_writes) }?;
        let guest_memory = memory.guest_memory();
        let (entry, kernel_end) = load_kernel(&guest_memory, files.kernel)?;
        let initrd = files.initrd.map(|file| load_initrd(&guest_memory, file, kernel_end)).transpose()?;
        let tree = device_tree(&FdtOptions {
            vcpus: vm.mpidrs.clone(),
            memory_size: request.memory_bytes,
            command_line: request.command_line.clone(),
            gic: gic.version(),
            initrd,
        })?;
        let tree_address = MEMORY_BASE + request.memory_bytes - DEVICE_TREE_AREA_SIZE;
        guest_memory
            .write_slice(&tree, GuestAddress(tree_address))
            .map_err(VmmError::wrap(ErrorCode::Kernel, "load the device tree"))?;
        phases.load_memory = microseconds_since(loading);

        for vcpu in &vm.vcpus {
            let vcpu = lock(vcpu)?;
            vcpu.finalize()?;
            vcpu.set_boot_registers(entry, tree_address)?;
        }
        let options = DeviceOptions {
            app_disk: files.app_disk,
            scratch_disk: files.scratch_disk,
            link: files.link,
            console: files.console,
            stream: files.stream,
            limits: request.limits,
            rng: request.rng,
            net: request.net,
            mac: request.mac,
            ..DeviceOptions::new(DiskImage::root(files.root_disk)?)
        };
        let interrupts: Arc<dyn InterruptLine> = Arc::clone(&vm.vm) as Arc<dyn InterruptLine>;
        let devices = Devices::new(guest_memory, interrupts, options)?;
        let crew = crew.with_vcpus(&vm.vcpus)?;
        let mut machine = vm.assemble(crew, gic, memory, devices, request.track_writes, false, None)?;
        phases.total = microseconds_since(start);
        machine.phases = phases;
        machine.requested_at = Some(start);
        machine.crew.set(Wanted::Run)?;
        Ok(machine)
    }
}

/// A VM with its vCPUs, before it is known what they will run.
pub(super) struct Parts {
    pub vm: Arc<Vm>,
    pub vcpus: Vec<Arc<Mutex<Vcpu>>>,
    pub mpidrs: Vec<u64>,
}

impl Parts {
    /// `features` are those of a snapshot's vCPUs; without one, vCPUs have all that the host has.
    pub fn create(kvm: &Kvm, count: u8, features: Option<u32>) -> Result<Self> {
        let vm = Arc::new(Vm::new(kvm)?);
        let features = vm.vcpu_features(features)?;
        let vcpus = (0..count).map(|index| Vcpu::new(&vm, index, features)).collect::<Result<Vec<_>>>()?;
        let mpidrs = vcpus.iter().map(Vcpu::mpidr).collect::<Result<_>>()?;
        let vcpus = vcpus.into_iter().map(|vcpu| Arc::new(Mutex::new(vcpu))).collect();
        Ok(Self { vm, vcpus, mpidrs })
    }

    #[allow(clippy::too_many_arguments, reason = "it gathers the fields of one struct")]
    pub fn assemble(
        self,
        crew: Crew,
        gic: Gic,
        memory: MemoryStack,
        devices: Devices,
        track_writes: bool,
        leaf: bool,
        stopped_at: Option<Counters>,
    ) -> Result<Machine> {
        let devices = Arc::new(Mutex::new(devices));
        crew.connect(&devices)?;
        Ok(Machine {
            crew,
            vcpus: self.vcpus,
            devices,
            gic,
            vm: self.vm,
            memory,
            track_writes,
            leaf,
            stopped_at,
            phases: Phases::default(),
            requested_at: None,
            baseline: Baseline::default(),
            anticipated: false,
        })
    }
}

fn check(request: &BootRequest) -> Result<()> {
    let config = |what: String| Err(VmmError::new(ErrorCode::Config, what));
    let memory = request.memory_bytes;
    if request.vcpus == 0 || request.vcpus > VCPUS_MAX {
        return config(format!("a microVM has 1 to {VCPUS_MAX} vCPUs, not {}", request.vcpus));
    }
    if !(MEMORY_MIN..=MEMORY_MAX).contains(&memory) || !memory.is_multiple_of(MEMORY_GRANULE) {
        return config(format!(
            "a microVM has {} MiB to {} MiB of memory in steps of 2 MiB, not {memory} bytes",
            MEMORY_MIN >> 20,
            MEMORY_MAX >> 20
        ));
    }
    Ok(())
}

/// Loads the kernel to the start of RAM; returns its entry point and the first address behind it.
fn load_kernel(memory: &GuestMemory, mut file: File) -> Result<(u64, u64)> {
    let loaded = PE::load(memory, Some(GuestAddress(RAM_BASE)), &mut file, None).map_err(VmmError::wrap(
        ErrorCode::Kernel,
        "load the kernel, which must be an uncompressed arm64 Image",
    ))?;
    Ok((loaded.kernel_load.0, loaded.kernel_end))
}

/// Loads the initial RAM disk behind the kernel, with room for the kernel's own zeroed data; returns its address and size.
fn load_initrd(memory: &GuestMemory, mut file: File, kernel_end: u64) -> Result<(u64, u64)> {
    let refused = VmmError::wrap::<std::io::Error>(ErrorCode::Kernel, "read the initial RAM disk");
    let size = regular_file_length(&file)
        .map_err(refused)?
        .ok_or_else(|| VmmError::new(ErrorCode::Kernel, "the initial RAM disk is not a regular file"))?;
    let start = (kernel_end + (16 << 20)).next_multiple_of(MEMORY_GRANULE);
    let length =
        usize::try_from(size).map_err(VmmError::wrap(ErrorCode::Kernel, "load the initial RAM disk"))?;
    let mut target = memory.get_slice(GuestAddress(start), length).map_err(VmmError::wrap(
        ErrorCode::Kernel,
        format!("find room for an initial RAM disk of {size} bytes"),
    ))?;
    file.read_exact_volatile(&mut target)
        .map_err(VmmError::wrap(ErrorCode::Kernel, "load the initial RAM disk"))?;
    Ok((start, size))
}
