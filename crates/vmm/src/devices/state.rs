//! What a snapshot holds of the devices.

use serde::{Deserialize, Serialize};

use super::{
    BalloonState, BlockState, ClockState, DoorbellState, NetState, SerialState, TransportState, VsockState,
};

/// State of all devices in a snapshot: plain old data, checked when it is restored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DevicesState {
    /// The doorbell.
    pub doorbell: DoorbellState,
    /// The serial console.
    pub serial: SerialState,
    /// The real-time clock.
    pub clock: ClockState,
    /// The root disk.
    pub root_disk: BlockState,
    /// The app disk.
    pub app_disk: BlockState,
    /// The agent stream.
    pub vsock: VsockState,
    /// Devices that not every microVM has.
    pub optional: OptionalDevicesState,
}

/// State of the devices in the slots that are spare in a microVM without them. None has any by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OptionalDevicesState {
    /// The scratch disk. Its contents are not in a snapshot: whoever takes one copies the image while the microVM stands still.
    pub scratch_disk: Option<BlockState>,
    /// The network card.
    pub net: Option<NetState>,
    /// The random number generator.
    pub rng: Option<TransportState>,
    /// The balloon.
    pub balloon: Option<BalloonState>,
}
