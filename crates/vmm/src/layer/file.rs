//! An open layer file, validated before anything of it is used.

use std::fs::File;
use std::hash::Hasher;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::format::{self, Digest, Extent, HEADER_LENGTH, LayerHeader, corrupt};
use crate::checksum::hasher;
use crate::error::{ErrorCode, Result, VmmError};
use crate::file_length::regular_file_length;

/// How much of a file is read at once to get the header and, often, the whole extent table (160 extents). One more read of a longer table
/// costs less than to copy what nobody asked for.
const FIRST_READ: u64 = 4 << 10;
/// How much is read at a time when the data is verified.
const VERIFY_CHUNK: u64 = 1 << 20;

/// An open, validated layer file. The file must not change while it is open: shrinking it would be a SIGBUS in whatever touches
/// memory that is mapped from it. Files of the store are immutable.
#[derive(Debug)]
pub struct LayerFile {
    file: Arc<File>,
    header: LayerHeader,
    extents: Vec<Extent>,
}

impl LayerFile {
    /// Reads and validates header and extent table, and compares the length of the file; reads no data.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] naming what is wrong, [`ErrorCode::SnapshotIncompatible`] for a version that this VMM does not
    /// read; [`ErrorCode::Io`] if reading fails.
    pub fn open(file: File) -> Result<Self> {
        let length = regular_file_length(&file)
            .map_err(VmmError::wrap(ErrorCode::Io, "reading the size of a memory layer"))?
            .ok_or_else(|| corrupt("it is not a regular file"))?;
        let mut start = read_vec(&file, 0, length.min(FIRST_READ))?;
        let Some(header) = start.first_chunk::<HEADER_LENGTH>() else {
            return Err(corrupt(format!("it is {length} bytes long, shorter than its header")));
        };
        let header = LayerHeader::decode(header)?;
        if header.file_length != length {
            return Err(corrupt(format!(
                "it is {length} bytes long, and was written with {}",
                header.file_length
            )));
        }
        let table_end = header.table_end();
        if table_end > start.len() as u64 {
            let rest = read_vec(&file, start.len() as u64, table_end.saturating_sub(start.len() as u64))?;
            start.extend_from_slice(&rest);
        }
        let table = usize::try_from(table_end).ok().and_then(|end| start.get(HEADER_LENGTH..end));
        let table = table.ok_or_else(|| corrupt("its extent table is larger than this host can address"))?;
        let extents = format::decode_table(table, &header)?;
        Ok(Self { file: Arc::new(file), header, extents })
    }

    /// What the header says.
    pub fn header(&self) -> &LayerHeader {
        &self.header
    }

    /// Sorted by guest offset, not overlapping, each inside guest memory and, if it has data, inside the file.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Size of the guest memory that the layer was taken of, bytes.
    pub fn memory_size(&self) -> u64 {
        self.header.memory_size
    }

    /// The layer that this one is a difference to; none for a base.
    pub fn parent(&self) -> Option<Digest> {
        self.header.parent
    }

    /// The app image that was attached.
    pub fn app_image(&self) -> Option<Digest> {
        self.header.app_image
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file, for another thread.
    pub fn shared_file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Fills the buffer with the file's bytes from this offset on.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] if the file ends before; [`ErrorCode::Io`] if reading fails.
    pub fn read(&self, file_offset: u64, bytes: &mut [u8]) -> Result<()> {
        read_exact(&self.file, file_offset, bytes)
    }

    /// Reads the whole file and compares the checksum of its data. A load does not: it maps data that is never read. Whoever has a digest of the
    /// whole file, as the store of `@firn/snapshots` does, need not.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] if it does not match; [`ErrorCode::Io`] if reading fails.
    pub fn verify_data(&self) -> Result<()> {
        let mut hasher = hasher();
        let mut at = self.header.table_end();
        while at < self.header.file_length {
            let length = self.header.file_length.saturating_sub(at).min(VERIFY_CHUNK);
            hasher.write(&read_vec(&self.file, at, length)?);
            at = at.saturating_add(length);
        }
        if hasher.finish() != self.header.data_checksum {
            return Err(corrupt("the checksum of its data does not match"));
        }
        Ok(())
    }
}

fn read_vec(file: &File, at: u64, length: u64) -> Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| corrupt("it is larger than this host can address"))?;
    let mut bytes = vec![0; length];
    read_exact(file, at, &mut bytes)?;
    Ok(bytes)
}

fn read_exact(file: &File, at: u64, bytes: &mut [u8]) -> Result<()> {
    file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            corrupt(format!("it ends before {} bytes at {at:#x}", bytes.len()))
        }
        _ => VmmError::new(
            ErrorCode::Io,
            format!("reading {} bytes at {at:#x} of a memory layer: {error}", bytes.len()),
        ),
    })
}
