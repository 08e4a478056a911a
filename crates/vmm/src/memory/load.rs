//! Carries out a plan, with as few system calls as it allows.

use std::io;
use std::ops::Range;

use super::mapping::{BLOCK_LENGTH, READ_PARTS_MAX, Reservation, no_huge_pages};
use super::plan::{Piece, Plan};
use super::report::LoadReport;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::{ExtentSource, LayerFile, corrupt};

/// Brings layers into memory as their plan says, and notes what was copied or cleared. Returns what that took. After an error memory is neither what it was nor what it
/// should be.
///
/// # Errors
/// [`ErrorCode::SnapshotCorrupt`] if a file has shrunk; [`ErrorCode::Memory`] if a mapping or a read failed.
pub(super) fn load(
    reservation: &Reservation,
    layers: &[&LayerFile],
    plan: Plan,
    copied: &mut Vec<Range<u64>>,
) -> Result<LoadReport> {
    let mut loader = Loader { reservation, layers, report: LoadReport::default() };
    let Plan { mappings, visible, mut copies } = plan;
    for mapping in mappings {
        match loader.map(&mapping.piece) {
            Ok(()) => {}
            // The process has as many mappings as it may have.
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                copies.extend(visible.get(mapping.visible).unwrap_or_default());
            }
            Err(error) => return Err(failed(&mapping.piece, "mapping")(error)),
        }
    }
    copied.extend(copies.iter().map(Piece::range));
    // Zeros have no file offset and sort first.
    copies.sort_unstable_by_key(|piece| (file_offset(piece).is_some(), piece.layer, file_offset(piece)));
    loader.copy(&mut copies)?;
    Ok(loader.report)
}

struct Loader<'a> {
    reservation: &'a Reservation,
    layers: &'a [&'a LayerFile],
    report: LoadReport,
}

impl<'a> Loader<'a> {
    fn layer(&self, piece: &Piece) -> io::Result<&'a LayerFile> {
        self.layers.get(piece.layer).copied().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn map(&mut self, piece: &Piece) -> io::Result<()> {
        match piece.source {
            ExtentSource::Data { file_offset } => {
                let file = self.layer(piece)?.file();
                self.reservation.map_file(piece.offset, piece.length, file, file_offset)?;
                self.report.mapped_bytes += piece.length;
            }
            ExtentSource::Zero => {
                self.reservation.map_zeros(piece.offset, piece.length)?;
                // Anonymous memory of this length could be backed by such blocks.
                if piece.length >= BLOCK_LENGTH {
                    no_huge_pages(self.reservation, piece.offset, piece.length)?;
                }
                self.report.zeroed_bytes += piece.length;
            }
        }
        self.report.map_calls += 1;
        Ok(())
    }

    /// Reads pieces, which are sorted, in one call for those that lie one after the other in their file, or clears them.
    fn copy(&mut self, pieces: &mut [Piece]) -> Result<()> {
        let mut rest = pieces;
        while let Some(&piece) = rest.first() {
            let ExtentSource::Data { file_offset } = piece.source else {
                let cleared = self.reservation.fill_zeros(piece.offset, piece.length);
                cleared.map_err(failed(&piece, "clearing"))?;
                self.report.zeroed_bytes += piece.length;
                rest = rest.get_mut(1..).unwrap_or_default();
                continue;
            };
            let file = self.layer(&piece).map_err(failed(&piece, "finding"))?.file();
            let parts = rest.iter().take(run_length(rest)).map(|piece| (piece.offset, piece.length));
            let read = self.reservation.read_file(file, file_offset, parts);
            let read = read.map_err(failed(&piece, "reading"))? as u64;
            if read == 0 {
                return Err(corrupt(format!(
                    "it ends at {file_offset:#x}, before the data of its extents does"
                )));
            }
            self.report.read_calls += 1;
            self.report.copied_bytes += read;
            rest = advance(rest, read);
        }
        Ok(())
    }
}

/// How many of the first pieces lie one after the other in their file, as far as one call takes them.
fn run_length(pieces: &[Piece]) -> usize {
    let follows = |pair: &&[Piece]| match pair {
        [before, after] => {
            let end = file_offset(before).map(|at| at.saturating_add(before.length));
            before.layer == after.layer && end == file_offset(after)
        }
        _ => false,
    };
    1 + pieces.windows(2).take(READ_PARTS_MAX - 1).take_while(follows).count()
}

/// What is left of the pieces after their first `read` bytes.
fn advance(pieces: &mut [Piece], mut read: u64) -> &mut [Piece] {
    let whole = pieces.iter().take_while(|piece| {
        let is_whole = piece.length <= read;
        if is_whole {
            read -= piece.length;
        }
        is_whole
    });
    let whole = whole.count();
    let (_, rest) = pieces.split_at_mut(whole);
    if let Some(first) = rest.first_mut() {
        first.offset += read;
        first.length -= read;
        if let ExtentSource::Data { file_offset } = &mut first.source {
            *file_offset += read;
        }
    }
    rest
}

fn file_offset(piece: &Piece) -> Option<u64> {
    match piece.source {
        ExtentSource::Data { file_offset } => Some(file_offset),
        ExtentSource::Zero => None,
    }
}

fn failed(piece: &Piece, doing: &str) -> impl FnOnce(io::Error) -> VmmError + use<> {
    VmmError::wrap(
        ErrorCode::Memory,
        format!("{doing} {} bytes of a memory layer at guest offset {:#x}", piece.length, piece.offset),
    )
}
