//! Lists of 64-bit words as a state file has them: the number of bytes, then eight a word, little-endian. Postcard's own form, as many
//! bytes as a word needs, saves little where most words are long, and takes a cold start several times as many instructions.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;
use serde_bytes::Bytes;

pub(super) fn serialize<S: Serializer>(words: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    serializer.serialize_bytes(&bytes)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let bytes = <&Bytes>::deserialize(deserializer)?;
    match bytes.as_chunks() {
        (words, []) => Ok(words.iter().copied().map(u64::from_le_bytes).collect()),
        _ => Err(D::Error::invalid_length(bytes.len(), &"a multiple of 8")),
    }
}

/// Pairs of words, one word behind the other.
pub(super) mod pairs {
    use serde::de::{Deserializer, Error};
    use serde::ser::Serializer;

    pub(in super::super) fn serialize<S: Serializer>(
        pairs: &[(u64, u64)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let words: Vec<u64> = pairs.iter().flat_map(|&(first, second)| [first, second]).collect();
        super::serialize(&words, serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(u64, u64)>, D::Error> {
        let words = super::deserialize(deserializer)?;
        match words.as_chunks() {
            (pairs, []) => Ok(pairs.iter().map(|&[first, second]| (first, second)).collect()),
            _ => Err(D::Error::invalid_length(words.len(), &"an even number of words")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Lists {
        #[serde(with = "super")]
        words: Vec<u64>,
        #[serde(with = "super::pairs")]
        pairs: Vec<(u64, u64)>,
    }

    #[test]
    fn a_word_is_eight_bytes_whatever_its_value() {
        let lists = Lists { words: vec![1, u64::MAX - 1], pairs: vec![(2, 3)] };
        let bytes = postcard::to_stdvec(&lists).unwrap();
        let mut expected = vec![16, 1, 0, 0, 0, 0, 0, 0, 0, 0xfe, 255, 255, 255, 255, 255, 255, 255];
        expected.extend([16, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes, expected);
        assert_eq!(postcard::from_bytes::<Lists>(&bytes).unwrap(), lists);
    }

    #[test]
    fn half_a_word_and_half_a_pair_are_refused() {
        for bytes in [&[4, 1, 2, 3, 4, 0][..], &[0, 8, 1, 0, 0, 0, 0, 0, 0, 0], &[255, 255, 3, 1, 2, 3]] {
            assert!(postcard::from_bytes::<Lists>(bytes).is_err(), "{bytes:?}");
        }
    }
}
