//! Which parts ClickHouse merges next: the rules of its simple merge selector, as of 26.7, with their default numbers.
//!
//! A range of neighbours may be merged when its size is at least `base` times that of its largest part, where every part
//! counts 5 MiB more than it has. The base is 5; many parts, and parts that have waited long, lower it towards 2. Of all
//! such ranges the one is taken that saves most parts for the bytes it has to write. Knows nothing of pools and threads.

use pumphouse_core::moment::Time;

use super::part::{Part, Parts};

const MIB: f64 = 1_048_576.0;
/// What each part counts beyond its bytes.
const FIXED_COST: f64 = 5.0 * MIB;
const BASE: f64 = 5.0;
const BASE_MIN: f64 = 2.0;
const PARTS_AT_ONCE: f64 = 100.0;
/// The last so many parts of a run are looked at.
const WINDOW: usize = 1000;
/// Of a longer run not every part is tried as the first.
const STARTS: usize = 200;
/// Sizes between which more age is needed, the larger a range is.
const SIZES: (f64, f64) = (MIB, 100.0 * 1024.0 * MIB);
/// Seconds from which age begins to lower the base.
const AGE_MIN: f64 = 10.0;
/// Seconds at which it is lowest, for small and for large ranges.
const AGE_MAX: (f64, f64) = (3600.0, 30.0 * 86_400.0);
/// Parts of a run between which their number lowers the base.
const COUNTS: (f64, f64) = (10.0, 50.0);
/// A range this near in size to the part on its left is preferred, by powers of two and a factor.
const ALIGNED: (f64, f64) = (0.5, 0.75);
const ALIGNED_RATIO_MIN: f64 = 0.9;
/// Parts at the right end that are smaller than this share of the range are left out of it.
const CRUMB: f64 = 0.01;

/// A range of parts to merge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The place of its first part.
    pub start: usize,
    /// How many parts it has.
    pub length: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes written for each part saved; less is better.
    pub score: f64,
}

/// What one look at a table partition goes by.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Now.
    pub now: Time,
    /// What a merge may read at most.
    pub bytes_max: u64,
    /// `parts_to_throw_insert`: near it, merges become smaller.
    pub refuse_at: u64,
}

/// What a full look came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The best range, if any is allowed.
    pub best: Option<Choice>,
    /// Before this moment the same parts, of which merges may read any, give the same range: only age allows more.
    pub holds_until: Time,
}

/// The best range to merge in a table partition, if any is allowed.
#[must_use]
pub fn choose(parts: &Parts, circumstances: &Circumstances) -> Found {
    let all = parts.all();
    let length_max = length_max(all.len(), circumstances.refuse_at);
    let mut found = Found { best: None, holds_until: Time(u64::MAX) };
    let mut start = 0;
    for run in all.split(|part| part.is_merging) {
        if run.len() > 1 {
            let within = Run { parts: run, start, length_max, circumstances };
            found = within.choose(found);
        }
        start += run.len() + 1;
    }
    found
}

/// The best range, when `known` was it before parts came to stand at the end, the first of them at `from`. What more parts
/// allow besides ranges that end with a new one waits for the next full choice.
#[must_use]
pub fn choose_grown(
    parts: &Parts,
    from: usize,
    known: Option<Choice>,
    circumstances: &Circumstances,
) -> Option<Choice> {
    let all = parts.all();
    if from == all.len() {
        return known;
    }
    let length_max = length_max(all.len(), circumstances.refuse_at);
    let start = all.iter().rposition(|part| part.is_merging).map_or(0, |at| at + 1);
    let run = Run { parts: &all[start..], start, length_max, circumstances };
    let known = Found { best: known, holds_until: Time(u64::MAX) };
    (from.max(start)..all.len()).fold(known, |found, last| run.choose_ending(last - start, found)).best
}

/// Near the refusing limit long merges give way to many short ones.
fn length_max(parts: usize, refuse_at: u64) -> usize {
    let fullness = (as_f64(parts as u64) - BASE) / (as_f64(refuse_at) - BASE);
    let lowered = match fullness {
        fullness if fullness < 0.0 => PARTS_AT_ONCE,
        fullness if fullness >= 1.0 => BASE,
        fullness => BASE + (PARTS_AT_ONCE - BASE) * (1.0 - fullness.powi(5)),
    };
    whole(lowered)
}

/// Neighbours of which no merge reads any.
struct Run<'a> {
    parts: &'a [Part],
    /// The place of the first one in its table partition.
    start: usize,
    length_max: usize,
    circumstances: &'a Circumstances,
}

impl Run<'_> {
    fn choose(&self, mut found: Found) -> Found {
        let window = self.parts.len().saturating_sub(WINDOW)..self.parts.len() - 1;
        // Of very many parts not every one is tried as the first: neighbours are much alike then.
        let step = (window.len() / STARTS).max(1);
        for from in window.step_by(step) {
            let left = if from == 0 { 0 } else { self.parts[from - 1].bytes };
            let (mut sum, mut largest, mut youngest) = (0, 0, Time(0));
            for (length, part) in (1..=self.length_max).zip(&self.parts[from..]) {
                sum += part.bytes;
                largest = largest.max(part.bytes);
                youngest = youngest.max(part.made_at);
                if sum > self.circumstances.bytes_max {
                    break;
                }
                if length > 1 {
                    let range = Range { from, length, sum, left, largest, youngest };
                    found = self.better(found, &range);
                }
            }
        }
        found
    }

    /// The better one of what was found and the ranges that end with the part at `last`.
    fn choose_ending(&self, last: usize, mut found: Found) -> Found {
        let (mut sum, mut largest, mut youngest) = (0, 0, Time(0));
        for (length, from) in (1..=self.length_max).zip((0..=last).rev()) {
            let part = self.parts[from];
            sum += part.bytes;
            largest = largest.max(part.bytes);
            youngest = youngest.max(part.made_at);
            if sum > self.circumstances.bytes_max {
                break;
            }
            if length > 1 {
                let left = if from == 0 { 0 } else { self.parts[from - 1].bytes };
                found = self.better(found, &Range { from, length, sum, left, largest, youngest });
            }
        }
        found
    }

    fn better(&self, found: Found, range: &Range) -> Found {
        let choice = self.scored(range);
        // The rule costs a logarithm; it is asked only for what would be taken.
        if found.best.is_some_and(|best| choice.score > best.score) {
            return found;
        }
        let counted = as_f64(range.sum) + as_f64(range.length as u64) * FIXED_COST;
        let times = counted / (as_f64(range.largest) + FIXED_COST);
        let count = as_f64(self.parts.len() as u64);
        let age = self.circumstances.now.0.saturating_sub(range.youngest.0) / 1000;
        // A larger range has no lower base, so what even that of an empty one forbids is forbidden.
        let is_allowed =
            times >= base(0.0, as_f64(age), count) && times >= base(as_f64(range.sum), as_f64(age), count);
        if is_allowed {
            return Found { best: Some(choice), ..found };
        }
        let allowed_at = Time(range.youngest.0.saturating_add(age_needed(times, count)));
        // What comes into question at once only waits for the age of its size.
        Found { holds_until: found.holds_until.min(allowed_at), ..found }
    }

    fn scored(&self, range: &Range) -> Choice {
        let (mut length, mut bytes) = (range.length, range.sum);
        let crumb = CRUMB * as_f64(range.sum);
        while length > 2 && as_f64(self.parts[range.from + length - 1].bytes) < crumb {
            length -= 1;
            bytes -= self.parts[range.from + length].bytes;
        }
        let count = as_f64(length as u64);
        let score = (as_f64(bytes) + FIXED_COST * count) / (count - 1.9) * aligned(bytes, range.left);
        Choice { start: self.start + range.from, length, bytes, score }
    }
}

struct Range {
    from: usize,
    length: usize,
    sum: u64,
    /// Bytes of the part on its left.
    left: u64,
    /// Bytes of its largest part.
    largest: u64,
    /// When its youngest part came to be.
    youngest: Time,
}

/// How many times its largest part a range has to be.
fn base(bytes: f64, age: f64, parts: f64) -> f64 {
    let size = if bytes <= SIZES.0 {
        0.0
    } else {
        share((1.0 + bytes).ln(), ((1.0 + SIZES.0).ln(), (1.0 + SIZES.1).ln()))
    };
    let age_max = AGE_MAX.0 + (AGE_MAX.1 - AGE_MAX.0) * size;
    let lowering = (share(age, (AGE_MIN, age_max)) + share(parts, COUNTS)).min(1.0);
    BASE + (BASE_MIN - BASE) * lowering
}

/// The milliseconds of age below which a range of so many times its largest part is not allowed, whatever its size: `base`
/// the other way round, and a second less.
fn age_needed(times: f64, parts: f64) -> u64 {
    let lowering = (BASE - times) / (BASE - BASE_MIN);
    if lowering > 1.0 {
        return u64::MAX;
    }
    let needed = lowering - share(parts, COUNTS);
    whole((AGE_MIN + needed * (AGE_MAX.0 - AGE_MIN) - 1.0).max(0.0)) as u64 * 1000
}

fn aligned(bytes: u64, left: u64) -> f64 {
    if left == 0 || as_f64(left) <= as_f64(bytes) * ALIGNED_RATIO_MIN {
        return 1.0;
    }
    let difference = (as_f64(bytes) / as_f64(left)).log2().abs();
    if difference < ALIGNED.0 { ALIGNED.1 + (1.0 - ALIGNED.1) * difference / ALIGNED.0 } else { 1.0 }
}

/// Where a value lies between two bounds: 0 at the lower one and below, 1 at the upper one and above.
fn share(value: f64, (low, high): (f64, f64)) -> f64 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are estimates here")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and small")]
fn whole(value: f64) -> usize {
    value as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Circumstances = Circumstances { now: Time(5_000), bytes_max: 150 << 30, refuse_at: 3000 };

    fn parts(sizes: &[u64]) -> Parts {
        let mut parts = Parts::default();
        for bytes in sizes {
            parts.insert(Time(0), 1, *bytes);
        }
        parts
    }

    fn chosen(sizes: &[u64], circumstances: Circumstances) -> Option<(usize, usize)> {
        choose(&parts(sizes), &circumstances).best.map(|choice| (choice.start, choice.length))
    }

    #[test]
    fn five_equal_small_parts_are_merged_and_four_are_left() {
        assert_eq!(chosen(&[1000; 4], NOW), None);
        assert_eq!(chosen(&[1000; 5], NOW), Some((0, 5)));
    }

    #[test]
    fn a_large_part_is_not_written_again_for_a_few_small_ones() {
        let sizes = [100 << 20, 1000, 1000, 1000, 1000];
        assert_eq!(chosen(&sizes, NOW), None);
        let sizes = [100 << 20, 1000, 1000, 1000, 1000, 1000];
        assert_eq!(chosen(&sizes, NOW), Some((1, 5)));
    }

    #[test]
    fn age_lowers_the_base() {
        let hour = Circumstances { now: Time(3_700_000), ..NOW };
        assert_eq!(chosen(&[1000; 2], NOW), None);
        assert_eq!(chosen(&[1000; 2], hour), Some((0, 2)));
        let ten_minutes = Circumstances { now: Time(600_000), ..NOW };
        assert_eq!(chosen(&[1000; 4], ten_minutes), None, "4.5 is asked for");
    }

    #[test]
    fn many_parts_lower_the_base() {
        let tenths = |parts: f64, age: f64| whole(base(1000.0, age, parts) * 10.0 + 0.5);
        assert_eq!(tenths(10.0, 0.0), 50);
        assert_eq!(tenths(30.0, 0.0), 35);
        assert_eq!(tenths(50.0, 0.0), 20);
        assert_eq!(tenths(50.0, 3600.0), 20, "and never below two");
    }

    #[test]
    fn nothing_larger_than_allowed_is_merged() {
        let sizes = [10 << 20; 8];
        assert_eq!(chosen(&sizes, NOW), Some((0, 8)));
        assert_eq!(chosen(&sizes, Circumstances { bytes_max: 60 << 20, ..NOW }), Some((2, 6)));
        assert_eq!(chosen(&sizes, Circumstances { bytes_max: 40 << 20, ..NOW }), None);
    }

    #[test]
    fn at_most_a_hundred_parts_are_merged_at_once_and_fewer_near_the_limit() {
        let far = Circumstances { refuse_at: 100_000, ..NOW };
        assert_eq!(chosen(&[1000; 400], far), Some((301, 99)), "the last of equals");
        assert_eq!(length_max(4, 3000), 100);
        assert_eq!(length_max(2500, 3000), 61);
        assert_eq!(length_max(3000, 3000), 5);
    }

    #[test]
    fn what_grew_at_the_end_is_chosen_like_the_whole() {
        for sizes in [&[1000; 12][..], &[9 << 20, 7000, 3 << 20, 500, 800, 2 << 20, 900, 1, 40, 70, 3, 5]] {
            let mut grown = parts(&sizes[..2]);
            let mut known = choose(&grown, &NOW).best;
            for (at, bytes) in sizes.iter().enumerate().skip(2).take(8) {
                grown.insert(Time(0), 1, *bytes);
                known = choose_grown(&grown, at, known, &NOW);
                assert_eq!(known, choose(&grown, &NOW).best, "{at} of {sizes:?}");
            }
        }
    }

    #[test]
    fn what_was_found_holds_until_age_allows_more() {
        for sizes in [
            vec![1000; 2],
            vec![1000; 4],
            vec![1000; 9],
            vec![9 << 20, 7000, 3 << 20, 500, 800, 2 << 20, 1],
            vec![1 << 30; 4],
        ] {
            let parts = parts(&sizes);
            let mut known = choose(&parts, &NOW);
            for seconds in 6..100_000 {
                let now = Circumstances { now: Time(seconds * 1000), ..NOW };
                let found = choose(&parts, &now);
                assert!(now.now >= known.holds_until || found.best == known.best, "{seconds} s, {sizes:?}");
                known = if now.now < known.holds_until { known } else { found };
            }
        }
        assert_eq!(choose(&parts(&[1000; 4]), &NOW).holds_until, Time(1_205_000));
        assert_eq!(choose(&parts(&[1000]), &NOW).holds_until, Time(u64::MAX));
    }

    #[test]
    fn a_running_merge_parts_its_neighbours() {
        let mut parts = parts(&[1000; 9]);
        parts.begin_merge(4, 1);
        assert_eq!(choose(&parts, &NOW).best, None, "four on either side");
    }
}
