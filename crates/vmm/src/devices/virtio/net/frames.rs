//! Ethernet frames that wait, each behind its length: the form in which stream sockets carry them, and snapshots.

use crate::error::{ErrorCode, Result, VmmError};

/// Shortest frame: two addresses and a type.
pub(super) const FRAME_MIN: usize = 14;
/// Most bytes that a frame carries, as the guest is told.
pub(super) const MTU: u16 = 1500;
/// Longest frame: header, a VLAN tag, and the MTU.
pub(super) const FRAME_MAX: usize = FRAME_MIN + 4 + MTU as usize;
/// Length of a length: a big-endian word.
const PREFIX: usize = 4;
/// Longest frame of any link. A length beyond it is none: the stream is out of step.
const WIRE_MAX: usize = 64 << 10;
/// Most that waits in one direction, in bytes.
pub(super) const CAPACITY: usize = 64 << 10;

/// What the other end sent cannot be cut into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfStep;

/// The link is gone, or talks nonsense: it is down from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl From<OutOfStep> for Broken {
    fn from(OutOfStep: OutOfStep) -> Self {
        Self
    }
}

/// Frames in the order of their arrival. Memory is allocated with the first one.
#[derive(Default)]
pub(super) struct Frames {
    /// Empty, or of [`CAPACITY`].
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of a frame that is left out, which are still to come.
    skipped: usize,
    dropped: u64,
}

impl Frames {
    /// Frames of a snapshot.
    pub(super) fn restore(saved: &[u8]) -> Result<Self> {
        let mut frames = Self::default();
        if !saved.is_empty() {
            let corrupt = || {
                VmmError::new(
                    ErrorCode::SnapshotCorrupt,
                    "frames of the snapshot's network device are not what it saves",
                )
            };
            frames.space().get_mut(..saved.len()).ok_or_else(corrupt)?.copy_from_slice(saved);
            frames.end = saved.len();
            if frames.save() != saved {
                return Err(corrupt());
            }
        }
        Ok(frames)
    }

    /// All whole frames, for a snapshot. What is left out when it comes to the front is left out here, too.
    pub(super) fn save(&self) -> Vec<u8> {
        let mut saved = Vec::new();
        let mut rest = self.waiting().get(self.skipped..).unwrap_or_default();
        while let Some((prefix, behind)) = rest.split_first_chunk::<PREFIX>() {
            let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
            let Some((frame, next)) = behind.split_at_checked(length) else { break };
            if (FRAME_MIN..=FRAME_MAX).contains(&length) {
                saved.extend(prefix);
                saved.extend(frame);
            }
            rest = next;
        }
        saved
    }

    /// The bytes that wait, of frames or of parts of them.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The next frame, if it is there as a whole. Frames of lengths that none has are left out.
    pub(super) fn front(&mut self) -> std::result::Result<Option<&[u8]>, OutOfStep> {
        loop {
            let now = self.skipped.min(self.end - self.start);
            self.skipped -= now;
            self.advance(now);
            let Some((length, behind)) = self.waiting().split_first_chunk::<PREFIX>() else {
                return Ok(None);
            };
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > WIRE_MAX {
                return Err(OutOfStep);
            }
            if (FRAME_MIN..=FRAME_MAX).contains(&length) {
                if behind.len() < length {
                    return Ok(None);
                }
                let from = self.start + PREFIX;
                return Ok(self.bytes.get(from..from + length));
            }
            self.dropped = self.dropped.wrapping_add(1);
            self.skipped = length;
            self.advance(PREFIX);
        }
    }

    /// Takes the frame that [`Frames::front`] showed away.
    pub(super) fn pop(&mut self) {
        if let Ok(Some(frame)) = self.front() {
            let length = frame.len();
            self.advance(PREFIX + length);
        }
    }

    /// Whether there is room for any frame.
    pub(super) fn has_room(&self) -> bool {
        CAPACITY - (self.end - self.start) >= PREFIX + FRAME_MAX
    }

    /// Adds a frame. False, and nothing added, if it is none, or there is no room.
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> bool {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let Ok(prefix) = u32::try_from(length).map(u32::to_be_bytes) else { return false };
        if !(FRAME_MIN..=FRAME_MAX).contains(&length) || !self.has_room() {
            return false;
        }
        let mut space = self.space();
        for part in [&prefix[..]].iter().chain(parts) {
            let Some((here, behind)) = space.split_at_mut_checked(part.len()) else { return false };
            here.copy_from_slice(part);
            space = behind;
        }
        self.end += PREFIX + length;
        true
    }

    /// Adds bytes that `read` puts into the space that there is; the result is that of `read`.
    pub(super) fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> std::result::Result<usize, E>,
    ) -> std::result::Result<usize, E> {
        let space = self.space();
        let room = space.len();
        let length = read(space)?.min(room);
        self.end += length;
        Ok(length)
    }

    /// Takes bytes away from the start.
    pub(super) fn advance(&mut self, length: usize) {
        self.start = self.start.saturating_add(length).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Forgets everything; returns how many bytes there were.
    pub(super) fn clear(&mut self) -> usize {
        let waiting = self.end - self.start;
        (self.start, self.end, self.skipped) = (0, 0, 0);
        waiting
    }

    /// Frames that were left out.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The space behind what waits, which is moved to the start to make room.
    fn space(&mut self) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = vec![0; CAPACITY];
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(length: usize, byte: u8) -> Vec<u8> {
        [&u32::try_from(length).unwrap().to_be_bytes()[..], &vec![byte; length]].concat()
    }

    fn feed(frames: &mut Frames, bytes: &[u8]) -> usize {
        let fed = frames.fill(|space| {
            let length = bytes.len().min(space.len());
            space[..length].copy_from_slice(&bytes[..length]);
            Ok::<_, ()>(length)
        });
        fed.unwrap()
    }

    #[test]
    fn frames_of_lengths_that_none_has_are_left_out_and_the_rest_is_in_step() {
        let mut frames = Frames::default();
        let bytes = [framed(13, 1), framed(0, 0), framed(1519, 2), framed(40_000, 3), framed(60, 4)].concat();
        feed(&mut frames, &bytes);
        assert_eq!(frames.front(), Ok(Some(&[4; 60][..])));
        assert_eq!(frames.dropped(), 4);
        frames.pop();
        assert_eq!(frames.front(), Ok(None));
    }

    #[test]
    fn a_length_beyond_any_frame_is_out_of_step() {
        let mut frames = Frames::default();
        feed(&mut frames, &[0, 1, 0, 1]);
        assert_eq!(frames.front(), Err(OutOfStep));
        assert_eq!(frames.clear(), 4);
        assert_eq!(frames.front(), Ok(None));
    }

    #[test]
    fn what_is_saved_is_whole_frames_and_comes_back() {
        let mut frames = Frames::default();
        let (first, second) = (framed(60, 1), framed(1518, 2));
        feed(&mut frames, &[&first[..], &framed(2000, 9), &second, &framed(100, 3)[..50]].concat());
        assert_eq!(frames.save(), [first, second].concat());
        let mut restored = Frames::restore(&frames.save()).unwrap();
        assert_eq!(restored.front(), Ok(Some(&[1; 60][..])));
        assert!(Frames::restore(&[]).unwrap().bytes.is_empty(), "nothing is allocated for nothing");
    }

    #[test]
    fn forged_frames_are_refused() {
        for bytes in [&framed(60, 1)[..63], &framed(13, 1), &framed(1519, 1), &[0; 3], &vec![0; CAPACITY + 1]]
        {
            assert_eq!(Frames::restore(bytes).err().unwrap().code, ErrorCode::SnapshotCorrupt);
        }
    }

    #[test]
    fn a_full_buffer_takes_no_frame_and_one_that_has_room_takes_any() {
        let mut frames = Frames::default();
        let mut count = 0;
        while frames.has_room() {
            assert!(frames.push(&[&[7; 14], &[8; FRAME_MAX - 14]]));
            count += 1;
        }
        assert!(!frames.push(&[&[7; 60]]));
        assert_eq!(count, CAPACITY / (PREFIX + FRAME_MAX));
        frames.pop();
        assert!(frames.push(&[&[9; FRAME_MAX]]));
        assert!(!frames.push(&[&[9; FRAME_MAX + 1]]) && !frames.push(&[&[9; FRAME_MIN - 1]]));
    }

    proptest! {
        /// Whatever pieces the stream is cut into, and wherever they lie in the buffer.
        #[test]
        fn any_cut_of_a_stream_gives_the_same_frames(
            lengths in prop::collection::vec(prop_oneof![8 => 14usize..1519, 1 => 0usize..14, 1 => 1519usize..3000], 1..80),
            cuts in prop::collection::vec(1usize..5000, 1..40),
        ) {
            let stream: Vec<u8> = lengths.iter().flat_map(|length| framed(*length, u8::try_from(*length % 251).unwrap())).collect();
            let expected: Vec<usize> = lengths.iter().copied().filter(|length| (14..1519).contains(length)).collect();
            let mut frames = Frames::default();
            let mut got = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let fed = feed(&mut frames, &rest[..rest.len().min(*cut)]);
                rest = &rest[fed..];
                while let Some(frame) = frames.front().unwrap() {
                    let length = frame.len();
                    prop_assert!(frame.iter().all(|byte| usize::from(*byte) == length % 251));
                    got.push(length);
                    frames.pop();
                }
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(got, expected);
            prop_assert!(frames.waiting().is_empty());
        }

        #[test]
        fn no_bytes_panic(chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..2000), 0..20)) {
            let mut frames = Frames::default();
            for chunk in chunks {
                feed(&mut frames, &chunk);
                let _ = frames.save();
                while let Ok(Some(_)) = frames.front() {
                    frames.pop();
                }
            }
            if let Ok(mut restored) = Frames::restore(frames.waiting()) {
                let _ = restored.front();
            }
        }
    }
}
