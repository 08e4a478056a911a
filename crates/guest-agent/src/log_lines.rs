//! Cuts what a program prints into lines.

/// Longest line in bytes; a longer one is cut into several.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// The unfinished line of one output stream.
#[derive(Default)]
pub struct LineSplitter {
    partial: Vec<u8>,
}

impl LineSplitter {
    /// Takes the next bytes, and hands every line that is now complete to `emit`, without its line end.
    pub fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            self.append(text, &mut emit);
            if ended {
                emit(&self.partial);
                self.partial.clear();
            }
        }
    }

    /// Hands out the unfinished line, if there is one.
    pub fn finish(&mut self, emit: impl FnOnce(&[u8])) {
        if !self.partial.is_empty() {
            emit(&self.partial);
            self.partial = Vec::new();
        }
    }

    fn append(&mut self, mut text: &[u8], emit: &mut impl FnMut(&[u8])) {
        loop {
            let room = MAX_LINE_BYTES.saturating_sub(self.partial.len());
            let (now, later) = text.split_at(room.min(text.len()));
            self.partial.extend_from_slice(now);
            if later.is_empty() {
                return;
            }
            let whole = whole_characters(&self.partial);
            emit(self.partial.get(..whole).unwrap_or_default());
            self.partial.drain(..whole);
            text = later;
        }
    }
}

/// Length of the text without a last character of UTF-8 that is not complete. All of it if it is no such text.
fn whole_characters(text: &[u8]) -> usize {
    let last = text.iter().rev().take(4).position(|byte| byte & 0xc0 != 0x80);
    let Some((after, lead)) = last.and_then(|after| Some((after, text.iter().rev().nth(after)?))) else {
        return text.len();
    };
    let expected = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let there = after.saturating_add(1);
    if there < expected { text.len().saturating_sub(there) } else { text.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut splitter = LineSplitter::default();
        let mut found = Vec::new();
        for piece in pieces {
            splitter.push(piece, |line| found.push(line.to_vec()));
        }
        splitter.finish(|line| found.push(line.to_vec()));
        found
    }

    proptest! {
        #[test]
        fn push_returns_the_lines_when_the_output_is_cut_anywhere(
            expected in prop::collection::vec("[a-z ]{0,20}", 0..10),
            size in 1_usize..30,
        ) {
            let output: String = expected.iter().map(|line| format!("{line}\n")).collect();
            let pieces: Vec<Vec<u8>> = output.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            let expected: Vec<Vec<u8>> = expected.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(lines(&pieces), expected);
        }
    }

    proptest! {
        #[test]
        fn push_cuts_no_character_when_a_line_is_too_long(
            start in "[a-z]{0,5}",
            character in "[\\u{80}-\\u{7ff}]|[\\u{800}-\\u{d7ff}]|[\\u{10000}-\\u{10ffff}]|x",
            size in 1_usize..9000,
        ) {
            let line = format!("{start}{}", character.repeat(20_000));
            let pieces: Vec<Vec<u8>> = line.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            let found = lines(&pieces);
            prop_assert!(found.len() > 1 && found.iter().all(|line| line.len() <= MAX_LINE_BYTES));
            let texts: Vec<String> = found.into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
            prop_assert_eq!(texts.concat(), line);
        }
    }

    #[test]
    fn push_goes_on_when_a_long_line_is_no_text() {
        for byte in [0x80, 0xc3, 0xf4, 0xff] {
            let found = lines(&[vec![byte; 3 * MAX_LINE_BYTES]]);
            assert_eq!(found.concat(), vec![byte; 3 * MAX_LINE_BYTES]);
        }
    }

    #[test]
    fn push_cuts_a_line_when_it_is_too_long() {
        let found = lines(&[vec![b'x'; MAX_LINE_BYTES + 1], b"\nend".to_vec()]);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE_BYTES, 1, 3]);
    }
}
