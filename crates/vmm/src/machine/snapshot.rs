//! Taking a snapshot of a stopped microVM, which can go on afterwards.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use super::{Machine, host_fingerprint, lock, microseconds_since};
use crate::control::{SnapshotReport, SnapshotRequest};
use crate::diff::{WriteOptions, write_layer};
use crate::error::{ErrorCode, Result, VmmError};
use crate::snapshot::{MachineState, encode};

impl Machine {
    /// Writes the difference to this microVM's layers to `layer` and everything else to `state`, two empty files. Durability
    /// is the caller's: it publishes the files. `pagemap` is this process's own.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_REFUSED if the microVM runs, is a leaf, or has vsock connections in flight.
    pub fn snapshot(
        &mut self,
        request: &SnapshotRequest,
        pagemap: &File,
        layer: &mut File,
        state: &mut File,
    ) -> Result<SnapshotReport> {
        let start = Instant::now();
        let refused = |what: &str| Err(VmmError::new(ErrorCode::SnapshotRefused, what));
        let Some(stopped_at) = self.stopped_at else {
            return refused("the microVM runs; wait for its doorbell or pause it");
        };
        if self.leaf {
            return refused("the microVM was restored to serve, not to be snapshotted");
        }
        // Before interrupt controller and memory: what is half done is answered, which raises interrupts and writes memory.
        let devices = self.devices.save()?;
        let vcpus = self.threads.vcpus().map(|vcpu| lock(vcpu)?.save(stopped_at));
        let vcpus = vcpus.collect::<Result<Vec<_>>>()?;
        let gic = self.gic.save()?;
        let host = host_fingerprint(&*self.first_vcpu()?, &self.gic)?;
        let machine = MachineState { host, memory_bytes: self.memory.size(), vcpus, gic, devices };
        let bytes = encode(&machine)?;
        state.write_all(&bytes).map_err(VmmError::wrap(ErrorCode::Io, "write the state file"))?;

        let written = write_layer(
            &self.memory,
            layer,
            &WriteOptions {
                parent_digest: self.memory.top_digest(),
                app_image: request.app_image,
                pagemap: Some(pagemap),
            },
        )?;
        Ok(SnapshotReport {
            candidate_bytes: written.candidate_bytes,
            data_bytes: written.data_bytes,
            zero_bytes: written.zero_bytes,
            extents: written.extents,
            layer_file_bytes: written.file_bytes,
            state_file_bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            microseconds: microseconds_since(start),
        })
    }
}
