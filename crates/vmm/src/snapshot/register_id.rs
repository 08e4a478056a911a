//! The ids by which KVM names the registers of an ARM vCPU (Documentation/virt/kvm/api.rst, KVM_SET_ONE_REG).
//!
//! | bits | what |
//! |---|---|
//! | 60 to 63 | architecture: 6 |
//! | 52 to 55 | width: the power of two, in bytes |
//! | 16 to 27 | kind: 0x10 core, 0x13 system register, 0x15 SVE |
//! | 0 to 15 | which one; of a system register op0, op1, CRn, CRm, op2 in 2, 3, 4, 4, 3 bits |

use std::fmt::Write;

use crate::abi::abi_assert;

const ARM64_U64: u64 = 0x6030_0000_0000_0000;
const SYSTEM_REGISTER: u64 = 0x13 << 16;

/// MIDR_EL1, the implementation of the CPU.
pub const MIDR_EL1: u64 = system_register(3, 0, 0, 0, 0);
/// MPIDR_EL1, a vCPU's affinity.
pub const MPIDR_EL1: u64 = system_register(3, 0, 0, 0, 5);
/// The SVE vector lengths of a vCPU, a bitmap of 512 bits: bit n is for (n + 1) x 128 bits.
pub const SVE_VECTOR_LENGTHS: u64 = 0x6060_0000_0015_ffff;

/// The id of a system register of 64 bits.
pub const fn system_register(op0: u64, op1: u64, crn: u64, crm: u64, op2: u64) -> u64 {
    ARM64_U64 | SYSTEM_REGISTER | op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

/// The width of a register in bytes, 1 to 256.
pub fn register_width(id: u64) -> usize {
    1 << (id >> 52 & 0xf).min(8)
}

/// Whether a register says what the CPU can do, and is the same on all CPUs of a host.
pub fn is_identification(id: u64) -> bool {
    const FIRST: u64 = system_register(3, 0, 0, 1, 0);
    const LAST: u64 = system_register(3, 0, 0, 7, 7);
    const OTHERS: [u64; 4] = [
        system_register(3, 0, 0, 0, 6), // REVIDR_EL1
        system_register(3, 1, 0, 0, 1), // CLIDR_EL1
        system_register(3, 1, 0, 0, 7), // AIDR_EL1
        system_register(3, 3, 0, 0, 1), // CTR_EL0
    ];
    (FIRST..=LAST).contains(&id) || OTHERS.contains(&id)
}

/// What the architecture calls a register, where it has a name that people know; else how assemblers write it, or its id.
pub fn name(id: u64) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(named, _)| *named == id) {
        return (*name).to_owned();
    }
    let mut text = String::new();
    if id & !0xffff == ARM64_U64 | SYSTEM_REGISTER {
        let field = |shift: u32, bits: u32| id >> shift & ((1 << bits) - 1);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "S{}_{}_C{}_C{}_{}",
            field(14, 2),
            field(11, 3),
            field(7, 4),
            field(3, 4),
            field(0, 3)
        );
    } else {
        let _ = write!(text, "register {id:#x}");
    }
    text
}

const NAMES: &[(u64, &str)] = &[
    (MIDR_EL1, "MIDR_EL1"),
    (MPIDR_EL1, "MPIDR_EL1"),
    (SVE_VECTOR_LENGTHS, "SVE vector lengths"),
    (system_register(3, 0, 0, 0, 6), "REVIDR_EL1"),
    (system_register(3, 1, 0, 0, 1), "CLIDR_EL1"),
    (system_register(3, 1, 0, 0, 7), "AIDR_EL1"),
    (system_register(3, 3, 0, 0, 1), "CTR_EL0"),
    (system_register(3, 0, 0, 4, 0), "ID_AA64PFR0_EL1"),
    (system_register(3, 0, 0, 4, 1), "ID_AA64PFR1_EL1"),
    (system_register(3, 0, 0, 4, 2), "ID_AA64PFR2_EL1"),
    (system_register(3, 0, 0, 4, 4), "ID_AA64ZFR0_EL1"),
    (system_register(3, 0, 0, 4, 5), "ID_AA64SMFR0_EL1"),
    (system_register(3, 0, 0, 4, 7), "ID_AA64FPFR0_EL1"),
    (system_register(3, 0, 0, 5, 0), "ID_AA64DFR0_EL1"),
    (system_register(3, 0, 0, 5, 1), "ID_AA64DFR1_EL1"),
    (system_register(3, 0, 0, 5, 4), "ID_AA64AFR0_EL1"),
    (system_register(3, 0, 0, 5, 5), "ID_AA64AFR1_EL1"),
    (system_register(3, 0, 0, 6, 0), "ID_AA64ISAR0_EL1"),
    (system_register(3, 0, 0, 6, 1), "ID_AA64ISAR1_EL1"),
    (system_register(3, 0, 0, 6, 2), "ID_AA64ISAR2_EL1"),
    (system_register(3, 0, 0, 6, 3), "ID_AA64ISAR3_EL1"),
    (system_register(3, 0, 0, 7, 0), "ID_AA64MMFR0_EL1"),
    (system_register(3, 0, 0, 7, 1), "ID_AA64MMFR1_EL1"),
    (system_register(3, 0, 0, 7, 2), "ID_AA64MMFR2_EL1"),
    (system_register(3, 0, 0, 7, 3), "ID_AA64MMFR3_EL1"),
    (system_register(3, 0, 0, 7, 4), "ID_AA64MMFR4_EL1"),
];

abi_assert!(
    "the ids of registers in the state file",
    version: "snapshot::STATE_VERSION",
    written: "Linux's Documentation/virt/kvm/api.rst (KVM_SET_ONE_REG)",
    MIDR_EL1 == 0x6030_0000_0013_c000,
    MPIDR_EL1 == 0x6030_0000_0013_c005,
    system_register(3, 3, 14, 3, 2) == 0x6030_0000_0013_df1a,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identification_registers_are_told_from_others() {
        for id in
            [system_register(3, 0, 0, 4, 0), system_register(3, 0, 0, 1, 0), system_register(3, 3, 0, 0, 1)]
        {
            assert!(is_identification(id), "{id:#x}");
        }
        // SCTLR_EL1, MPIDR_EL1, X0, and the SVE vector lengths.
        let others = [system_register(3, 0, 1, 0, 0), MPIDR_EL1, 0x6030_0000_0010_0000, SVE_VECTOR_LENGTHS];
        for id in others {
            assert!(!is_identification(id), "{id:#x}");
        }
    }

    #[test]
    fn a_register_is_called_what_people_call_it() {
        assert_eq!(name(system_register(3, 0, 0, 4, 0)), "ID_AA64PFR0_EL1");
        assert_eq!(name(system_register(3, 0, 0, 3, 5)), "S3_0_C0_C3_5");
        assert_eq!(name(0x6030_0000_0010_0040), "register 0x6030000000100040");
    }

    #[test]
    fn the_width_is_in_the_id() {
        assert_eq!(register_width(MIDR_EL1), 8);
        assert_eq!(register_width(SVE_VECTOR_LENGTHS), 64);
        assert_eq!(register_width(0x6080_0000_0015_0000), 256, "a Z register");
        assert_eq!(register_width(u64::MAX), 256);
    }
}
