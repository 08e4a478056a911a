//! What JavaScript passes in. The TypeScript over it has checked ranges that are its own; the VMM checks the rest.

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

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
    /// Whether writes are recorded.
    pub track_writes: bool,
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
    /// Base first.
    pub layers: Vec<Layer>,
    /// State file of the topmost layer.
    pub state_path: String,
    /// Root file system.
    pub root_disk_path: String,
    /// App image.
    pub app_disk_path: Option<String>,
    /// SHA-256 of the app image, 32 bytes.
    pub app_image_digest: Option<Uint8Array>,
    /// What the agent finds in its receive queue.
    pub initial_bytes: Option<Uint8Array>,
    /// Whether the microVM only serves.
    pub leaf: bool,
    /// Whether the vCPUs wait for a resume.
    pub paused: bool,
    /// Whether the serial console is wanted.
    pub console: bool,
    /// Whether writes are recorded.
    pub track_writes: bool,
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
