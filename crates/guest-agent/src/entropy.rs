//! What the entropy of a resume record becomes.

use std::fs::File;
use std::os::fd::AsFd;

use sha2::{Digest, Sha512};

use crate::AgentError;
use crate::sys::{ENTROPY_CAPACITY, add_entropy};

/// Seeds for the two generators of a guest. Knowing one does not tell the other.
pub struct Seeds {
    /// For the kernel.
    pub kernel: [u8; ENTROPY_CAPACITY],
    /// For the runtime process.
    pub runtime: [u8; ENTROPY_CAPACITY],
}

/// Derives both seeds from a resume record.
pub fn derive_seeds(generation: &[u8; 16], entropy: &[u8; 64]) -> Seeds {
    let derive = |purpose: &[u8]| {
        let mut hash = Sha512::new();
        hash.update(purpose);
        hash.update(generation);
        hash.update(entropy);
        hash.finalize().into()
    };
    Seeds { kernel: derive(b"firn.kernel.v1\0"), runtime: derive(b"firn.runtime.v1\0") }
}

/// Reseeds the kernel's generator: bytes drawn after this depend on the seed.
///
/// # Errors
///
/// If the process may not add entropy.
pub fn reseed_kernel(random: &File, seed: &[u8; ENTROPY_CAPACITY]) -> Result<(), AgentError> {
    add_entropy(random.as_fd(), seed)
        .map_err(AgentError::system("reseed the kernel's random number generator"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derive_seeds_returns_four_different_seeds_when_two_records_differ_in_one_bit() {
        let first = derive_seeds(&[1; 16], &[2; 64]);
        let mut entropy = [2; 64];
        entropy[63] ^= 1;
        let second = derive_seeds(&[1; 16], &entropy);
        let all = [first.kernel, first.runtime, second.kernel, second.runtime];
        for (index, seed) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(seed));
        }
    }
}
