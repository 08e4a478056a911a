//! The body of a message, as its bytes arrive.

use httparse::Status;

use super::{BadMessage, Fields};

/// Longest line with the size of a chunk, in bytes.
const MAX_SIZE_LINE_BYTES: usize = 1024;

/// Takes a body off the bytes that follow a head.
#[derive(Debug)]
pub struct BodyDecoder {
    step: Step,
    trailer: Fields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// So many bytes follow.
    Length(u64),
    /// The size of a chunk follows.
    Size,
    /// So many bytes of a chunk follow.
    Chunk(u64),
    /// The line end behind a chunk follows.
    ChunkEnd,
    Trailer,
    /// Everything until the connection ends.
    Rest,
    Done,
}

impl BodyDecoder {
    /// For a message with this header. One that says nothing about a body has none.
    ///
    /// # Errors
    ///
    /// If the header contradicts itself, or has an encoding other than `chunked`.
    pub fn for_fields(fields: &Fields) -> Result<Self, BadMessage> {
        let step = if fields.values("transfer-encoding").next().is_some() {
            if !fields.lists("transfer-encoding", "chunked") || fields.values("transfer-encoding").count() > 1
            {
                return Err(BadMessage::new(501, "Of the transfer encodings only chunked is supported."));
            }
            Step::Size
        } else {
            let mut lengths = fields.values("content-length");
            match lengths.next() {
                None => Step::Done,
                Some(length) => {
                    if lengths.any(|other| other != length) {
                        return Err(BadMessage::new(400, "There are several values of Content-Length."));
                    }
                    let digits = std::str::from_utf8(length)
                        .ok()
                        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
                    let length = digits.and_then(|text| text.parse().ok());
                    Step::Length(length.ok_or_else(|| BadMessage::new(400, "Content-Length is no number."))?)
                }
            }
        };
        Ok(Self { step: if step == Step::Length(0) { Step::Done } else { step }, trailer: Fields::default() })
    }

    /// For a response with this header.
    ///
    /// # Errors
    ///
    /// As [`for_fields`](Self::for_fields).
    pub fn for_response(status: u16, to_head: bool, fields: &Fields) -> Result<Self, BadMessage> {
        if to_head || status == 204 || status == 304 {
            return Ok(Self { step: Step::Done, trailer: Fields::default() });
        }
        let is_told =
            ["content-length", "transfer-encoding"].iter().any(|name| fields.values(name).next().is_some());
        if is_told {
            Self::for_fields(fields)
        } else {
            Ok(Self { step: Step::Rest, trailer: Fields::default() })
        }
    }

    /// The connection has ended, and everything of it was taken.
    pub fn end(&mut self) {
        if self.step == Step::Rest {
            self.step = Step::Done;
        }
    }

    /// Takes as much as there is from the front of `input`, and appends what of it is of the body to `output`, up to about `limit` bytes.
    ///
    /// # Errors
    ///
    /// If the encoding is broken.
    pub fn take(
        &mut self,
        input: &mut Vec<u8>,
        output: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), BadMessage> {
        let mut taken = 0_usize;
        let mut copied = 0_usize;
        let result = loop {
            let rest = input.get(taken..).unwrap_or_default();
            let (bytes, next) = match self.step {
                Step::Length(left) | Step::Chunk(left) => {
                    let room = limit.saturating_sub(copied);
                    let count = rest.len().min(room).min(usize::try_from(left).unwrap_or(usize::MAX));
                    if count == 0 {
                        break Ok(());
                    }
                    output.extend_from_slice(rest.get(..count).unwrap_or_default());
                    copied = copied.saturating_add(count);
                    let left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
                    (count, self.after(left))
                }
                Step::Rest => {
                    let count = rest.len().min(limit.saturating_sub(copied));
                    if count == 0 {
                        break Ok(());
                    }
                    output.extend_from_slice(rest.get(..count).unwrap_or_default());
                    copied = copied.saturating_add(count);
                    (count, Step::Rest)
                }
                Step::Size => match httparse::parse_chunk_size(rest) {
                    Ok(Status::Complete((count, 0))) => (count, Step::Trailer),
                    Ok(Status::Complete((count, size))) => (count, Step::Chunk(size)),
                    Ok(Status::Partial) if rest.len() <= MAX_SIZE_LINE_BYTES => break Ok(()),
                    _ => break Err(BadMessage::new(400, "The size of a chunk is no number.")),
                },
                Step::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => (2, Step::Size),
                    [] | [b'\r'] => break Ok(()),
                    _ => break Err(BadMessage::new(400, "A chunk is longer than its size.")),
                },
                Step::Trailer => match Fields::parse_trailer(rest) {
                    Ok(Some((count, trailer))) => {
                        self.trailer = trailer;
                        (count, Step::Done)
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                },
                Step::Done => break Ok(()),
            };
            taken = taken.saturating_add(bytes);
            self.step = next;
        };
        input.drain(..taken);
        result
    }

    fn after(&self, left: u64) -> Step {
        match (self.step, left) {
            (Step::Length(_), 0) => Step::Done,
            (Step::Length(_), left) => Step::Length(left),
            (_, 0) => Step::ChunkEnd,
            (_, left) => Step::Chunk(left),
        }
    }

    /// Whether the body was taken to its end.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// How long the whole body is known to be before it has arrived, at the least.
    pub fn announced_bytes(&self) -> u64 {
        match self.step {
            Step::Length(left) | Step::Chunk(left) => left,
            _ => 0,
        }
    }

    /// What followed the body.
    pub fn trailer(&self) -> &Fields {
        &self.trailer
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::RequestHead;

    fn decode(
        message: &[u8],
        size: usize,
        limit: usize,
    ) -> Result<(Vec<u8>, BodyDecoder, Vec<u8>), BadMessage> {
        let (length, head) = RequestHead::parse(message)?.unwrap();
        let mut body = BodyDecoder::for_fields(&head.fields)?;
        let (mut input, mut output) = (Vec::new(), Vec::new());
        for piece in message[length..].chunks(size) {
            input.extend_from_slice(piece);
            body.take(&mut input, &mut output, limit)?;
        }
        for _ in 0..message.len() {
            body.take(&mut input, &mut output, limit)?;
        }
        Ok((output, body, input))
    }

    proptest! {
        #[test]
        fn take_gives_the_body_when_it_is_cut_anywhere(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            size in 1_usize..50,
            limit in 1_usize..50,
        ) {
            let whole = chunks.concat();
            let mut chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                chunked.extend(format!("{:x};name=value\r\n", chunk.len()).into_bytes());
                chunked.extend(chunk);
                chunked.extend(b"\r\n");
            }
            chunked.extend(b"0\r\nFailed: yes\r\n\r\nnext");
            let (body, decoder, rest) = decode(&chunked, size, limit).unwrap();
            prop_assert_eq!((&body, rest.as_slice()), (&whole, b"next".as_slice()));
            prop_assert_eq!(decoder.trailer().text("failed"), Some("yes"));
            let mut plain = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", whole.len()).into_bytes();
            plain.extend(&whole);
            plain.extend(b"next");
            let (body, decoder, rest) = decode(&plain, size, limit).unwrap();
            prop_assert_eq!((&body, rest.as_slice()), (&whole, b"next".as_slice()));
            prop_assert!(decoder.is_done());
        }

        #[test]
        fn take_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..50) {
            let message = [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), &bytes].concat();
            let _ = decode(&message, size, 16);
        }
    }

    #[test]
    fn a_body_is_refused_when_its_length_cannot_be_told() {
        for (field, status) in [
            ("Content-Length: -1", 400),
            ("Content-Length: 1\r\nContent-Length: 2", 400),
            ("Content-Length: 99999999999999999999", 400),
            ("Transfer-Encoding: gzip", 501),
        ] {
            let error = decode(format!("POST / HTTP/1.1\r\n{field}\r\n\r\n").as_bytes(), 1, 1).unwrap_err();
            assert_eq!(error.status, status, "{field}");
        }
        for chunk in ["x\r\n", "2\r\nabc\r\n", "fffffffffffffffff\r\n"] {
            let text = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
            assert_eq!(decode(text.as_bytes(), 3, 9).unwrap_err().status, 400, "{chunk}");
        }
    }
}
