//! The state of a microVM outside its memory: the state file and what is in it.

pub(crate) mod fingerprint;
#[cfg(test)]
mod format_tests;
pub mod register_id;
mod state;
mod state_file;
mod words;

pub use fingerprint::{HostFingerprint, VectorLengths};
pub use state::{GicState, MachineState, VcpuState};
pub use state_file::{MAGIC as STATE_MAGIC, STATE_VERSION, decode, encode};
