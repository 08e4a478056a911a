//! An open layer file, validated before anything of it is used.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crc64fast::Digest as Crc64;

use super::format::{self, Digest, Extent, HEADER_LENGTH, LayerHeader, corrupt};
use crate::error::{ErrorCode, Result, VmmError};

/// How much of a file is read at once to get the header and, nearly always, the whole extent table (1,354 extents).
const FIRST_READ: u64 = 32 << 10;
/// How much is read at a time when the data is verified.
const VERIFY_CHUNK: u64 = 1 << 20;

/// An open, validated layer file. The file must not change while it is open: shrinking it would be a SIGBUS in whatever touches
/// memory that is mapped from it. Files of the store are immutable.
#[derive(Debug)]
pub struct LayerFile {
    file: File,
    header: LayerHeader,
    extents: Vec<Extent>,
}

impl LayerFile {
    /// Reads and validates header and extent table, and compares the length of the file; reads no data.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] naming what is wrong; [`ErrorCode::Io`] if reading fails.
    pub fn open(file: File) -> Result<Self> {
        let metadata =
            file.metadata().map_err(VmmError::wrap(ErrorCode::Io, "reading the size of a memory layer"))?;
        if !metadata.is_file() {
            return Err(corrupt("it is not a regular file"));
        }
        let length = metadata.len();
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
        Ok(Self { file, header, extents })
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

    /// Fills the buffer with the file's bytes from this offset on.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] if the file ends before; [`ErrorCode::Io`] if reading fails.
    pub fn read(&self, file_offset: u64, bytes: &mut [u8]) -> Result<()> {
        read_exact(&self.file, file_offset, bytes)
    }

    /// Reads the whole file and compares the checksum of its data: when a layer is published or imported, not when it is loaded.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] if it does not match; [`ErrorCode::Io`] if reading fails.
    pub fn verify_data(&self) -> Result<()> {
        let mut crc = Crc64::new();
        let mut at = self.header.table_end();
        while at < self.header.file_length {
            let length = self.header.file_length.saturating_sub(at).min(VERIFY_CHUNK);
            crc.write(&read_vec(&self.file, at, length)?);
            at = at.saturating_add(length);
        }
        if crc.sum64() != self.header.data_checksum {
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
