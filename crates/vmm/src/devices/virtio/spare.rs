//! A slot that is in the device tree but has no device: drivers skip DeviceID 0.

use super::mmio::{MAGIC, VERSION, register};
use crate::devices::register as word;

/// Answers a read of a spare slot's frame.
pub(in crate::devices) fn read(offset: u64, data: &mut [u8]) {
    word::read(data, offset, |offset| match offset {
        register::MAGIC_VALUE => MAGIC,
        register::VERSION => VERSION,
        _ => 0,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_virtio_frame_with_device_id_0() {
        let mut data = [0; 4];
        let mut at = |offset| {
            read(offset, &mut data);
            u32::from_le_bytes(data)
        };
        assert_eq!((at(0), at(4), at(8), at(0x34)), (0x7472_6976, 2, 0, 0));
    }
}
