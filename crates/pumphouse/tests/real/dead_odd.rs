//! Odd letters: two of one record, one from before the table had lineage, lines of which one is broken, keys that are
//! larger than their records. Each record that is fit is a row once.

use std::path::Path;

use crate::dead_ground::{Letters, WIDE, path, yaml};
use crate::world::{Message, wait_until};

/// Produces to partition 0, runs until so many letters are there, and stops.
fn letters_of(letters: &Letters, file: &Path, messages: &[(&[u8], &[u8])], expected: u64) {
    letters.world.produce(messages.iter().map(|(key, payload)| Message {
        partition: 0,
        key: Some(key),
        payload: Some(payload),
    }));
    run(letters, file, expected);
}

fn run(letters: &Letters, file: &Path, expected: u64) {
    Letters::ok(&["apply", "-c", &path(file)]);
    let mut pump = letters.world.run(file);
    wait_until("letters", || (letters.open() >= expected).then_some(()));
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
}

fn ids(letters: &Letters) -> String {
    let database = &letters.world.database;
    letters.sql(&format!("SELECT arraySort(groupArray(id)) FROM {database}.events"))
}

fn widen(letters: &Letters) {
    letters.sql(&format!("ALTER TABLE {}.events MODIFY COLUMN n UInt16", letters.world.database));
}

#[test]
fn two_letters_of_one_record_become_one_row() {
    let letters = Letters::new("dead_twins");
    let world = &letters.world;
    world.write("events.json", r#"{"properties":{"n":{"maximum":9}}}"#);
    let narrow = "id: UInt64, n: UInt8";
    let judged = world.write("judged.yaml", &yaml(world, narrow, "    schema: events.json"));
    let messages: [(&[u8], &[u8]); 3] =
        [(b"k", br#"{"id":1,"n":1000}"#), (b"k", br#"{"id":2,"n":1000}"#), (b"k", br#"{"id":3,"n":70000}"#)];
    letters_of(&letters, &judged, &messages, 3);
    // Read again without the schema they are bad for the table: letters of another name.
    let again = world.write("again.yaml", &yaml(world, narrow, "").replace("group: ", "group: again_"));
    run(&letters, &again, 6);
    widen(&letters);
    let (code, report, said) = Letters::replay(&letters.wide, &["--stream", &world.database]);
    assert_eq!((code, ids(&letters).as_str()), (Some(2), "[1,2]"), "{said}");
    let report = &report["streams"][0];
    let counts = ["seen", "replayed", "found"].map(|key| report[key].as_u64());
    assert_eq!(counts, [Some(6), Some(2), Some(2)], "{report}");
    assert_eq!(report["remaining"]["PH-0104"]["letters"], 2, "{report}");
}

#[test]
fn rows_from_before_the_lineage_columns_are_not_taken_for_the_first_record() {
    let letters = Letters::new("dead_zeros");
    let world = &letters.world;
    let bare = world.write("bare.yaml", &yaml(world, "id: UInt64, n: UInt8", "    lineage: false"));
    letters_of(&letters, &bare, &[(b"k", br#"{"id":1,"n":1000}"#), (b"k", br#"{"id":2,"n":7}"#)], 1);
    let columns = ["_partition UInt32", "_offset UInt64", "_ingested_at DateTime64(3)"];
    for column in columns {
        letters.sql(&format!("ALTER TABLE {}.events ADD COLUMN {column}", world.database));
    }
    widen(&letters);
    let (code, _, said) = Letters::replay(&letters.wide, &["--stream", &world.database]);
    assert_eq!((code, ids(&letters).as_str()), (Some(0), "[1,2]"), "{said}");
}

#[test]
fn a_broken_line_of_a_message_becomes_a_letter_of_its_own_and_the_others_rows() {
    let letters = Letters::new("dead_lines");
    let world = &letters.world;
    let one = world.write("one.yaml", &yaml(world, WIDE, ""));
    letters_of(&letters, &one, &[(b"k", b"{\"id\":1,\"n\":1}\nbroken\n{\"id\":2,\"n\":2}")], 1);
    letters.sql(&format!("ALTER TABLE {}.events ADD COLUMN _index UInt32 AFTER _offset", world.database));
    let lines = world.write("lines.yaml", &yaml(world, WIDE, "    values: lines"));
    let (_, report, said) = Letters::replay(&lines, &["--stream", &world.database]);
    assert_eq!(ids(&letters), "[1,2]", "{said}");
    let report = &report["streams"][0];
    assert_eq!([&report["replayed"], &report["anew"], &report["missed"]], [1, 1, 0], "{report}");
}

#[test]
fn an_array_that_was_an_element_of_a_message_is_never_taken_apart_itself() {
    let letters = Letters::new("dead_nested");
    let world = &letters.world;
    let one = world.write("one.yaml", &yaml(world, WIDE, ""));
    letters_of(&letters, &one, &[(b"k", br#"[[{"id":1,"n":1},{"id":7,"n":1}],{"id":2,"n":2}]"#)], 1);
    letters.sql(&format!("ALTER TABLE {}.events ADD COLUMN _index UInt32 AFTER _offset", world.database));
    // Each under a revision of its own.
    for (name, more) in [("array.yaml", ""), ("later.yaml", "    numbers: coerce\n")] {
        let array = world.write(name, &yaml(world, WIDE, &format!("    values: array\n{more}")));
        let (_, report, said) = Letters::replay(&array, &["--stream", &world.database]);
        assert_eq!(ids(&letters), "[2]", "{report} {said}");
    }
    assert_eq!(letters.outcomes("replayed"), 1, "the element stays a letter");
}

#[test]
fn letters_with_large_keys_are_replayed_a_few_at_a_time() {
    let letters = Letters::new("dead_keys");
    let world = &letters.world;
    let key = vec![b'k'; 900_000];
    let records: Vec<Vec<u8>> = (0..40).map(|id| format!(r#"{{"id":{id},"n":1000}}"#).into_bytes()).collect();
    let messages: Vec<(&[u8], &[u8])> =
        records.iter().map(|record| (key.as_slice(), record.as_slice())).collect();
    letters_of(&letters, &letters.narrow, &messages, 40);
    widen(&letters);
    let (code, report, said) = Letters::replay(&letters.wide, &["--stream", &world.database]);
    assert_eq!((code, letters.rows()), (Some(0), 40), "{said}");
    assert_eq!(report["streams"][0]["entries"], 3, "36 MB of keys, at most 16 MiB at a time: {report}");
}
