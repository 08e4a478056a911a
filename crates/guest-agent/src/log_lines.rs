//! Cuts what a program prints into lines.

/// Longest line in bytes; a longer one is cut into several.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

/// Lines without an end that are kept at a time; when there is one more, the oldest is taken as it is.
const MAX_OPEN_LINES: usize = 32;

/// Who printed something, and how much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// "stdout" or "stderr".
    pub stream: &'static str,
    /// "trace", "debug", "info", "warn", "error" or "fatal".
    pub level: &'static str,
    /// The invocation that printed it; 0 if that is none, or not known.
    pub invocation: u32,
}

impl Source {
    /// The source of what a program says that it has printed; what it may not say is replaced by the usual.
    pub fn new(stream: &str, level: &str, invocation: u32) -> Self {
        let (stream, usual) = if stream == "stderr" { ("stderr", "error") } else { ("stdout", "info") };
        let level =
            ["trace", "debug", "info", "warn", "error", "fatal"].into_iter().find(|known| *known == level);
        Self { stream, level: level.unwrap_or(usual), invocation }
    }

    fn prints_to_the_line_of(&self, other: &Self) -> bool {
        (self.stream, self.invocation) == (other.stream, other.invocation)
    }
}

/// The unfinished lines of all who print: pieces of two invocations are never one line.
#[derive(Default)]
pub struct OpenLines {
    open: Vec<(Source, LineSplitter)>,
}

impl OpenLines {
    /// Takes the next bytes of a source, and hands every line that is now complete to `emit`, without its line end.
    pub fn push(&mut self, source: Source, bytes: &[u8], mut emit: impl FnMut(&Source, &[u8])) {
        let known = self.open.iter().position(|(open, _)| open.prints_to_the_line_of(&source));
        let (_, mut splitter) =
            known.map_or_else(|| (source, LineSplitter::default()), |index| self.open.remove(index));
        splitter.push(bytes, |line| emit(&source, line));
        if splitter.partial.is_empty() {
            return;
        }
        if self.open.len() >= MAX_OPEN_LINES {
            let (oldest, mut unfinished) = self.open.remove(0);
            unfinished.finish(|line| emit(&oldest, line));
        }
        self.open.push((source, splitter));
    }

    /// Hands out the unfinished lines of an invocation that has ended.
    pub fn finish_invocation(&mut self, invocation: u32, mut emit: impl FnMut(&Source, &[u8])) {
        self.open.retain_mut(|(source, splitter)| {
            let ended = source.invocation == invocation;
            if ended {
                splitter.finish(|line| emit(source, line));
            }
            !ended
        });
    }

    /// Hands out all unfinished lines.
    pub fn finish(&mut self, mut emit: impl FnMut(&Source, &[u8])) {
        for (source, mut splitter) in std::mem::take(&mut self.open) {
            splitter.finish(|line| emit(&source, line));
        }
    }
}

/// The unfinished line of one who prints.
#[derive(Default)]
struct LineSplitter {
    partial: Vec<u8>,
}

impl LineSplitter {
    /// Takes the next bytes, and hands every line that is now complete to `emit`, without its line end.
    fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
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
    fn finish(&mut self, emit: impl FnOnce(&[u8])) {
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

    fn of(invocation: u32) -> Source {
        Source::new("stdout", "", invocation)
    }

    #[test]
    fn a_line_is_of_one_invocation_when_several_print_pieces_of_lines() {
        let mut lines = OpenLines::default();
        let mut found: Vec<(u32, String)> = Vec::new();
        let mut note = |source: &Source, line: &[u8]| {
            found.push((source.invocation, String::from_utf8(line.to_vec()).unwrap()));
        };
        lines.push(of(1), b"one, ", &mut note);
        lines.push(of(2), b"two, ", &mut note);
        lines.push(of(1), b"and on\nno end", &mut note);
        lines.push(of(2), b"and on", &mut note);
        lines.finish_invocation(1, &mut note);
        lines.push(of(0), b"whole\n", &mut note);
        lines.finish(&mut note);
        let expected = [(1, "one, and on"), (1, "no end"), (0, "whole"), (2, "two, and on")];
        assert_eq!(found, expected.map(|(id, text)| (id, text.to_owned())));
        assert!(lines.open.is_empty());
    }

    #[test]
    fn no_more_lines_are_kept_than_allowed_when_each_is_left_without_an_end() {
        let mut lines = OpenLines::default();
        let mut emitted = 0;
        for id in 0..1000 {
            lines.push(of(id), b"no end", |_, _| emitted += 1);
        }
        assert_eq!((lines.open.len(), emitted), (MAX_OPEN_LINES, 1000 - MAX_OPEN_LINES));
    }

    #[test]
    fn a_source_has_the_usual_level_when_the_program_names_none_that_exists() {
        let named = |stream, level| {
            let source = Source::new(stream, level, 1);
            (source.stream, source.level)
        };
        assert_eq!(named("stdout", ""), ("stdout", "info"));
        assert_eq!(named("stderr", "loud"), ("stderr", "error"));
        assert_eq!(named("stderr", "warn"), ("stderr", "warn"));
        assert_eq!(named("agent", "debug"), ("stdout", "debug"));
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
