//! Copying short runs of layers into memory: the most of what a start takes, and so done by two threads if there is one that helps.

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

/// Work that more than one thread can take part in, and that none has to.
pub type SharedWork = Arc<dyn Fn() + Send + Sync>;

/// Another thread.
pub trait Helper {
    /// Has it take part in this, soon, late or never: the work gets done without it.
    fn share(&self, work: SharedWork);
}

/// Copies pieces of the layers that have these files, in any order; where that is enough, with the help of another thread. Returns what it
/// took.
///
/// # Errors
/// [`ErrorCode::SnapshotCorrupt`] if a file has shrunk; [`ErrorCode::Memory`] if a read failed or did not end.
pub(super) fn copy(
    reservation: &Arc<Reservation>,
    files: Vec<Arc<File>>,
    mut pieces: Vec<Piece>,
    helper: Option<&dyn Helper>,
) -> Result<LoadReport> {
    // Zeros have no file offset and sort first.
    pieces.sort_unstable_by_key(|piece| (file_offset(piece).is_some(), piece.layer, file_offset(piece)));
    let helper = helper.filter(|_| pieces.iter().map(|piece| piece.length).sum::<u64>() >= SHARED_MIN);
    let portions = portions(&pieces, if helper.is_some() { PORTION } else { u64::MAX });
    let copies = Arc::new(Copies {
        reservation: Arc::clone(reservation),
        files,
        pieces,
        portions,
        next: AtomicUsize::new(0),
        progress: Mutex::default(),
        changed: Condvar::new(),
    });
    if let Some(helper) = helper {
        let copies = Arc::clone(&copies);
        helper.share(Arc::new(move || copies.work()));
    }
    copies.finish()
}

/// What is to be copied.
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

#[derive(Default)]
struct Progress {
    done: usize,
    /// Whether a thread waits for the other one.
    is_awaited: bool,
    report: LoadReport,
    error: Option<VmmError>,
}

impl Copies {
    /// Copies what no other thread has begun to.
    fn work(&self) {
        while let Some(portion) = self.portions.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let mut report = LoadReport::default();
            let outcome = self.copy(portion.clone(), &mut report);
            let Ok(mut progress) = self.progress.lock() else { return };
            progress.done += 1;
            progress.report.add(&report);
            if let Err(error) = outcome {
                progress.error.get_or_insert(error);
            }
            if progress.is_awaited {
                self.changed.notify_all();
            }
        }
    }

    /// Copies what no other thread has begun to, and waits for what another has.
    fn finish(&self) -> Result<LoadReport> {
        self.work();
        let mut progress = self.progress.lock().map_err(died)?;
        progress.is_awaited = true;
        let underway = |progress: &mut Progress| progress.done < self.portions.len();
        let (mut progress, waited) =
            self.changed.wait_timeout_while(progress, DEADLINE, underway).map_err(died)?;
        match progress.error.take() {
            Some(error) => Err(error),
            None if waited.timed_out() => Err(VmmError::new(
                ErrorCode::Memory,
                format!("reading memory layers did not end in {DEADLINE:?}"),
            )),
            None => Ok(progress.report),
        }
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
