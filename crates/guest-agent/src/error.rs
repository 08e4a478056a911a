//! The errors of the agent.

use std::io;
use std::time::Duration;

use firn_protocol::ProtocolError;

/// What goes wrong in the guest. Each message starts with a stable code.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// FIRN_AGENT: a system call failed; `action` says what it was for.
    #[error("FIRN_AGENT: cannot {action}: {source}")]
    System {
        /// What the agent was about to do, for example "mount the app disk".
        action: String,
        /// What the system said.
        source: io::Error,
    },
    /// FIRN_AGENT: something did not happen in time.
    #[error("FIRN_AGENT: {awaited} did not happen within {limit:?}")]
    Deadline {
        /// What the agent waited for.
        awaited: String,
        /// How long it waited.
        limit: Duration,
    },
    /// FIRN_AGENT: the device tree does not describe what the agent expects.
    #[error("FIRN_AGENT: the device tree is wrong: {0}")]
    DeviceTree(String),
    /// FIRN_RUNTIME_MANIFEST: the image does not say how to start its runtime, or says what this agent cannot do.
    #[error("FIRN_RUNTIME_MANIFEST: the manifest of the runtime's image is of no use: {0}")]
    Manifest(String),
    /// FIRN_PROTOCOL: the host sent what cannot be decoded.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// FIRN_PROTOCOL: the host sent what makes no sense at this point.
    #[error("FIRN_PROTOCOL: {0}")]
    Unexpected(String),
}

impl AgentError {
    /// For `map_err`: names what the failed system call was for.
    pub(crate) fn system<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        |source| Self::System { action, source: source.into() }
    }
}
