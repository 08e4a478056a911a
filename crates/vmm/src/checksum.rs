//! The checksum in Firn's files: XXH64 with a seed of 0, which any CPU computes quickly, for files are checked at every start. It tells of
//! damage; who forges a file makes it right.

pub(crate) use twox_hash::XxHash64;

/// The checksum of these bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// The same for bytes that come in parts.
pub(crate) fn hasher() -> XxHash64 {
    XxHash64::with_seed(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What xxhsum says of no bytes and of "abc".
    #[test]
    fn the_checksum_is_that_of_its_specification() {
        assert_eq!(checksum(b""), 0xef46_db37_51d8_e999);
        assert_eq!(checksum(b"abc"), 0x44bc_2cf5_ad77_0999);
    }
}
