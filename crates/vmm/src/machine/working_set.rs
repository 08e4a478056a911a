//! Writing down which memory a clone has used, for the restores to come.

use std::fs::File;
use std::io::Write;

use super::Machine;
use crate::control::WorkingSetReport;
use crate::diff::{changed_ranges, read_ranges};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layer::{Digest, RangeSet};
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
        let layer = self.restored_layer()?;
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
        write(&WorkingSet { memory_size: self.memory.size(), layer, written, read }, output)
    }

    /// Writes to `output`, an empty file, which memory this microVM has written since it was restored and had a fault for: what its working
    /// set, or those that its process was prepared with, did not name. It may run meanwhile. With the snapshot's working set and the misses of
    /// another clone, that working set is written, and in it what both clones have missed.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_REFUSED if the microVM was booted; FIRN_SNAPSHOT_CORRUPT if a working set is not of this snapshot.
    pub fn record_misses(
        &self,
        pagemap: &File,
        learnt_from: Option<&(WorkingSet, WorkingSet)>,
        output: &mut File,
    ) -> Result<WorkingSetReport> {
        let layer = self.restored_layer()?;
        let memory_size = self.memory.size();
        let changed: RangeSet = changed_ranges(&self.memory, Some(pagemap))?.into_iter().collect();
        let written = self.memory.unforeseen(&changed);
        let misses = WorkingSet { memory_size, layer, written, read: RangeSet::default() };
        let Some((known, others)) = learnt_from else { return write(&misses, output) };
        for set in [known, others] {
            set.check(memory_size, Some(layer))?;
        }
        write(&known.learn(&misses, others), output)
    }

    fn restored_layer(&self) -> Result<Digest> {
        self.memory.top_digest().ok_or_else(|| {
            VmmError::new(
                ErrorCode::SnapshotRefused,
                "a microVM that was booted has no snapshot to record a working set of",
            )
        })
    }
}

fn write(set: &WorkingSet, output: &mut File) -> Result<WorkingSetReport> {
    output.write_all(&set.encode()).map_err(VmmError::wrap(ErrorCode::Io, "write the working set"))?;
    Ok(WorkingSetReport {
        written_bytes: set.written.length(),
        read_bytes: set.read.length(),
        ranges: u64::try_from(set.written.ranges().len() + set.read.ranges().len()).unwrap_or(u64::MAX),
    })
}
