//! What a disk holds: a file whose size is known and can be a disk's.

use std::fs::File;

use crate::devices::ROOT_DISK_ID;
use crate::error::{ErrorCode, Result, VmmError};
use crate::file_length::regular_file_length;

/// Unit of capacity and position, bytes.
pub(super) const SECTOR: u64 = 512;

/// The image of a disk. How long it is was asked once: a restore on top of a base can have it beforehand.
#[derive(Debug)]
pub struct DiskImage {
    pub(super) file: File,
    pub(in crate::devices) sectors: u64,
}

impl DiskImage {
    /// The root file system.
    ///
    /// # Errors
    /// [`ErrorCode::Config`] if it is not a regular file or not a multiple of 512 bytes, [`ErrorCode::Io`] if its size cannot be read.
    pub fn root(file: File) -> Result<Self> {
        Self::new(file, ROOT_DISK_ID)
    }

    /// The image of the disk named `id`. Errors are those of [`DiskImage::root`].
    pub(in crate::devices) fn new(file: File, id: &str) -> Result<Self> {
        let size = regular_file_length(&file)
            .map_err(VmmError::wrap(ErrorCode::Io, format!("reading the size of disk {id}")))?
            .ok_or_else(|| {
                VmmError::new(ErrorCode::Config, format!("the image of disk {id} is not a regular file"))
            })?;
        if !size.is_multiple_of(SECTOR) {
            return Err(VmmError::new(
                ErrorCode::Config,
                format!("the image of disk {id} has {size} bytes; pad it to a multiple of {SECTOR}"),
            ));
        }
        Ok(Self { file, sectors: size / SECTOR })
    }
}
