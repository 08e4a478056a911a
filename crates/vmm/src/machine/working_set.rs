//! Writing down which memory a clone has used, for the restores to come.

use std::fs::File;
use std::io::Write;

use super::Machine;
use crate::control::WorkingSetReport;
use crate::diff::{changed_ranges, read_ranges};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::RangeSet;
use crate::working_set::WorkingSet;

impl Machine {
    /// Writes to `output`, an empty file, which memory has become private since this microVM was restored: by the guest, by devices,
    /// and where layers were copied, which a restore knows by itself; and what was only read, if reads are recorded. With a working
    /// set of another clone of the same snapshot, only what is in both.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_REFUSED if the microVM runs or was booted, or its process was prepared with working sets; FIRN_SNAPSHOT_CORRUPT if
    /// `previous` is not of this snapshot.
    pub fn record_working_set(
        &self,
        pagemap: &File,
        previous: Option<&WorkingSet>,
        output: &mut File,
    ) -> Result<WorkingSetReport> {
        let refused = |what: &str| VmmError::new(ErrorCode::SnapshotRefused, what);
        if !self.is_stopped() {
            return Err(refused("the microVM runs; pause it before its working set is recorded"));
        }
        if self.is_pretouched {
            return Err(refused(
                "its process was prepared with working sets, and what it holds is not what this clone has used; restore in a new process to record",
            ));
        }
        let layer = self.memory.top_digest();
        let layer = layer
            .ok_or_else(|| refused("a microVM that was booted has no snapshot to record a working set of"))?;
        let mut written: RangeSet = changed_ranges(&self.memory, Some(pagemap))?.into_iter().collect();
        let mut read = RangeSet::default();
        if self.memory.faults_page_by_page() {
            let present: RangeSet = read_ranges(&self.memory, Some(pagemap))?.into_iter().collect();
            read = present.without(&self.memory.top_diff());
        }
        if let Some(previous) = previous {
            previous.check(self.memory.size(), Some(layer))?;
            written = previous.written.intersection(&written);
            read = previous.read.intersection(&read);
        }
        let report = WorkingSetReport {
            written_bytes: written.length(),
            read_bytes: read.length(),
            ranges: u64::try_from(written.ranges().len() + read.ranges().len()).unwrap_or(u64::MAX),
        };
        let bytes = WorkingSet { memory_size: self.memory.size(), layer, written, read }.encode();
        output.write_all(&bytes).map_err(VmmError::wrap(ErrorCode::Io, "write the working set"))?;
        Ok(report)
    }
}
