//! The one error type of the crate: a stable code, a sentence, and what caused it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure it was. The names are stable: callers match on [`ErrorCode::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    /// /dev/kvm is missing, not accessible, or too old.
    KvmUnavailable,
    /// A KVM call failed.
    Kvm,
    /// A configuration value is out of its range.
    Config,
    /// The kernel, initrd or device tree could not be loaded.
    Kernel,
    /// Guest memory could not be mapped or accessed.
    Memory,
    /// A device of the guest failed, or the guest misused it.
    Device,
    /// A layer or state file is not what it should be: wrong magic, version, checksum, size or parent.
    SnapshotCorrupt,
    /// The snapshot is sound but was taken on a host, or by a VMM, that this one cannot stand in for.
    SnapshotIncompatible,
    /// The guest is in a state in which it cannot be snapshotted.
    SnapshotRefused,
    /// Reading or writing a file or socket failed.
    Io,
    /// The controller broke the control protocol.
    Protocol,
    /// The guest did something that ends its microVM.
    Guest,
    /// The jail that was asked for cannot be had on this host.
    JailUnavailable,
}

impl ErrorCode {
    /// The code as users see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KvmUnavailable => "FIRN_KVM_UNAVAILABLE",
            Self::Kvm => "FIRN_KVM",
            Self::Config => "FIRN_CONFIG",
            Self::Kernel => "FIRN_KERNEL",
            Self::Memory => "FIRN_MEMORY",
            Self::Device => "FIRN_DEVICE",
            Self::SnapshotCorrupt => "FIRN_SNAPSHOT_CORRUPT",
            Self::SnapshotIncompatible => "FIRN_SNAPSHOT_INCOMPATIBLE",
            Self::SnapshotRefused => "FIRN_SNAPSHOT_REFUSED",
            Self::Io => "FIRN_IO",
            Self::Protocol => "FIRN_PROTOCOL",
            Self::Guest => "FIRN_GUEST",
            Self::JailUnavailable => "FIRN_JAIL_UNAVAILABLE",
        }
    }
}

/// An error of the VMM. `message` says what happened, to what, and where it helps, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmmError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// A sentence for a person.
    pub message: String,
}

impl VmmError {
    /// An error with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// For `map_err`: turns any error into one with this code, its sentence prefixed by what was being done.
    pub fn wrap<E: fmt::Display>(code: ErrorCode, doing: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(code, format!("{doing}: {error}"))
    }
}

impl fmt::Display for VmmError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for VmmError {}

/// Result with a [`VmmError`].
pub type Result<T> = std::result::Result<T, VmmError>;
