//! The reservation of address space that guest memory is mapped in: the system calls on it, and bounded access to its bytes.
//!
//! All unsafe code of memory and layers is here. Guest memory is shared with vCPUs and with the kernel, so no Rust reference to it
//! is ever made: bytes are copied out, or read through volatile pointers.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::Arc;

use vm_memory::bitmap::AtomicBitmap;
use vm_memory::mmap::MmapRegionBuilder;

use crate::layer::{GRANULE, GRANULE_LENGTH};

/// The mapping as devices reach it.
pub(crate) type Region = vm_memory::MmapRegion<Option<AtomicBitmap>>;

/// Guest memory starts at a multiple of this in the host's address space, 2 MiB, so that a host may back it with blocks.
const ALIGNMENT: usize = 2 << 20;
/// Most parts of one preadv (the kernel's UIO_MAXIOV).
pub(crate) const READ_PARTS_MAX: usize = 1024;

/// Address space for all of guest memory, private to this process, readable and writable, zeros where nothing is mapped over it.
#[derive(Debug)]
pub(crate) struct Reservation {
    address: NonNull<u8>,
    length: usize,
    region: Arc<Region>,
}

// SAFETY: the address is only used for system calls and for accesses that are bounded by the length and tolerate other writers, and
// the mapping it stands for belongs to the process, not to a thread.
unsafe impl Send for Reservation {}
// SAFETY: as for Send.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `length` bytes, a multiple of every host's page size. With `track_writes` the region records its writes.
    pub(crate) fn new(length: usize, track_writes: bool) -> io::Result<Self> {
        let spacious = length.checked_add(ALIGNMENT).ok_or(io::ErrorKind::InvalidInput)?;
        let start = map(std::ptr::null_mut(), spacious, 0, None)?;
        let skipped = start.align_offset(ALIGNMENT).min(ALIGNMENT);
        let address = start.wrapping_add(skipped);
        // SAFETY: both ranges are parts of the mapping made above that nobody knows of yet.
        unsafe {
            if skipped > 0 {
                libc::munmap(start.cast(), skipped);
            }
            if skipped < ALIGNMENT {
                libc::munmap(address.wrapping_add(length).cast(), ALIGNMENT - skipped);
            }
        }
        let bitmap = track_writes.then(|| AtomicBitmap::new(length, TRACKING_GRANULE));
        // SAFETY: the range is a readable and writable mapping, and stays one for as long as a handle of the region is left: see Drop.
        let builder =
            unsafe { MmapRegionBuilder::new_with_bitmap(length, bitmap).with_raw_mmap_pointer(address) };
        let region = builder
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_PRIVATE | libc::MAP_NORESERVE)
            .build()
            .map_err(io::Error::other)?;
        let address = NonNull::new(address).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { address, length, region: Arc::new(region) })
    }

    /// Where it starts.
    pub(crate) fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The mapping for devices. It stays mapped for as long as a handle is left, even when the reservation is dropped.
    pub(crate) fn region(&self) -> Arc<Region> {
        self.region.clone()
    }

    /// Maps a part of the file over this part of memory, private. One call, so that no moment leaves a hole. Offsets and length are
    /// multiples of the host's page size; the file has the bytes, and keeps them (else touching them is a SIGBUS).
    pub(crate) fn map_file(&self, offset: u64, length: u64, file: &File, file_offset: u64) -> io::Result<()> {
        let (address, length) = self.part(offset, length)?;
        let file_offset = libc::off_t::try_from(file_offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        map(address, length, libc::MAP_FIXED, Some((file, file_offset))).map(|_| ())
    }

    /// Maps fresh zeros over this part of memory. Offset and length are multiples of the host's page size.
    pub(crate) fn map_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        let (address, length) = self.part(offset, length)?;
        map(address, length, libc::MAP_FIXED, None).map(|_| ())
    }

    /// Gives the kernel advice about this part of memory. [`Advice::DontNeed`] is a write to it.
    pub(crate) fn advise(&self, offset: u64, length: u64, advice: Advice) -> io::Result<()> {
        let (address, length) = self.part(offset, length)?;
        // SAFETY: the part is inside the reservation. What changes bytes does what a guest may do at any time, and no Rust reference exists.
        match unsafe { libc::madvise(address.cast(), length, advice as libc::c_int) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Reads the file from this offset on into parts of memory (offset, length), at most [`READ_PARTS_MAX`] of them, in one call.
    /// Returns how many bytes were read: 0 only at the end of the file.
    pub(crate) fn read_file(
        &self,
        file: &File,
        file_offset: u64,
        parts: impl Iterator<Item = (u64, u64)>,
    ) -> io::Result<usize> {
        let mut vectors = Vec::with_capacity(parts.size_hint().0.min(READ_PARTS_MAX));
        for (offset, length) in parts.take(READ_PARTS_MAX) {
            let (address, length) = self.part(offset, length)?;
            vectors.push(libc::iovec { iov_base: address.cast(), iov_len: length });
        }
        let count = libc::c_int::try_from(vectors.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let file_offset = libc::off_t::try_from(file_offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        loop {
            // SAFETY: every vector is inside the reservation, which is writable.
            let read = unsafe { libc::preadv(file.as_raw_fd(), vectors.as_ptr(), count, file_offset) };
            match usize::try_from(read) {
                Ok(read) => return Ok(read),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
    }

    /// Clears this part of memory by writing.
    pub(crate) fn fill_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        let (address, length) = self.part(offset, length)?;
        // SAFETY: the part is inside the reservation, which is writable.
        unsafe { std::ptr::write_bytes(address, 0, length) };
        Ok(())
    }

    /// Copies memory from this offset on into the buffer.
    pub(crate) fn copy_out(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let (address, length) = self.part(offset, bytes.len() as u64)?;
        // SAFETY: the part is inside the reservation, the buffer is as long, and they do not overlap: nobody else has a reference
        // into the reservation.
        unsafe { std::ptr::copy_nonoverlapping(address, bytes.as_mut_ptr(), length) };
        Ok(())
    }

    /// Whether memory at this offset equals the granule.
    pub(crate) fn granule_equals(&self, offset: u64, granule: &[u8; GRANULE_LENGTH]) -> io::Result<bool> {
        self.blocks_all(offset, granule.as_chunks::<BLOCK>().0.iter(), |words, block| {
            let mut difference = 0;
            for (word, bytes) in words.iter().zip(block.as_chunks::<8>().0) {
                difference |= word ^ u64::from_ne_bytes(*bytes);
            }
            difference == 0
        })
    }

    /// Whether the granule of memory at this offset is all zeros.
    pub(crate) fn granule_is_zero(&self, offset: u64) -> io::Result<bool> {
        self.blocks_all(offset, 0..GRANULE_LENGTH / BLOCK, |words, _| {
            words.iter().fold(0, |all, word| all | word) == 0
        })
    }

    /// Whether the test holds for each block of memory from this offset on, as many as there are items, stopping at the first for
    /// which it does not.
    fn blocks_all<T>(
        &self,
        offset: u64,
        items: impl ExactSizeIterator<Item = T>,
        test: impl Fn(&[u64; BLOCK / 8], T) -> bool,
    ) -> io::Result<bool> {
        let (address, _) = self.part(offset, (items.len() as u64).saturating_mul(BLOCK as u64))?;
        if !address.cast::<u64>().is_aligned() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (index, item) in items.enumerate() {
            let block = address.wrapping_add(index.wrapping_mul(BLOCK)).cast::<u64>();
            let mut words = [0; BLOCK / 8];
            for (at, word) in words.iter_mut().enumerate() {
                // SAFETY: aligned, and inside the part that was checked above; volatile, because others may write to it.
                *word = unsafe { block.wrapping_add(at).read_volatile() };
            }
            if !test(&words, item) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks PAGEMAP_SCAN for the next pages of this kind from this offset on. Returns how many of `found` (which are addresses) were filled in, and the offset at which the scan stopped.
    pub(crate) fn scan(
        &self,
        pagemap: &File,
        kind: PageKind,
        offset: u64,
        found: &mut [PageRegion],
    ) -> io::Result<(usize, u64)> {
        let length = (self.length as u64).checked_sub(offset).ok_or(io::ErrorKind::InvalidInput)?;
        let start = self.part(offset, length)?.0 as u64;
        let (category_inverted, category_mask, category_anyof_mask) = match kind {
            PageKind::Private => {
                let others = PAGE_IS_FILE | PAGE_IS_PFNZERO;
                (others, others, PAGE_IS_PRESENT | PAGE_IS_SWAPPED)
            }
            PageKind::Shared => (0, PAGE_IS_FILE | PAGE_IS_PRESENT, 0),
        };
        let mut scan = PagemapScan {
            size: size_of::<PagemapScan>() as u64,
            start,
            end: start.saturating_add(length),
            regions: found.as_mut_ptr() as u64,
            regions_length: found.len() as u64,
            category_inverted,
            category_mask,
            category_anyof_mask,
            ..PagemapScan::default()
        };
        // SAFETY: the argument and the array that it points to are of the layout and the lengths that the ioctl expects, and live
        // until it returns.
        let filled = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut scan) };
        match usize::try_from(filled) {
            Ok(filled) => Ok((filled, scan.walk_end.saturating_sub(self.address.as_ptr() as u64))),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    /// Address and length of a part of memory, if it is one.
    fn part(&self, offset: u64, length: u64) -> io::Result<(*mut u8, usize)> {
        let end = offset.checked_add(length).and_then(|end| usize::try_from(end).ok());
        match (usize::try_from(offset), usize::try_from(length), end) {
            (Ok(offset), Ok(length), Some(end)) if end <= self.length => {
                Ok((self.address.as_ptr().wrapping_add(offset), length))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{length} bytes at {offset:#x} are not in guest memory of {} bytes", self.length),
            )),
        }
    }
}

impl Drop for Reservation {
    /// Unmaps memory, unless a device still has a handle of it: then it stays until the process ends.
    fn drop(&mut self) {
        if Arc::get_mut(&mut self.region).is_some() {
            // SAFETY: the reservation is this object's own, and nobody else has a handle that reaches into it.
            unsafe { libc::munmap(self.address.as_ptr().cast(), self.length) };
        }
    }
}

/// Pages of memory, by whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// This microVM's own: present or swapped, not of a file, not the zero page.
    Private,
    /// A layer's, as far as they are present in this process.
    Shared,
}

/// What the kernel is told about memory.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(crate) enum Advice {
    /// Children do not get it: a fork does not copy its page tables.
    DontFork = libc::MADV_DONTFORK,
    /// Children get it.
    #[cfg(target_arch = "aarch64")]
    DoFork = libc::MADV_DOFORK,
    /// It is not in core dumps.
    DontDump = libc::MADV_DONTDUMP,
    /// Equal pages of different microVMs are never merged: merging is a side channel.
    Unmergeable = libc::MADV_UNMERGEABLE,
    /// Private memory grows by a page at a write, not by 2 MiB.
    NoHugePage = libc::MADV_NOHUGEPAGE,
    /// What is used next is anywhere: here only a difference between neighbours, which the kernel does not merge then.
    Random = libc::MADV_RANDOM,
    /// Forget what was written: it holds again what was mapped.
    DontNeed = libc::MADV_DONTNEED,
    /// Make pages private and writable now.
    PopulateWrite = libc::MADV_POPULATE_WRITE,
    /// Swap pages out.
    #[cfg(test)]
    PageOut = libc::MADV_PAGEOUT,
}

/// What a host may back by one block, bytes.
pub(crate) const BLOCK_LENGTH: u64 = 2 << 20;

/// Keeps a part of memory from being backed by 2 MiB blocks, on kernels that could.
pub(crate) fn no_huge_pages(reservation: &Reservation, offset: u64, length: u64) -> io::Result<()> {
    match reservation.advise(offset, length, Advice::NoHugePage) {
        // A kernel that was built without transparent huge pages knows no such advice.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

/// What is compared between two looks at whether to go on, in bytes.
const BLOCK: usize = 64;

/// Granularity of the record of writes.
const TRACKING_GRANULE: NonZeroUsize = match NonZeroUsize::new(4096) {
    Some(granule) => granule,
    None => NonZeroUsize::MIN,
};

/// The page size of this host, bytes.
pub(crate) fn host_page_size() -> u64 {
    // SAFETY: reads a constant of the process.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(GRANULE)
}

fn map(
    address: *mut u8,
    length: usize,
    flags: libc::c_int,
    source: Option<(&File, libc::off_t)>,
) -> io::Result<*mut u8> {
    let (kind, descriptor, offset) = match source {
        Some((file, offset)) => (0, file.as_raw_fd(), offset),
        None => (libc::MAP_ANONYMOUS, -1, 0),
    };
    let flags = flags | kind | libc::MAP_PRIVATE | libc::MAP_NORESERVE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: without MAP_FIXED the kernel picks free addresses; with it every caller has checked that the range is inside its own
    // reservation, of which no Rust reference exists.
    let mapped = unsafe { libc::mmap(address.cast(), length, protection, flags, descriptor, offset) };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(mapped.cast()) }
}

/// Pages of one kind: `struct page_region` of linux/fs.h.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct PageRegion {
    /// Address of the first byte.
    pub(crate) start: u64,
    /// Address after the last byte.
    pub(crate) end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of linux/fs.h.
#[derive(Debug, Default)]
#[repr(C)]
struct PagemapScan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_length: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u32 = 0xc060_6610;
const _: () = assert!(size_of::<PagemapScan>() == 0x60);
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;
