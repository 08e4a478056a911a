//! virtio devices over MMIO, version 1.2 of the specification, without its legacy interface.
//!
//! | module | what |
//! |---|---|
//! | [`device`] | what a transport asks of a device |
//! | [`mmio`] | the transport: registers, status, features, queues, interrupts |
//! | [`queue`] | a virtqueue, with what a guest can get wrong in it |
//! | [`chain`] | the buffers of a descriptor chain as slices of guest memory |
//! | [`image`] | a file whose size can be a disk's |
//! | [`disk`] | reading a file straight into such slices, and writing from them |
//! | [`flusher`], [`flushes`] | making what a guest has written durable, on a thread of its own |
//! | [`block`] | disks, read-only or not |
//! | [`net`] | the network card |
//! | [`rng`] | random bytes |
//! | [`vsock`] | the agent stream |
//! | [`spare`] | a slot without a device |

pub(super) mod block;
mod chain;
pub(super) mod device;
mod disk;
mod flusher;
mod flushes;
pub(super) mod image;
pub(super) mod mmio;
pub(super) mod net;
pub(super) mod queue;
pub(super) mod rng;
#[cfg(test)]
mod scratch_tests;
pub(super) mod spare;
pub(super) mod vsock;
