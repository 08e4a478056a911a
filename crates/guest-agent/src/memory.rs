//! Leaves as little as possible in memory for a snapshot to keep.

use std::fs;
use std::path::Path;

use rustix::system::sysinfo;

use crate::AgentError;
use crate::sys::ZeroedMemory;

/// Bytes asked for at once when free memory is zeroed.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Free memory that is left alone, so that the kernel reclaims nothing that a clone will need.
const RESERVE_BYTES: u64 = 3 * 1024 * 1024;

/// The kernel's own reserve while free memory is zeroed, in KiB.
const LOWERED_MIN_FREE_KIB: &str = "512";

/// What makes the kernel fill pages with zeros when they are freed.
const ZERO_ON_FREE: &str = "init_on_free=1";

/// Drops page cache that nothing maps, and makes free memory zero: pages of zeros cost a snapshot nothing.
///
/// A kernel that was started with `init_on_free=1` has zeroed its free pages already. For others they are filled here, which takes long,
/// and changes what the kernel notes about each page.
///
/// # Errors
///
/// If the kernel's controls cannot be written. Running out of memory is no error.
pub fn clean_memory(proc: &Path) -> Result<(), AgentError> {
    let control = proc.join("sys/vm");
    let write = |name: &str, value: &str| {
        fs::write(control.join(name), value)
            .map_err(AgentError::system(format!("write {value} to vm.{name}")))
    };
    write("drop_caches", "3")?;
    let command_line = fs::read_to_string(proc.join("cmdline")).unwrap_or_default();
    if command_line.split_ascii_whitespace().any(|word| word == ZERO_ON_FREE) {
        return Ok(());
    }
    let min_free = fs::read_to_string(control.join("min_free_kbytes"))
        .map_err(AgentError::system("read vm.min_free_kbytes"))?;
    write("min_free_kbytes", LOWERED_MIN_FREE_KIB)?;
    zero_free_memory();
    write("min_free_kbytes", min_free.trim())
}

/// Memory that programs can still get without swapping, in bytes, by `/proc/meminfo`; 0 if that does not say.
pub fn available_bytes(proc: &Path) -> u64 {
    let text = fs::read_to_string(proc.join("meminfo")).unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn zero_free_memory() {
    let mut zeroed = Vec::new();
    let chunk = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
    while free_bytes() > RESERVE_BYTES.saturating_add(chunk) {
        match ZeroedMemory::populate(CHUNK_BYTES) {
            Ok(memory) => zeroed.push(memory),
            Err(_) => break,
        }
    }
}

fn free_bytes() -> u64 {
    let info = sysinfo();
    info.freeram.saturating_mul(u64::from(info.mem_unit))
}
