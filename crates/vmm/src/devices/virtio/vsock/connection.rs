//! The agent's connection: addresses and credit.
//!
//! Each side tells the other how much it can buffer and how much it has taken out of its buffer; the difference between what
//! was sent and what was taken out may not exceed the buffer. All counts wrap at 32 bits.

use serde::{Deserialize, Serialize};

use super::packet::{HOST_CID, Header, TYPE_STREAM};
use crate::error::{ErrorCode, Result, VmmError};
use crate::layout::{AGENT_PORT, GUEST_CID};

/// Bytes from the guest that are buffered while the stream takes none.
pub(super) const BUFFER_SIZE: u32 = 256 << 10;
/// The guest is told of room in the buffer at the latest after this many bytes.
const UPDATE_INTERVAL: u32 = BUFFER_SIZE / 4;

/// State of the connection in a snapshot, in which nothing is buffered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionState {
    /// Port of the guest's end.
    pub guest_port: u32,
    /// Bytes sent to the guest.
    pub sent: u32,
    /// Bytes that the guest said it can buffer.
    pub guest_buffer: u32,
    /// Bytes that the guest said it has taken out of its buffer.
    pub guest_forwarded: u32,
    /// Bytes received from the guest.
    pub received: u32,
    /// Bytes from the guest that were passed on to the stream.
    pub forwarded: u32,
    /// The count of passed on bytes that the guest was last told.
    pub told: u32,
}

/// An established connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    state: ConnectionState,
    /// SHUTDOWN flags that the guest sent.
    pub(super) guest_shutdown: u32,
    /// SHUTDOWN flags that the guest was sent.
    pub(super) host_shutdown: u32,
    /// A CREDIT_UPDATE is to be sent.
    update_due: bool,
    /// The guest was asked for credit since it last had some for us.
    credit_requested: bool,
}

impl Connection {
    /// The connection that a REQUEST asks for.
    pub(super) fn requested(request: &Header) -> Self {
        Self::from_state(ConnectionState {
            guest_port: request.source_port,
            sent: 0,
            guest_buffer: request.buffer,
            guest_forwarded: request.forwarded,
            received: 0,
            forwarded: 0,
            told: 0,
        })
    }

    pub(super) fn restore(state: &ConnectionState) -> Result<Self> {
        let untold = state.forwarded.wrapping_sub(state.told);
        if state.received != state.forwarded || untold > BUFFER_SIZE {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                "the agent's connection in the snapshot has counts that cannot be",
            ));
        }
        Ok(Self::from_state(state.clone()))
    }

    fn from_state(state: ConnectionState) -> Self {
        Self { state, guest_shutdown: 0, host_shutdown: 0, update_due: false, credit_requested: false }
    }

    pub(super) fn state(&self) -> &ConnectionState {
        &self.state
    }

    /// Whether a packet from the guest belongs to this connection.
    pub(super) fn is_from(&self, header: &Header) -> bool {
        header.source_port == self.state.guest_port
    }

    /// A packet to the guest; it tells how much was passed on.
    pub(super) fn packet(&mut self, operation: u16) -> Header {
        self.state.told = self.state.forwarded;
        self.update_due = false;
        Header {
            source_cid: HOST_CID,
            destination_cid: GUEST_CID,
            source_port: AGENT_PORT,
            destination_port: self.state.guest_port,
            length: 0,
            socket_type: TYPE_STREAM,
            operation,
            flags: 0,
            buffer: BUFFER_SIZE,
            forwarded: self.state.forwarded,
        }
    }

    /// Takes over what a packet says of the guest's buffer.
    pub(super) fn observe(&mut self, header: &Header) {
        self.state.guest_buffer = header.buffer;
        self.state.guest_forwarded = header.forwarded;
        if self.credit() > 0 {
            self.credit_requested = false;
        }
    }

    /// Bytes that the guest can take now.
    pub(super) fn credit(&self) -> u32 {
        let outstanding = self.state.sent.wrapping_sub(self.state.guest_forwarded);
        self.state.guest_buffer.saturating_sub(outstanding)
    }

    /// Counts bytes sent to the guest.
    pub(super) fn count_sent(&mut self, bytes: u32) {
        self.state.sent = self.state.sent.wrapping_add(bytes);
    }

    /// Counts bytes received from the guest. False if it had no credit for them.
    #[must_use]
    pub(super) fn count_received(&mut self, bytes: u32) -> bool {
        let buffered = self.state.received.wrapping_sub(self.state.forwarded);
        self.state.received = self.state.received.wrapping_add(bytes);
        buffered.checked_add(bytes).is_some_and(|buffered| buffered <= BUFFER_SIZE)
    }

    /// Counts bytes passed on to the stream.
    pub(super) fn count_forwarded(&mut self, bytes: u32) {
        self.state.forwarded = self.state.forwarded.wrapping_add(bytes);
        if self.state.forwarded.wrapping_sub(self.state.told) >= UPDATE_INTERVAL {
            self.update_due = true;
        }
    }

    /// The guest wants to know how much was passed on.
    pub(super) fn owe_update(&mut self) {
        self.update_due = true;
    }

    /// Whether a CREDIT_UPDATE is to be sent.
    pub(super) fn update_due(&self) -> bool {
        self.update_due
    }

    /// Whether to ask the guest for credit, which is done once.
    pub(super) fn credit_request_due(&self) -> bool {
        self.credit() == 0 && !self.credit_requested
    }

    /// The guest is asked for credit now.
    pub(super) fn count_credit_request(&mut self) {
        self.credit_requested = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn connection(counts: u32, guest_buffer: u32) -> Connection {
        Connection::restore(&ConnectionState {
            guest_port: 7,
            sent: counts,
            guest_buffer,
            guest_forwarded: counts,
            received: counts,
            forwarded: counts,
            told: counts,
        })
        .unwrap()
    }

    #[test]
    fn a_guest_that_shrinks_its_buffer_or_lies_about_it_gives_no_credit() {
        let mut connection = connection(100, 1000);
        connection.count_sent(600);
        connection.observe(&Header { buffer: 500, forwarded: 100, ..Header::default() });
        assert_eq!(connection.credit(), 0);
        connection.observe(&Header { buffer: 500, forwarded: 701, ..Header::default() });
        assert_eq!(connection.credit(), 0, "it cannot have forwarded what was not sent");
    }

    #[test]
    fn impossible_counts_are_refused() {
        let good = connection(5, 5).state().clone();
        for bad in [
            ConnectionState { received: 6, ..good.clone() },
            ConnectionState { told: 6, ..good.clone() },
            ConnectionState { told: 5u32.wrapping_sub(BUFFER_SIZE + 1), ..good },
        ] {
            assert_eq!(Connection::restore(&bad).unwrap_err().code, ErrorCode::SnapshotCorrupt);
        }
    }

    proptest! {
        #[test]
        fn credit_is_what_was_not_sent_at_any_count(start: u32, buffer: u32, steps: Vec<(u16, u16)>) {
            let mut connection = connection(start, buffer);
            let (mut sent, mut forwarded) = (0u64, 0u64);
            for (send, forward) in steps {
                let send = u32::from(send).min(connection.credit());
                connection.count_sent(send);
                sent += u64::from(send);
                forwarded = (forwarded + u64::from(forward)).min(sent);
                let wrapped = start.wrapping_add(u32::try_from(forwarded & 0xffff_ffff).unwrap());
                connection.observe(&Header { buffer, forwarded: wrapped, ..Header::default() });
                prop_assert_eq!(u64::from(connection.credit()), u64::from(buffer) - (sent - forwarded));
            }
        }

        #[test]
        fn a_guest_that_keeps_to_what_it_is_told_never_runs_dry(start: u32, steps: Vec<(u32, u32)>) {
            let mut connection = connection(start, 0);
            let (mut received, mut told) = (0u64, 0u64);
            let mut forwarded = 0u64;
            for (send, forward) in steps {
                let room = u64::from(BUFFER_SIZE) - (received - told);
                let send = u64::from(send % (BUFFER_SIZE + 1)).min(room);
                prop_assert!(connection.count_received(u32::try_from(send).unwrap()));
                received += send;
                let forward = u64::from(forward % (BUFFER_SIZE + 1)).min(received - forwarded);
                connection.count_forwarded(u32::try_from(forward).unwrap());
                forwarded += forward;
                if connection.update_due() {
                    connection.packet(0);
                    told = forwarded;
                }
                if forwarded == received {
                    prop_assert!(u64::from(BUFFER_SIZE) - (received - told) > u64::from(BUFFER_SIZE / 2));
                }
            }
            let room = u64::from(BUFFER_SIZE) - (received - forwarded);
            prop_assert!(!connection.count_received(u32::try_from(room + 1).unwrap()));
        }
    }
}
