//! The protocol between a microVM's process and its controller.
//!
//! A `firn-vmm` process serves one microVM. Its file descriptor 0 is a SOCK_SEQPACKET socket on which it gets [`Request`]s and sends
//! [`Message`]s, one a packet; files and sockets travel with them as descriptors, never as paths. When the controller closes its
//! end, the process ends.

mod messages;
#[cfg(test)]
mod packet_tests;
mod socket;

pub use crate::gic_version::GicVersion;
pub use messages::{
    BootRequest, CONTROL_VERSION, Descriptor, Event, LayerIdentity, Message, Phases, PreparedReport, Request,
    RequestFrame, Response, RestoreRequest, SnapshotReport, SnapshotRequest, Statistics, WorkingSetReport,
};
pub use socket::{ControlSocket, PACKET_MAX, Received};
