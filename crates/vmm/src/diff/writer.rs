//! Writing a layer file.

use std::fs::File;
use std::hash::Hasher;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::changed::changed_ranges;
use super::compare::{content, difference};
use super::placement::place;
use crate::checksum::{XxHash64, checksum, hasher};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::format::{HEADER_LENGTH, encode_table};
use crate::layer::{Digest, Extent, ExtentSource, LayerHeader, RangeSet, hex};
use crate::memory::MemoryStack;

/// How much is written at once, bytes.
const CHUNK: usize = 1 << 20;

/// What a layer is written with.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions<'a> {
    /// The parent: the digest of the topmost layer of the memory. None writes all of memory, as a base.
    pub parent_digest: Option<Digest>,
    /// The app image that is attached.
    pub app_image: Option<Digest>,
    /// /proc/self/pagemap for a process that cannot open it any more, as for [`changed_ranges`].
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

/// Writes what memory holds that its layers do not: with a parent the exact difference, without one all that is not zero. Memory
/// stays as it is, so that its microVM can go on. No vCPU and no device may write to it meanwhile. The header is written last: a
/// file that was not finished is not a layer. Making it durable is left to the caller.
///
/// # Errors
/// [`ErrorCode::Config`] if the parent is not the topmost layer; [`ErrorCode::Io`] if finding, reading or writing fails;
/// [`ErrorCode::SnapshotCorrupt`] if a layer's file has shrunk. The file is then of no use.
pub fn write_layer(
    memory: &MemoryStack,
    output: &mut File,
    options: &WriteOptions<'_>,
) -> Result<WriteReport> {
    if options.parent_digest.is_some() && options.parent_digest != memory.top_digest() {
        return Err(VmmError::new(
            ErrorCode::Config,
            format!(
                "the layer's parent is to be {}, and the memory's topmost layer is {}",
                options.parent_digest.as_ref().map_or(String::new(), hex),
                memory.top_digest().as_ref().map_or("none".to_owned(), hex)
            ),
        ));
    }
    let view = memory.view();
    let changed: RangeSet = changed_ranges(memory, options.pagemap)?.into_iter().collect();
    let (candidates, difference) = match options.parent_digest {
        Some(_) => {
            let difference = difference(memory, &view, changed.ranges())?;
            (changed, difference)
        }
        None => {
            let candidates = changed.union(view.data_ranges().into_ranges());
            let content = content(memory, candidates.ranges())?;
            (candidates, content)
        }
    };
    let (extents, file_length) = place(&difference, memory.page_size());
    let table = encode_table(&extents);
    let header = LayerHeader {
        file_length,
        memory_size: memory.size(),
        extent_count: extents.len() as u64,
        table_checksum: checksum(&table),
        data_checksum: 0,
        parent: options.parent_digest,
        app_image: options.app_image,
        page_size: memory.page_size(),
    };
    output.set_len(0).map_err(writing(0))?;
    output.write_all_at(&table, HEADER_LENGTH as u64).map_err(writing(0))?;
    let data_checksum = write_data(memory, output, &extents, header.table_end(), file_length)?;
    output.write_all_at(&LayerHeader { data_checksum, ..header }.encode(), 0).map_err(writing(0))?;
    Ok(WriteReport {
        candidate_bytes: candidates.length(),
        data_bytes: difference.data.length(),
        zero_bytes: difference.zeros.length(),
        extents: extents.len() as u64,
        file_bytes: file_length,
    })
}

/// Writes everything behind the table and returns its checksum.
fn write_data(
    memory: &MemoryStack,
    output: &File,
    extents: &[Extent],
    table_end: u64,
    file_length: u64,
) -> Result<u64> {
    let mut placed: Vec<(u64, &Extent)> = extents
        .iter()
        .filter_map(|extent| match extent.source {
            ExtentSource::Data { file_offset } => Some((file_offset, extent)),
            ExtentSource::Zero => None,
        })
        .collect();
    placed.sort_unstable_by_key(|(file_offset, _)| *file_offset);
    let bytes = Vec::with_capacity(CHUNK);
    let mut writer = ChunkWriter { output, at: table_end, bytes, hasher: hasher() };
    for (file_offset, extent) in placed {
        writer.pad_to(file_offset)?;
        writer.write_memory(memory, extent)?;
    }
    writer.pad_to(file_length)?;
    writer.flush()?;
    Ok(writer.hasher.finish())
}

/// Gathers what is to be written into large writes, one after the other.
struct ChunkWriter<'a> {
    output: &'a File,
    /// Where the gathered bytes go.
    at: u64,
    bytes: Vec<u8>,
    hasher: XxHash64,
}

impl ChunkWriter<'_> {
    fn pad_to(&mut self, file_offset: u64) -> Result<()> {
        let padding = file_offset.saturating_sub(self.at).saturating_sub(self.bytes.len() as u64);
        // Padding is less than a page, far less than a chunk.
        let padding = usize::try_from(padding).unwrap_or(CHUNK);
        self.bytes.resize(self.bytes.len().saturating_add(padding), 0);
        if self.bytes.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn write_memory(&mut self, memory: &MemoryStack, extent: &Extent) -> Result<()> {
        let mut offset = extent.guest_offset;
        while offset < extent.guest_end() {
            let room = (CHUNK.saturating_sub(self.bytes.len()) as u64).max(1);
            let length = extent.guest_end().saturating_sub(offset).min(room);
            let filled = self.bytes.len();
            self.bytes.resize(filled.saturating_add(usize::try_from(length).unwrap_or(0)), 0);
            let target = self.bytes.get_mut(filled..).unwrap_or_default();
            memory.reservation().copy_out(offset, target).map_err(VmmError::wrap(
                ErrorCode::Memory,
                format!("reading {length} bytes of guest memory at {offset:#x}"),
            ))?;
            offset = offset.saturating_add(length);
            if self.bytes.len() >= CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.output.write_all_at(&self.bytes, self.at).map_err(writing(self.at))?;
        self.hasher.write(&self.bytes);
        self.at = self.at.saturating_add(self.bytes.len() as u64);
        self.bytes.clear();
        Ok(())
    }
}

fn writing(at: u64) -> impl FnOnce(std::io::Error) -> VmmError {
    VmmError::wrap(ErrorCode::Io, format!("writing a memory layer at {at:#x} of its file"))
}
