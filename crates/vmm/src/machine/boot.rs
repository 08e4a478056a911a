//! A regular boot.

use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use linux_loader::loader::KernelLoader;
use linux_loader::loader::pe::PE;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend as _, ReadVolatile};

use super::vcpu_threads::{Command, FIRST_RUN_MAX, VcpuThreads};
use super::{Machine, lock, microseconds_since};
use crate::control::{BootRequest, Phases};
use crate::devices::{DeviceOptions, Devices, DiskImage, FdtOptions, InterruptLine, device_tree};
use crate::error::{ErrorCode, Result, VmmError};
use crate::file_length::regular_file_length;
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
    pub fn boot(kvm: &Kvm, request: &BootRequest, files: BootFiles) -> Result<Self> {
        let start = Instant::now();
        check(request)?;
        let Parts { vm, vcpus, mpidrs } = Parts::create(kvm, request.vcpus, None)?;
        let gic = Gic::new(&vm, request.gic, &mpidrs)?;
        let mut phases = Phases { create_vm: microseconds_since(start), ..Phases::default() };

        let loading = Instant::now();
        let memory = MemoryStack::anonymous(GuestMemoryOptions {
            size: request.memory_bytes,
            track_writes: request.track_writes,
        })?;
        vm.set_memory(&memory, request.track_writes)?;
        let guest_memory = memory.guest_memory();
        let tree_address = MEMORY_BASE + request.memory_bytes - DEVICE_TREE_AREA_SIZE;
        let kernel = load_kernel(&guest_memory, files.kernel, tree_address)?;
        let load_initrd = |file| load_initrd(&guest_memory, file, kernel.end..tree_address);
        let initrd = files.initrd.map(load_initrd).transpose()?;
        let tree = device_tree(&FdtOptions {
            vcpus: mpidrs,
            memory_size: request.memory_bytes,
            command_line: request.command_line.clone(),
            gic: gic.version(),
            initrd,
        })?;
        guest_memory
            .write_slice(&tree, GuestAddress(tree_address))
            .map_err(VmmError::wrap(ErrorCode::Kernel, "load the device tree"))?;
        phases.load_memory = microseconds_since(loading);

        for vcpu in &vcpus {
            let vcpu = lock(vcpu)?;
            vcpu.finalize()?;
            vcpu.set_boot_registers(kernel.entry, tree_address)?;
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
            balloon: request.balloon,
            reclaimer: Some(memory.reclaimer()),
            ..DeviceOptions::new(DiskImage::root(files.root_disk)?)
        };
        let interrupts: Arc<dyn InterruptLine> = Arc::clone(&vm) as Arc<dyn InterruptLine>;
        let devices = Devices::new(guest_memory, interrupts, options)?;
        let threads = VcpuThreads::start(vcpus, None, FIRST_RUN_MAX)?;
        let mut machine = Machine::new(threads, devices, gic, vm, memory, request.track_writes)?;
        phases.total = microseconds_since(start);
        machine.phases = phases;
        machine.requested_at = Some(start);
        machine.threads.set(Command::Run)?;
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
        let vm = Vm::new(kvm)?;
        let features = vm.vcpu_features(features)?;
        let vcpus = (0..count).map(|index| Vcpu::new(&vm, index, features)).collect::<Result<Vec<_>>>()?;
        let mpidrs = vcpus.iter().map(Vcpu::mpidr).collect::<Result<_>>()?;
        let vcpus = vcpus.into_iter().map(|vcpu| Arc::new(Mutex::new(vcpu))).collect();
        Ok(Self { vm, vcpus, mpidrs })
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

/// Where a kernel is in guest memory.
struct LoadedKernel {
    entry: u64,
    /// The first address behind the file and the memory that the kernel takes for itself.
    end: u64,
}

/// Bytes that are left free behind a kernel's file: one without a size in its header does not say what it takes for itself.
const KERNEL_ROOM: u64 = 16 << 20;
/// Where an Image's header has the size in memory, in bytes from its start (Documentation/arch/arm64/booting.rst).
const IMAGE_SIZE_AT: u64 = 16;

/// Loads the kernel to the start of RAM, which ends at `limit`.
fn load_kernel(memory: &GuestMemory, mut file: File, limit: u64) -> Result<LoadedKernel> {
    let loaded = PE::load(memory, Some(GuestAddress(RAM_BASE)), &mut file, None).map_err(VmmError::wrap(
        ErrorCode::Kernel,
        "load the kernel, which must be an uncompressed arm64 Image",
    ))?;
    let entry = loaded.kernel_load.0;
    let size: u64 = memory
        .read_obj(GuestAddress(entry.saturating_add(IMAGE_SIZE_AT)))
        .map_err(VmmError::wrap(ErrorCode::Kernel, "read the kernel's header"))?;
    let taken = loaded.kernel_end.max(entry.saturating_add(u64::from_le(size)));
    if taken > limit {
        return Err(no_room("kernel", entry..taken, limit));
    }
    Ok(LoadedKernel { entry, end: taken.max(loaded.kernel_end.saturating_add(KERNEL_ROOM)) })
}

/// Loads the initial RAM disk into this part of RAM; returns its address and size.
fn load_initrd(memory: &GuestMemory, mut file: File, room: Range<u64>) -> Result<(u64, u64)> {
    let refused = VmmError::wrap::<std::io::Error>(ErrorCode::Kernel, "read the initial RAM disk");
    let size = regular_file_length(&file)
        .map_err(refused)?
        .ok_or_else(|| VmmError::new(ErrorCode::Kernel, "the initial RAM disk is not a regular file"))?;
    let start = room.start.next_multiple_of(MEMORY_GRANULE);
    let end = start.saturating_add(size);
    if end > room.end {
        return Err(no_room("initial RAM disk", start..end, room.end));
    }
    let length =
        usize::try_from(size).map_err(VmmError::wrap(ErrorCode::Kernel, "load the initial RAM disk"))?;
    let mut target = memory
        .get_slice(GuestAddress(start), length)
        .map_err(VmmError::wrap(ErrorCode::Kernel, "find room for the initial RAM disk"))?;
    file.read_exact_volatile(&mut target)
        .map_err(VmmError::wrap(ErrorCode::Kernel, "load the initial RAM disk"))?;
    Ok((start, size))
}

/// The error for what would reach into the device tree at the end of memory, or beyond.
fn no_room(what: &str, Range { start, end }: Range<u64>, limit: u64) -> VmmError {
    VmmError::new(
        ErrorCode::Kernel,
        format!(
            "the {what} takes {} bytes from {start:#x}, and there are {}; give the microVM more memory",
            end.saturating_sub(start),
            limit.saturating_sub(start)
        ),
    )
}
