//! The descriptors that a process keeps, and those that it was not meant to have.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::privileges::without_system_admin;
use crate::error::{ErrorCode, Result, VmmError};

/// Room for a file of /proc/self that is read in one piece; both are below 2 KiB. Small enough for the stack: memory that was never used
/// would fault while faults are counted.
const PROC_FILE_MAX: usize = 4 << 10;

/// What is opened before the jail closes, because nothing can be opened inside.
#[derive(Debug)]
pub struct ProcFiles {
    /// /proc/self/pagemap.
    pub pagemap: File,
    stat: File,
    smaps_rollup: File,
}

impl ProcFiles {
    /// Opens them. They show the process that opens them: not to be inherited over a fork.
    ///
    /// # Errors
    /// FIRN_IO if /proc is not there.
    pub fn open() -> Result<Self> {
        let open = |name: &str| {
            let path = format!("/proc/self/{name}");
            File::open(&path).map_err(VmmError::wrap(ErrorCode::Io, format!("open {path}")))
        };
        // The kernel shows whoever opened it with CAP_SYS_ADMIN where in the host's memory each page lies.
        let pagemap = without_system_admin(|| open("pagemap"))??;
        Ok(Self { pagemap, stat: open("stat")?, smaps_rollup: open("smaps_rollup")? })
    }

    /// Minor and major faults of this process so far.
    ///
    /// # Errors
    /// FIRN_IO if /proc/self/stat cannot be read.
    pub fn fault_counts(&self) -> Result<(u64, u64)> {
        let mut buffer = [0; PROC_FILE_MAX];
        let stat = read(&self.stat, "stat", &mut buffer)?;
        // The name of the program, in parentheses, may hold anything; fields are counted from behind it (proc(5): 10 and 12).
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |index: usize| fields.get(index).and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok((field(7), field(9)))
    }

    /// Bytes of memory that go when this process does. Pages of files do not: that nobody else maps them just now is chance.
    ///
    /// # Errors
    /// FIRN_IO if /proc/self/smaps_rollup cannot be read.
    pub fn private_bytes(&self) -> Result<u64> {
        let mut buffer = [0; PROC_FILE_MAX];
        Ok(read(&self.smaps_rollup, "smaps_rollup", &mut buffer)?
            .lines()
            .filter(|line| line.starts_with("Anonymous:") || line.starts_with("Swap:"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .map(|kibibytes| kibibytes * 1024)
            .sum())
    }
}

/// A read from the start makes the kernel write the file anew.
fn read<'a>(file: &File, name: &str, buffer: &'a mut [u8; PROC_FILE_MAX]) -> Result<&'a str> {
    let failed = |error: &dyn std::fmt::Display| {
        VmmError::new(ErrorCode::Io, format!("read /proc/self/{name}: {error}"))
    };
    let length = file.read_at(buffer, 0).map_err(|error| failed(&error))?;
    let bytes = buffer.get(..length).unwrap_or_default();
    // The name of the program, which may hold anything, is this program's.
    std::str::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Closes every descriptor but the first three: the parent may have left some open.
///
/// Call this first in `main`, before any other descriptor is open.
///
/// # Errors
/// FIRN_IO if the kernel is older than 5.9.
pub fn close_inherited() -> Result<()> {
    // SAFETY: by this function's contract nothing of this process owns a descriptor beyond the standard ones, which stay open.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(VmmError::wrap(ErrorCode::Io, "close inherited descriptors")(error))
}
