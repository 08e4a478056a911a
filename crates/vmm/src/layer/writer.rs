//! Writing a layer.

use std::fs::File;

use serde::{Deserialize, Serialize};

use super::format::Digest;
use crate::error::{ErrorCode, Result, VmmError};
use crate::memory::MemoryStack;

/// What a layer is written with.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions<'a> {
    /// The parent: the digest of the topmost layer of the memory. None writes all of memory, as a base.
    pub parent_digest: Option<Digest>,
    /// The app image that is attached.
    pub app_image: Option<Digest>,
    /// /proc/self/pagemap, for a process that cannot open it any more. Opened by this process, not inherited.
    pub pagemap: Option<&'a File>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReport {
    /// Bytes that were compared with the parent.
    pub candidate_bytes: u64,
    /// Bytes of data extents.
    pub data_bytes: u64,
    /// Bytes of zero extents.
    pub zero_bytes: u64,
    /// Number of extents.
    pub extents: u64,
    /// Length of the file.
    pub file_bytes: u64,
}

/// Writes what the memory holds that its parent does not. No vCPU and no device may write to memory meanwhile.
pub fn write_layer(
    _memory: &MemoryStack,
    _output: &mut File,
    _options: &WriteOptions<'_>,
) -> Result<WriteReport> {
    Err(VmmError::new(ErrorCode::Memory, "layers are not there yet"))
}
