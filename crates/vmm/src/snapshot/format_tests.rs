//! The state file's format: its bytes are those that were written before, and bytes that were not written by it are refused.

use proptest::prelude::*;

use super::*;
use crate::devices::{
    BalloonState, BlockState, ClockState, ConnectionState, DevicesState, DoorbellState, NetState,
    OptionalDevicesState, QueueState, SerialState, TransportState, VsockState,
};
use crate::error::ErrorCode;
use crate::gic_version::GicVersion;

/// A state with another value in every field.
fn sample() -> MachineState {
    let queue = QueueState {
        size: 128,
        ready: true,
        next_available: 3,
        next_used: 2,
        descriptor_table: 0x8100_0000,
        available_ring: 0x8100_1000,
        used_ring: 0x8100_2000,
    };
    let transport = |seed: u32| TransportState {
        status: seed,
        device_features_select: seed + 1,
        driver_features_select: seed + 2,
        driver_features: 1 << 32,
        queue_select: seed + 3,
        interrupt_status: seed + 4,
        config_generation: seed + 5,
        queues: vec![queue.clone()],
    };
    MachineState {
        host: HostFingerprint {
            midr: 0x414f_d0b1,
            counter_frequency: 62_500_000,
            page_size: 4096,
            gic: GicVersion::V3,
            register_list: (2, 77),
            id_registers: vec![(register_id::system_register(3, 0, 0, 4, 0), 0x11)],
            vector_lengths: VectorLengths::from_register(&[5]),
        },
        memory_bytes: 256 << 20,
        vcpus: vec![VcpuState {
            target: 5,
            features: 4,
            power_state: 0,
            register_ids: vec![0x6030_0000_0010_0000, 0x6020_0000_0010_00d4],
            register_values: vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        }],
        gic: GicState {
            version: GicVersion::V3,
            registers: vec![0x1234, u64::MAX],
            active_priorities: vec![vec![6, 7]],
        },
        devices: DevicesState {
            doorbell: DoorbellState { generation: 9, detail: 10 },
            serial: SerialState {
                baud_divisor_low: 1,
                baud_divisor_high: 2,
                interrupt_enable: 3,
                interrupt_identification: 4,
                line_control: 5,
                line_status: 6,
                modem_control: 7,
                modem_status: 8,
                scratch: 9,
                receive_fifo: vec![10],
            },
            clock: ClockState { load: 11, offset: -12, match_: 13, mask: 1, raw_status: 0 },
            root_disk: BlockState { capacity: 2048, transport: transport(20) },
            app_disk: BlockState { capacity: 0, transport: transport(30) },
            vsock: VsockState {
                transport: transport(40),
                connection: Some(ConnectionState {
                    guest_port: 50,
                    sent: 51,
                    guest_buffer: 52,
                    guest_forwarded: 53,
                    received: 54,
                    forwarded: 55,
                    told: 56,
                }),
            },
            optional: OptionalDevicesState {
                scratch_disk: Some(BlockState { capacity: 4096, transport: transport(60) }),
                net: Some(NetState {
                    mac: [2, 0, 0, 0, 0, 70],
                    link_up: true,
                    received: vec![71],
                    unsent: vec![72],
                    transport: transport(73),
                }),
                rng: Some(transport(80)),
                balloon: Some(BalloonState { target: 90, actual: 91, transport: transport(92) }),
            },
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A change of any type in a state changes these bytes, and needs a new [`STATE_VERSION`].
#[test]
fn the_encoding_of_a_state_is_that_of_its_version() {
    let bytes = encode(&sample()).unwrap();
    assert_eq!(hex(&bytes), include_str!("state.hex").trim());
    assert_eq!(decode(&bytes).unwrap(), sample());
}

#[test]
fn a_version_that_is_not_read_is_named() {
    for version in [0, STATE_VERSION + 1, u32::MAX] {
        let error = decode(&state_file::frame(version, &[]).unwrap()).unwrap_err();
        assert_eq!(error.code, ErrorCode::SnapshotIncompatible);
        assert!(error.message.contains(&version.to_string()), "{error}");
    }
}

#[test]
fn a_state_with_more_than_a_microvm_has_is_corrupt() {
    let mut states = vec![sample(); 6];
    states[0].vcpus.clear();
    states[1].vcpus = vec![sample().vcpus.remove(0); 9];
    states[2].gic.registers = vec![0; 1025];
    states[3].gic.active_priorities = vec![vec![0; 9]];
    states[4].vcpus.push(VcpuState { features: 0, ..sample().vcpus.remove(0) });
    states[5].vcpus[0].power_state = 9;
    for (number, state) in states.iter().enumerate() {
        let error = decode(&encode(state).unwrap()).unwrap_err();
        assert_eq!(error.code, ErrorCode::SnapshotCorrupt, "state {number}");
    }
    assert!(state_file::frame(STATE_VERSION, &vec![0; state_file::BODY_MAX + 1]).is_err());
}

#[test]
fn a_state_cut_short_or_continued_is_corrupt() {
    let mut bytes = encode(&sample()).unwrap();
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length]).unwrap_err().code, ErrorCode::SnapshotCorrupt, "{length} bytes");
    }
    bytes.push(0);
    assert_eq!(decode(&bytes).unwrap_err().code, ErrorCode::SnapshotCorrupt);
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(at in 0..encode(&sample()).unwrap().len(), bit in 0..8) {
        let mut bytes = encode(&sample()).unwrap();
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(decode(&bytes).is_err());
    }

    /// The checksum is no secret: a forger computes it.
    #[test]
    fn forged_bodies_are_refused_or_decoded_and_never_a_panic(
        body in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        if let Ok(state) = decode(&state_file::frame(STATE_VERSION, &body).unwrap()) {
            for vcpu in &state.vcpus {
                assert!(vcpu.registers().all(|(id, value)| value.len() == register_id::register_width(id)));
            }
        }
    }
}
