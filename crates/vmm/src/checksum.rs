//! The checksums in Firn's files. They tell of damage; who forges a file makes them right.

use std::hash::Hasher;

use twox_hash::XxHash64;

/// A checksum of what has been written to it.
pub(crate) enum Checksum {
    /// XXH64 with a seed of 0, which any CPU computes quickly: files are checked at every start.
    Xxh64(XxHash64),
    /// CRC-64/XZ (ECMA-182, reflected), which files of older versions have.
    Crc64(crc64fast::Digest),
}

impl Checksum {
    /// XXH64 of nothing.
    pub(crate) fn xxh64() -> Self {
        Self::Xxh64(XxHash64::with_seed(0))
    }

    /// CRC-64 of nothing.
    pub(crate) fn crc64() -> Self {
        Self::Crc64(crc64fast::Digest::new())
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Xxh64(hasher) => hasher.write(bytes),
            Self::Crc64(digest) => digest.write(bytes),
        }
    }

    /// The checksum of all bytes so far.
    pub(crate) fn value(&self) -> u64 {
        match self {
            Self::Xxh64(hasher) => hasher.finish(),
            Self::Crc64(digest) => digest.sum64(),
        }
    }

    /// The checksum of these bytes behind those so far.
    pub(crate) fn of(mut self, bytes: &[u8]) -> u64 {
        self.write(bytes);
        self.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of their specifications: the CRC catalogue's of CRC-64/XZ, and what xxhsum says of no bytes and of "abc".
    #[test]
    fn the_checksums_are_those_of_their_specifications() {
        assert_eq!(Checksum::crc64().of(b"123456789"), 0x995d_c9bb_df19_39fa);
        assert_eq!(Checksum::xxh64().of(b""), 0xef46_db37_51d8_e999);
        assert_eq!(Checksum::xxh64().of(b"abc"), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn bytes_can_be_written_in_parts() {
        let bytes: Vec<u8> = (0..200).collect();
        for new in [Checksum::xxh64, Checksum::crc64] {
            for at in [0, 1, 7, 64, 199, 200] {
                let mut parts = new();
                parts.write(&bytes[..at]);
                assert_eq!(parts.of(&bytes[at..]), new().of(&bytes), "{at}");
            }
        }
    }
}
