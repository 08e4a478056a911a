//! Versions of the interrupt controller that a guest can have.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Versions of the Generic Interrupt Controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GicVersion {
    /// GICv2, as of a Raspberry Pi 4 or 5.
    V2,
    /// GICv3 or newer.
    V3,
}

impl fmt::Display for GicVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V2 => "GICv2",
            Self::V3 => "GICv3",
        })
    }
}
