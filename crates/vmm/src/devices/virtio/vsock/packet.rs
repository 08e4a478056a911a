//! The header of a vsock packet, section 5.10.6 of the specification; numbers of `linux/virtio_vsock.h`.

/// The host's context id.
pub(super) const HOST_CID: u64 = 2;
/// Length of a header in bytes; the payload follows.
pub(super) const HEADER_SIZE: usize = 44;
/// Socket type of a stream.
pub(super) const TYPE_STREAM: u16 = 1;

/// What a packet is for.
pub(super) mod operation {
    pub(in super::super) const REQUEST: u16 = 1;
    pub(in super::super) const RESPONSE: u16 = 2;
    pub(in super::super) const RESET: u16 = 3;
    pub(in super::super) const SHUTDOWN: u16 = 4;
    pub(in super::super) const DATA: u16 = 5;
    pub(in super::super) const CREDIT_UPDATE: u16 = 6;
    pub(in super::super) const CREDIT_REQUEST: u16 = 7;
}

/// Flag of a SHUTDOWN: its sender will not receive any more.
pub(super) const SHUTDOWN_RECEIVE: u32 = 1;
/// Flag of a SHUTDOWN: its sender will not send any more.
pub(super) const SHUTDOWN_SEND: u32 = 2;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) source_cid: u64,
    pub(super) destination_cid: u64,
    pub(super) source_port: u32,
    pub(super) destination_port: u32,
    /// Bytes of payload.
    pub(super) length: u32,
    pub(super) socket_type: u16,
    pub(super) operation: u16,
    pub(super) flags: u32,
    /// Bytes that the sender of this packet can buffer.
    pub(super) buffer: u32,
    /// Bytes, modulo 2^32, that the sender of this packet has taken out of its buffer.
    pub(super) forwarded: u32,
}

impl Header {
    pub(super) fn from_bytes(bytes: [u8; HEADER_SIZE]) -> Self {
        let mut fields = Fields(&bytes);
        Self {
            source_cid: u64::from_le_bytes(fields.next()),
            destination_cid: u64::from_le_bytes(fields.next()),
            source_port: u32::from_le_bytes(fields.next()),
            destination_port: u32::from_le_bytes(fields.next()),
            length: u32::from_le_bytes(fields.next()),
            socket_type: u16::from_le_bytes(fields.next()),
            operation: u16::from_le_bytes(fields.next()),
            flags: u32::from_le_bytes(fields.next()),
            buffer: u32::from_le_bytes(fields.next()),
            forwarded: u32::from_le_bytes(fields.next()),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_SIZE);
        bytes.extend(self.source_cid.to_le_bytes());
        bytes.extend(self.destination_cid.to_le_bytes());
        bytes.extend(self.source_port.to_le_bytes());
        bytes.extend(self.destination_port.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.socket_type.to_le_bytes());
        bytes.extend(self.operation.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.buffer.to_le_bytes());
        bytes.extend(self.forwarded.to_le_bytes());
        bytes
    }

    /// The RESET that answers this packet: as if from where it was sent to.
    pub(super) fn reset(&self) -> Self {
        Self {
            source_cid: self.destination_cid,
            destination_cid: self.source_cid,
            source_port: self.destination_port,
            destination_port: self.source_port,
            socket_type: self.socket_type,
            operation: operation::RESET,
            ..Self::default()
        }
    }
}

/// Takes fields off the front of a header, which is as long as all of them.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_laid_out_as_in_the_specification() {
        let header = Header {
            source_cid: 3,
            destination_cid: 2,
            source_port: 0x0102_0304,
            destination_port: 1024,
            length: 5,
            socket_type: TYPE_STREAM,
            operation: operation::DATA,
            flags: 0x0a0b_0c0d,
            buffer: 0x4_0000,
            forwarded: 0xffff_fff0,
        };
        let bytes: [u8; HEADER_SIZE] = header.to_bytes().try_into().unwrap();
        assert_eq!(bytes[16..20], [4, 3, 2, 1]);
        assert_eq!(bytes[28..32], [1, 0, 5, 0]);
        assert_eq!(bytes[40..], [0xf0, 0xff, 0xff, 0xff]);
        assert_eq!(Header::from_bytes(bytes), header);
    }
}
