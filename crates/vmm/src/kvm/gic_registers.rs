//! Which registers of the interrupt controller are saved. Their order is that of the values in a state file.
//!
//! Sources: Documentation/virt/kvm/devices/arm-vgic.rst and arm-vgic-v3.rst of Linux; offsets from the GIC architecture
//! specifications (IHI 0048B for v2, IHI 0069 for v3).

use kvm_bindings::{
    KVM_DEV_ARM_VGIC_GRP_CPU_REGS, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
    KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
};

use super::attribute::Attribute;
use crate::control::GicVersion;
use crate::layout::GIC_INTERRUPTS;

/// One register, or one 32-bit word of a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GicRegister {
    pub attribute: Attribute,
    /// Whether the attribute is 64 bits wide.
    pub wide: bool,
    /// Whether it is zero in a new interrupt controller, so that a zero need not be written.
    pub reset_to_zero: bool,
    /// Whether a write only adds bits: those that are to go are written to the register at [`CLEARING`].
    pub adds_bits: bool,
    /// Whether it holds the state of interrupts, and not how they are configured: it is written once, behind the configuration.
    pub live: bool,
    /// Whether it makes interrupts pending or active. These are written behind all others: what becomes pending while the
    /// distributor or the interrupt is disabled is never delivered.
    pub sets_interrupts: bool,
    /// Bits that are not written back.
    pub ignored: u32,
}

impl GicRegister {
    /// The register that takes away what this one adds; of GICv3, KVM ignores what is written to that of ISPENDR.
    pub(super) fn clearing(&self) -> Self {
        let Attribute { group, number } = self.attribute;
        Self { attribute: Attribute { group, number: number + CLEARING }, ..*self }
    }
}

/// How far behind ISENABLER its ICENABLER is, and behind ISPENDR its ICPENDR, bytes.
const CLEARING: u64 = 0x80;

/// A run of 32-bit words in the distributor or redistributor.
struct Words {
    offset: u64,
    count: u64,
    reset_to_zero: bool,
    adds_bits: bool,
    live: bool,
    sets_interrupts: bool,
    ignored: u32,
}

const fn words(offset: u64, count: u64) -> Words {
    Words {
        offset,
        count,
        reset_to_zero: false,
        adds_bits: false,
        live: false,
        sets_interrupts: false,
        ignored: 0,
    }
}

const fn zeroed(offset: u64, count: u64) -> Words {
    Words { reset_to_zero: true, ..words(offset, count) }
}

impl Words {
    const fn adding_bits(self) -> Self {
        Self { adds_bits: true, ..self }
    }

    const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    const fn without(self, ignored: u32) -> Self {
        Self { ignored, ..self }
    }
}

/// A run that makes interrupts pending or active.
const fn setting(offset: u64, count: u64) -> Words {
    Words { sets_interrupts: true, ..zeroed(offset, count).live() }
}

/// The SGIs in a register with a bit for each interrupt.
const SGIS: u32 = 0xffff;

/// Shared interrupts.
const SPIS: u64 = (GIC_INTERRUPTS - 32) as u64;

/// GICv3 distributor.
const V3_DISTRIBUTOR: &[Words] = &[
    words(0x0008, 1),                  // IIDR: the revision, which decides how the others are read
    zeroed(0x0010, 1),                 // STATUSR
    words(0x0080 + 4, SPIS / 32),      // IGROUPR
    zeroed(0x6000 + 32 * 8, SPIS * 2), // IROUTER
    zeroed(0x0c00 + 8, SPIS / 16),     // ICFGR
    zeroed(0x0400 + 32, SPIS / 4),     // IPRIORITYR
    zeroed(0x0100 + 4, SPIS / 32).adding_bits(), // ISENABLER
    setting(0x0200 + 4, SPIS / 32),    // ISPENDR
    setting(0x0300 + 4, SPIS / 32),    // ISACTIVER
    words(0x0000, 1),                  // CTLR
];

/// GICv3 redistributor; its second frame, for the private interrupts, begins at 0x1_0000.
const V3_REDISTRIBUTOR: &[Words] = &[
    zeroed(0x0010, 1),                // STATUSR
    words(0x0014, 1),                 // WAKER
    words(0x1_0080, 1),               // IGROUPR0
    words(0x1_0c00, 2),               // ICFGR0, ICFGR1
    zeroed(0x1_0400, 8),              // IPRIORITYR
    words(0x1_0100, 1).adding_bits(), // ISENABLER0
    setting(0x1_0200, 1),             // ISPENDR0
    setting(0x1_0300, 1),             // ISACTIVER0
    words(0x0000, 1),                 // CTLR
];

const fn system_register(crn: u64, crm: u64, op2: u64) -> u64 {
    3 << 14 | crn << 7 | crm << 3 | op2
}

/// GICv3 CPU interface, but for the active priorities.
const V3_CPU_INTERFACE: &[u64] = &[
    system_register(12, 12, 5), // ICC_SRE_EL1
    V3_ICC_CTLR,
    system_register(12, 12, 6), // ICC_IGRPEN0_EL1
    system_register(12, 12, 7), // ICC_IGRPEN1_EL1
    system_register(4, 6, 0),   // ICC_PMR_EL1
    system_register(12, 8, 3),  // ICC_BPR0_EL1
    system_register(12, 12, 3), // ICC_BPR1_EL1
];

/// ICC_CTLR_EL1, whose PRIbits say how many active-priority registers there are.
const V3_ICC_CTLR: u64 = system_register(12, 12, 4);

/// GICv2 distributor: per vCPU, because KVM banks interrupts 0 to 31.
const V2_DISTRIBUTOR_BANKED: &[Words] = &[
    words(0x0080, 1),               // IGROUPR
    words(0x0c04, 1),               // ICFGR of the PPIs; that of the SGIs is read-only
    zeroed(0x0400, 8),              // IPRIORITYR
    words(0x0100, 1).adding_bits(), // ISENABLER
    setting(0x0f20, 4),             // SPENDSGIR: which vCPU sent which SGI
    // ISPENDR. A written SGI would come once more, from the vCPU itself.
    setting(0x0200, 1).without(SGIS),
    setting(0x0300, 1), // ISACTIVER
];

/// GICv2 distributor: shared interrupts.
const V2_DISTRIBUTOR: &[Words] = &[
    words(0x0008, 1),                            // IIDR: unlocks the writes of IGROUPR
    words(0x0080 + 4, SPIS / 32),                // IGROUPR
    words(0x0800 + 32, SPIS / 4),                // ITARGETSR
    zeroed(0x0c00 + 8, SPIS / 16),               // ICFGR
    zeroed(0x0400 + 32, SPIS / 4),               // IPRIORITYR
    zeroed(0x0100 + 4, SPIS / 32).adding_bits(), // ISENABLER
    setting(0x0200 + 4, SPIS / 32),              // ISPENDR
    setting(0x0300 + 4, SPIS / 32),              // ISACTIVER
];

/// GICv2 distributor CTLR.
const V2_DISTRIBUTOR_CONTROL: &[Words] = &[words(0x0000, 1)];

/// GICv2 CPU interface. KVM shows GICC_PMR as five bits, in both directions.
const V2_CPU_INTERFACE: &[Words] = &[
    words(0x0004, 1),         // PMR
    words(0x0008, 1),         // BPR
    words(0x001c, 1),         // ABPR
    zeroed(0x00d0, 1).live(), // APR
    words(0x0000, 1),         // CTLR
];

fn expand(group: u32, cpu: u64, table: &'static [Words]) -> impl Iterator<Item = GicRegister> {
    table.iter().flat_map(move |run| {
        (0..run.count).map(move |index| GicRegister {
            attribute: Attribute { group, number: cpu << 32 | (run.offset + index * 4) },
            wide: false,
            reset_to_zero: run.reset_to_zero,
            adds_bits: run.adds_bits,
            live: run.live,
            sets_interrupts: run.sets_interrupts,
            ignored: run.ignored,
        })
    })
}

/// Every saved register of an interrupt controller with vCPUs of these affinities, but for GICv3's active priorities.
pub(super) fn registers(version: GicVersion, affinities: &[u32]) -> Vec<GicRegister> {
    match version {
        GicVersion::V3 => {
            let mut all: Vec<_> = expand(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, V3_DISTRIBUTOR).collect();
            for &affinity in affinities {
                all.extend(expand(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, u64::from(affinity), V3_REDISTRIBUTOR));
                all.extend(V3_CPU_INTERFACE.iter().map(|&register| wide(affinity, register)));
            }
            all
        }
        GicVersion::V2 => {
            let mut all: Vec<_> = expand(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, V2_DISTRIBUTOR).collect();
            for cpu in (0_u64..).take(affinities.len()) {
                all.extend(expand(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, cpu, V2_DISTRIBUTOR_BANKED));
                all.extend(expand(KVM_DEV_ARM_VGIC_GRP_CPU_REGS, cpu, V2_CPU_INTERFACE));
            }
            all.extend(expand(KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, V2_DISTRIBUTOR_CONTROL));
            all
        }
    }
}

/// The word of ISPENDR that a shared interrupt is in.
pub(super) fn pending_word(interrupt: u32) -> Attribute {
    let number = 0x0200 + u64::from(interrupt / 32) * 4;
    Attribute { group: KVM_DEV_ARM_VGIC_GRP_DIST_REGS, number }
}

/// ICC_CTLR_EL1 of the vCPU with this affinity.
pub(super) fn cpu_control(affinity: u32) -> GicRegister {
    wide(affinity, V3_ICC_CTLR)
}

/// The active-priority registers of a GICv3 vCPU whose ICC_CTLR_EL1 is `control`: 1, 2 or 4 of each group.
pub(super) fn active_priorities(affinity: u32, control: u64) -> Vec<GicRegister> {
    let priority_bits = (control >> 8 & 7) + 1;
    let count: u64 = match priority_bits {
        7 => 4,
        6 => 2,
        _ => 1,
    };
    (0..count)
        .flat_map(|index| [system_register(12, 8, 4 | index), system_register(12, 9, index)])
        .map(|register| GicRegister { reset_to_zero: true, live: true, ..wide(affinity, register) })
        .collect()
}

fn wide(affinity: u32, register: u64) -> GicRegister {
    GicRegister {
        attribute: Attribute {
            group: KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
            number: u64::from(affinity) << 32 | register,
        },
        wide: true,
        reset_to_zero: false,
        adds_bits: false,
        live: false,
        sets_interrupts: false,
        ignored: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::checksum;

    /// State files hold values in this order.
    #[test]
    fn the_registers_and_their_order_are_those_of_snapshots() {
        let identity = |version| {
            let registers = registers(version, &[0, 1]);
            let bytes: Vec<u8> = registers
                .iter()
                .flat_map(|GicRegister { attribute, .. }| {
                    [attribute.group.to_le_bytes().as_slice(), &attribute.number.to_le_bytes()].concat()
                })
                .collect();
            (registers.len(), checksum(&bytes))
        };
        assert_eq!(identity(GicVersion::V2), (68, 3_468_857_026_530_527_422));
        assert_eq!(identity(GicVersion::V3), (129, 4_698_957_700_166_362_940));
    }

    #[test]
    fn what_sets_interrupts_is_told_from_what_configures_them() {
        let numbers = |version| -> Vec<u64> {
            let registers = registers(version, &[0]);
            let setting = registers.iter().filter(|register| register.sets_interrupts);
            setting.map(|register| register.attribute.number & 0xf_ffff).collect()
        };
        assert_eq!(numbers(GicVersion::V2), [0x204, 0x304, 0xf20, 0xf24, 0xf28, 0xf2c, 0x200, 0x300]);
        assert_eq!(numbers(GicVersion::V3), [0x204, 0x304, 0x1_0200, 0x1_0300]);
    }
}
