//! What JavaScript says about devices that not every microVM has, and about how fast devices may be.

use firn_vmm::devices;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::failure::Failure;

/// A token bucket; both at least 1.
#[napi(object, object_to_js = false)]
pub struct TokenBucket {
    /// Tokens a second.
    pub per_second: i64,
    /// Tokens that can be used at once.
    pub burst: i64,
}

/// Most that a device may do.
#[napi(object, object_to_js = false)]
pub struct RateLimit {
    /// Bytes moved.
    pub bytes: Option<TokenBucket>,
    /// Requests or frames.
    pub operations: Option<TokenBucket>,
}

/// The limits of all devices; without one, none, but for random bytes.
#[napi(object, object_to_js = false)]
#[derive(Default)]
pub struct DeviceLimits {
    /// The root disk.
    pub root_disk: Option<RateLimit>,
    /// The app disk.
    pub app_disk: Option<RateLimit>,
    /// The scratch disk.
    pub scratch_disk: Option<RateLimit>,
    /// Frames to the guest.
    pub net_receive: Option<RateLimit>,
    /// Frames of the guest.
    pub net_transmit: Option<RateLimit>,
    /// Random bytes.
    pub rng: Option<RateLimit>,
}

/// What the network card is plugged into: one of the two, or nothing.
#[napi(object, object_to_js = false)]
pub struct NetOptions {
    /// A Unix stream socket to connect to, as passt listens on.
    pub socket_path: Option<String>,
    /// A tap interface to open.
    pub tap_name: Option<String>,
    /// Of a boot: the MAC address, 6 bytes.
    pub mac: Option<Uint8Array>,
}

impl DeviceLimits {
    /// As the VMM takes them; it checks that they are at least 1.
    pub fn to_vmm(limits: Option<&Self>) -> Result<devices::DeviceLimits, Failure> {
        let Some(limits) = limits else { return Ok(devices::DeviceLimits::default()) };
        Ok(devices::DeviceLimits {
            root_disk: rate_limit(limits.root_disk.as_ref())?,
            app_disk: rate_limit(limits.app_disk.as_ref())?,
            scratch_disk: rate_limit(limits.scratch_disk.as_ref())?,
            net_receive: rate_limit(limits.net_receive.as_ref())?,
            net_transmit: rate_limit(limits.net_transmit.as_ref())?,
            rng: rate_limit(limits.rng.as_ref())?,
        })
    }
}

impl NetOptions {
    /// The MAC address that was chosen.
    pub fn mac(&self) -> Result<Option<[u8; 6]>, Failure> {
        let Some(mac) = &self.mac else { return Ok(None) };
        <[u8; 6]>::try_from(mac.as_ref())
            .map(Some)
            .map_err(|_| Failure::options(format!("a MAC address has 6 bytes, not {}", mac.len())))
    }
}

fn rate_limit(limit: Option<&RateLimit>) -> Result<devices::RateLimit, Failure> {
    let Some(limit) = limit else { return Ok(devices::RateLimit::default()) };
    Ok(devices::RateLimit {
        bytes: limit.bytes.as_ref().map(bucket).transpose()?,
        operations: limit.operations.as_ref().map(bucket).transpose()?,
    })
}

fn bucket(bucket: &TokenBucket) -> Result<devices::TokenBucket, Failure> {
    let number = |value| u64::try_from(value).map_err(|_| Failure::options("a rate limit is negative"));
    Ok(devices::TokenBucket { per_second: number(bucket.per_second)?, burst: number(bucket.burst)? })
}
