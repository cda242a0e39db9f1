//! Dead letters taken in once more: what is fit becomes a row of the tables asked for, what is bad a letter anew.

use super::*;
use crate::config::settings::{Condition, Matches, Stream, Tombstones, Values, When};
use crate::decode::{Again, Tried};

fn tables() -> Vec<Table> {
    let clicks = When::All(vec![Condition {
        field: vec!["kind".to_owned()],
        is: Matches::AnyOf(vec!["click".into()]),
    }]);
    let table = |name: &str, when, column_type: &str| Table {
        when,
        ..Table::of_columns("d", name, vec![column("n", column_type)])
    };
    vec![
        table("narrow", None, "UInt8"),
        table("wide", None, "UInt32"),
        table("clicks", Some(clicks), "UInt32"),
    ]
}

/// What became of each row of a letter: the table, the place in the message, the code.
type Told = Vec<(Option<usize>, u32, Option<&'static str>)>;

fn again(stream: &Stream, payload: Option<&[u8]>, how: impl FnOnce(&mut Again<'_>)) -> (Told, Sealed) {
    let mut batch = OpenBatch::new(stream, REVISION).expect("columns");
    let record =
        Record { partition: 3, offset: 7, timestamp_ms: None, key: None, payload, headers: &NoHeaders };
    let mut letter = Again { record, index: 0, table: "", is_whole: false, wants: &|_, _| true };
    how(&mut letter);
    let mut tried = Vec::new();
    batch.push_again(&letter, &mut tried);
    let told = |tried: &Tried| (tried.table, tried.index, tried.reject.as_ref().map(|r| r.code.as_str()));
    (tried.iter().map(told).collect(), batch.seal(TIME))
}

fn rows(sealed: &Sealed) -> Vec<usize> {
    sealed.tables.iter().map(|table| table.as_ref().map_or(0, RecordBatch::num_rows)).collect()
}

#[test]
fn a_letter_of_all_tables_is_routed_anew_and_what_is_bad_for_one_is_a_letter_for_it() {
    let stream = Stream::into_tables("s", tables());
    let (told, sealed) = again(&stream, Some(br#"{"n":300,"kind":"click"}"#), |_| {});
    assert_eq!(told, [(Some(0), 0, Some("PH-0104")), (Some(1), 0, None), (Some(2), 0, None)]);
    assert_eq!(rows(&sealed), [0, 1, 1]);
    assert_eq!(sealed.dead_letters.map(|letters| letters.num_rows()), Some(1));
}

#[test]
fn a_letter_of_one_table_goes_there_alone() {
    let stream = Stream::into_tables("s", tables());
    let (told, sealed) = again(&stream, Some(br#"{"n":3}"#), |letter| letter.table = "d.wide");
    assert_eq!((told, rows(&sealed)), (vec![(Some(1), 0, None)], vec![0, 1, 0]));
}

#[test]
fn what_is_not_wanted_is_left_out() {
    let stream = Stream::into_tables("s", tables());
    let (told, sealed) =
        again(&stream, Some(br#"{"n":3}"#), |letter| letter.wants = &|table, index| (table, index) == (0, 0));
    assert_eq!((told, rows(&sealed)), (vec![(Some(0), 0, None)], vec![1, 0, 0]));
}

#[test]
fn a_whole_message_is_taken_apart_as_the_stream_says_now() {
    let payload = &br#"[{"n":1}, nonsense, {"n":300}]"#[..];
    let stream = Stream { values: Values::Array, ..Stream::into_tables("s", tables()[..1].to_vec()) };
    let (told, sealed) = again(&stream, Some(payload), |letter| letter.is_whole = true);
    assert_eq!(told, [(Some(0), 0, None), (None, 1, Some("PH-0100")), (Some(0), 2, Some("PH-0104"))]);
    assert_eq!(rows(&sealed), [1]);
    let (told, _) = again(&stream, Some(b"{}"), |letter| letter.is_whole = true);
    assert_eq!(told, [(None, 0, Some("PH-0119"))]);
    let lines = Stream { values: Values::Lines, ..stream };
    let (told, sealed) = again(&lines, Some(b"{\"n\":1}\n\n{\"n\":2}\n"), |letter| letter.is_whole = true);
    assert_eq!((told, rows(&sealed)), (vec![(Some(0), 0, None), (Some(0), 2, None)], vec![2]));
}

#[test]
fn a_tombstone_is_filtered_once_the_stream_says_so() {
    let mut stream = Stream::into_tables("s", tables());
    assert_eq!(again(&stream, None, |_| {}).0, []);
    stream.tombstones = Tombstones::DeadLetter;
    assert_eq!(again(&stream, None, |_| {}).0, [(None, 0, Some("PH-0115"))]);
}

#[test]
fn what_is_no_record_is_bad_for_all_tables_at_once() {
    let stream = Stream::into_tables("s", tables());
    for (payload, code) in
        [(&b""[..], "PH-0114"), (b"\xff", "PH-0108"), (b"{", "PH-0100"), (b"[]", "PH-0111")]
    {
        assert_eq!(again(&stream, Some(payload), |_| {}).0, [(None, 0, Some(code))], "{payload:?}");
    }
}
