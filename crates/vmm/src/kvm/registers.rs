//! vCPU registers as KVM_GET_ONE_REG and KVM_SET_ONE_REG know them: by an id that says how wide they are.

use kvm_bindings::{
    KVM_REG_ARM_CORE, KVM_REG_ARM64, KVM_REG_ARM64_SVE, KVM_REG_ARM64_SYSREG, KVM_REG_SIZE_U64,
    KVM_REG_SIZE_U512,
};

use crate::abi::abi_assert;
use crate::snapshot::register_id::system_register;
pub use crate::snapshot::register_id::{MIDR_EL1, MPIDR_EL1, SVE_VECTOR_LENGTHS, register_width as width};

const CORE_U64: u64 = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE as u64;

/// X0. Core registers are numbered by their offset in `struct kvm_regs`, in units of 4 bytes.
pub const X0: u64 = CORE_U64;
/// The program counter.
pub const PC: u64 = CORE_U64 | (32 * 8 / 4);
/// The processor state.
pub const PSTATE: u64 = CORE_U64 | (33 * 8 / 4);

/// The register X`number`, of 0 to 30.
pub const fn general(number: u64) -> u64 {
    X0 + number * 2
}

/// VBAR_EL1, the base of the exception vectors.
pub const VBAR_EL1: u64 = system_register(3, 0, 12, 0, 0);
/// SCTLR_EL1, whether addresses are translated and caches used.
pub const SCTLR_EL1: u64 = system_register(3, 0, 1, 0, 0);
/// Translation, caches and alignment checks off; the bits that are one in every implementation are.
pub const SCTLR_OFF: u64 = 0x30d0_0800;

/// In a processor state: every instruction causes an exception (PSTATE.IL).
pub const PSTATE_ILLEGAL: u64 = 1 << 20;

/// EL1h with interrupts, SError and debug exceptions masked: what arm64 Linux is entered with.
pub const PSTATE_BOOT: u64 = 0x3c5;

/// The guest's virtual counter. The uAPI has the encodings of CNT and CVAL swapped, for ever: this is the id that is named
/// KVM_REG_ARM_TIMER_CNT.
pub const TIMER_COUNT: u64 = system_register(3, 3, 14, 3, 2);
/// The guest's physical counter (KVM_REG_ARM_PTIMER_CNT), in the list from Linux 6.4.
pub const PHYSICAL_TIMER_COUNT: u64 = system_register(3, 3, 14, 0, 1);

/// Control registers of the virtual and the physical timer.
pub const TIMER_CONTROLS: [u64; 2] = [system_register(3, 3, 14, 3, 1), system_register(3, 3, 14, 2, 1)];
/// ENABLE in [`TIMER_CONTROLS`].
pub const TIMER_ENABLED: u64 = 1;
/// ISTATUS in [`TIMER_CONTROLS`]: that a timer has expired. It follows from the compare register and the counter at the moment of the
/// read, and writes ignore it.
pub const TIMER_EXPIRED: u8 = 1 << 2;

abi_assert!(
    "the ids of registers in the state file",
    version: "snapshot::STATE_VERSION",
    written: "Linux's Documentation/virt/kvm/api.rst (KVM_SET_ONE_REG)",
    PC == 0x6030_0000_0010_0040,
    PSTATE == 0x6030_0000_0010_0042,
    TIMER_COUNT == 0x6030_0000_0013_df1a,
    PHYSICAL_TIMER_COUNT == 0x6030_0000_0013_df01,
    MIDR_EL1 == KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG as u64 | 0b1100_0000_0000_0000,
    SVE_VECTOR_LENGTHS == KVM_REG_ARM64 | KVM_REG_ARM64_SVE as u64 | KVM_REG_SIZE_U512 | 0xffff,
);

/// CNTFRQ_EL0, the frequency in Hz at which the counters of host and guest tick.
pub fn counter_frequency() -> u64 {
    let frequency: u64;
    // SAFETY: Linux lets EL0 read CNTFRQ_EL0; the instruction touches nothing else.
    unsafe {
        std::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags))
    };
    frequency
}
