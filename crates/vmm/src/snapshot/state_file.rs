//! The state file: magic, version, length, checksum, and a [`MachineState`] in postcard's encoding.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 8 | magic `FIRNSTAT` |
//! | 8 | 4 | version, little-endian |
//! | 12 | 4 | length of the body in bytes |
//! | 16 | 8 | XXH64 of the header before it and of the body |
//! | 24 | | body |

use std::hash::Hasher;

use super::state::MachineState;
use crate::checksum::hasher;
use crate::error::{ErrorCode, Result, VmmError};
use crate::format_version;

/// Version of the body. A change of any type in it is a new version.
pub const STATE_VERSION: u32 = 1;
/// First bytes of a state file.
pub const MAGIC: [u8; 8] = *b"FIRNSTAT";
pub(super) const HEADER_SIZE: usize = 24;
const CHECKSUM_AT: usize = 16;
/// No state is longer: eight vCPUs with SVE of 2,048 bits are under 200 KiB. What decoding takes is a small multiple of this.
pub(super) const BODY_MAX: usize = 512 << 10;

const _: () = assert!(HEADER_SIZE == CHECKSUM_AT + 8);

/// The bytes of a state file.
///
/// # Errors
/// FIRN_IO if the state is longer than any microVM's.
pub fn encode(state: &MachineState) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(state).map_err(VmmError::wrap(ErrorCode::Io, "encode the state"))?;
    frame(STATE_VERSION, &body)
}

/// The header that goes with a body, and the body.
pub(super) fn frame(version: u32, body: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_MAX).ok_or_else(|| {
        VmmError::new(ErrorCode::Io, format!("encode the state: {} bytes are too many", body.len()))
    })?;
    let mut bytes = Vec::with_capacity(HEADER_SIZE + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes, body);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// Reads a state file. Nothing of the body is looked at before its length and checksum are right.
///
/// # Errors
/// FIRN_SNAPSHOT_CORRUPT, or FIRN_SNAPSHOT_INCOMPATIBLE for a version that this VMM does not read.
pub fn decode(bytes: &[u8]) -> Result<MachineState> {
    let (header, body) = bytes
        .split_first_chunk::<HEADER_SIZE>()
        .ok_or_else(|| corrupt(format!("{} bytes are fewer than its header has", bytes.len())))?;
    let (summed, expected) = header.split_at_checked(CHECKSUM_AT).unwrap_or_default();
    let field = |start: usize| {
        let bytes = summed.get(start..start + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).unwrap_or_default()
    };
    if !summed.starts_with(&MAGIC) {
        return Err(corrupt("it does not begin with FIRNSTAT".to_owned()));
    }
    let version = field(8);
    format_version::check("state file", version, STATE_VERSION)?;
    let length = usize::try_from(field(12)).unwrap_or(usize::MAX);
    if length > BODY_MAX || length != body.len() {
        return Err(corrupt(format!("it says that {length} bytes follow its header, and {} do", body.len())));
    }
    let expected = expected.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let actual = checksum(summed, body);
    if expected != actual {
        return Err(corrupt(format!("its checksum is {actual:#x}, and {expected:#x} is written in it")));
    }
    let (state, rest): (MachineState, _) =
        postcard::take_from_bytes(body).map_err(|error| corrupt(error.to_string()))?;
    if !rest.is_empty() {
        return Err(corrupt(format!("{} bytes follow the state", rest.len())));
    }
    state.check()?;
    Ok(state)
}

fn corrupt(what: String) -> VmmError {
    VmmError::new(ErrorCode::SnapshotCorrupt, format!("state file: {what}"))
}

fn checksum(header: &[u8], body: &[u8]) -> u64 {
    let mut hasher = hasher();
    hasher.write(header);
    hasher.write(body);
    hasher.finish()
}
