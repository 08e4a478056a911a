//! The ioctls of /dev/kvm on aarch64: VM, vCPUs, registers, interrupt controller.

mod attribute;
mod features;
pub mod gic;
mod gic_registers;
pub mod registers;
pub mod system;
pub mod vcpu;
pub mod vm;

pub use features::Features;
pub use gic::Gic;
pub use system::Kvm;
pub use vcpu::Vcpu;
pub use vm::Vm;
