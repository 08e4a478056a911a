//! The state of a microVM outside its memory: the state file and what is in it.

pub(crate) mod fingerprint;
#[cfg(test)]
mod format_tests;
pub mod register_id;
mod state;
mod state_file;
mod words;

pub use fingerprint::{HostFingerprint, VectorLengths};
#[cfg(target_arch = "aarch64")]
pub(crate) use state::REGISTERS_MAX;
pub use state::{GicState, MachineState, VcpuState};
pub use state_file::{STATE_VERSION, decode, encode};
