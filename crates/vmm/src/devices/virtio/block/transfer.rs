//! Between a file and guest memory, without a copy.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use vm_memory::bitmap::Bitmap;

use crate::devices::virtio::chain::Buffers;

/// Fills `buffers` from `offset` of `file`, by `preadv(2)`. The descriptor's own position is neither used nor moved: the
/// open file may be shared with other processes.
///
/// # Errors
///
/// `UnexpectedEof` if the file ends before the buffers are full.
pub(super) fn read_exact_at(file: &File, buffers: Buffers<'_>, offset: u64) -> io::Result<()> {
    let mut offset = offset;
    let mut rest = buffers;
    while rest.len() > 0 {
        let read = match read_at(file, &rest, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some((_, after)) = rest.split(read) else { break };
        rest = after;
        offset = offset.saturating_add(read as u64);
    }
    Ok(())
}

/// Writes `buffers` to `offset` of `file`, by `pwritev(2)`, as [`read_exact_at`] reads.
pub(super) fn write_all_at(file: &File, buffers: Buffers<'_>, offset: u64) -> io::Result<()> {
    let mut offset = offset;
    let mut rest = buffers;
    while rest.len() > 0 {
        let written = match write_at(file, &rest, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some((_, after)) = rest.split(written) else { break };
        rest = after;
        offset = offset.saturating_add(written as u64);
    }
    Ok(())
}

fn read_at(file: &File, buffers: &Buffers<'_>, offset: u64) -> io::Result<usize> {
    let slices = buffers.slices();
    let guards: Vec<_> = slices.iter().map(|slice| slice.ptr_guard_mut()).collect();
    let vectors = vectors(guards.iter().map(|guard| (guard.as_ptr(), guard.len())));
    let (count, offset) = arguments(&vectors, offset)?;
    // SAFETY: each vector is a slice of guest memory that stays mapped while its guard lives; guest memory is only ever
    // accessed as bytes that anybody may change.
    let read = unsafe { libc::preadv(file.as_raw_fd(), vectors.as_ptr(), count, offset) };
    let Ok(read) = usize::try_from(read) else {
        return Err(io::Error::last_os_error());
    };
    let mut unmarked = read;
    for slice in slices {
        let marked = unmarked.min(slice.len());
        slice.bitmap().mark_dirty(0, marked);
        unmarked -= marked;
    }
    Ok(read)
}

fn write_at(file: &File, buffers: &Buffers<'_>, offset: u64) -> io::Result<usize> {
    let guards: Vec<_> = buffers.slices().iter().map(|slice| slice.ptr_guard()).collect();
    let vectors = vectors(guards.iter().map(|guard| (guard.as_ptr().cast_mut(), guard.len())));
    let (count, offset) = arguments(&vectors, offset)?;
    // SAFETY: as in `read_at`; the kernel only reads through the vectors.
    let written = unsafe { libc::pwritev(file.as_raw_fd(), vectors.as_ptr(), count, offset) };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

fn vectors(slices: impl Iterator<Item = (*mut u8, usize)>) -> Vec<libc::iovec> {
    slices.map(|(start, length)| libc::iovec { iov_base: start.cast(), iov_len: length }).collect()
}

fn arguments(vectors: &[libc::iovec], offset: u64) -> io::Result<(libc::c_int, libc::off_t)> {
    let count = libc::c_int::try_from(vectors.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok((count, offset))
}
