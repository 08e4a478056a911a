//! virtio devices over MMIO, version 1.2 of the specification, without its legacy interface.
//!
//! | module | what |
//! |---|---|
//! | [`device`] | what a transport asks of a device |
//! | [`mmio`] | the transport: registers, status, features, queues, interrupts |
//! | [`queue`] | a virtqueue, with what a guest can get wrong in it |
//! | [`chain`] | the buffers of a descriptor chain as slices of guest memory |
//! | [`disk`] | reading a file straight into such slices |
//! | [`block`] | the read-only disk |
//! | [`vsock`] | the agent stream |
//! | [`spare`] | a slot without a device |

pub(super) mod block;
mod chain;
mod device;
mod disk;
pub(super) mod mmio;
pub(super) mod queue;
pub(super) mod spare;
pub(super) mod vsock;
