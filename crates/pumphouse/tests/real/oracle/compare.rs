//! Asks both: what pumphouse makes of a value and sends, and what ClickHouse makes of the same text by itself. Tells
//! what each stored, to the bit; does not judge.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use arrow_array::{Array, BinaryArray, RecordBatch, UInt64Array};
use pumphouse::config::settings::Stream;
use pumphouse::decode::{self, NoHeaders, OpenBatch, Record};
use pumphouse_clickhouse::arrow_stream::{Compression, encode};
use pumphouse_clickhouse::{Client, Insert, InsertAnswer, QueryError};
use pumphouse_core::schema::ColumnType;

/// What became of a value on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Stored: the text that ClickHouse shows, and a hash of the value, which tells apart what looks alike.
    Stored(Shown),
    /// Refused, with a code.
    Refused(String),
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    text: String,
    /// Of a document: its paths with their types.
    hash: String,
}

impl Verdict {
    /// Whether both are stored documents that show the same, and whose paths have the same types except for arrays.
    pub(super) fn is_alike_but_for_arrays(&self, other: &Self) -> bool {
        let (Self::Stored(one), Self::Stored(other)) = (self, other) else { return false };
        let paths = |shown: &Shown| {
            let paths: Vec<_> = shown.hash.trim_matches(['{', '}']).split("','").map(str::to_owned).collect();
            paths.into_iter().filter(|path| !path.contains("':'Array(")).collect::<Vec<_>>()
        };
        one.text == other.text && paths(one) == paths(other)
    }

    /// The code of the refusal; empty where it was stored.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Stored(_) => "",
            Self::Refused(code) => code,
        }
    }
}

/// How carefully ClickHouse is asked to read: nothing missing filled up, no kind taken for another, nothing clamped
/// where a setting can prevent it, and times in the forms that pumphouse reads as well.
const CAREFUL: [(&str, &str); 31] = [
    ("date_time_input_format", "best_effort"),
    ("date_time_overflow_behavior", "throw"),
    ("input_format_allow_errors_num", "0"),
    ("input_format_defaults_for_omitted_fields", "0"),
    ("input_format_force_null_for_omitted_fields", "0"),
    ("input_format_json_defaults_for_missing_elements_in_named_tuple", "0"),
    ("input_format_json_ignore_unknown_keys_in_named_tuple", "1"),
    ("input_format_json_infer_array_of_dynamic_from_array_of_different_types", "1"),
    ("input_format_json_infer_incomplete_types_as_strings", "1"),
    ("input_format_json_map_as_array_of_tuples", "0"),
    ("input_format_json_max_depth", "1000"),
    ("input_format_json_read_arrays_as_strings", "0"),
    ("input_format_json_read_bools_as_numbers", "0"),
    ("input_format_json_read_bools_as_strings", "0"),
    ("input_format_json_read_numbers_as_strings", "0"),
    ("input_format_json_read_objects_as_strings", "0"),
    ("input_format_json_throw_on_bad_escape_sequence", "1"),
    ("input_format_json_try_infer_numbers_from_strings", "0"),
    ("input_format_null_as_default", "0"),
    ("input_format_parallel_parsing", "0"),
    ("input_format_skip_unknown_fields", "1"),
    ("input_format_try_infer_dates", "0"),
    ("input_format_try_infer_datetimes", "0"),
    ("input_format_try_infer_integers", "1"),
    ("input_format_try_infer_variants", "0"),
    ("insert_null_as_default", "0"),
    ("json_type_escape_dots_in_keys", "0"),
    ("schema_inference_make_columns_nullable", "1"),
    ("session_timezone", "UTC"),
    ("type_json_skip_duplicated_paths", "0"),
    ("type_json_skip_invalid_typed_paths", "0"),
];

/// One type under comparison, in tables of its own.
pub(super) struct Bench<'a> {
    pub(super) client: &'a Client,
    pub(super) database: &'a str,
    pub(super) stream: &'a Stream,
    /// The tables are `<name>_ours` and `<name>_theirs`.
    pub(super) name: &'a str,
}

impl Bench<'_> {
    /// Makes the tables.
    pub(super) async fn prepare(&self) {
        let columns = decode::table_columns(self.stream, &self.stream.tables[0]);
        let all: Vec<String> = columns.iter().map(|(name, of)| format!("`{name}` {of}")).collect();
        let end = "ENGINE = MergeTree ORDER BY tuple() SETTINGS non_replicated_deduplication_window = 100";
        self.run(&format!("CREATE TABLE {}_ours ({}) {end}", self.path(), all.join(", "))).await;
        let value = read_as(&self.stream.tables[0].columns[0].column_type);
        self.run(&format!("CREATE TABLE {}_theirs (v {value}, _offset UInt64) ENGINE = Memory", self.path()))
            .await;
    }

    fn path(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    async fn run(&self, sql: &str) {
        self.client.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// What pumphouse makes of each value: through its decoder and its insert.
    pub(super) async fn ours(&self, values: &[String]) -> Vec<Verdict> {
        let mut batch = OpenBatch::new(self.stream, "0123456789ab").expect("a batch");
        for (offset, value) in (0..).zip(values) {
            let payload = format!("{{\"v\":{value}}}");
            let payload = Some(payload.as_bytes());
            batch.push(&Record {
                partition: 0,
                offset,
                timestamp_ms: None,
                key: None,
                payload,
                headers: &NoHeaders,
            });
        }
        let sealed = batch.seal(1_709_209_800_001);
        if let Some(Some(rows)) = sealed.tables.first() {
            self.insert(rows).await;
        }
        let refused = sealed.dead_letters.iter().flat_map(codes).collect();
        self.verdicts("ours", values, &refused).await
    }

    async fn insert(&self, rows: &RecordBatch) {
        let insert = Insert {
            database: self.database,
            table: &format!("{}_ours", self.name),
            columns: &decode::table_columns(self.stream, &self.stream.tables[0]),
            token: &format!("ph1:{}", self.name),
            deadline_unix_seconds: 4_000_000_000,
            timeout: Duration::from_mins(1),
            body: &encode(rows, Compression::Lz4).expect("encodes"),
            query_id: None,
            settings: &BTreeMap::new(),
            url_index: 0,
            has_views: false,
        };
        let answer = self.client.insert(&insert).await;
        assert_eq!(
            answer,
            InsertAnswer::Done,
            "{}: a refused block halts the stream",
            self.stream.tables[0].columns[0].column_type
        );
    }

    /// What ClickHouse makes of each value. A first insert that passes over what it can't read tells most of what can
    /// be read, and no more than that: a row that is passed over takes values, or the whole row, of its neighbours
    /// along where the column is Nullable. So those values are inserted again without that leave, and the others alone,
    /// as are texts that are not JSON.
    pub(super) async fn theirs(&self, values: &[String]) -> Vec<Verdict> {
        let whole: Vec<usize> = (0..values.len()).filter(|at| super::value::is_json(&values[*at])).collect();
        let mut refused = BTreeMap::new();
        self.readable(&whole, values, true, &mut refused).await;
        let seen = self.offsets().await;
        self.run(&format!("TRUNCATE TABLE {}_theirs", self.path())).await;
        refused.clear();
        let (good, others): (Vec<usize>, Vec<usize>) = (0..values.len()).partition(|at| seen.contains(at));
        self.readable(&good, values, false, &mut refused).await;
        for at in others {
            self.readable(&[at], values, false, &mut refused).await;
        }
        self.verdicts("theirs", values, &refused).await
    }

    /// Inserts those values that can be: all at once, or in halves where an error stops the whole.
    async fn readable(
        &self,
        some: &[usize],
        values: &[String],
        passes_over: bool,
        refused: &mut BTreeMap<u64, String>,
    ) {
        let mut waiting = vec![some.to_vec()];
        while let Some(some) = waiting.pop().filter(|some| !some.is_empty()) {
            let Err(code) = self.read(&some, values, passes_over).await else { continue };
            match some.as_slice() {
                [one] => drop(refused.insert(*one as u64, code)),
                more => {
                    let (left, right) = more.split_at(more.len() / 2);
                    waiting.extend([left.to_vec(), right.to_vec()]);
                }
            }
        }
    }

    async fn read(&self, some: &[usize], values: &[String], passes_over: bool) -> Result<(), String> {
        let mut sql = format!("INSERT INTO {}_theirs FORMAT JSONEachRow\n", self.path());
        for at in some {
            // A reader of fixed size does not stop at the end of a line; the next row must not be within its reach.
            let apart = "\n".repeat(if passes_over { 64 } else { 1 });
            // Infallible: writing to a `String`.
            let _ = write!(sql, "{{\"_offset\":{at},\"v\":{}}}{apart}", values[*at]);
        }
        let mut query = self.client.query(&sql);
        for (name, value) in CAREFUL {
            query = query.setting(name, value);
        }
        if passes_over {
            query = query.setting("input_format_allow_errors_ratio", "1");
        }
        match query.execute().await {
            Ok(()) => Ok(()),
            Err(QueryError::Server(error)) => Err(error.code.to_string()),
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// Which values the first insert left; the values themselves can't be trusted.
    async fn offsets(&self) -> BTreeSet<usize> {
        #[derive(serde::Deserialize)]
        struct Row {
            n: usize,
        }
        let sql = format!("SELECT _offset AS n FROM {}_theirs", self.path());
        let rows = self.client.rows::<Row>(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.into_iter().map(|row| row.n).collect()
    }

    /// Reads back what is stored; what is not there was refused.
    async fn verdicts(&self, side: &str, values: &[String], refused: &BTreeMap<u64, String>) -> Vec<Verdict> {
        #[derive(serde::Deserialize)]
        struct Row {
            n: u64,
            text: String,
            hash: String,
        }
        let of = &self.stream.tables[0].columns[0].column_type;
        let value = match of {
            ColumnType::Nested(elements) if side == "ours" => {
                let parts: Vec<String> = elements.iter().map(|(name, _)| format!("`v.{name}`")).collect();
                format!("arrayZip({})", parts.join(", "))
            }
            _ => "v".to_owned(),
        };
        let hash = match of {
            ColumnType::Json(_) => "toString(JSONAllPathsWithTypes(v))".to_owned(),
            _ if of.to_string().contains("JSON") => "''".to_owned(),
            _ => format!("ifNull(toString(sipHash64({value})), '')"),
        };
        let sql = format!(
            "SELECT _offset AS n, hex(formatRow('TabSeparated', {value})) AS text, {hash} AS hash FROM {}_{side} ORDER BY n",
            self.path()
        );
        let query = self.client.query(&sql).setting("session_timezone", "UTC");
        let rows = query.rows::<Row>().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let stored: BTreeMap<u64, Shown> = rows
            .into_iter()
            .map(|row| {
                (row.n, Shown { text: unhex(&row.text).trim_end_matches('\n').to_owned(), hash: row.hash })
            })
            .collect();
        let verdict = |at: usize| {
            let at = at as u64;
            match (stored.get(&at), refused.get(&at)) {
                (Some(shown), None) => Verdict::Stored(shown.clone()),
                (None, code) => Verdict::Refused(code.cloned().unwrap_or_default()),
                (Some(shown), Some(code)) => panic!("refused with {code}, and there: {shown:?}"),
            }
        };
        (0..values.len()).map(verdict).collect()
    }
}

/// The type that ClickHouse reads by itself. It has no form for a Nested as the array of objects it stands for.
fn read_as(of: &ColumnType) -> String {
    match of {
        ColumnType::Nested(elements) => {
            let elements = elements.iter().map(|(name, of)| (Some(name.clone()), of.clone())).collect();
            ColumnType::Array(Box::new(ColumnType::Tuple(elements))).to_string()
        }
        of => of.to_string(),
    }
}

fn codes(letters: &RecordBatch) -> Vec<(u64, String)> {
    let offsets =
        letters.column_by_name("offset").and_then(|column| column.as_any().downcast_ref::<UInt64Array>());
    let codes =
        letters.column_by_name("code").and_then(|column| column.as_any().downcast_ref::<BinaryArray>());
    let (offsets, codes) = (offsets.expect("offsets"), codes.expect("codes"));
    offsets
        .iter()
        .flatten()
        .zip(codes.iter().flatten().map(|code| String::from_utf8_lossy(code).into_owned()))
        .collect()
}

fn unhex(text: &str) -> String {
    let bytes: Vec<u8> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits"))
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
