//! The memory of one microVM: a stack of layers over one reservation of address space.

use serde::{Deserialize, Serialize};

use super::GuestMemory;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::{Digest, LayerFile};

/// How guest memory is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestMemoryOptions {
    /// Bytes, a multiple of [`crate::layout::MEMORY_GRANULE`], at most [`crate::layout::MEMORY_MAX`].
    pub size: u64,
    /// Record what the VMM itself writes, in a bitmap of 4 KiB granules: for tests that check the difference.
    pub track_writes: bool,
}

/// How a layer is brought into memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Runs of at least this many bytes are mapped, shorter ones copied. `None`: chosen by the kind of layer.
    pub map_threshold: Option<u64>,
}

/// What bringing layers into memory took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Bytes that are now a private mapping of a layer file.
    pub mapped_bytes: u64,
    /// Bytes read from layer files into private memory.
    pub copied_bytes: u64,
    /// Bytes that an explicit zero extent cleared.
    pub zeroed_bytes: u64,
    /// Calls of mmap.
    pub map_calls: u64,
    /// Calls of preadv.
    pub read_calls: u64,
}

/// Guest memory mapped from a stack of layers: zero, base, diff, diff.
#[derive(Debug)]
pub struct MemoryStack {}

impl MemoryStack {
    /// Empty memory, for a regular boot.
    pub fn anonymous(_options: GuestMemoryOptions) -> Result<Self> {
        Err(VmmError::new(ErrorCode::Memory, "guest memory is not there yet"))
    }

    /// Memory as the layers describe it, each with its digest; the first has no parent, each other one has the
    /// digest before it as its parent.
    pub fn from_layers(options: GuestMemoryOptions, _layers: Vec<(LayerFile, Digest)>) -> Result<Self> {
        Self::anonymous(options)
    }

    /// Lays one more layer over memory in which nothing has run since the layers below were loaded.
    pub fn push(&mut self, layer: LayerFile, digest: Digest) -> Result<LoadReport> {
        self.push_with(vec![(layer, digest)], &LoadOptions::default())
    }

    /// Lays several layers over memory at once: what an upper one hides of a lower one is never loaded.
    pub fn push_with(
        &mut self,
        _layers: Vec<(LayerFile, Digest)>,
        _options: &LoadOptions,
    ) -> Result<LoadReport> {
        Err(VmmError::new(ErrorCode::Memory, "guest memory is not there yet"))
    }

    /// Memory for devices: the same pages, not a copy.
    pub fn guest_memory(&self) -> GuestMemory {
        GuestMemory::default()
    }

    /// Where memory starts in this process, for KVM_SET_USER_MEMORY_REGION. Aligned to 2 MiB.
    pub fn host_address(&self) -> *mut u8 {
        std::ptr::null_mut()
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        0
    }

    /// What loading all layers so far took.
    pub fn report(&self) -> LoadReport {
        LoadReport::default()
    }

    /// The digest of the topmost layer, if there is one.
    pub fn top_digest(&self) -> Option<Digest> {
        None
    }

    /// CRC-64 of all bytes. Reads all memory.
    pub fn content_digest(&self) -> u64 {
        0
    }
}
