//! The connection to the host.

use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::AgentError;
use crate::sys::connect_vsock;

/// The host's address.
const HOST_CID: u32 = 2;

/// The port that the VMM forwards to its controller.
const AGENT_PORT: u32 = 1024;

/// How long the host may take to accept the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Connects to the host, again and again until it accepts.
///
/// # Errors
///
/// The last error, when 30 seconds have passed.
pub fn connect_to_host() -> Result<OwnedFd, AgentError> {
    let deadline = Instant::now() + CONNECT_LIMIT;
    loop {
        match connect_vsock(HOST_CID, AGENT_PORT) {
            Ok(stream) => return Ok(stream),
            Err(source) if Instant::now() > deadline => {
                return Err(AgentError::System {
                    action: format!(
                        "connect to vsock port {AGENT_PORT} of the host within {CONNECT_LIMIT:?}"
                    ),
                    source,
                });
            }
            Err(_) => sleep(RETRY_PAUSE),
        }
    }
}
