//! virtio devices over MMIO, version 1.2 of the specification, without its legacy interface.
//!
//! | module | what |
//! |---|---|
//! | [`device`] | what a transport asks of a device |
//! | [`mmio`] | the transport: registers, status, features, queues, interrupts |
//! | [`queue`] | a virtqueue, with what a guest can get wrong in it |
//! | [`chain`] | the buffers of a descriptor chain as slices of guest memory |
//! | [`block`] | disks, read-only or not |
//! | [`balloon`] | memory that the guest gives back |
//! | [`net`] | the network card |
//! | [`rng`] | random bytes |
//! | [`vsock`] | the agent stream |
//! | [`spare`] | a slot without a device |

pub(super) mod balloon;
pub(super) mod block;
mod chain;
pub(super) mod device;
pub(super) mod mmio;
pub(super) mod net;
pub(super) mod queue;
pub(super) mod rng;
pub(super) mod spare;
pub(super) mod vsock;
