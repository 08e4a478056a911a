//! Which registers of the interrupt controller are saved. Their order is that of the values in a state file.
//!
//! Sources: Documentation/virt/kvm/devices/arm-vgic.rst and arm-vgic-v3.rst of Linux; offsets from the GIC architecture
//! specifications (IHI 0048B for v2, IHI 0069 for v3).

use kvm_bindings::{
    KVM_DEV_ARM_VGIC_GRP_CPU_REGS, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, KVM_DEV_ARM_VGIC_GRP_DIST_REGS,
    KVM_DEV_ARM_VGIC_GRP_REDIST_REGS,
};

use super::attribute::Attribute;
use crate::gic_version::GicVersion;
use crate::layout::GIC_INTERRUPTS;

/// How a register is saved and restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// Whether the attribute is 64 bits wide.
    pub wide: bool,
    /// Whether it is zero in a new interrupt controller, so that a zero need not be written.
    pub reset_to_zero: bool,
    /// Whether a write only adds bits: those that are to go are written to the register at [`CLEARING`].
    pub adds_bits: bool,
    /// Whether it has the state of interrupts, and not how they are configured: it is written once, behind the configuration.
    pub live: bool,
    /// Whether it makes interrupts pending or active. These are written behind all others: what becomes pending while the
    /// distributor or the interrupt is disabled is never delivered.
    pub sets_interrupts: bool,
    /// Bits that are not written back.
    pub ignored: u32,
}

/// A register whose value is always written.
const PLAIN: Kind = Kind {
    wide: false,
    reset_to_zero: false,
    adds_bits: false,
    live: false,
    sets_interrupts: false,
    ignored: 0,
};

/// One register, or one 32-bit word of a longer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GicRegister {
    pub attribute: Attribute,
    pub kind: Kind,
}

impl GicRegister {
    /// The register that takes away what this one adds.
    pub(super) fn clearing(&self) -> Self {
        let Attribute { group, number } = self.attribute;
        Self { attribute: Attribute { group, number: number + CLEARING }, ..*self }
    }
}

/// How far behind ISENABLER its ICENABLER is, bytes.
const CLEARING: u64 = 0x80;

/// A run of 32-bit words in the distributor or redistributor.
struct Words {
    offset: u64,
    count: u64,
    kind: Kind,
}

const fn words(offset: u64, count: u64) -> Words {
    Words { offset, count, kind: PLAIN }
}

const fn zeroed(offset: u64, count: u64) -> Words {
    Words { offset, count, kind: Kind { reset_to_zero: true, ..PLAIN } }
}

impl Words {
    const fn adding_bits(self) -> Self {
        Self { kind: Kind { adds_bits: true, ..self.kind }, ..self }
    }

    const fn live(self) -> Self {
        Self { kind: Kind { live: true, ..self.kind }, ..self }
    }

    const fn without(self, ignored: u32) -> Self {
        Self { kind: Kind { ignored, ..self.kind }, ..self }
    }
}

/// A run that makes interrupts pending or active.
const fn setting(offset: u64, count: u64) -> Words {
    Words { offset, count, kind: Kind { reset_to_zero: true, live: true, sets_interrupts: true, ..PLAIN } }
}

/// The SGIs in a register with a bit for each interrupt.
const SGIS: u32 = 0xffff;

/// Shared interrupts.
const SPIS: u64 = (GIC_INTERRUPTS - 32) as u64;

/// Offsets in a distributor, bytes. Those of arrays with one bit, or some, for each interrupt begin with interrupt 0.
mod distributor {
    pub(super) const CTLR: u64 = 0x0000;
    /// The revision, which decides how the others are read.
    pub(super) const IIDR: u64 = 0x0008;
    pub(super) const STATUSR: u64 = 0x0010;
    pub(super) const IGROUPR: u64 = 0x0080;
    pub(super) const ISENABLER: u64 = 0x0100;
    pub(super) const ISPENDR: u64 = 0x0200;
    pub(super) const ISACTIVER: u64 = 0x0300;
    pub(super) const IPRIORITYR: u64 = 0x0400;
    /// GICv2.
    pub(super) const ITARGETSR: u64 = 0x0800;
    pub(super) const ICFGR: u64 = 0x0c00;
    /// GICv2: which vCPU sent which SGI.
    pub(super) const SPENDSGIR: u64 = 0x0f20;
    /// GICv3.
    pub(super) const IROUTER: u64 = 0x6000;
}

/// Offsets in a GICv3 redistributor, bytes.
mod redistributor {
    pub(super) const CTLR: u64 = 0x0000;
    pub(super) const STATUSR: u64 = 0x0010;
    pub(super) const WAKER: u64 = 0x0014;
    /// The second frame, for the private interrupts, which has the distributor's registers at the distributor's offsets.
    pub(super) const SGI_FRAME: u64 = 0x1_0000;
}

/// Offsets in a GICv2 CPU interface, bytes.
mod cpu_interface {
    pub(super) const CTLR: u64 = 0x0000;
    /// KVM shows it as five bits, in both directions.
    pub(super) const PMR: u64 = 0x0004;
    pub(super) const BPR: u64 = 0x0008;
    pub(super) const ABPR: u64 = 0x001c;
    pub(super) const APR: u64 = 0x00d0;
}

/// Where the part of an array for shared interrupts begins, if it has so many bits for each interrupt, bytes.
const fn shared(array: u64, bits: u64) -> u64 {
    array + 32 * bits / 8
}

/// How many words hold so many bits for each shared interrupt.
const fn shared_words(bits: u64) -> u64 {
    SPIS * bits / 32
}

/// GICv3 distributor.
const V3_DISTRIBUTOR: &[Words] = &[
    words(distributor::IIDR, 1),
    zeroed(distributor::STATUSR, 1),
    words(shared(distributor::IGROUPR, 1), shared_words(1)),
    zeroed(shared(distributor::IROUTER, 64), shared_words(64)),
    zeroed(shared(distributor::ICFGR, 2), shared_words(2)),
    zeroed(shared(distributor::IPRIORITYR, 8), shared_words(8)),
    zeroed(shared(distributor::ISENABLER, 1), shared_words(1)).adding_bits(),
    setting(shared(distributor::ISPENDR, 1), shared_words(1)),
    setting(shared(distributor::ISACTIVER, 1), shared_words(1)),
    words(distributor::CTLR, 1),
];

/// GICv3 redistributor.
const V3_REDISTRIBUTOR: &[Words] = &[
    zeroed(redistributor::STATUSR, 1),
    words(redistributor::WAKER, 1),
    words(redistributor::SGI_FRAME + distributor::IGROUPR, 1),
    words(redistributor::SGI_FRAME + distributor::ICFGR, 2),
    zeroed(redistributor::SGI_FRAME + distributor::IPRIORITYR, 8),
    words(redistributor::SGI_FRAME + distributor::ISENABLER, 1).adding_bits(),
    setting(redistributor::SGI_FRAME + distributor::ISPENDR, 1),
    setting(redistributor::SGI_FRAME + distributor::ISACTIVER, 1),
    words(redistributor::CTLR, 1),
];

/// The encoding of an EL1 system register of the CPU interface, as the attributes have it: op0 3, op1 0, and these.
const fn system_register(crn: u64, crm: u64, op2: u64) -> u64 {
    3 << 14 | crn << 7 | crm << 3 | op2
}

const ICC_PMR_EL1: u64 = system_register(4, 6, 0);
const ICC_BPR0_EL1: u64 = system_register(12, 8, 3);
const ICC_BPR1_EL1: u64 = system_register(12, 12, 3);
/// Its PRIbits say how many active-priority registers there are.
const ICC_CTLR_EL1: u64 = system_register(12, 12, 4);
const ICC_SRE_EL1: u64 = system_register(12, 12, 5);
const ICC_IGRPEN0_EL1: u64 = system_register(12, 12, 6);
const ICC_IGRPEN1_EL1: u64 = system_register(12, 12, 7);

/// ICC_AP0R<index>_EL1, of 0 to 3.
const fn icc_ap0r(index: u64) -> u64 {
    system_register(12, 8, 4 | index)
}

/// ICC_AP1R<index>_EL1, of 0 to 3.
const fn icc_ap1r(index: u64) -> u64 {
    system_register(12, 9, index)
}

/// GICv3 CPU interface, but for the active priorities.
const V3_CPU_INTERFACE: &[u64] =
    &[ICC_SRE_EL1, ICC_CTLR_EL1, ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_BPR0_EL1, ICC_BPR1_EL1];

/// GICv2 distributor: per vCPU, because KVM banks interrupts 0 to 31.
const V2_DISTRIBUTOR_BANKED: &[Words] = &[
    words(distributor::IGROUPR, 1),
    // Of the PPIs; that of the SGIs is read-only.
    words(distributor::ICFGR + 4, 1),
    zeroed(distributor::IPRIORITYR, 8),
    words(distributor::ISENABLER, 1).adding_bits(),
    setting(distributor::SPENDSGIR, 4),
    // A written SGI would come once more, from the vCPU itself.
    setting(distributor::ISPENDR, 1).without(SGIS),
    setting(distributor::ISACTIVER, 1),
];

/// GICv2 distributor: shared interrupts.
const V2_DISTRIBUTOR: &[Words] = &[
    // Unlocks the writes of IGROUPR.
    words(distributor::IIDR, 1),
    words(shared(distributor::IGROUPR, 1), shared_words(1)),
    words(shared(distributor::ITARGETSR, 8), shared_words(8)),
    zeroed(shared(distributor::ICFGR, 2), shared_words(2)),
    zeroed(shared(distributor::IPRIORITYR, 8), shared_words(8)),
    zeroed(shared(distributor::ISENABLER, 1), shared_words(1)).adding_bits(),
    setting(shared(distributor::ISPENDR, 1), shared_words(1)),
    setting(shared(distributor::ISACTIVER, 1), shared_words(1)),
];

/// GICv2 distributor: what switches it on, last.
const V2_DISTRIBUTOR_CONTROL: &[Words] = &[words(distributor::CTLR, 1)];

/// GICv2 CPU interface.
const V2_CPU_INTERFACE: &[Words] = &[
    words(cpu_interface::PMR, 1),
    words(cpu_interface::BPR, 1),
    words(cpu_interface::ABPR, 1),
    zeroed(cpu_interface::APR, 1).live(),
    words(cpu_interface::CTLR, 1),
];

fn expand(group: u32, cpu: u64, table: &'static [Words]) -> impl Iterator<Item = GicRegister> {
    table.iter().flat_map(move |run| {
        (0..run.count).map(move |index| GicRegister {
            attribute: Attribute { group, number: cpu << 32 | (run.offset + index * 4) },
            kind: run.kind,
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

/// ICC_CTLR_EL1 of the vCPU with this affinity.
pub(super) fn cpu_control(affinity: u32) -> GicRegister {
    wide(affinity, ICC_CTLR_EL1)
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
        .flat_map(|index| [icc_ap0r(index), icc_ap1r(index)])
        .map(|register| {
            let register = wide(affinity, register);
            GicRegister { kind: Kind { reset_to_zero: true, live: true, ..register.kind }, ..register }
        })
        .collect()
}

fn wide(affinity: u32, register: u64) -> GicRegister {
    GicRegister {
        attribute: Attribute {
            group: KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
            number: u64::from(affinity) << 32 | register,
        },
        kind: Kind { wide: true, ..PLAIN },
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
        assert_eq!(identity(GicVersion::V2), (68, 1_894_800_294_713_819_943));
        assert_eq!(identity(GicVersion::V3), (129, 4_454_564_931_650_421_603));
    }

    #[test]
    fn what_sets_interrupts_is_told_from_what_configures_them() {
        let numbers = |version| -> Vec<u64> {
            let registers = registers(version, &[0]);
            let setting = registers.iter().filter(|register| register.kind.sets_interrupts);
            setting.map(|register| register.attribute.number & 0xf_ffff).collect()
        };
        assert_eq!(numbers(GicVersion::V2), [0x204, 0x304, 0xf20, 0xf24, 0xf28, 0xf2c, 0x200, 0x300]);
        assert_eq!(numbers(GicVersion::V3), [0x204, 0x304, 0x1_0200, 0x1_0300]);
    }
}
