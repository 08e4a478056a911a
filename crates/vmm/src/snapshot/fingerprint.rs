//! What a host must have in common with the one on which a snapshot was taken.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::register_id;
use crate::error::{ErrorCode, Result, VmmError};
use crate::gic_version::GicVersion;

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
    /// Identification registers, as guests see them: KVM's id and the value.
    #[serde(with = "super::words::pairs")]
    pub id_registers: Vec<(u64, u64)>,
    /// The SVE vector lengths of a guest; none without SVE.
    pub vector_lengths: VectorLengths,
}

/// A set of SVE vector lengths, as KVM has it: bit n of the whole is for (n + 1) x 128 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorLengths([u64; 8]);

impl VectorLengths {
    /// From the value of the register that KVM has for it, little-endian. Bytes that are missing are zero.
    pub fn from_register(bytes: &[u8]) -> Self {
        let mut words = [0; 8];
        for (index, byte) in bytes.iter().enumerate() {
            if let Some(word) = words.get_mut(index / 8) {
                *word |= u64::from(*byte) << (index % 8 * 8);
            }
        }
        Self(words)
    }

    /// The lengths in bits, shortest first.
    pub fn bits(self) -> impl Iterator<Item = u32> {
        (0_u32..).zip(self.0).flat_map(|(index, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| (index * 64 + bit + 1) * 128)
        })
    }
}

impl fmt::Display for VectorLengths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return write!(formatter, "none");
        }
        let lengths: Vec<String> = self.bits().map(|bits| bits.to_string()).collect();
        write!(formatter, "{} bits", lengths.join(", "))
    }
}

impl HostFingerprint {
    /// Checks that a snapshot with this fingerprint can run on `host`.
    ///
    /// # Errors
    /// FIRN_SNAPSHOT_INCOMPATIBLE with the name of the first difference and both values.
    pub fn check(&self, host: &HostFingerprint) -> Result<()> {
        self.difference(host).map_or(Ok(()), Err)
    }

    /// The error for the first difference. The most telling come first: another CPU differs in all of them.
    fn difference(&self, host: &HostFingerprint) -> Option<VmmError> {
        let hexadecimal =
            |value: Option<u64>| value.map_or("absent".to_owned(), |value| format!("{value:#x}"));
        if self.midr != host.midr {
            return Some(other_host(
                "CPU (MIDR_EL1)",
                format!("{:#x}", self.midr),
                format!("{:#x}", host.midr),
            ));
        }
        if self.counter_frequency != host.counter_frequency {
            return Some(other_host(
                "counter frequency (CNTFRQ_EL0)",
                self.counter_frequency,
                host.counter_frequency,
            ));
        }
        if self.page_size != host.page_size {
            let bytes = |size: u64| format!("{size} bytes");
            return Some(other_host("host page size", bytes(self.page_size), bytes(host.page_size)));
        }
        if self.gic != host.gic {
            return Some(other_host("interrupt controller", self.gic, host.gic));
        }
        if self.vector_lengths != host.vector_lengths {
            return Some(other_host("set of SVE vector lengths", self.vector_lengths, host.vector_lengths));
        }
        // Nearly always they are the same, and in the same order.
        if self.id_registers != host.id_registers {
            for id in self.id_registers.iter().chain(&host.id_registers).map(|(id, _)| *id) {
                let value = |fingerprint: &HostFingerprint| {
                    fingerprint.id_registers.iter().find(|(own, _)| *own == id).map(|(_, value)| *value)
                };
                let (own, other) = (value(self), value(host));
                if own != other {
                    return Some(other_host(&register_id::name(id), hexadecimal(own), hexadecimal(other)));
                }
            }
        }
        if self.register_list != host.register_list {
            let list =
                |(count, checksum): (u64, u64)| format!("{count} registers with checksum {checksum:#x}");
            return Some(other_host("register list", list(self.register_list), list(host.register_list)));
        }
        None
    }
}

/// The error for a snapshot that has another value of something than this host.
pub(crate) fn other_host(what: &str, snapshot: impl fmt::Display, host: impl fmt::Display) -> VmmError {
    VmmError::new(
        ErrorCode::SnapshotIncompatible,
        format!(
            "the snapshot's {what} is {snapshot}, this host's is {host}; rebuild the snapshot on this host"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostFingerprint {
        HostFingerprint {
            midr: 0x414f_d0b1,
            counter_frequency: 62_500_000,
            page_size: 4096,
            gic: GicVersion::V3,
            register_list: (300, 7),
            id_registers: vec![
                (register_id::system_register(3, 0, 0, 4, 0), 0x11),
                (register_id::system_register(3, 0, 0, 6, 1), 0x22),
            ],
            vector_lengths: VectorLengths([0b1011, 0, 0, 0, 0, 0, 0, 0]),
        }
    }

    #[test]
    fn the_same_host_fits() {
        assert_eq!(host().check(&host()), Ok(()));
    }

    #[test]
    fn check_names_the_difference_with_both_values() {
        let isar1 = register_id::system_register(3, 0, 0, 6, 1);
        let changed: [(HostFingerprint, [&str; 3]); 8] = [
            (HostFingerprint { midr: 1, ..host() }, ["MIDR_EL1", "0x1,", "0x414fd0b1"]),
            (HostFingerprint { counter_frequency: 54, ..host() }, ["CNTFRQ_EL0", "54", "62500000"]),
            (HostFingerprint { page_size: 16384, ..host() }, ["host page size", "16384 bytes", "4096 bytes"]),
            (HostFingerprint { gic: GicVersion::V2, ..host() }, ["interrupt controller", "GICv2", "GICv3"]),
            (
                HostFingerprint { vector_lengths: VectorLengths::default(), ..host() },
                ["SVE vector lengths", "none", "128, 256, 512 bits"],
            ),
            (
                HostFingerprint { id_registers: vec![host().id_registers[0], (isar1, 0x23)], ..host() },
                ["ID_AA64ISAR1_EL1", "0x23", "0x22"],
            ),
            (
                HostFingerprint { id_registers: vec![host().id_registers[0]], ..host() },
                ["ID_AA64ISAR1_EL1", "absent", "0x22"],
            ),
            (HostFingerprint { register_list: (301, 7), ..host() }, ["register list", "301", "300"]),
        ];
        for (snapshot, words) in changed {
            let error = snapshot.check(&host()).unwrap_err();
            assert_eq!(error.code, ErrorCode::SnapshotIncompatible);
            for word in words {
                assert!(error.message.contains(word), "{word} in {error}");
            }
        }
    }

    #[test]
    fn vector_lengths_are_read_as_kvm_writes_them() {
        let mut register = [0; 64];
        register[0] = 0b1001;
        register[8] = 1;
        assert_eq!(VectorLengths::from_register(&register).bits().collect::<Vec<_>>(), [128, 512, 8320]);
        assert_eq!(VectorLengths::from_register(&[]), VectorLengths::default());
    }
}
