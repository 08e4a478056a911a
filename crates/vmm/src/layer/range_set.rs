//! A set of offsets of guest memory, as sorted ranges that do not touch.

use std::ops::Range;

/// Sorted, non-empty ranges with gaps between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// What any of the ranges holds, which are in no order.
    pub fn of_unsorted(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.into_iter().collect()
    }

    /// The ranges, sorted.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The ranges, sorted.
    pub fn into_ranges(self) -> Vec<Range<u64>> {
        self.ranges
    }

    /// Sum of the lengths.
    pub fn length(&self) -> u64 {
        self.ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum()
    }

    /// What is in the first ranges, as far as `length` bytes go.
    #[must_use]
    pub fn first(&self, mut length: u64) -> Self {
        let mut result = Self::default();
        for range in &self.ranges {
            let end = range.end.min(range.start.saturating_add(length));
            length -= end.saturating_sub(range.start);
            result.append(range.start..end);
        }
        result
    }

    /// Adds a range that starts at or after the start of every range so far.
    pub fn append(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => self.ranges.push(range),
        }
    }

    /// This set and the ranges, which are sorted by their start.
    pub fn union(&self, ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let ranges = ranges.into_iter();
        let room = self.ranges.len().saturating_add(ranges.size_hint().0);
        let mut result = Self { ranges: Vec::with_capacity(room) };
        let mut mine = self.ranges.iter().cloned().peekable();
        for range in ranges {
            while let Some(before) = mine.next_if(|own| own.start <= range.start) {
                result.append(before);
            }
            result.append(range);
        }
        mine.for_each(|own| result.append(own));
        result
    }

    /// What is in this set and not in the other.
    pub fn without(&self, other: &Self) -> Self {
        let mut result = Self::default();
        let mut gaps = other.gaps();
        for range in &self.ranges {
            gaps.for_each_in(range.clone(), |gap| result.append(gap));
        }
        result
    }

    /// What is in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.without(&self.without(other))
    }

    /// What is not in the set.
    pub fn gaps(&self) -> Gaps<'_> {
        Gaps { left: &self.ranges }
    }

    /// The same, for ranges that begin at `start` or behind it.
    pub fn gaps_from(&self, start: u64) -> Gaps<'_> {
        let first = self.ranges.partition_point(|range| range.end <= start);
        Gaps { left: self.ranges.get(first..).unwrap_or_default() }
    }
}

/// What is not in a set, for ranges that are asked about in order: a pass over both, with no search for each.
#[derive(Debug)]
pub struct Gaps<'a> {
    /// Of the set, what does not end before the last range that was asked about.
    left: &'a [Range<u64>],
}

impl Gaps<'_> {
    /// Calls `part` with each part of the range that is not in the set, in order. The range starts at or after the start of the one before it.
    pub fn for_each_in(&mut self, range: Range<u64>, mut part: impl FnMut(Range<u64>)) {
        while let Some((_, behind)) = self.left.split_first().filter(|(own, _)| own.end <= range.start) {
            self.left = behind;
        }
        let mut at = range.start;
        for own in self.left.iter().take_while(|own| own.start < range.end) {
            if own.start > at {
                part(at..own.start);
            }
            at = own.end;
        }
        if at < range.end {
            part(at..range.end);
        }
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    /// From ranges that are sorted by their start.
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(ranges: T) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.append(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        proptest::collection::vec((0u64..60, 1u64..9), 0..12).prop_map(|pairs| {
            let mut ranges: Vec<_> = pairs.into_iter().map(|(start, length)| start..start + length).collect();
            ranges.sort_by_key(|range| range.start);
            ranges
        })
    }

    /// The offsets whose bits are set.
    fn of_bits(bits: u8) -> RangeSet {
        (0..8).filter(|bit| bits >> bit & 1 != 0).map(|bit| bit..bit + 1).collect()
    }

    #[test]
    fn every_two_sets_of_eight_offsets_combine_as_bits_do() {
        let sets: Vec<RangeSet> = (0..=255).map(of_bits).collect();
        for (a, first) in (0..=u8::MAX).zip(&sets) {
            assert_eq!(first.length(), u64::from(a.count_ones()));
            for (b, second) in (0..=u8::MAX).zip(&sets) {
                assert_eq!(first.union(second.ranges().iter().cloned()), of_bits(a | b));
                assert_eq!(first.without(second), of_bits(a & !b));
                assert_eq!(first.intersection(second), of_bits(a & b));
            }
        }
    }

    /// The ranges may overlap, or be empty.
    #[test]
    fn every_two_ranges_in_order_get_the_gaps_that_are_in_them() {
        let ranges = || (0..=6u64).flat_map(|start| (start..=6).map(move |end| start..end));
        for bits in 0..64u8 {
            let set = of_bits(bits);
            for (first, second) in
                ranges().flat_map(|first| ranges().map(move |second| (first.clone(), second)))
            {
                if second.start < first.start {
                    continue;
                }
                let mut gaps = set.gaps();
                for range in [first, second] {
                    let mut found = RangeSet::default();
                    gaps.for_each_in(range.clone(), |gap| found.append(gap));
                    let expected =
                        range.filter(|offset| bits >> offset & 1 == 0).map(|offset| offset..offset + 1);
                    assert_eq!(found, expected.collect());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_union_holds_what_either_holds_and_gaps_are_the_rest(a in ranges(), b in ranges()) {
            let set: RangeSet = a.iter().cloned().collect();
            let union = set.union(b.iter().cloned());
            let is_in_one = |offset: u64| a.iter().chain(&b).any(|range| range.contains(&offset));
            for pair in union.ranges().windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            let mut gaps = Vec::new();
            union.gaps().for_each_in(0..80, |gap| gaps.push(gap));
            for offset in 0..80 {
                prop_assert_eq!(union.ranges().iter().any(|range| range.contains(&offset)), is_in_one(offset));
                prop_assert_eq!(gaps.iter().any(|range| range.contains(&offset)), !is_in_one(offset));
            }
            prop_assert_eq!(union.length(), (0..80).filter(|offset| is_in_one(*offset)).count() as u64);
        }

        #[test]
        fn the_first_of_a_set_is_as_long_as_was_asked_for_and_holds_its_lowest(a in ranges(), length in 0u64..120) {
            let set: RangeSet = a.into_iter().collect();
            let first = set.first(length);
            prop_assert_eq!(first.length(), set.length().min(length));
            let rest = set.without(&first);
            prop_assert_eq!(rest.length(), set.length() - first.length());
            let (last, next) = (first.ranges().last(), rest.ranges().first());
            prop_assert!(last.zip(next).is_none_or(|(last, next)| last.end <= next.start));
        }

        #[test]
        fn an_intersection_holds_what_both_hold_and_without_the_rest(a in ranges(), b in ranges()) {
            let (first, second): (RangeSet, RangeSet) = (a.iter().cloned().collect(), b.iter().cloned().collect());
            let both = first.intersection(&second);
            let rest = first.without(&second);
            for pair in both.ranges().windows(2).chain(rest.ranges().windows(2)) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            for offset in 0..80 {
                let holds = |set: &RangeSet| set.ranges().iter().any(|range| range.contains(&offset));
                prop_assert_eq!(holds(&both), holds(&first) && holds(&second));
                prop_assert_eq!(holds(&rest), holds(&first) && !holds(&second));
            }
        }
    }
}
