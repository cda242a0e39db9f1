//! Any bytes as a message: taken or refused as two other readers of JSON judge it, taken with the values that
//! they see, refused by a named reason, and never at the cost of the records beside it. Used by the fuzz target
//! and by the test that replays its seeds.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use jiter::{Jiter, JsonValue};
use pumphouse::config::settings::{Column, EpochUnit, Numbers, Stream, Table, Values};
use pumphouse::decode::{NoHeaders, OpenBatch, Pushed, Record, Sealed};
use serde::de::IgnoredAny;

const REVISION: &str = "0123456789ab";
const TIME: i64 = 1_709_209_800_001;
/// Of the good records before and after the bytes: their `n`.
const BESIDE: u64 = 7;
/// Arrays and objects inside each other that `serde_json` takes.
const DEPTH_MAX_SERDE: usize = 127;
/// Arrays and objects inside each other that the decoder takes.
const DEPTH_MAX: usize = 128;
/// Digits of a number that `jiter` takes.
const DIGITS_MAX_JITER: usize = 4000;

/// Name and path, type, default, unit of time.
type Declared = (&'static str, &'static str, Option<&'static str>, Option<EpochUnit>);

/// A table that the bytes are read for.
#[derive(Clone, Copy)]
enum Kind {
    /// Of scalars, arrays and maps.
    Plain,
    /// Of columns that hold others, and one for the fields that no other reads.
    Composite,
}

const COMPOSITE: [Declared; 7] = [
    ("s", "Nullable(String)", None, None),
    ("c", "Tuple(a Nullable(UInt8), b String)", Some(r#"{"a":null,"b":""}"#), None),
    ("h", "Tuple(UInt8, Array(String))", Some("[0,[]]"), None),
    ("r", "Nested(a UInt8, b Nullable(String))", Some("[]"), None),
    ("j", "JSON", Some("{}"), None),
    ("n", "UInt64", Some("0"), None),
    ("rest", "JSON", None, None),
];

const PLAIN: [Declared; 26] = [
    ("s", "Nullable(String)", None, None),
    ("l", "LowCardinality(Nullable(String))", None, None),
    ("i", "Nullable(Int64)", None, None),
    ("b", "Nullable(Int8)", None, None),
    ("u", "Nullable(UInt64)", None, None),
    ("w", "Nullable(Int256)", None, None),
    ("v", "Nullable(UInt128)", None, None),
    ("f", "Nullable(Float64)", None, None),
    ("g", "Nullable(Float32)", None, None),
    ("d", "Nullable(Decimal(20, 3))", None, None),
    ("t", "Nullable(Bool)", None, None),
    ("z", "Nullable(UUID)", None, None),
    ("4", "Nullable(IPv4)", None, None),
    ("6", "Nullable(IPv6)", None, None),
    ("x", "Nullable(FixedString(3))", None, None),
    ("y", "LowCardinality(Nullable(FixedString(3)))", None, None),
    ("e", "Nullable(Enum8('a' = 1, 'b' = 2))", None, None),
    ("D", "Nullable(Date)", None, None),
    ("E", "Nullable(Date32)", None, Some(EpochUnit::Seconds)),
    ("T", "Nullable(DateTime('Europe/Berlin'))", None, None),
    ("M", "Nullable(DateTime64(3))", None, Some(EpochUnit::Milliseconds)),
    ("a", "Array(Array(Nullable(Int32)))", Some("[]"), None),
    ("m", "Map(String, Nullable(String))", Some("{}"), None),
    ("k", "Map(UInt8, UInt8)", Some("{}"), None),
    ("o.p", "Nullable(String)", None, None),
    ("n", "UInt64", Some("0"), None),
];

/// Judges one input.
///
/// # Panics
/// Where the decoder breaks a promise.
pub(crate) fn judge(bytes: &[u8]) {
    for kind in [Kind::Plain, Kind::Composite] {
        let strict = one(bytes, Numbers::Strict, kind);
        let coerced = one(bytes, Numbers::Coerce, kind);
        match (&strict, &coerced) {
            (Ok(strict), Ok(coerced)) => assert_eq!(strict, coerced, "coerce changes what strict takes"),
            (Ok(_), Err(code)) => panic!("coerce refuses ({code}) what strict takes"),
            (Err(_), _) => {}
        }
    }
    several(bytes, Values::Lines, b"{\"n\":7}");
    several(bytes, Values::Array, b"[{\"n\":7}]");
}

fn stream(numbers: Numbers, values: Values, kind: Kind) -> Stream {
    static TABLES: [OnceLock<Table>; 2] = [OnceLock::new(), OnceLock::new()];
    let table = match kind {
        Kind::Plain => TABLES[0].get_or_init(|| table(&PLAIN, None)),
        Kind::Composite => TABLES[1].get_or_init(|| table(&COMPOSITE, Some("rest"))),
    };
    Stream { numbers, values, ..Stream::into_tables("any", vec![table.clone()]) }
}

fn table(columns: &[Declared], unknown_fields_in: Option<&str>) -> Table {
    let columns = columns.iter().map(|(path, column_type, default, epoch)| Column {
        name: path.replace('.', "_"),
        column_type: column_type.parse().expect("a type"),
        from: path.split('.').map(str::to_owned).collect(),
        default: default.map(|json| serde_json::from_str(json).expect("JSON")),
        epoch: *epoch,
    });
    let table = Table::of_columns("default", "any", columns.collect());
    Table { unknown_fields_in: unknown_fields_in.map(str::to_owned), ..table }
}

fn record(partition: u32, offset: u64, payload: &[u8]) -> Record<'_> {
    Record { partition, offset, timestamp_ms: None, key: None, payload: Some(payload), headers: &NoHeaders }
}

/// The bytes as one record, twice, between good ones: the row that it becomes, or the code it is refused by.
fn one(bytes: &[u8], numbers: Numbers, kind: Kind) -> Result<RecordBatch, String> {
    let mut batch = OpenBatch::new(&stream(numbers, Values::One, kind), REVISION).expect("good columns");
    let good = format!("{{\"n\":{BESIDE}}}");
    assert_eq!(batch.push(&record(0, 0, good.as_bytes())), Pushed::Row);
    let first = batch.push(&record(0, 1, bytes));
    let again = batch.push(&record(0, 2, bytes));
    assert_eq!(batch.push(&record(0, 3, good.as_bytes())), Pushed::Row);
    assert_eq!(first, again, "judged otherwise the second time");
    let sealed = batch.seal(TIME);
    let rows = checked(&sealed, 0);
    match first {
        Pushed::Row => {
            assert_eq!((rows.num_rows(), sealed.dead_letters.is_none()), (4, true));
            let (row, same) = (values_of(&rows, 1), values_of(&rows, 2));
            assert_eq!(row, same, "read otherwise the second time");
            as_others_see_it(bytes);
            match kind {
                Kind::Plain => same_values(bytes, &row, numbers),
                Kind::Composite => same_documents(bytes, &row),
            }
            Ok(row)
        }
        Pushed::DeadLetter => {
            let letters = sealed.dead_letters.as_ref().expect("a dead letter");
            assert_eq!((rows.num_rows(), letters.num_rows()), (2, 2));
            assert_eq!(
                text(letters, "code", 0),
                text(letters, "code", 1),
                "refused otherwise the second time"
            );
            assert_eq!(
                letters.column_by_name("payload").expect("payload").as_binary::<i32>().value(0),
                bytes
            );
            assert!(text(letters, "reason", 0).chars().count() <= 300, "a reason without end");
            let code = text(letters, "code", 0);
            refused_rightly(bytes, &code, kind);
            Err(code)
        }
        Pushed::Filtered => panic!("a record with a payload was passed over"),
    }
}

/// The bytes as a message of several records, between good ones; then its partition is revoked.
fn several(bytes: &[u8], values: Values, good: &[u8]) {
    for revoked in [BTreeSet::new(), BTreeSet::from([1])] {
        let mut batch =
            OpenBatch::new(&stream(Numbers::Strict, values, Kind::Plain), REVISION).expect("good columns");
        assert_eq!(batch.push(&record(0, 0, good)), Pushed::Row);
        batch.push(&record(1, 0, bytes));
        assert_eq!(batch.push(&record(0, 1, good)), Pushed::Row);
        batch.drop_partitions(&revoked);
        let sealed = batch.seal(TIME);
        let rows = checked(&sealed, 0);
        let letters = sealed.dead_letters.as_ref().map_or(0, RecordBatch::num_rows);
        let counted = sealed
            .counts
            .values()
            .fold((0, 0), |(rows, letters), counts| (rows + counts.rows, letters + counts.dead_letters));
        assert_eq!(counted, (rows.num_rows() as u64, letters as u64), "counted otherwise than held");
        if !revoked.is_empty() {
            assert_eq!((rows.num_rows(), letters), (2, 0), "something of a revoked partition is left");
        }
    }
}

/// The rows of a table, of which the first and the last are the good ones; all arrays hold what Arrow allows.
fn checked(sealed: &Sealed, table: usize) -> RecordBatch {
    let rows = sealed.tables[table].clone().expect("the good rows");
    for batch in sealed.tables.iter().flatten().chain(&sealed.dead_letters) {
        for column in batch.columns() {
            column.to_data().validate_full().expect("a valid array");
        }
    }
    let beside = rows.column_by_name("n").expect("n").as_primitive::<UInt64Type>();
    assert_eq!(
        (beside.value(0), beside.value(rows.num_rows() - 1)),
        (BESIDE, BESIDE),
        "a good record changed"
    );
    let others = rows.column_by_name("s").expect("s");
    assert!(others.is_null(0) && others.is_null(rows.num_rows() - 1), "a good record got another's value");
    rows
}

/// One row without its lineage.
fn values_of(rows: &RecordBatch, row: usize) -> RecordBatch {
    let names = rows.schema();
    let is_declared = |at: &usize| !names.field(*at).name().starts_with('_');
    let declared: Vec<usize> = (0..rows.num_columns()).filter(is_declared).collect();
    rows.project(&declared).expect("columns that are there").slice(row, 1)
}

fn text(rows: &RecordBatch, column: &str, row: usize) -> String {
    let array = rows.column_by_name(column).expect(column).as_binary::<i32>();
    String::from_utf8(array.value(row).to_vec()).expect("valid text")
}

/// What is taken is JSON to others, too.
fn as_others_see_it(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("taken, but not UTF-8");
    assert!(text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{'), "taken, but no object");
    if depth_of(text) <= DEPTH_MAX_SERDE {
        serde_json::from_str::<IgnoredAny>(text).expect("taken, but not by serde_json");
    }
    if text.len() < DIGITS_MAX_JITER {
        JsonValue::parse(bytes, false).expect("taken, but not by jiter");
    }
}

/// What is refused as a whole is refused for what it is.
fn refused_rightly(bytes: &[u8], code: &str, kind: Kind) {
    let text = std::str::from_utf8(bytes);
    let is_json = text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let is_json_to_jiter = JsonValue::parse(bytes, false).is_ok();
    let is_object = text.is_ok_and(|text| text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{'));
    match code {
        "PH-0100" => assert!(!is_json && !is_json_to_jiter, "refused as no JSON, but it is"),
        "PH-0108" => assert!(text.is_err(), "refused as no UTF-8, but it is"),
        "PH-0110" => {
            // A JSON column takes fewer arrays inside each other.
            let is_deep = text.is_ok_and(|text| depth_of(text) > DEPTH_MAX);
            assert!(is_deep || matches!(kind, Kind::Composite), "refused as deep, but it is not");
        }
        "PH-0111" => assert!(is_json && !is_object, "refused as no object, but it is"),
        "PH-0112" => assert!(!is_json_to_jiter, "refused for a lone surrogate, but there is none"),
        "PH-0114" => assert!(bytes.is_empty(), "refused as empty, but it is not"),
        "PH-0101" | "PH-0102" | "PH-0103" | "PH-0104" | "PH-0105" | "PH-0106" | "PH-0107" | "PH-0109"
        | "PH-0113" | "PH-0116" | "PH-0117" | "PH-0118" => {
            assert!(is_object, "a column is at fault, but there is no object");
        }
        other => panic!("refused by {other}"),
    }
}

/// Brackets open at once, outside of texts.
fn depth_of(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The texts, integers and floats of a row are those that others read.
fn same_values(bytes: &[u8], row: &RecordBatch, numbers: Numbers) {
    let Some(said) = fields_of(bytes) else { return };
    let said = |name: &str| said.get(name).map(String::as_str).filter(|json| *json != "null");
    let column = |name: &str| row.column_by_name(name).expect(name);
    for name in ["s", "l"] {
        let array = column(name);
        let plain = array.as_any_dictionary_opt().map_or(array, |dictionary| dictionary.values());
        let held = array.is_valid(0).then(|| {
            let at = array.as_any_dictionary_opt().map_or(0, |dictionary| dictionary.normalized_keys()[0]);
            plain.as_binary::<i32>().value(at)
        });
        let text = said(name).map(text_in);
        assert_eq!(held, text.as_ref().map(String::as_bytes), "column {name}");
        let is_text = said(name).is_none_or(|json| json.starts_with('"'));
        assert!(is_text || numbers == Numbers::Coerce, "column {name} takes another kind");
    }
    let whole = column("i").as_primitive::<Int64Type>();
    let held = whole.is_valid(0).then(|| i128::from(whole.value(0)));
    assert_eq!(held, said("i").map(|json| whole_in(json, held, numbers)), "column i");
    let whole = column("u").as_primitive::<UInt64Type>();
    let held = whole.is_valid(0).then(|| i128::from(whole.value(0)));
    assert_eq!(held, said("u").map(|json| whole_in(json, held, numbers)), "column u");
    let float = column("f").as_primitive::<Float64Type>();
    let held = float.is_valid(0).then(|| float.value(0).to_bits());
    let parsed = |json: &str| text_in(json).parse::<f64>().expect("a number").to_bits();
    assert_eq!(held, said("f").map(parsed), "column f");
}

/// A JSON column holds the object as written, and what no column reads is an object, too.
fn same_documents(bytes: &[u8], row: &RecordBatch) {
    let held = |name: &str| row.column_by_name(name).expect(name).as_binary::<i32>().value(0);
    let rest = std::str::from_utf8(held("rest")).expect("text");
    assert!(rest.starts_with('{') && rest.ends_with('}'), "the rest is no object: {rest}");
    if depth_of(rest) <= DEPTH_MAX_SERDE {
        serde_json::from_str::<IgnoredAny>(rest).expect("the rest is no JSON");
    }
    let Some(said) = fields_of(bytes) else { return };
    assert_eq!(held("j"), said.get("j").map_or("{}", String::as_str).as_bytes(), "column j");
}

/// The text that a JSON string spells, or other JSON as it is written.
fn text_in(json: &str) -> String {
    if json.starts_with('"') { serde_json::from_str(json).expect("a JSON string") } else { json.to_owned() }
}

/// The integer that JSON says: `held`, where it is the same number written in another way.
fn whole_in(json: &str, held: Option<i128>, numbers: Numbers) -> i128 {
    let text = text_in(json);
    if let Ok(whole) = text.parse() {
        return whole;
    }
    assert_eq!(numbers, Numbers::Coerce, "a strict column takes {text}");
    match json {
        "true" => 1,
        "false" => 0,
        _ => {
            let (near, held) = (text.parse::<f64>().expect("a number"), held.expect("a value"));
            #[expect(clippy::cast_precision_loss, reason = "both are rounded alike")]
            let held_near = held as f64;
            assert_eq!(near.partial_cmp(&held_near), Some(Ordering::Equal), "{text} became {held}");
            held
        }
    }
}

/// The fields of the record with their JSON as written. A wanted one is there once, or the record is refused.
fn fields_of(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut jiter = Jiter::new(bytes);
    let mut fields = BTreeMap::new();
    let mut key = jiter.next_object().ok()?.map(str::to_owned);
    while let Some(name) = key {
        jiter.peek().ok()?;
        let from = jiter.current_index();
        jiter.next_skip().ok()?;
        let json = std::str::from_utf8(jiter.slice_to_current(from)).ok()?.trim();
        let before = fields.insert(name.clone(), json.to_owned());
        let is_wanted = ["s", "l", "i", "u", "f", "j", "n"].contains(&name.as_str());
        assert!(before.is_none() || !is_wanted, "a wanted key twice");
        key = jiter.next_key().ok()?.map(str::to_owned);
    }
    Some(fields)
}
