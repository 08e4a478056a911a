//! Copying short runs of layers into memory: the most of what a start takes, and so done by two threads if there is one that helps, and
//! by that one while the first has something else to do.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::guest::LoadReport;
use super::load::failed;
use super::mapping::{READ_PARTS_MAX, Reservation};
use super::plan::Piece;
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::{ExtentSource, corrupt};

/// How much is read at once where two threads read, bytes: one waits for the other for no longer than that takes.
const PORTION: u64 = 64 << 10;
/// From how many bytes on it takes much longer to copy them than to wake another thread.
const SHARED_MIN: u64 = 4 * PORTION;
/// How long a call that is underway may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Work that more than one thread can take part in, and that none has to: does a small part of it that no other thread has begun with, if one
/// is left, and says whether one was.
pub type SharedWork = Arc<dyn Fn() -> bool + Send + Sync>;

/// Another thread.
pub trait Helper {
    /// Has it take part in this, soon, late or never, until nothing is left or it has something else to do: the work gets done without it.
    fn share(&self, work: SharedWork);
}

/// Pieces of layers that are to be copied: by another thread from [`Self::share`] on, and all that is left of them by [`Self::finish`].
#[derive(Debug)]
#[must_use = "memory is not loaded before this is finished"]
pub(super) struct Copying {
    copies: Arc<Copies>,
}

impl Copying {
    /// Of pieces of the layers that have these files, which may be copied in any order.
    pub(super) fn new(reservation: &Arc<Reservation>, files: Vec<Arc<File>>, mut pieces: Vec<Piece>) -> Self {
        // Zeros have no file offset and sort first.
        pieces.sort_unstable_by_key(|piece| (file_offset(piece).is_some(), piece.layer, file_offset(piece)));
        let copies = Arc::new(Copies {
            reservation: Arc::clone(reservation),
            files,
            portions: portions(&pieces, u64::MAX),
            pieces,
            next: AtomicUsize::new(0),
            progress: Mutex::default(),
            changed: Condvar::new(),
        });
        Self { copies }
    }

    /// Has another thread begin, once, if there is enough for it to do. This one should map nothing meanwhile: a thread that maps and one
    /// that copies wait for each other.
    pub(super) fn share(&mut self, helper: &dyn Helper) {
        // Nobody has a share yet.
        let Some(copies) = Arc::get_mut(&mut self.copies) else { return };
        if copies.pieces.iter().map(|piece| piece.length).sum::<u64>() >= SHARED_MIN {
            copies.portions = portions(&copies.pieces, PORTION);
            let copies = Arc::clone(&self.copies);
            helper.share(Arc::new(move || copies.copy_next()));
        }
    }

    /// Copies what no other thread has begun to, and waits for what another has. Returns what all of it took.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotCorrupt`] if a file has shrunk; [`ErrorCode::Memory`] if a read failed or did not end.
    pub(super) fn finish(&self) -> Result<LoadReport> {
        let copies = &self.copies;
        while copies.copy_next() {}
        let mut progress = copies.progress.lock().map_err(died)?;
        progress.is_awaited = true;
        let underway = |progress: &mut Progress| progress.done < copies.portions.len();
        let (progress, waited) =
            copies.changed.wait_timeout_while(progress, DEADLINE, underway).map_err(died)?;
        match &progress.error {
            Some(error) => Err(error.clone()),
            None if waited.timed_out() => Err(VmmError::new(
                ErrorCode::Memory,
                format!("reading memory layers did not end in {DEADLINE:?}"),
            )),
            None => Ok(progress.report),
        }
    }
}

/// What is to be copied.
#[derive(Debug)]
struct Copies {
    reservation: Arc<Reservation>,
    files: Vec<Arc<File>>,
    /// By layer and place in its file.
    pieces: Vec<Piece>,
    /// Of the pieces, those that lie one after the other in their file.
    portions: Vec<Range<usize>>,
    /// The first portion that no thread has begun with.
    next: AtomicUsize,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    done: usize,
    /// Whether a thread waits for the other one.
    is_awaited: bool,
    report: LoadReport,
    error: Option<VmmError>,
}

impl Copies {
    /// Copies a portion that no other thread has begun with, if one is left. Returns whether one was.
    fn copy_next(&self) -> bool {
        let Some(portion) = self.portions.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
            return false;
        };
        let mut report = LoadReport::default();
        let outcome = self.copy(portion.clone(), &mut report);
        let Ok(mut progress) = self.progress.lock() else { return false };
        progress.done += 1;
        progress.report.add(&report);
        if let Err(error) = outcome {
            progress.error.get_or_insert(error);
        }
        if progress.is_awaited {
            self.changed.notify_all();
        }
        true
    }

    /// Reads pieces that lie one after the other in their file, or clears them.
    fn copy(&self, portion: Range<usize>, report: &mut LoadReport) -> Result<()> {
        let mut pieces = self.pieces.get(portion).unwrap_or_default().to_vec();
        let mut rest = pieces.as_mut_slice();
        while let Some(&piece) = rest.first() {
            match piece.source {
                ExtentSource::Data { file_offset } => {
                    let file = self.files.get(piece.layer).ok_or_else(|| corrupt("a piece of no layer"))?;
                    let parts = rest.iter().take(READ_PARTS_MAX).map(|piece| (piece.offset, piece.length));
                    let read = self.reservation.read_file(file, file_offset, parts);
                    let read = read.map_err(failed(&piece, "reading"))? as u64;
                    if read == 0 {
                        return Err(corrupt(format!(
                            "it ends at {file_offset:#x}, before the data of its extents does"
                        )));
                    }
                    report.read_calls += 1;
                    report.copied_bytes += read;
                    rest = advance(rest, read);
                }
                ExtentSource::Zero => {
                    let cleared = self.reservation.fill_zeros(piece.offset, piece.length);
                    cleared.map_err(failed(&piece, "clearing"))?;
                    report.zeroed_bytes += piece.length;
                    rest = rest.get_mut(1..).unwrap_or_default();
                }
            }
        }
        Ok(())
    }
}

/// Runs of pieces that lie one after the other in their file, of at most `length` bytes or one piece.
fn portions(pieces: &[Piece], length: u64) -> Vec<Range<usize>> {
    let mut portions: Vec<Range<usize>> = Vec::new();
    let mut room = 0;
    for (index, piece) in pieces.iter().enumerate() {
        match portions.last_mut() {
            Some(last)
                if piece.length <= room
                    && pieces.get(last.end - 1).is_some_and(|before| follows(before, piece)) =>
            {
                last.end = index + 1;
                room -= piece.length;
            }
            _ => {
                portions.push(index..index + 1);
                room = length.saturating_sub(piece.length);
            }
        }
    }
    portions
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

fn died<T>(_: std::sync::PoisonError<T>) -> VmmError {
    VmmError::new(ErrorCode::Memory, "a thread that read memory layers has died")
}
