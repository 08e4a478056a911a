//! Carries out the mappings of a plan, with as few system calls as it allows.

use std::io;
use std::sync::Arc;

use super::copy::Copying;
use super::guest::LoadReport;
use super::mapping::{Advice, Reservation};
use super::plan::{Piece, Plan};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::{ExtentSource, LayerFile};

/// What the host may map at once, bytes: anonymous runs from this length on could be backed by such blocks.
pub(super) const BLOCK_LENGTH: u64 = 2 << 20;

/// Maps what the plan of the layers says. Returns what that took, and what is left to copy. After an error memory is neither what it was
/// nor what it should be.
pub(super) fn map(
    reservation: &Arc<Reservation>,
    layers: &[&LayerFile],
    plan: Plan,
) -> Result<(LoadReport, Copying)> {
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
    let files = layers.iter().map(|layer| layer.shared_file()).collect();
    Ok((loader.report, Copying::new(reservation, files, copies)))
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
}

/// Keeps a part of memory from being backed by 2 MiB blocks, on kernels that could.
pub(super) fn no_huge_pages(reservation: &Reservation, offset: u64, length: u64) -> io::Result<()> {
    match reservation.advise(offset, length, Advice::NoHugePage) {
        // A kernel that was built without transparent huge pages knows no such advice.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

pub(super) fn failed(piece: &Piece, doing: &str) -> impl FnOnce(io::Error) -> VmmError + use<> {
    VmmError::wrap(
        ErrorCode::Memory,
        format!("{doing} {} bytes of a memory layer at guest offset {:#x}", piece.length, piece.offset),
    )
}
