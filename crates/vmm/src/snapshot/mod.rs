//! The state of a microVM outside its memory: the state file and what is in it.

mod fingerprint;
#[cfg(test)]
mod format_tests;
mod state;
mod state_file;

pub use fingerprint::HostFingerprint;
pub use state::{GicState, MachineState, VcpuState, register_width};
pub use state_file::{STATE_VERSION, decode, encode};
