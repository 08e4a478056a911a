//! How long a file is, asked in the one way that a jailed process may: the standard library's names the file by a path.

use std::fs::File;
use std::io;

use rustix::fs::{FileType, fstat};

/// The length of a regular file in bytes, or `None` if it is something else.
pub(crate) fn regular_file_length(file: &File) -> io::Result<Option<u64>> {
    let status = fstat(file)?;
    Ok(u64::try_from(status.st_size).ok().filter(|_| FileType::from_raw_mode(status.st_mode).is_file()))
}
