//! The state file's format: its bytes are those that were written before, and bytes that were not written by it are refused.

use proptest::prelude::*;

use super::*;
use crate::control::GicVersion;
use crate::devices::{
    BlockState, ClockState, ConnectionState, DevicesState, DoorbellState, QueueState, SerialState,
    TransportState, VsockState,
};
use crate::error::ErrorCode;

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
        },
    }
}

/// A change of any type in a state changes these bytes. It then needs a new [`STATE_VERSION`], and a reader for this one.
#[test]
fn the_encoding_of_a_state_is_that_of_version_1() {
    let bytes = encode(&sample()).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("state_v1.hex").trim());
    assert_eq!(decode(&bytes).unwrap(), sample());
}

#[test]
fn a_state_cut_short_anywhere_is_corrupt() {
    let bytes = encode(&sample()).unwrap();
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length]).unwrap_err().code, ErrorCode::SnapshotCorrupt, "{length} bytes");
    }
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
    fn forged_bodies_are_refused_or_decoded_and_never_a_panic(body in proptest::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(state) = decode(&state_file::frame(&body).unwrap()) {
            for vcpu in &state.vcpus {
                let _refused = vcpu.registers().map(Iterator::count);
            }
        }
    }
}
