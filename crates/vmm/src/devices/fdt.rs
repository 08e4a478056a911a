//! The device tree a guest boots with.
//!
//! Bindings: Linux `Documentation/devicetree/bindings`, devicetree specification 0.4. Interrupts are `<type number flags>`
//! as in `interrupt-controller/arm,gic.yaml`.

use vm_fdt::FdtWriter;

use super::entropy;
use crate::error::{ErrorCode, Result, VmmError};
use crate::gic_version::GicVersion;
use crate::layout::{
    DEVICE_FRAME_SIZE, GENERATION_ID_ADDRESS, GIC_DISTRIBUTOR, GIC_DISTRIBUTOR_SIZE, GICV2_CPU_INTERFACE,
    GICV2_CPU_INTERFACE_SIZE, GICV3_REDISTRIBUTOR_SIZE, GICV3_REDISTRIBUTORS, RAM_BASE, SYSTEM_AREA_SIZE,
    Slot, VCPUS_MAX,
};

/// What a device tree describes beyond the fixed map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdtOptions {
    /// MPIDR_EL1 of each vCPU, in the order of their creation; 1 to 8.
    pub vcpus: Vec<u64>,
    /// Guest memory in bytes, the system area included.
    pub memory_size: u64,
    /// The kernel's command line, without NUL.
    pub command_line: String,
    /// The interrupt controller.
    pub gic: GicVersion,
    /// Guest physical address and size in bytes of the initial RAM disk.
    pub initrd: Option<(u64, u64)>,
}

const GIC_PHANDLE: u32 = 1;
const CLOCK_PHANDLE: u32 = 2;
/// Rate of the clock that the UART and the RTC are said to have.
const CLOCK_HZ: u32 = 24_000_000;
/// `amba` reads a PrimeCell's identification from the end of its frame, where a PL031 of 4 KiB has it.
const PL031_SIZE: u64 = 0x1000;
/// The binding's example maps a page; the id is its first 16 bytes.
const GENERATION_SIZE: u64 = 0x1000;
/// The affinity fields of MPIDR_EL1, which are a CPU's `reg`.
const MPIDR_AFFINITY: u64 = 0xff_00ff_ffff;

const SPI: u32 = 0;
const PPI: u32 = 1;
const EDGE_RISING: u32 = 1;
const LEVEL_HIGH: u32 = 4;
/// PPIs of the secure, non-secure, virtual and hypervisor timers, in the order of the binding.
const TIMER_PPIS: [u32; 4] = [13, 14, 11, 10];

const VIRTIO_SLOTS: [Slot; 7] =
    [Slot::RootDisk, Slot::AppDisk, Slot::Vsock, Slot::Scratch, Slot::Net, Slot::Rng, Slot::Balloon];

/// Makes the flattened device tree.
///
/// # Errors
///
/// [`ErrorCode::Config`] if the number of vCPUs or the memory size is out of range, or the command line holds a NUL;
/// [`ErrorCode::Io`] if the kernel has no random bytes.
pub fn device_tree(options: &FdtOptions) -> Result<Vec<u8>> {
    if options.vcpus.is_empty() || options.vcpus.len() > usize::from(VCPUS_MAX) {
        let count = options.vcpus.len();
        return Err(VmmError::new(
            ErrorCode::Config,
            format!("a microVM with {count} vCPUs was asked for; choose 1 to {VCPUS_MAX}"),
        ));
    }
    let ram_size =
        options.memory_size.checked_sub(SYSTEM_AREA_SIZE).filter(|size| *size > 0).ok_or_else(|| {
            VmmError::new(
                ErrorCode::Config,
                format!("guest memory of {} bytes leaves no RAM beside the system area", options.memory_size),
            )
        })?;
    let seeds = Seeds { rng: entropy::random()?, kaslr: entropy::random()? };
    write_tree(options, ram_size, &seeds)
        .map_err(VmmError::wrap(ErrorCode::Config, "writing the device tree"))
}

struct Seeds {
    rng: [u8; 64],
    kaslr: [u8; 8],
}

type Written<T = ()> = std::result::Result<T, vm_fdt::Error>;

fn write_tree(options: &FdtOptions, ram_size: u64, seeds: &Seeds) -> Written<Vec<u8>> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_string("compatible", "linux,dummy-virt")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_u32("interrupt-parent", GIC_PHANDLE)?;
    chosen(&mut fdt, options, seeds)?;
    memory(&mut fdt, ram_size)?;
    cpus(&mut fdt, &options.vcpus)?;
    psci(&mut fdt)?;
    gic(&mut fdt, options)?;
    timer(&mut fdt, options)?;
    fixed_clock(&mut fdt)?;
    serial(&mut fdt)?;
    rtc(&mut fdt)?;
    generation(&mut fdt)?;
    doorbell(&mut fdt)?;
    for slot in VIRTIO_SLOTS {
        virtio(&mut fdt, slot)?;
    }
    fdt.end_node(root)?;
    fdt.finish()
}

fn chosen(fdt: &mut FdtWriter, options: &FdtOptions, seeds: &Seeds) -> Written {
    let node = fdt.begin_node("chosen")?;
    fdt.property_string("bootargs", &options.command_line)?;
    fdt.property_string("stdout-path", &format!("/{}", node_name("serial", Slot::Serial.address())))?;
    fdt.property("rng-seed", &seeds.rng)?;
    fdt.property("kaslr-seed", &seeds.kaslr)?;
    if let Some((address, size)) = options.initrd {
        fdt.property_u64("linux,initrd-start", address)?;
        fdt.property_u64("linux,initrd-end", address.saturating_add(size))?;
    }
    fdt.end_node(node)
}

fn memory(fdt: &mut FdtWriter, ram_size: u64) -> Written {
    let node = fdt.begin_node(&node_name("memory", RAM_BASE))?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[RAM_BASE, ram_size])?;
    fdt.end_node(node)
}

fn cpus(fdt: &mut FdtWriter, vcpus: &[u64]) -> Written {
    let node = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 0)?;
    for mpidr in vcpus {
        let affinity = mpidr & MPIDR_AFFINITY;
        let cpu = fdt.begin_node(&node_name("cpu", affinity))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_string("compatible", "arm,armv8")?;
        fdt.property_string("enable-method", "psci")?;
        fdt.property_u64("reg", affinity)?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(node)
}

fn psci(fdt: &mut FdtWriter) -> Written {
    let node = fdt.begin_node("psci")?;
    compatible(fdt, &["arm,psci-1.0", "arm,psci-0.2"])?;
    fdt.property_string("method", "hvc")?;
    fdt.end_node(node)
}

fn gic(fdt: &mut FdtWriter, options: &FdtOptions) -> Written {
    let node = fdt.begin_node(&node_name("interrupt-controller", GIC_DISTRIBUTOR))?;
    let (name, second_frame) = match options.gic {
        GicVersion::V2 => ("arm,gic-400", [GICV2_CPU_INTERFACE, GICV2_CPU_INTERFACE_SIZE]),
        GicVersion::V3 => {
            let redistributors = (options.vcpus.len() as u64).saturating_mul(GICV3_REDISTRIBUTOR_SIZE);
            ("arm,gic-v3", [GICV3_REDISTRIBUTORS, redistributors])
        }
    };
    fdt.property_string("compatible", name)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("#interrupt-cells", 3)?;
    fdt.property_u32("#address-cells", 0)?;
    let [second_base, second_size] = second_frame;
    fdt.property_array_u64("reg", &[GIC_DISTRIBUTOR, GIC_DISTRIBUTOR_SIZE, second_base, second_size])?;
    fdt.property_phandle(GIC_PHANDLE)?;
    fdt.end_node(node)
}

fn timer(fdt: &mut FdtWriter, options: &FdtOptions) -> Written {
    // A GICv2 wants the CPUs that the private interrupt goes to, one bit each, from bit 8.
    let flags = match options.gic {
        GicVersion::V2 => (0..options.vcpus.len()).fold(LEVEL_HIGH, |flags, cpu| flags | 0x100 << cpu),
        GicVersion::V3 => LEVEL_HIGH,
    };
    let interrupts: Vec<u32> = TIMER_PPIS.iter().flat_map(|ppi| [PPI, *ppi, flags]).collect();
    let node = fdt.begin_node("timer")?;
    fdt.property_string("compatible", "arm,armv8-timer")?;
    fdt.property_null("always-on")?;
    fdt.property_array_u32("interrupts", &interrupts)?;
    fdt.end_node(node)
}

fn fixed_clock(fdt: &mut FdtWriter) -> Written {
    let node = fdt.begin_node("apb-pclk")?;
    fdt.property_string("compatible", "fixed-clock")?;
    fdt.property_u32("#clock-cells", 0)?;
    fdt.property_u32("clock-frequency", CLOCK_HZ)?;
    fdt.property_string("clock-output-names", "clk24mhz")?;
    fdt.property_phandle(CLOCK_PHANDLE)?;
    fdt.end_node(node)
}

fn serial(fdt: &mut FdtWriter) -> Written {
    let node = fdt.begin_node(&node_name("serial", Slot::Serial.address()))?;
    fdt.property_string("compatible", "ns16550a")?;
    frame(fdt, Slot::Serial, DEVICE_FRAME_SIZE)?;
    interrupt(fdt, Slot::Serial)?;
    fdt.property_u32("reg-shift", 0)?;
    fdt.property_u32("clock-frequency", CLOCK_HZ)?;
    fdt.property_u32("clocks", CLOCK_PHANDLE)?;
    fdt.end_node(node)
}

fn rtc(fdt: &mut FdtWriter) -> Written {
    let node = fdt.begin_node(&node_name("rtc", Slot::Clock.address()))?;
    compatible(fdt, &["arm,pl031", "arm,primecell"])?;
    frame(fdt, Slot::Clock, PL031_SIZE)?;
    fdt.property_u32("clocks", CLOCK_PHANDLE)?;
    fdt.property_string("clock-names", "apb_pclk")?;
    fdt.end_node(node)
}

fn generation(fdt: &mut FdtWriter) -> Written {
    let node = fdt.begin_node(&node_name("rng", GENERATION_ID_ADDRESS))?;
    fdt.property_string("compatible", "microsoft,vmgenid")?;
    fdt.property_array_u64("reg", &[GENERATION_ID_ADDRESS, GENERATION_SIZE])?;
    interrupt(fdt, Slot::Generation)?;
    fdt.end_node(node)
}

fn doorbell(fdt: &mut FdtWriter) -> Written {
    let node = fdt.begin_node(&node_name("doorbell", Slot::Doorbell.address()))?;
    fdt.property_string("compatible", "firn,doorbell")?;
    frame(fdt, Slot::Doorbell, DEVICE_FRAME_SIZE)?;
    fdt.end_node(node)
}

fn virtio(fdt: &mut FdtWriter, slot: Slot) -> Written {
    let node = fdt.begin_node(&node_name("virtio_mmio", slot.address()))?;
    fdt.property_string("compatible", "virtio,mmio")?;
    frame(fdt, slot, DEVICE_FRAME_SIZE)?;
    interrupt(fdt, slot)?;
    // Queues are in memory that the VMM accesses through its caches.
    fdt.property_null("dma-coherent")?;
    fdt.end_node(node)
}

fn node_name(name: &str, address: u64) -> String {
    format!("{name}@{address:x}")
}

fn compatible(fdt: &mut FdtWriter, names: &[&str]) -> Written {
    fdt.property_string_list("compatible", names.iter().map(|name| (*name).to_owned()).collect())
}

fn frame(fdt: &mut FdtWriter, slot: Slot, size: u64) -> Written {
    fdt.property_array_u64("reg", &[slot.address(), size])
}

fn interrupt(fdt: &mut FdtWriter, slot: Slot) -> Written {
    fdt.property_array_u32("interrupts", &[SPI, slot.spi(), EDGE_RISING])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::MEMORY_MIN;

    fn options(gic: GicVersion, vcpus: Vec<u64>) -> FdtOptions {
        let initrd = Some((RAM_BASE + 0x10_0000, 0x1234));
        FdtOptions { vcpus, memory_size: MEMORY_MIN, command_line: "console=ttyS0".into(), gic, initrd }
    }

    fn contains(tree: &[u8], bytes: &[u8]) -> bool {
        tree.windows(bytes.len()).any(|window| window == bytes)
    }

    fn cells(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    #[test]
    fn describes_every_device_of_the_map() {
        let tree = device_tree(&options(GicVersion::V3, vec![0x8000_0000, 0x8000_0001])).unwrap();
        assert_eq!(tree[..4], 0xd00d_feed_u32.to_be_bytes());
        for slot in Slot::ALL {
            let address = match slot {
                Slot::Generation => GENERATION_ID_ADDRESS,
                _ => slot.address(),
            };
            assert!(contains(&tree, format!("@{address:x}\0").as_bytes()), "{slot:?} is missing");
        }
        for slot in VIRTIO_SLOTS {
            assert!(contains(&tree, &cells(&[SPI, slot.spi(), EDGE_RISING])), "{slot:?} has no interrupt");
        }
        assert!(contains(&tree, b"cpu@0\0") && contains(&tree, b"cpu@1\0"));
        assert!(contains(&tree, b"/serial@a010000\0"));
        assert!(contains(&tree, &cells(&[0, 0x8020_0000, 0, 0x07e0_0000])), "memory without the system area");
    }

    #[test]
    fn seeds_differ_from_tree_to_tree() {
        let options = options(GicVersion::V3, vec![0]);
        assert_ne!(device_tree(&options).unwrap(), device_tree(&options).unwrap());
    }

    #[test]
    fn a_gicv2_tree_names_the_vcpus_of_private_interrupts() {
        let tree = device_tree(&options(GicVersion::V2, vec![0, 1])).unwrap();
        assert!(contains(&tree, b"arm,gic-400\0"));
        assert!(contains(&tree, &cells(&[PPI, 13, 0x304])));
    }

    #[test]
    fn out_of_range_options_are_errors() {
        let no_vcpu = device_tree(&options(GicVersion::V3, vec![])).unwrap_err();
        let too_many = device_tree(&options(GicVersion::V3, (0..9).collect())).unwrap_err();
        let no_ram = FdtOptions { memory_size: SYSTEM_AREA_SIZE, ..options(GicVersion::V3, vec![0]) };
        let nul = FdtOptions { command_line: "a\0b".into(), ..options(GicVersion::V3, vec![0]) };
        for error in [no_vcpu, too_many, device_tree(&no_ram).unwrap_err(), device_tree(&nul).unwrap_err()] {
            assert_eq!(error.code, ErrorCode::Config);
        }
    }
}
