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
            emit(&self.partial);
            self.partial.clear();
            text = later;
        }
    }
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

    #[test]
    fn push_cuts_a_line_when_it_is_too_long() {
        let found = lines(&[vec![b'x'; MAX_LINE_BYTES + 1], b"\nend".to_vec()]);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE_BYTES, 1, 3]);
    }
}
