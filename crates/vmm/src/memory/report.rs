//! What bringing layers into memory took.

use serde::{Deserialize, Serialize};

/// What bringing layers into memory took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Bytes that were mapped, private, from layer files.
    pub mapped_bytes: u64,
    /// Bytes that were read from layer files into private memory.
    pub copied_bytes: u64,
    /// Bytes that explicit zero extents cleared.
    pub zeroed_bytes: u64,
    /// Calls of mmap.
    pub map_calls: u64,
    /// Calls of preadv.
    pub read_calls: u64,
    /// Bytes that were made private ahead of being written.
    pub populated_bytes: u64,
    /// Calls of madvise for that.
    pub populate_calls: u64,
}

impl LoadReport {
    pub(super) fn add(&mut self, other: &Self) {
        self.mapped_bytes += other.mapped_bytes;
        self.copied_bytes += other.copied_bytes;
        self.zeroed_bytes += other.zeroed_bytes;
        self.map_calls += other.map_calls;
        self.read_calls += other.read_calls;
        self.populated_bytes += other.populated_bytes;
        self.populate_calls += other.populate_calls;
    }

    /// What was done after `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            mapped_bytes: self.mapped_bytes.saturating_sub(before.mapped_bytes),
            copied_bytes: self.copied_bytes.saturating_sub(before.copied_bytes),
            zeroed_bytes: self.zeroed_bytes.saturating_sub(before.zeroed_bytes),
            map_calls: self.map_calls.saturating_sub(before.map_calls),
            read_calls: self.read_calls.saturating_sub(before.read_calls),
            populated_bytes: self.populated_bytes.saturating_sub(before.populated_bytes),
            populate_calls: self.populate_calls.saturating_sub(before.populate_calls),
        }
    }
}
