//! Version 2 of a state: a fingerprint with identification registers, and the devices of version 1. Frozen, for the reason that
//! [`super::v1`] gives.

use serde::Deserialize;

use super::fingerprint::{HostFingerprint, VectorLengths};
use super::{state, v1};

#[derive(Deserialize)]
pub(super) struct MachineState {
    host: Fingerprint,
    memory_bytes: u64,
    vcpus: Vec<v1::VcpuState>,
    gic: v1::GicState,
    devices: v1::DevicesState,
}

#[derive(Deserialize)]
struct Fingerprint {
    midr: u64,
    counter_frequency: u64,
    page_size: u64,
    gic: v1::GicVersion,
    register_list: (u64, u64),
    id_registers: Vec<(u64, u64)>,
    vector_lengths: [u64; 8],
}

/// Reads a body of version 2, and returns what it says today and the bytes that follow it.
pub(super) fn decode(body: &[u8]) -> Result<(state::MachineState, &[u8]), postcard::Error> {
    postcard::take_from_bytes::<MachineState>(body).map(|(state, rest)| (state.into(), rest))
}

impl From<MachineState> for state::MachineState {
    fn from(machine: MachineState) -> Self {
        let MachineState { host, memory_bytes, vcpus, gic, devices } = machine;
        Self {
            host: host.into(),
            memory_bytes,
            vcpus: vcpus.into_iter().map(Into::into).collect(),
            gic: gic.into(),
            devices: devices.into(),
        }
    }
}

impl From<Fingerprint> for HostFingerprint {
    fn from(host: Fingerprint) -> Self {
        let Fingerprint {
            midr,
            counter_frequency,
            page_size,
            gic,
            register_list,
            id_registers,
            vector_lengths,
        } = host;
        Self {
            midr,
            counter_frequency,
            page_size,
            gic: gic.into(),
            register_list,
            id_registers,
            vector_lengths: VectorLengths::from_words(vector_lengths),
        }
    }
}
