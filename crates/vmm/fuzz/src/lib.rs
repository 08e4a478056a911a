//! What the fuzz targets do with their bytes. A target fails by a panic, an overflow, an assertion, a hang or too much memory.
//!
//! | module | the bytes are |
//! |---|---|
//! | [`layer`] | a memory layer file of any version, its checksums put right |
//! | [`chain`] | the tables of up to three layers, one over the other; memory is compared with a model |
//! | [`state`] | the body of a state file of any version, its checksum put right; devices are restored from it and used |
//! | [`control`] | a packet on the control socket |
//! | [`virtio`] | what a guest, a controller and a network do to running virtio devices, guest memory included |
//! | [`mmio`] | accesses of a vCPU to device frames |
//! | [`working_set`] | a working set file of any version, its checksum put right |
//! | [`fdt`] | the options of a device tree, which is read back |
//! | [`agent`] | the agent stream, cut into pieces |

pub mod agent;
pub mod chain;
mod checksum;
pub mod control;
pub mod fdt;
mod guest;
mod input;
pub mod layer;
pub mod mmio;
pub mod state;
pub mod virtio;
pub mod working_set;

/// The variable that names a directory to write seeds to, in place of a run.
const SEEDS_VARIABLE: &str = "FIRN_FUZZ_SEEDS";

/// To be called before a run. Writes inputs of today's formats for a run to start from, and ends, if that is what is asked for: a
/// corpus grows old with the formats, these do not.
pub fn begin(target: &str, seeds: fn() -> Vec<Vec<u8>>) {
    // As the runtime of a Rust program does before `main`, which is libFuzzer's here: a closed stream is an error of the write.
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    let Some(directory) = std::env::var_os(SEEDS_VARIABLE) else { return };
    let directory = std::path::Path::new(&directory).join(target);
    std::fs::create_dir_all(&directory).expect("make a directory for seeds");
    for (index, seed) in seeds().iter().enumerate() {
        std::fs::write(directory.join(format!("seed-{index}")), seed).expect("write a seed");
    }
    std::process::exit(0);
}
