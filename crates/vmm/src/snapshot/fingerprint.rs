//! What a host must have in common with the one on which a snapshot was taken.

use serde::{Deserialize, Serialize};

use crate::control::GicVersion;
use crate::error::{ErrorCode, Result, VmmError};

/// A host, as far as a guest can see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFingerprint {
    /// MIDR_EL1: implementer, part and revision of the CPU.
    pub midr: u64,
    /// CNTFRQ_EL0: frequency of the counter in Hz.
    pub counter_frequency: u64,
    /// Size of the host's pages in bytes.
    pub page_size: u64,
    /// Version of the interrupt controller.
    pub gic: GicVersion,
    /// Number and checksum of the ids in the vCPUs' register list.
    pub register_list: (u64, u64),
}

impl HostFingerprint {
    /// Checks that a snapshot with this fingerprint can run on `host`. The page size may differ: layers are in bytes.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE with the name of the first difference and both values.
    pub fn check(&self, host: &HostFingerprint) -> Result<()> {
        let differences = [
            ("CPU (MIDR_EL1)", format!("{:#x}", self.midr), format!("{:#x}", host.midr)),
            (
                "counter frequency (CNTFRQ_EL0)",
                self.counter_frequency.to_string(),
                host.counter_frequency.to_string(),
            ),
            ("interrupt controller", format!("{:?}", self.gic), format!("{:?}", host.gic)),
            ("register list", format!("{:x?}", self.register_list), format!("{:x?}", host.register_list)),
        ];
        match differences.into_iter().find(|(_, snapshot, host)| snapshot != host) {
            None => Ok(()),
            Some((what, snapshot, host)) => Err(VmmError::new(
                ErrorCode::SnapshotIncompatible,
                format!(
                    "the snapshot's {what} is {snapshot}, this host's is {host}; rebuild the snapshot on this host"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_names_the_difference_with_both_values() {
        let host = HostFingerprint {
            midr: 0x414f_d0b1,
            counter_frequency: 62_500_000,
            page_size: 4096,
            gic: GicVersion::V3,
            register_list: (300, 7),
        };
        assert_eq!(host.check(&host), Ok(()));
        assert_eq!(HostFingerprint { page_size: 16384, ..host.clone() }.check(&host), Ok(()));
        let other = HostFingerprint { counter_frequency: 54_000_000, ..host.clone() };
        let error = other.check(&host).unwrap_err();
        assert_eq!(error.code, ErrorCode::SnapshotIncompatible);
        assert!(error.message.contains("54000000") && error.message.contains("62500000"), "{error}");
    }
}
