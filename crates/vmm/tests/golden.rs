//! Snapshots that were taken before run today: what is in files has not changed unnoticed.
//!
//! They are of the CPU that the rig emulates. On another host they must be refused, with what differs.
#![cfg(target_arch = "aarch64")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

mod harness;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use firn_vmm::control::{BootRequest, Descriptor, GicVersion, SnapshotReport};
use firn_vmm::devices::{DeviceLimits, RateLimit, TokenBucket};
use firn_vmm::layout::Slot;
use firn_vmm::snapshot::{HostFingerprint, decode};
use firn_vmm::{ErrorCode, VmmError};
use harness::script::{BUFFERS, Queue, Script};
use harness::{Snapshot, Vmm, boot_request, file_with, guest, host_page_size, read, stream_pair};

/// Where a test run that takes new golden snapshots puts them.
const OUTPUT: &str = "FIRN_GOLDEN_OUTPUT";

/// The guest of [`script`] with a scratch disk, a network card and a random number generator, at its first ring: a write to the disk is held
/// back by a limit, and a frame waits in the card.
#[test]
fn golden_snapshots_run() {
    let disk = file_with(&[0; DISK_SIZE]);
    let restored = restore_all(|snapshot| {
        let (_peer, link) = stream_pair();
        Vmm::restore_with(snapshot, &[(Descriptor::ScratchDisk, &disk), (Descriptor::Net, &File::from(link))])
    });
    for mut vmm in restored {
        run_on(&mut vmm, &disk);
    }
}

/// Takes the golden snapshots anew, if the environment says where to: for a change of a format.
#[test]
fn golden_snapshots_can_be_taken() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = Some(TokenBucket { per_second: 1, burst: 512 });
    let scratch_disk = RateLimit { bytes, operations: None };
    let limits = DeviceLimits { scratch_disk, ..DeviceLimits::default() };
    let request = BootRequest { rng: true, mac: Some([2, 0, 0, 0, 0, 3]), limits, ..boot_request() };
    let disk = file_with(&[0; DISK_SIZE]);
    let (mut peer, link) = stream_pair();
    peer.write_all(&[frame(1), frame(2)].concat()).unwrap();
    let mut source = Vmm::boot_with(
        &script().image(),
        request,
        &[(Descriptor::ScratchDisk, &disk), (Descriptor::Net, &File::from(link))],
    )
    .unwrap();
    assert_eq!(source.doorbell().0, 2);
    let snapshot = source.snapshot(None, directory.path(), "golden");
    let state = decode(&read(&snapshot.state)).unwrap();
    assert_eq!(state.devices.optional.net.unwrap().received, frame(2));
    if let Ok(output) = std::env::var(OUTPUT) {
        let name = format!("{:?}", state.host.gic).to_lowercase().replace('v', "gic");
        std::fs::create_dir_all(&output).unwrap();
        let to = |kind: &str| Path::new(&output).join(format!("{name}.{kind}"));
        std::fs::copy(&snapshot.layers[0].0, to("layer")).unwrap();
        std::fs::copy(&snapshot.state, to("state")).unwrap();
    }
    drop(source);
    let (_peer, link) = stream_pair();
    let files = [(Descriptor::ScratchDisk, &disk), (Descriptor::Net, &File::from(link))];
    run_on(&mut Vmm::restore_with(&snapshot, &files).unwrap(), &disk);
}

const DISK_SIZE: usize = 8 * 512;
const RECEIVED: u64 = BUFFERS + 4096;
const RANDOM: u64 = BUFFERS + 8192;

/// A frame behind its length, as a link carries it.
fn frame(byte: u8) -> Vec<u8> {
    [&60_u32.to_be_bytes()[..], &[byte; 60]].concat()
}

/// Three writes to the scratch disk and one buffer for frames; a ring; another buffer, and random numbers.
fn script() -> Script {
    let [scratch, net, rng] = [Slot::Scratch, Slot::Net, Slot::Rng].map(|slot| Queue::of(slot, 0));
    let mut script = Script::new();
    script.start(Slot::Scratch, 1).start(Slot::Net, 2).start(Slot::Rng, 1);
    script.fill(BUFFERS, &[0xa7; 512]);
    for sector in 0..3 {
        script.request(scratch, 1, sector, BUFFERS, 512);
    }
    script.offer(net, &[(RECEIVED, 1530, true)]).notify(net).notify(scratch);
    script.wait_used(scratch, 2).wait_used(net, 1).ring(2, RECEIVED + 12);
    script.wait_used(scratch, 3);
    script.offer(net, &[(RECEIVED, 1530, true)]).notify(net).wait_used(net, 2).ring(3, RECEIVED + 12);
    script.offer(rng, &[(RANDOM, 64, true)]).notify(rng).wait_used(rng, 1).ring(3, RANDOM);
    script
}

/// What this guest does behind its first ring.
fn run_on(vmm: &mut Vmm, disk: &File) {
    assert_eq!(vmm.doorbell(), (3, 0x0202_0202), "the frame that waited");
    let mut sector = [0; 512];
    disk.read_exact_at(&mut sector, 1024).unwrap();
    assert_eq!(sector, [0xa7; 512], "the write that was held back");
    vmm.resume();
    let (event, random) = vmm.doorbell();
    assert!(event == 3 && random != 0, "{event} {random}");
}

/// Restores the golden snapshots, one for each interrupt controller: those of a host like this one run, and the others are
/// refused with what differs.
fn restore_all(restore: impl Fn(&Snapshot) -> Result<Vmm, VmmError>) -> Vec<Vmm> {
    let mut restored = Vec::new();
    for (gic, name) in [(GicVersion::V2, "gic2"), (GicVersion::V3, "gic3")] {
        let file = |kind: &str| {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
            directory.join(format!("{name}.{kind}"))
        };
        let layers = vec![(file("layer"), [1; 32])];
        let snapshot = Snapshot { layers, state: file("state"), report: SnapshotReport::default() };
        let golden = decode(&read(&snapshot.state)).unwrap().host;
        let differences = differences(&golden, gic);
        match restore(&snapshot) {
            Ok(vmm) => {
                assert_eq!(differences, [""; 0], "and it runs");
                restored.push(vmm);
            }
            Err(error) => {
                assert_eq!(error.code, ErrorCode::SnapshotIncompatible, "{error}");
                assert!(
                    differences.iter().any(|what| error.message.contains(what)),
                    "{error}; {differences:?}"
                );
            }
        }
    }
    restored
}

/// What this host has otherwise than that of a golden snapshot, as the VMM has to say it: by what the kernel and the CPU say
/// themselves, and, of the registers that a guest sees, by a snapshot that is taken here.
fn differences(golden: &HostFingerprint, gic: GicVersion) -> Vec<String> {
    let Ok(mut source) =
        Vmm::boot_with(&guest::counter(), BootRequest { gic: Some(gic), ..boot_request() }, &[])
    else {
        let own = if gic == GicVersion::V2 { "GICv3" } else { "GICv2" };
        return vec![format!("interrupt controller is {gic}, this host's is {own}")];
    };
    source.doorbell();
    let directory = tempfile::tempdir().unwrap();
    let own = decode(&read(&source.snapshot(None, directory.path(), "own").state)).unwrap().host;
    let mut differences = Vec::new();
    let mut compare = |what: &str, golden: String, own: String| {
        if golden != own {
            differences.push(format!("{what} is {golden}, this host's is {own};"));
        }
    };
    compare("CPU (MIDR_EL1)", format!("{:#x}", golden.midr), format!("{:#x}", midr()));
    let frequency = counter_frequency();
    compare("counter frequency (CNTFRQ_EL0)", golden.counter_frequency.to_string(), frequency.to_string());
    let bytes = |size: u64| format!("{size} bytes");
    compare("host page size", bytes(golden.page_size), bytes(host_page_size()));
    if golden.register_list.0 != own.register_list.0 {
        differences.push(format!("register list is {} registers", golden.register_list.0));
    }
    for (id, value) in &golden.id_registers {
        let own = own.id_registers.iter().find(|(own, _)| own == id);
        if own.is_none_or(|(_, own)| own != value) {
            differences.push(format!(" is {value:#x}, this host's is"));
        }
    }
    differences
}

fn midr() -> u64 {
    let path = "/sys/devices/system/cpu/cpu0/regs/identification/midr_el1";
    let text = std::fs::read_to_string(path).unwrap();
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap()
}

fn counter_frequency() -> u64 {
    let frequency: u64;
    // SAFETY: it reads a register that Linux lets every program read.
    unsafe { std::arch::asm!("mrs {}, cntfrq_el0", out(reg) frequency) };
    frequency
}
