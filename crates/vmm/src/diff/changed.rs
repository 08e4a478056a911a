//! Finding where memory may differ from its layers, without having tracked any write.
//!
//! Layers are mapped private, so a page that anyone wrote to is anonymous: present or swapped, not of a file, not the zero page.
//! The converse does not hold (copied runs and populated pages are anonymous and unchanged), so the result is candidates.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::RangeSet;
use crate::memory::MemoryStack;
use crate::memory::mapping::{PageKind, PageRegion, host_page_size};

/// How many ranges PAGEMAP_SCAN returns at once.
const SCAN_RANGES: usize = 512;
/// How much of the pagemap is read at once, bytes; 8 a page.
const PAGEMAP_CHUNK: usize = 64 << 10;
const PAGEMAP_ENTRY: usize = 8;
const PAGEMAP_FILE: u64 = 1 << 61;
const PAGEMAP_SWAPPED: u64 = 1 << 62;
const PAGEMAP_PRESENT: u64 = 1 << 63;

/// The ranges, in bytes from the start of guest memory, sorted, of whole pages of the host, in which memory may differ from its
/// layers. By PAGEMAP_SCAN, or before Linux 6.7 by reading the pagemap, which cannot tell the zero page from a private one.
///
/// `pagemap` is /proc/self/pagemap, opened by this process (one that was inherited shows the parent's pages); none opens it, which a
/// process that is not dumpable or has no /proc cannot.
///
/// # Errors
/// [`ErrorCode::Io`] if the pagemap cannot be opened or read.
pub fn changed_ranges(memory: &MemoryStack, pagemap: Option<&File>) -> Result<Vec<Range<u64>>> {
    ranges_of(memory, pagemap, PageKind::Private)
}

/// The ranges, likewise, that are present and still the layers': what was read, and what the kernel brought in around it unless
/// [`MemoryStack::fault_page_by_page`] was called before.
///
/// # Errors
/// As [`changed_ranges`].
pub fn read_ranges(memory: &MemoryStack, pagemap: Option<&File>) -> Result<Vec<Range<u64>>> {
    ranges_of(memory, pagemap, PageKind::Shared)
}

fn ranges_of(memory: &MemoryStack, pagemap: Option<&File>, kind: PageKind) -> Result<Vec<Range<u64>>> {
    let opened;
    let pagemap = match pagemap {
        Some(pagemap) => pagemap,
        None => {
            opened = File::open("/proc/self/pagemap").map_err(VmmError::wrap(
                ErrorCode::Io,
                "opening /proc/self/pagemap (open it before the process is confined and pass it)",
            ))?;
            &opened
        }
    };
    match scan(memory, pagemap, kind) {
        Err(error) if scan_is_missing(&error) => read_pagemap(memory, pagemap, kind),
        other => other,
    }
    .map(RangeSet::into_ranges)
    .map_err(VmmError::wrap(ErrorCode::Io, "finding which pages of guest memory are present"))
}

fn scan_is_missing(error: &io::Error) -> bool {
    // EPERM is what a system call filter that does not know the ioctl answers.
    matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::ENOSYS | libc::EPERM))
}

fn scan(memory: &MemoryStack, pagemap: &File, kind: PageKind) -> io::Result<RangeSet> {
    let base = memory.host_address() as u64;
    let mut found = [PageRegion::default(); SCAN_RANGES];
    let mut changed = RangeSet::default();
    let mut at = 0;
    while at < memory.size() {
        let (count, stopped) = memory.reservation().scan(pagemap, kind, at, &mut found)?;
        for region in found.iter().take(count) {
            changed.append(region.start.saturating_sub(base)..region.end.saturating_sub(base));
        }
        if stopped <= at {
            return Err(io::Error::other("PAGEMAP_SCAN does not advance"));
        }
        at = stopped;
    }
    Ok(changed)
}

fn read_pagemap(memory: &MemoryStack, pagemap: &File, kind: PageKind) -> io::Result<RangeSet> {
    let page_size = host_page_size();
    let first_page = memory.host_address() as u64 / page_size;
    let pages = memory.size() / page_size;
    let mut bytes = vec![0; PAGEMAP_CHUNK];
    let mut changed = RangeSet::default();
    let mut page = 0;
    while page < pages {
        let left = usize::try_from(pages - page).unwrap_or(usize::MAX).saturating_mul(PAGEMAP_ENTRY);
        let chunk = bytes.get_mut(..left.min(PAGEMAP_CHUNK)).unwrap_or_default();
        pagemap.read_exact_at(chunk, (first_page + page) * PAGEMAP_ENTRY as u64)?;
        for entry in chunk.as_chunks::<PAGEMAP_ENTRY>().0 {
            let entry = u64::from_ne_bytes(*entry);
            let is_wanted = match kind {
                PageKind::Private => {
                    entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED) != 0 && entry & PAGEMAP_FILE == 0
                }
                PageKind::Shared => entry & PAGEMAP_PRESENT != 0 && entry & PAGEMAP_FILE != 0,
            };
            if is_wanted {
                changed.append(page * page_size..(page + 1) * page_size);
            }
            page += 1;
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::diff::testing::*;
    use crate::layer::{GRANULE, GRANULE_LENGTH};

    fn pagemap() -> File {
        File::open("/proc/self/pagemap").unwrap()
    }

    /// By both ways, if this kernel has both.
    fn both(memory: &MemoryStack) -> (RangeSet, RangeSet) {
        both_of(memory, PageKind::Private)
    }

    fn both_of(memory: &MemoryStack, kind: PageKind) -> (RangeSet, RangeSet) {
        let by_pagemap = read_pagemap(memory, &pagemap(), kind).unwrap();
        match scan(memory, &pagemap(), kind) {
            Err(error) if scan_is_missing(&error) => (by_pagemap.clone(), by_pagemap),
            by_scan => (by_scan.unwrap(), by_pagemap),
        }
    }

    fn clone_of(base: &MemoryStack) -> MemoryStack {
        let (file, _) = snapshot(base).unwrap();
        MemoryStack::from_layers(options(base.size()), vec![(open(&file), digest(1))]).unwrap()
    }

    #[test]
    fn scan_and_pagemap_agree_on_what_was_written_in_mapped_and_in_empty_memory() {
        let base = empty(8 << 20);
        fill(&base, 0..512, 1);
        let clone = clone_of(&base);
        bytes(&base);
        assert_eq!(both(&clone), (RangeSet::default(), RangeSet::default()));
        // Reading what a layer holds makes nothing private; every other granule, so that there are more ranges than one scan returns.
        clone.reservation().copy_out(0, &mut vec![0; 512 * GRANULE_LENGTH]).unwrap();
        (0..700u64).for_each(|index| fill(&clone, index * 2..index * 2 + 1, 3));
        let (by_scan, by_pagemap) = both(&clone);
        assert_eq!(by_scan, by_pagemap);
        let expected = (0..700u64).map(|index| index * 2 * GRANULE..(index * 2 + 1) * GRANULE);
        if host_page_size() == GRANULE {
            assert_eq!(by_scan, expected.collect());
        }
        assert_eq!(changed_ranges(&clone, Some(&pagemap())).unwrap(), by_scan.into_ranges());
    }

    #[test]
    fn what_was_read_is_known_to_the_page_where_memory_faults_page_by_page() {
        let base = empty(8 << 20);
        fill(&base, 0..512, 1);
        let mut clone = clone_of(&base);
        clone.fault_page_by_page().unwrap();
        let granules = [0u64, 17, 18, 300, 511];
        let pages: RangeSet = granules
            .iter()
            .map(|granule| {
                let start = granule * GRANULE - granule * GRANULE % host_page_size();
                start..start + host_page_size()
            })
            .collect();
        for granule in granules {
            clone.reservation().copy_out(granule * GRANULE, &mut [0; 8]).unwrap();
        }
        fill(&clone, 100..101, 3);
        let (by_scan, by_pagemap) = both_of(&clone, PageKind::Shared);
        assert_eq!((&by_scan, &by_pagemap), (&pages, &pages));
        assert_eq!(read_ranges(&clone, Some(&pagemap())).unwrap(), pages.into_ranges());
        assert_eq!(
            bytes(&clone)[..512 * GRANULE_LENGTH].iter().filter(|byte| **byte == 3).count(),
            GRANULE_LENGTH
        );
    }

    #[test]
    fn the_zero_page_is_not_changed_for_scan_and_no_difference_for_either() {
        let base = empty(SIZE);
        fill(&base, 0..16, 1);
        let clone = clone_of(&base);
        bytes(&clone); // reads the zero page everywhere else
        let (by_scan, by_pagemap) = both(&clone);
        if by_scan != by_pagemap {
            assert_eq!(by_scan, RangeSet::default());
        }
        let view = clone.view();
        let difference = super::super::compare::difference(&clone, &view, by_pagemap.ranges()).unwrap();
        assert_eq!(difference, super::super::compare::Difference::default());
    }

    #[test]
    fn populated_pages_are_candidates_and_no_difference() {
        let base = empty(SIZE);
        fill(&base, 0..64, 1);
        let mut clone = clone_of(&base);
        clone.populate_written(&std::iter::once(GRANULE..5 * GRANULE).collect()).unwrap();
        assert!(both(&clone).0.length() >= 4 * GRANULE);
        let (file, _) = snapshot(&clone).unwrap();
        assert!(open(&file).extents().is_empty());
    }

    #[test]
    fn swapped_pages_are_candidates() {
        let mut swaps = String::new();
        File::open("/proc/swaps").unwrap().read_to_string(&mut swaps).unwrap();
        let memory = empty(SIZE);
        fill(&memory, 8..16, 5);
        memory.swap_out();
        // Whether or not this host has swap, nothing written may be missing. Where it has huge pages there may be more.
        let (by_scan, by_pagemap) = both(&memory);
        for found in [by_scan, by_pagemap] {
            assert_eq!(found.union(std::iter::once(8 * GRANULE..16 * GRANULE)), found, "{swaps}");
        }
    }

    #[test]
    fn a_pagemap_that_cannot_be_read_is_an_error() {
        let error =
            changed_ranges(&empty(SIZE), Some(&File::open("/proc/self/status").unwrap())).unwrap_err();
        assert_eq!(error.code, ErrorCode::Io);
    }
}
