//! Version 3 of a state: the scratch disk, the network card and the random number generator behind what version 2 has. Frozen, for the
//! reason that [`super::v1`] gives.

use serde::Deserialize;

use super::{state, v1, v2};
use crate::devices;

#[derive(Deserialize)]
struct MachineState {
    version_2: v2::MachineState,
    optional: OptionalDevicesState,
}

#[derive(Deserialize)]
struct OptionalDevicesState {
    scratch_disk: Option<v1::BlockState>,
    net: Option<NetState>,
    rng: Option<v1::TransportState>,
}

#[derive(Deserialize)]
struct NetState {
    mac: [u8; 6],
    link_up: bool,
    received: Vec<u8>,
    unsent: Vec<u8>,
    transport: v1::TransportState,
}

/// Reads a body of version 3, and returns what it says today and the bytes that follow it.
pub(super) fn decode(body: &[u8]) -> Result<(state::MachineState, &[u8]), postcard::Error> {
    postcard::take_from_bytes::<MachineState>(body).map(|(state, rest)| (state.into(), rest))
}

impl From<MachineState> for state::MachineState {
    fn from(machine: MachineState) -> Self {
        let mut state = Self::from(machine.version_2);
        state.devices.optional = machine.optional.into();
        state
    }
}

impl From<OptionalDevicesState> for devices::OptionalDevicesState {
    fn from(optional: OptionalDevicesState) -> Self {
        let OptionalDevicesState { scratch_disk, net, rng } = optional;
        Self {
            scratch_disk: scratch_disk.map(Into::into),
            net: net.map(Into::into),
            rng: rng.map(Into::into),
        }
    }
}

impl From<NetState> for devices::NetState {
    fn from(net: NetState) -> Self {
        let NetState { mac, link_up, received, unsent, transport } = net;
        Self { mac, link_up, received, unsent, transport: transport.into() }
    }
}
