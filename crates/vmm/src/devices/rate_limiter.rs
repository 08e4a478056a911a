//! Token buckets, counted in billionths of a token so that nothing is lost to rounding.
//!
//! An operation begins when each bucket has a whole token, and may then use more bytes than there are: what a request moves is
//! known only when it is taken from its queue, or from the network. The bucket goes into debt and the next operation waits until
//! it is paid, so that the average is kept whatever the sizes are.

use std::time::{Duration, Instant};

use super::limits::{RateLimit, TokenBucket};

const TOKEN: i128 = 1_000_000_000;

struct Bucket {
    /// Tokens a second, and so billionths of a token a nanosecond.
    rate: i128,
    capacity: i128,
    balance: i128,
    filled_at: Instant,
}

impl Bucket {
    fn new(bucket: TokenBucket, now: Instant) -> Self {
        let capacity = i128::from(bucket.burst.max(1)).saturating_mul(TOKEN);
        Self { rate: i128::from(bucket.per_second.max(1)), capacity, balance: capacity, filled_at: now }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at);
        let gained = i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX).saturating_mul(self.rate);
        self.balance = self.balance.saturating_add(gained).min(self.capacity);
        self.filled_at = now.max(self.filled_at);
    }

    /// How long until there is a whole token.
    fn wait(&self) -> Duration {
        let missing = TOKEN.saturating_sub(self.balance).max(0);
        let nanoseconds = missing.saturating_add(self.rate - 1) / self.rate;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    fn take(&mut self, tokens: u64) {
        self.balance = self.balance.saturating_sub(i128::from(tokens).saturating_mul(TOKEN));
    }
}

/// Longest that work is held back at a time; it is looked at again then.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// What one side of a device may do.
pub(super) struct RateLimiter {
    bytes: Option<Bucket>,
    operations: Option<Bucket>,
}

impl RateLimiter {
    /// Full buckets.
    pub(super) fn new(limit: &RateLimit) -> Self {
        let now = Instant::now();
        let bucket = |bucket: Option<TokenBucket>| bucket.map(|bucket| Bucket::new(bucket, now));
        Self { bytes: bucket(limit.bytes), operations: bucket(limit.operations) }
    }

    /// Whether there is anything to limit, and so to wait for.
    pub(super) fn is_limited(&self) -> bool {
        self.bytes.is_some() || self.operations.is_some()
    }

    /// Nothing if an operation may begin now, or when to ask again.
    pub(super) fn held_until(&mut self) -> Option<Instant> {
        if self.is_limited() { self.held_until_at(Instant::now()) } else { None }
    }

    fn held_until_at(&mut self, now: Instant) -> Option<Instant> {
        let mut wait = Duration::ZERO;
        for bucket in [&mut self.bytes, &mut self.operations].into_iter().flatten() {
            bucket.fill(now);
            wait = wait.max(bucket.wait());
        }
        (!wait.is_zero()).then(|| now.checked_add(wait.min(WAIT_MAX)).unwrap_or(now))
    }

    /// Counts an operation that moved so many bytes.
    pub(super) fn charge(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.operations {
            bucket.take(1);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(bytes: Option<(u64, u64)>, operations: Option<(u64, u64)>) -> (RateLimiter, Instant) {
        let bucket = |(per_second, burst): (u64, u64)| TokenBucket { per_second, burst };
        let limit = RateLimit { bytes: bytes.map(bucket), operations: operations.map(bucket) };
        let limiter = RateLimiter::new(&limit);
        let start =
            [&limiter.bytes, &limiter.operations].into_iter().flatten().map(|bucket| bucket.filled_at);
        let start = start.max().unwrap_or_else(Instant::now);
        (limiter, start)
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let (mut limiter, start) = limiter(None, Some((10, 3)));
        for _ in 0..3 {
            assert_eq!(limiter.held_until_at(start), None);
            limiter.charge(1 << 40);
        }
        let next = start + SECOND / 10;
        assert_eq!(limiter.held_until_at(start), Some(next));
        assert_eq!(limiter.held_until_at(next), None);
        limiter.charge(0);
        assert_eq!(limiter.held_until_at(next), Some(next + SECOND / 10));
    }

    #[test]
    fn an_operation_larger_than_the_burst_goes_and_is_made_good() {
        let (mut limiter, start) = limiter(Some((1000, 10)), None);
        assert_eq!(limiter.held_until_at(start), None);
        limiter.charge(1010);
        // In debt by 1,000 bytes, and one is needed to go on.
        assert_eq!(limiter.held_until_at(start), Some(start + SECOND * 1001 / 1000));
        assert_eq!(limiter.held_until_at(start + SECOND), Some(start + SECOND * 1001 / 1000));
    }

    #[test]
    fn an_idle_bucket_holds_its_burst_and_no_more() {
        let (mut limiter, start) = limiter(Some((1_000_000, 4)), None);
        let later = start + SECOND * 1000;
        assert_eq!(limiter.held_until_at(later), None);
        limiter.charge(4);
        assert!(limiter.held_until_at(later).is_some());
    }

    #[test]
    fn the_emptier_bucket_decides() {
        let (mut limiter, start) = limiter(Some((1, 1)), Some((1000, 1)));
        limiter.charge(1);
        assert_eq!(limiter.held_until_at(start), Some(start + SECOND));
        let (mut limiter, start) = self::limiter(Some((1000, 1)), Some((1, 1)));
        limiter.charge(1);
        assert_eq!(limiter.held_until_at(start), Some(start + SECOND));
    }

    #[test]
    fn without_a_limit_nothing_is_held() {
        let (mut limiter, _) = limiter(None, None);
        limiter.charge(u64::MAX);
        assert_eq!(limiter.held_until(), None);
    }

    proptest! {
        /// In any time, no more than the burst, the rate times the time, and one operation.
        #[test]
        fn the_average_is_kept(
            rate in 1u64..1_000_000_000,
            burst in 1u64..1_000_000,
            steps in prop::collection::vec((0u64..50_000_000, 0u64..100_000), 1..200),
        ) {
            let (mut limiter, start) = limiter(Some((rate, burst)), None);
            let mut now = start;
            let (mut used, mut largest) = (0u128, 0u128);
            for (nanoseconds, bytes) in steps {
                now += Duration::from_nanos(nanoseconds);
                if limiter.held_until_at(now).is_none() {
                    limiter.charge(bytes);
                    used += u128::from(bytes);
                    largest = largest.max(bytes.into());
                }
            }
            let allowed = (now - start).as_nanos() * u128::from(rate) / 1_000_000_000;
            prop_assert!(used <= u128::from(burst) + allowed + largest);
        }

        #[test]
        fn no_limit_and_no_use_overflows(
            limits in any::<[u64; 4]>(),
            uses in prop::collection::vec((any::<u64>(), 0u64..1 << 60), 1..20),
        ) {
            let [a, b, c, d] = limits;
            let (mut limiter, start) = limiter(Some((a, b)), Some((c, d)));
            for (bytes, nanoseconds) in uses {
                limiter.charge(bytes);
                let now = start + Duration::from_nanos(nanoseconds);
                let until = limiter.held_until_at(now);
                prop_assert!(until.is_none_or(|until| until > now && until <= now + WAIT_MAX));
            }
        }
    }
}
