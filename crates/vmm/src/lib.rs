//! The virtual machine monitor of Firn, for aarch64 KVM.
//!
//! | module | what |
//! |---|---|
//! | [`layout`] | where everything is in the guest's physical address space |
//! | [`memory`] | guest memory of one microVM, mapped from a stack of layers |
//! | [`layer`] | the file format of memory layers, and what a stack of them holds |
//! | [`diff`] | finding and writing what memory holds that its layers do not |
//! | [`devices`] | everything behind MMIO, and the device tree |
//! | [`snapshot`] | the state file: registers, interrupt controller, devices |
//! | [`working_set`] | the file that says which memory the clones of a snapshot write |
//! | `kvm` | the ioctls: VM, vCPU, registers, interrupt controller (aarch64 only) |
//! | `machine` | boot, run, pause, snapshot, restore (aarch64 only) |
//! | `jail` | what a VMM process gives up before it looks at anything from outside |
//! | [`control`] | the protocol between a microVM's process and its controller |
//! | `server` | the process of one microVM (aarch64 only) |
//!
//! Everything but `kvm`, `machine` and `server` is host-neutral. `machine` begins with an example.

mod abi;
mod checksum;
pub mod control;
pub mod devices;
pub mod diff;
pub mod error;
mod file_length;
mod format_version;
mod gic_version;
#[cfg(target_os = "linux")]
pub mod jail;
#[cfg(target_arch = "aarch64")]
pub mod kvm;
pub mod layer;
pub mod layout;
#[cfg(target_arch = "aarch64")]
pub mod machine;
pub mod memory;
#[cfg(target_arch = "aarch64")]
pub mod server;
pub mod snapshot;
mod tripwires;
pub mod working_set;

pub use error::{ErrorCode, VmmError};
