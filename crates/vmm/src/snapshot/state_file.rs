//! The state file: magic, version, length, checksum, and a [`MachineState`] in postcard's encoding.
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 8 | magic `FIRNSTAT` |
//! | 8 | 4 | version, little-endian |
//! | 12 | 4 | length of the body in bytes |
//! | 16 | 8 | CRC-64/XZ of the body |
//! | 24 | | body |

use super::state::MachineState;
use crate::error::{ErrorCode, Result, VmmError};

/// Version of the body. A change of any type in it is a new version, with a reader for the one before.
pub const STATE_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"FIRNSTAT";
const HEADER_SIZE: usize = 24;
/// No state is longer: eight vCPUs with SVE of 2,048 bits are under 200 KiB.
const BODY_MAX: usize = 4 << 20;

/// The bytes of a state file.
pub fn encode(state: &MachineState) -> Result<Vec<u8>> {
    let body = postcard::to_stdvec(state).map_err(VmmError::wrap(ErrorCode::Io, "encode the state"))?;
    frame(&body)
}

/// The header that goes with a body, and the body.
pub(super) fn frame(body: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(body.len()).map_err(VmmError::wrap(ErrorCode::Io, "encode the state"))?;
    let mut bytes = Vec::with_capacity(HEADER_SIZE + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&STATE_VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(body).to_le_bytes());
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// Reads a state file. Nothing of the body is looked at before its length and checksum are right.
///
/// # Errors
/// FIRN_SNAPSHOT_CORRUPT, or FIRN_SNAPSHOT_INCOMPATIBLE for a version that this VMM does not read.
pub fn decode(bytes: &[u8]) -> Result<MachineState> {
    let corrupt = |what: String| VmmError::new(ErrorCode::SnapshotCorrupt, format!("state file: {what}"));
    let (header, body) = bytes
        .split_first_chunk::<HEADER_SIZE>()
        .ok_or_else(|| corrupt(format!("{} bytes are fewer than its header has", bytes.len())))?;
    let [magic @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = header;
    if magic != &MAGIC {
        return Err(corrupt("it does not begin with FIRNSTAT".to_owned()));
    }
    let field = |start: usize| {
        let bytes = header.get(start..start + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).unwrap_or_default()
    };
    let version = field(8);
    if version != STATE_VERSION {
        return Err(VmmError::new(
            ErrorCode::SnapshotIncompatible,
            format!(
                "state file: version {version}, and this VMM reads version {STATE_VERSION}; rebuild the snapshot"
            ),
        ));
    }
    let length = usize::try_from(field(12)).unwrap_or(usize::MAX);
    if length > BODY_MAX || length != body.len() {
        return Err(corrupt(format!("it says that {length} bytes follow its header, and {} do", body.len())));
    }
    let expected = u64::from(field(20)) << 32 | u64::from(field(16));
    let actual = checksum(body);
    if expected != actual {
        return Err(corrupt(format!("its checksum is {actual:#x}, and {expected:#x} is written in it")));
    }
    let (state, rest) = postcard::take_from_bytes(body).map_err(|error| corrupt(error.to_string()))?;
    if !rest.is_empty() {
        return Err(corrupt(format!("{} bytes follow the state", rest.len())));
    }
    Ok(state)
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut digest = crc64fast::Digest::new();
    digest.write(bytes);
    digest.sum64()
}
