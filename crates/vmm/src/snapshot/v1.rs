//! Version 1 of a state, as it lies in files of that version: types that are frozen, and what becomes of them today.
//!
//! Postcard's encoding has no names and no lengths, so these must stay as they are whatever happens to the types that they
//! are turned into. Those of vCPUs, interrupt controller and devices are those of version 2 as well.

use serde::Deserialize;

use super::fingerprint::{HostFingerprint, VectorLengths};
use super::register_id;
use super::state;
use crate::control;
use crate::devices;
use crate::error::Result;

#[derive(Deserialize)]
struct MachineState {
    host: Fingerprint,
    memory_bytes: u64,
    vcpus: Vec<VcpuState>,
    gic: GicState,
    devices: DevicesState,
}

#[derive(Deserialize)]
struct Fingerprint {
    midr: u64,
    counter_frequency: u64,
    page_size: u64,
    gic: GicVersion,
    register_list: (u64, u64),
}

#[derive(Clone, Copy, Deserialize)]
pub(super) enum GicVersion {
    V2,
    V3,
}

#[derive(Deserialize)]
pub(super) struct VcpuState {
    target: u32,
    features: u32,
    power_state: u32,
    register_ids: Vec<u64>,
    #[serde(with = "serde_bytes")]
    register_values: Vec<u8>,
}

#[derive(Deserialize)]
pub(super) struct GicState {
    version: GicVersion,
    registers: Vec<u64>,
    active_priorities: Vec<Vec<u64>>,
}

#[derive(Deserialize)]
pub(super) struct DevicesState {
    doorbell: DoorbellState,
    serial: SerialState,
    clock: ClockState,
    root_disk: BlockState,
    app_disk: BlockState,
    vsock: VsockState,
}

#[derive(Deserialize)]
struct DoorbellState {
    generation: u32,
    detail: u32,
}

#[derive(Deserialize)]
struct SerialState {
    baud_divisor_low: u8,
    baud_divisor_high: u8,
    interrupt_enable: u8,
    interrupt_identification: u8,
    line_control: u8,
    line_status: u8,
    modem_control: u8,
    modem_status: u8,
    scratch: u8,
    receive_fifo: Vec<u8>,
}

#[derive(Deserialize)]
struct ClockState {
    load: u32,
    offset: i64,
    match_: u32,
    mask: u32,
    raw_status: u32,
}

#[derive(Deserialize)]
pub(super) struct BlockState {
    capacity: u64,
    transport: TransportState,
}

#[derive(Deserialize)]
pub(super) struct TransportState {
    status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    interrupt_status: u32,
    config_generation: u32,
    queues: Vec<QueueState>,
}

#[derive(Deserialize)]
struct QueueState {
    size: u16,
    ready: bool,
    next_available: u16,
    next_used: u16,
    descriptor_table: u64,
    available_ring: u64,
    used_ring: u64,
}

#[derive(Deserialize)]
struct VsockState {
    transport: TransportState,
    connection: Option<ConnectionState>,
}

#[derive(Deserialize)]
struct ConnectionState {
    guest_port: u32,
    sent: u32,
    guest_buffer: u32,
    guest_forwarded: u32,
    received: u32,
    forwarded: u32,
    told: u32,
}

/// Reads a body of version 1, and returns what it says today and the bytes that follow it.
pub(super) fn decode(
    body: &[u8],
) -> std::result::Result<(Result<state::MachineState>, &[u8]), postcard::Error> {
    postcard::take_from_bytes::<MachineState>(body).map(|(state, rest)| (state.into_current(), rest))
}

impl MachineState {
    fn into_current(self) -> Result<state::MachineState> {
        let vcpus: Vec<_> = self.vcpus.into_iter().map(state::VcpuState::from).collect();
        Ok(state::MachineState {
            host: self.host.into_current(&vcpus)?,
            memory_bytes: self.memory_bytes,
            vcpus,
            gic: self.gic.into(),
            devices: self.devices.into(),
        })
    }
}

impl Fingerprint {
    /// A fingerprint of version 1 has no identification registers of its own. Those of the first vCPU are the host's.
    fn into_current(self, vcpus: &[state::VcpuState]) -> Result<HostFingerprint> {
        let mut id_registers = Vec::new();
        let mut vector_lengths = VectorLengths::default();
        for (id, value) in vcpus.first().map(state::VcpuState::registers).into_iter().flatten() {
            if id == register_id::SVE_VECTOR_LENGTHS {
                vector_lengths = VectorLengths::from_register(value);
            } else if register_id::is_identification(id) {
                id_registers.push((id, value.try_into().map(u64::from_le_bytes).unwrap_or_default()));
            }
        }
        Ok(HostFingerprint {
            midr: self.midr,
            counter_frequency: self.counter_frequency,
            page_size: self.page_size,
            gic: self.gic.into(),
            register_list: self.register_list,
            id_registers,
            vector_lengths,
        })
    }
}

impl From<GicVersion> for control::GicVersion {
    fn from(version: GicVersion) -> Self {
        match version {
            GicVersion::V2 => Self::V2,
            GicVersion::V3 => Self::V3,
        }
    }
}

impl From<VcpuState> for state::VcpuState {
    fn from(vcpu: VcpuState) -> Self {
        let VcpuState { target, features, power_state, register_ids, register_values } = vcpu;
        Self { target, features, power_state, register_ids, register_values }
    }
}

impl From<GicState> for state::GicState {
    fn from(gic: GicState) -> Self {
        let GicState { version, registers, active_priorities } = gic;
        Self { version: version.into(), registers, active_priorities }
    }
}

impl From<DevicesState> for devices::DevicesState {
    fn from(devices: DevicesState) -> Self {
        let DevicesState { doorbell, serial, clock, root_disk, app_disk, vsock } = devices;
        Self {
            doorbell: devices::DoorbellState { generation: doorbell.generation, detail: doorbell.detail },
            serial: serial.into(),
            clock: clock.into(),
            root_disk: root_disk.into(),
            app_disk: app_disk.into(),
            vsock: vsock.into(),
            optional: devices::OptionalDevicesState::default(),
        }
    }
}

impl From<SerialState> for devices::SerialState {
    fn from(serial: SerialState) -> Self {
        Self {
            baud_divisor_low: serial.baud_divisor_low,
            baud_divisor_high: serial.baud_divisor_high,
            interrupt_enable: serial.interrupt_enable,
            interrupt_identification: serial.interrupt_identification,
            line_control: serial.line_control,
            line_status: serial.line_status,
            modem_control: serial.modem_control,
            modem_status: serial.modem_status,
            scratch: serial.scratch,
            receive_fifo: serial.receive_fifo,
        }
    }
}

impl From<ClockState> for devices::ClockState {
    fn from(clock: ClockState) -> Self {
        let ClockState { load, offset, match_, mask, raw_status } = clock;
        Self { load, offset, match_, mask, raw_status }
    }
}

impl From<BlockState> for devices::BlockState {
    fn from(block: BlockState) -> Self {
        Self { capacity: block.capacity, transport: block.transport.into() }
    }
}

impl From<TransportState> for devices::TransportState {
    fn from(transport: TransportState) -> Self {
        Self {
            status: transport.status,
            device_features_select: transport.device_features_select,
            driver_features_select: transport.driver_features_select,
            driver_features: transport.driver_features,
            queue_select: transport.queue_select,
            interrupt_status: transport.interrupt_status,
            config_generation: transport.config_generation,
            queues: transport.queues.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<QueueState> for devices::QueueState {
    fn from(queue: QueueState) -> Self {
        let QueueState {
            size,
            ready,
            next_available,
            next_used,
            descriptor_table,
            available_ring,
            used_ring,
        } = queue;
        Self { size, ready, next_available, next_used, descriptor_table, available_ring, used_ring }
    }
}

impl From<VsockState> for devices::VsockState {
    fn from(vsock: VsockState) -> Self {
        Self { transport: vsock.transport.into(), connection: vsock.connection.map(Into::into) }
    }
}

impl From<ConnectionState> for devices::ConnectionState {
    fn from(connection: ConnectionState) -> Self {
        let ConnectionState { guest_port, sent, guest_buffer, guest_forwarded, received, forwarded, told } =
            connection;
        Self { guest_port, sent, guest_buffer, guest_forwarded, received, forwarded, told }
    }
}
