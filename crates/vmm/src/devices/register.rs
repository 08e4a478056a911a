//! Access to 32-bit registers: aligned and exactly four bytes wide, or nothing.

/// Answers a read of a register: zeros if the access is not an aligned word.
pub(super) fn read(data: &mut [u8], offset: u64, register: impl FnOnce(u64) -> u32) {
    data.fill(0);
    if let Ok(word) = <&mut [u8; 4]>::try_from(data)
        && offset.is_multiple_of(4)
    {
        *word = register(offset).to_le_bytes();
    }
}

/// The register and the word written to it, if the access is an aligned word.
pub(super) fn written(data: &[u8], offset: u64) -> Option<(u64, u32)> {
    let word = <[u8; 4]>::try_from(data).ok()?;
    offset.is_multiple_of(4).then_some((offset, u32::from_le_bytes(word)))
}
