//! vCPU registers as KVM_GET_ONE_REG and KVM_SET_ONE_REG know them: by an id that says how wide they are.

use kvm_bindings::{
    KVM_REG_ARM_CORE, KVM_REG_ARM64, KVM_REG_ARM64_SVE, KVM_REG_ARM64_SYSREG, KVM_REG_SIZE_U64,
    KVM_REG_SIZE_U512,
};

const CORE_U64: u64 = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE as u64;

/// X0. Core registers are numbered by their offset in `struct kvm_regs`, in units of 4 bytes.
pub const X0: u64 = CORE_U64;
/// The program counter.
pub const PC: u64 = CORE_U64 | (32 * 8 / 4);
/// The processor state.
pub const PSTATE: u64 = CORE_U64 | (33 * 8 / 4);

/// EL1h with interrupts, SError and debug exceptions masked: what arm64 Linux is entered with.
pub const PSTATE_BOOT: u64 = 0x3c5;

/// MPIDR_EL1, a vCPU's affinity.
pub const MPIDR_EL1: u64 = system_register(3, 0, 0, 0, 5);
/// MIDR_EL1, the implementation of the CPU.
pub const MIDR_EL1: u64 = system_register(3, 0, 0, 0, 0);

/// The guest's virtual counter. The uAPI has the encodings of CNT and CVAL swapped, for ever: this is the id that is named
/// KVM_REG_ARM_TIMER_CNT.
pub const TIMER_COUNT: u64 = system_register(3, 3, 14, 3, 2);
/// The guest's physical counter (KVM_REG_ARM_PTIMER_CNT), in the list from Linux 6.4.
pub const PHYSICAL_TIMER_COUNT: u64 = system_register(3, 3, 14, 0, 1);

/// The SVE vector lengths of a vCPU: written before KVM_ARM_VCPU_FINALIZE, never after.
pub const SVE_VECTOR_LENGTHS: u64 = KVM_REG_ARM64 | KVM_REG_ARM64_SVE as u64 | KVM_REG_SIZE_U512 | 0xffff;

const fn system_register(op0: u64, op1: u64, crn: u64, crm: u64, op2: u64) -> u64 {
    KVM_REG_ARM64
        | KVM_REG_SIZE_U64
        | KVM_REG_ARM64_SYSREG as u64
        | op0 << 14
        | op1 << 11
        | crn << 7
        | crm << 3
        | op2
}

pub use crate::snapshot::register_width as width;

/// CNTFRQ_EL0, the frequency in Hz at which the counters of host and guest tick.
pub fn counter_frequency() -> u64 {
    let frequency: u64;
    // SAFETY: Linux lets EL0 read CNTFRQ_EL0; the instruction touches nothing else.
    unsafe {
        std::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags))
    };
    frequency
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_kernel() {
        assert_eq!(PC, 0x6030_0000_0010_0040);
        assert_eq!(PSTATE, 0x6030_0000_0010_0042);
        assert_eq!(TIMER_COUNT, 0x6030_0000_0013_df1a);
        assert_eq!(PHYSICAL_TIMER_COUNT, 0x6030_0000_0013_df01);
        assert_eq!(width(PC), 8);
        assert_eq!(width(SVE_VECTOR_LENGTHS), 64);
    }
}
