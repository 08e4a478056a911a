//! What a controller may limit, as it says it in a boot or a restore.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, Result, VmmError};

/// A token bucket: it holds at most `burst` tokens, starts full, and gets `per_second` new ones each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBucket {
    /// Tokens a second, at least 1.
    pub per_second: u64,
    /// Tokens that can be used at once, at least 1.
    pub burst: u64,
}

/// Most that a device may do; both buckets must have a token for it to go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Bytes moved. An operation may use more than there are; the next one then waits until that is made good.
    pub bytes: Option<TokenBucket>,
    /// Operations: requests of a disk, frames of a network, requests for random bytes.
    pub operations: Option<TokenBucket>,
}

/// The limits of all devices. They are the controller's and not the guest's: a snapshot has none, a restore brings its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimits {
    /// The root disk.
    pub root_disk: RateLimit,
    /// The app disk.
    pub app_disk: RateLimit,
    /// The scratch disk; FLUSH is an operation, too.
    pub scratch_disk: RateLimit,
    /// Frames to the guest.
    pub net_receive: RateLimit,
    /// Frames of the guest.
    pub net_transmit: RateLimit,
    /// Random bytes; without a limit of bytes there is one of 1 MiB a second.
    pub rng: RateLimit,
}

impl DeviceLimits {
    /// Checks that no bucket stays empty for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Config`] with the name of the device.
    pub fn check(&self) -> Result<()> {
        let limits = [
            ("root disk", self.root_disk),
            ("app disk", self.app_disk),
            ("scratch disk", self.scratch_disk),
            ("network's receive side", self.net_receive),
            ("network's transmit side", self.net_transmit),
            ("random number generator", self.rng),
        ];
        for (name, limit) in limits {
            for bucket in [limit.bytes, limit.operations].into_iter().flatten() {
                if bucket.per_second == 0 || bucket.burst == 0 {
                    return Err(VmmError::new(
                        ErrorCode::Config,
                        format!(
                            "a rate limit of the {name} allows {} a second and {} at once; both must be at least 1",
                            bucket.per_second, bucket.burst
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_names_the_device_whose_bucket_never_fills() {
        assert_eq!(DeviceLimits::default().check(), Ok(()));
        for (per_second, burst) in [(0, 1), (1, 0)] {
            let operations = Some(TokenBucket { per_second, burst });
            let net_transmit = RateLimit { operations, ..RateLimit::default() };
            let error = DeviceLimits { net_transmit, ..DeviceLimits::default() }.check().unwrap_err();
            assert_eq!(error.code, ErrorCode::Config);
            assert!(error.message.contains("network's transmit side"), "{error}");
        }
    }
}
