//! Sums that tell records apart, bounds, and the table of fates.

use super::*;
use crate::offset::Partition;

/// `SELECT intHash64(bitXor(toUInt64(offset), bitShiftLeft(toUInt64(index), 40)))`, as 26.7 answers it.
const MADE_BY_CLICKHOUSE: [(u64, u32, u64); 4] = [
    (0, 0, 4_761_183_170_873_013_810),
    (1, 0, 10_577_349_846_663_553_072),
    (4_711, 3, 10_159_737_659_193_696_202),
    (900_000_000_000, 99_999, 9_831_467_943_863_656_762),
];

fn range(from: u64, to: u64) -> Range {
    Range::new(Offset(from), Offset(to))
}

#[test]
fn a_mark_is_what_clickhouse_makes_of_an_offset() {
    for (offset, index, made) in MADE_BY_CLICKHOUSE {
        assert_eq!(mark(Offset(offset), index), made, "offset {offset}, index {index}");
    }
}

#[test]
fn a_lost_and_a_doubled_record_do_not_make_up_for_each_other() {
    let whole = Tally::of(range(100, 200));
    let mut other = Tally::of(range(100, 150)).and(Tally::of(range(151, 200)));
    other.take(Offset(180), 0);
    assert_eq!(other.count, whole.count);
    assert_ne!(whole, other);
    assert_eq!(whole, Tally::of(range(150, 200)).and(Tally::of(range(100, 150))));
}

#[test]
fn records_of_one_message_are_told_apart() {
    let of = |places: &[(u64, u32)]| {
        let mut tally = Tally::default();
        for (offset, index) in places {
            tally.take(Offset(*offset), *index);
        }
        tally
    };
    assert_ne!(of(&[(7, 0), (7, 1)]), of(&[(7, 0), (7, 0)]));
    assert_ne!(of(&[(7, 0), (8, 1)]), of(&[(8, 0), (7, 1)]));
}

#[test]
fn a_replayed_letter_is_no_doubled_row() {
    assert_eq!(difference(100, 100, 100), Difference::default());
    assert_eq!(difference(100, 103, 103), Difference::default());
    assert_eq!(difference(100, 97, 97), Difference { missing: 3, doubled: 0 });
    assert_eq!(difference(100, 102, 100), Difference { missing: 0, doubled: 2 });
    assert_eq!(difference(100, 100, 99), Difference { missing: 1, doubled: 1 });
}

#[test]
fn chunks_cover_a_range_and_are_cut_at_multiples() {
    let cut: Vec<_> = chunks(range(10, 35), 16).collect();
    assert_eq!(cut, [(0, range(10, 16)), (1, range(16, 32)), (2, range(32, 35))]);
    assert_eq!(chunks(range(16, 16), 16).count(), 0);
    assert_eq!(chunks(range(20, 20), 16).map(|(_, chunk)| chunk.len()).sum::<u64>(), 0);
}

#[test]
fn the_number_of_chunks_is_bounded_however_many_offsets_there_are() {
    for offsets in [0, 1, 1_000_000_000, 1_000_000_000_000, u64::MAX / 2] {
        let size = chunk_size(offsets);
        assert!(offsets / size <= CHUNKS_MAX, "{offsets} offsets in chunks of {size}");
    }
    assert_eq!(chunk_size(10_000_000), CHUNK_MIN);
}

#[test]
fn an_audit_begins_where_the_group_did_as_far_as_anybody_knows() {
    let known = Known {
        origin: None,
        from_earliest: true,
        log_start: Offset(100),
        lowest_found: Some(Offset(120)),
        committed: Offset(500),
        said: (None, None),
    };
    let begin = |known| {
        let Bounds { range, begin, .. } = bounds(&known);
        (range.from.0, begin)
    };
    assert_eq!(begin(known), (100, Begin::LogStart));
    assert_eq!(begin(Known { from_earliest: false, ..known }), (120, Begin::LowestFound));
    assert_eq!(begin(Known { origin: Some(Offset(110)), ..known }), (110, Begin::Origin));
    assert_eq!(begin(Known { said: (Some(Offset(200)), None), ..known }), (200, Begin::Said));
    let outlived = Known { lowest_found: Some(Offset(3)), ..known };
    assert_eq!(begin(outlived), (3, Begin::LowestFound), "rows outlive their records");
    assert_eq!(begin(Known { lowest_found: None, from_earliest: false, ..known }), (500, Begin::LowestFound));
}

#[test]
fn nothing_is_audited_past_what_is_settled() {
    let known =
        Known { committed: Offset(50), said: (Some(Offset(10)), Some(Offset(90))), ..Known::default() };
    let Bounds { range: audited, is_cut, .. } = bounds(&known);
    assert_eq!((audited, is_cut), (range(10, 50), true));
    let beyond = Known { committed: Offset(5), ..known };
    assert!(bounds(&beyond).range.is_empty());
}

#[test]
fn only_a_record_that_is_nowhere_and_could_be_told_is_lost() {
    let kept = Limits { letters_kept: true, ..Limits::default() };
    let nothing = Found::default();
    let row = |rows| Found { rows, ..nothing };
    let letter = |letter| Found { letter, ..nothing };
    let gap = Found { in_gap: true, ..nothing };
    for (expected, found, limits, fate) in [
        (Expected::Row, row(1), kept, Fate::Inserted),
        (Expected::Row, row(3), kept, Fate::Doubled(2)),
        (Expected::Row, nothing, kept, Fate::Missing),
        (Expected::Row, letter(Letter::Kept), kept, Fate::Dead),
        (Expected::Row, letter(Letter::GivenUp), kept, Fate::Dead),
        (Expected::Row, gap, kept, Fate::Gap),
        (Expected::Row, nothing, Limits { rows_expire: true, ..kept }, Fate::Untold(Untold::Expired)),
        (Expected::Row, Found { elsewhere: true, ..nothing }, kept, Fate::Untold(Untold::Elsewhere)),
        (Expected::Letter, letter(Letter::Kept), kept, Fate::Dead),
        (Expected::Letter, row(1), kept, Fate::Inserted),
        (Expected::Letter, nothing, kept, Fate::LetterMissing),
        (Expected::Letter, nothing, Limits::default(), Fate::Unkept),
        (Expected::Filtered, nothing, kept, Fate::Filtered),
        (Expected::Filtered, row(1), kept, Fate::Inserted),
        (Expected::NoRecord, nothing, kept, Fate::NoRecord),
        (Expected::NoRecord, row(2), kept, Fate::Doubled(1)),
        (Expected::NoRecord, nothing, Limits { is_compacted: true, ..kept }, Fate::Untold(Untold::Compacted)),
        (Expected::Gone, nothing, kept, Fate::Untold(Untold::Retention)),
        (Expected::Gone, gap, kept, Fate::Gap),
        (Expected::Gone, row(1), kept, Fate::Inserted),
    ] {
        assert_eq!(judge(expected, found, limits), fate, "{expected:?} {found:?} {limits:?}");
    }
}

#[test]
fn neighbours_are_one_place_and_the_list_is_bounded() {
    let mut findings = Findings::default();
    for offset in [5, 6, 7, 9] {
        findings.take(Trouble::Missing, Some(0), (Partition(1), Offset(offset), 0));
    }
    let ranges: Vec<_> = findings.listed.iter().map(|found| found.range).collect();
    assert_eq!(ranges, [range(5, 8), range(9, 10)]);
    for offset in 0..3_000 {
        findings.take(Trouble::Missing, Some(0), (Partition(2), Offset(offset * 2), 0));
    }
    assert_eq!((findings.listed.len(), findings.unlisted), (1_000, 2_002));
}

#[test]
fn counts_of_parts_add_up() {
    let mut counts = Counts::default();
    counts.take(Fate::Inserted, 10);
    counts.take(Fate::Doubled(2), 1);
    let mut other = Counts::default();
    other.take(Fate::Missing, 3);
    other.take(Fate::LetterMissing, 1);
    other.take(Fate::Untold(Untold::Retention), 4);
    counts.add(&other);
    assert_eq!((counts.inserted, counts.doubled, counts.lost(), counts.untold_total()), (11, 2, 4, 4));
}

#[test]
fn what_is_wrong_comes_before_what_is_well() {
    let mut counts = Counts::default();
    assert_eq!(counts.foremost(), None);
    for fate in [
        Fate::NoRecord,
        Fate::Filtered,
        Fate::Gap,
        Fate::Unkept,
        Fate::Dead,
        Fate::Untold(Untold::Retention),
        Fate::Inserted,
        Fate::LetterMissing,
        Fate::Missing,
        Fate::Doubled(1),
    ] {
        counts.take(fate, 1);
        assert_eq!(counts.foremost(), Some(fate));
    }
}
