//! Carries out a plan: maps, reads and clears, with as few system calls as the plan allows.

use std::io;

use super::guest::LoadReport;
use super::mapping::{Advice, READ_PARTS_MAX, Reservation};
use super::plan::{Piece, Plan};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::{ExtentSource, LayerFile, corrupt};

/// What the host may map at once, bytes: anonymous runs from this length on could be backed by such blocks.
pub(super) const BLOCK_LENGTH: u64 = 2 << 20;

/// Loads the layers that the plan was made of. After an error memory is neither what it was nor what it should be.
pub(super) fn load(reservation: &Reservation, layers: &[&LayerFile], plan: Plan) -> Result<LoadReport> {
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
    // Zeros have no file offset and sort first.
    copies.sort_unstable_by_key(|piece| (file_offset(piece).is_some(), piece.layer, file_offset(piece)));
    let zeros = copies.partition_point(|piece| file_offset(piece).is_none());
    let (zeros, data) = copies.split_at_mut(zeros);
    for piece in zeros {
        loader.clear(piece)?;
    }
    for run in data.chunk_by_mut(follows) {
        loader.read(run)?;
    }
    Ok(loader.report)
}

struct Loader<'a> {
    reservation: &'a Reservation,
    layers: &'a [&'a LayerFile],
    report: LoadReport,
}

impl Loader<'_> {
    fn map(&mut self, piece: &Piece) -> io::Result<()> {
        match piece.source {
            ExtentSource::Data { file_offset } => {
                let layer = self.layers.get(piece.layer).ok_or(io::ErrorKind::InvalidInput)?;
                self.reservation.map_file(piece.offset, piece.length, layer.file(), file_offset)?;
                self.report.mapped_bytes += piece.length;
            }
            ExtentSource::Zero => {
                self.reservation.map_zeros(piece.offset, piece.length)?;
                if piece.length >= BLOCK_LENGTH {
                    no_huge_pages(self.reservation, piece.offset, piece.length)?;
                }
                self.report.zeroed_bytes += piece.length;
            }
        }
        self.report.map_calls += 1;
        Ok(())
    }

    fn clear(&mut self, piece: &Piece) -> Result<()> {
        self.reservation.fill_zeros(piece.offset, piece.length).map_err(failed(piece, "clearing"))?;
        self.report.zeroed_bytes += piece.length;
        Ok(())
    }

    /// Reads pieces that lie one after the other in their file.
    fn read(&mut self, run: &mut [Piece]) -> Result<()> {
        let mut rest = run;
        while let Some(first) = rest.first() {
            let piece = *first;
            let (Some(layer), Some(at)) = (self.layers.get(piece.layer), file_offset(&piece)) else {
                return Ok(());
            };
            let parts = rest.iter().take(READ_PARTS_MAX).map(|piece| (piece.offset, piece.length));
            let read =
                self.reservation.read_file(layer.file(), at, parts).map_err(failed(&piece, "reading"))?;
            if read == 0 {
                return Err(corrupt(format!("it ends at {at:#x}, before the data of its extents does")));
            }
            self.report.read_calls += 1;
            self.report.copied_bytes += read as u64;
            rest = advance(rest, read as u64);
        }
        Ok(())
    }
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

fn follows(before: &Piece, after: &Piece) -> bool {
    let end = file_offset(before).map(|at| at.saturating_add(before.length));
    before.layer == after.layer && end == file_offset(after)
}

fn file_offset(piece: &Piece) -> Option<u64> {
    match piece.source {
        ExtentSource::Data { file_offset } => Some(file_offset),
        ExtentSource::Zero => None,
    }
}

/// Keeps a part of memory from being backed by 2 MiB blocks, on kernels that could.
pub(super) fn no_huge_pages(reservation: &Reservation, offset: u64, length: u64) -> io::Result<()> {
    match reservation.advise(offset, length, Advice::NoHugePage) {
        // A kernel that was built without transparent huge pages knows no such advice.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

fn failed(piece: &Piece, doing: &str) -> impl FnOnce(io::Error) -> VmmError + use<> {
    VmmError::wrap(
        ErrorCode::Memory,
        format!("{doing} {} bytes of a memory layer at guest offset {:#x}", piece.length, piece.offset),
    )
}
