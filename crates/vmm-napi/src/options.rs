//! What JavaScript passes in. The TypeScript over it has checked ranges that are its own; the VMM checks the rest.

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::device_options::{DeviceLimits, NetOptions};

/// The jail of a process.
#[napi(object, object_to_js = false)]
pub struct JailOptions {
    /// The level.
    #[napi(ts_type = "'auto' | 'root' | 'user-namespaces' | 'minimal'")]
    pub level: String,
    /// First of the user and group ids that processes started by root are given.
    pub first_id: u32,
    /// How many there are.
    pub id_count: u32,
    /// The directory of the cgroup below which it gets its own; without, this process's.
    pub cgroup_parent: Option<String>,
    /// Its memory.max; without, guest memory and what the process itself needs.
    pub memory_max_bytes: Option<i64>,
    /// Its pids.max.
    pub pids_max: Option<u32>,
    /// Its cpu.max, in thousandths of a CPU.
    pub cpu_max_thousandths: Option<u32>,
}

/// A regular boot.
#[napi(object, object_to_js = false)]
pub struct BootOptions {
    /// arm64 Image, uncompressed.
    pub kernel_path: String,
    /// Initial RAM disk.
    pub initrd_path: Option<String>,
    /// Root file system.
    pub root_disk_path: String,
    /// App image.
    pub app_disk_path: Option<String>,
    /// Guest memory in bytes.
    pub memory_bytes: i64,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// 2 or 3; without, the newest that the host has.
    pub gic: Option<u8>,
    /// Kernel command line.
    pub command_line: String,
    /// Whether the serial console is wanted.
    pub console: bool,
    /// Image of the scratch disk.
    pub scratch_disk_path: Option<String>,
    /// Whether there is a random number generator.
    pub rng: bool,
    /// Whether there is a balloon.
    pub balloon: bool,
    /// The network card.
    pub net: Option<NetOptions>,
    /// How fast devices may be.
    pub limits: Option<DeviceLimits>,
}

/// A memory layer in the store.
#[napi(object, object_to_js = false)]
pub struct Layer {
    /// The layer file.
    pub path: String,
    /// Its SHA-256, 32 bytes.
    pub digest: Uint8Array,
}

/// A restore.
#[napi(object, object_to_js = false)]
pub struct RestoreOptions {
    /// Base first; in a prepared process only those on top of what it was prepared with.
    pub layers: Vec<Layer>,
    /// State file of the topmost layer.
    pub state_path: String,
    /// Root file system.
    pub root_disk_path: String,
    /// App image.
    pub app_disk_path: Option<String>,
    /// SHA-256 of the app image, 32 bytes.
    pub app_image_digest: Option<Uint8Array>,
    /// Working set of the snapshot.
    pub working_set_path: Option<String>,
    /// What the agent finds in its receive queue.
    pub initial_bytes: Option<Uint8Array>,
    /// Whether the microVM only serves.
    pub leaf: bool,
    /// Whether the vCPUs wait for a resume.
    pub paused: bool,
    /// Whether the serial console is wanted.
    pub console: bool,
    /// Whether reads are recorded.
    pub record_reads: bool,
    /// Image of the scratch disk, if the snapshot's microVM had one.
    pub scratch_disk_path: Option<String>,
    /// What the network card is plugged into, if the snapshot's microVM had one.
    pub net: Option<NetOptions>,
    /// How fast devices may be.
    pub limits: Option<DeviceLimits>,
}

/// What a process is prepared for.
#[napi(object, object_to_js = false)]
pub struct PrepareOptions {
    /// Base first: all layers below the one that is restored on top later.
    pub layers: Vec<Layer>,
    /// State file of the topmost of them.
    pub state_path: String,
    /// Working sets of snapshots on top of them.
    pub working_set_paths: Vec<String>,
}

/// A snapshot.
#[napi(object, object_to_js = false)]
pub struct SnapshotOptions {
    /// Where to create the memory layer.
    pub layer_path: String,
    /// Where to create the state file.
    pub state_path: String,
    /// SHA-256 of the app image that the function was loaded from, 32 bytes.
    pub app_image_digest: Option<Uint8Array>,
}

/// Writing down what a working set did not name.
#[napi(object, object_to_js = false)]
pub struct MissesOptions {
    /// Where to create the file.
    pub path: String,
    /// The snapshot's working set, which is written with what both clones have missed added; with `previous_path`.
    pub working_set_path: Option<String>,
    /// What another clone of the same snapshot has missed; with `working_set_path`.
    pub previous_path: Option<String>,
}

/// Writing down a working set.
#[napi(object, object_to_js = false)]
pub struct WorkingSetOptions {
    /// Where to create the file.
    pub path: String,
    /// A working set of another clone of the same snapshot.
    pub previous_path: Option<String>,
}
