//! What a letter says in Kafka, next to what its row says.

use rdkafka::message::Headers as _;

use super::*;
use crate::config::settings::{Column, Table};
use crate::decode::{Headers, OpenBatch, Record};

struct Two;

impl Headers for Two {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        visit("trace", Some(b"a\xff"));
        visit("empty", None);
    }
}

/// The least that a table has.
pub(crate) fn column() -> Column {
    Column {
        name: "v".to_owned(),
        column_type: "String".parse().expect("a type"),
        from: vec!["v".to_owned()],
        default: None,
        epoch: None,
    }
}

fn stream(tables: usize) -> Stream {
    let table = |number| Table::of_columns("db", &format!("t{number}"), vec![column()]);
    Stream { name: "s".to_owned(), ..Stream::into_tables("in.x", (0..tables).map(table).collect()) }
}

fn letters() -> RecordBatch {
    let mut open = OpenBatch::new(&stream(1), "0123456789ab").expect("a column of text");
    for (offset, payload, key) in [(7, &b"[1]"[..], Some(&b"k\xff"[..])), (8, b"", None)] {
        let timestamp_ms = key.map(|_| 1_709_209_800_001);
        let payload = Some(payload);
        open.push(&Record { partition: 3, offset, timestamp_ms, key, payload, headers: &Two });
    }
    open.seal(1_709_209_801_000).dead_letters.expect("both are bad")
}

fn told(headers: &OwnedHeaders) -> Vec<String> {
    let told = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers
        .iter()
        .map(|header| format!("{}={}", header.key, header.value.map_or("(none)".to_owned(), told)))
        .collect()
}

#[test]
fn a_letter_is_the_records_bytes_and_headers_and_where_it_came_from_and_why() {
    let batch = letters();
    let letter = Letter { batch: &batch, row: 0 };
    assert_eq!(letter.value(Part::Whole), b"[1]");
    insta::assert_snapshot!(told(&letter.headers(Part::Whole)).join("\n"));
}

#[test]
fn what_a_record_does_not_have_is_a_header_without_a_value() {
    let batch = letters();
    let told = told(&Letter { batch: &batch, row: 1 }.headers(Part::Whole));
    for header in ["pumphouse-key=(none)", "pumphouse-kafka-time=(none)", "pumphouse-code=PH-0114"] {
        assert!(told.iter().any(|told| told == header), "{header} in {told:?}");
    }
}

#[test]
fn a_letter_that_is_too_large_says_what_is_left_out() {
    let batch = letters();
    let letter = Letter { batch: &batch, row: 0 };
    assert_eq!(letter.value(Part::WithoutValue), b"");
    let without = told(&letter.headers(Part::WithoutValue));
    assert!(without.starts_with(&["trace=a\u{fffd}".to_owned()]), "{without:?}");
    assert!(
        without.ends_with(&["pumphouse-left-out=value".to_owned(), "pumphouse-value-bytes=3".to_owned()])
    );
    let envelope = told(&letter.headers(Part::Envelope));
    assert_eq!(envelope[0], "pumphouse-stream=s");
    assert!(envelope.contains(&"pumphouse-key=(none)".to_owned()), "{envelope:?}");
    assert!(envelope.contains(&"pumphouse-left-out=value,key,headers".to_owned()), "{envelope:?}");
    assert!(letter.size(Part::Whole) > letter.size(Part::WithoutValue));
    assert!(letter.size(Part::WithoutValue) > letter.size(Part::Envelope));
}

#[test]
fn letters_of_one_message_have_names_of_their_own() {
    let batch = letters();
    let letter = Letter { batch: &batch, row: 0 };
    assert_eq!(letter.key(Naming::of(&stream(1))), b"in.x:3:7");
    assert_eq!(letter.key(Naming::of(&stream(2))), b"in.x:3:7:0:");
    let lines = Stream { values: Values::Lines, ..stream(1) };
    assert_eq!(letter.key(Naming::of(&lines)), b"in.x:3:7:0:");
}
