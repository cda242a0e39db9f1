//! Dead letters: records that can't become rows, whole and with the reason, on their way into a table of
//! their own. Does not judge; keeps what it is given.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, ListArray, RecordBatch, StructArray, TimestampMillisecondArray, UInt32Array,
    UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields};

use super::record::Record;
use super::reject::Reject;

/// Name and ClickHouse type of each column of the dead letters' table, in Arrow's order.
const COLUMNS: [(&str, &str); 16] = [
    ("stream", "LowCardinality(String)"),
    ("topic", "LowCardinality(String)"),
    ("partition", "UInt32"),
    ("offset", "UInt64"),
    ("index", "UInt32"),
    ("table", "LowCardinality(String)"),
    ("kafka_time", "Nullable(DateTime64(3))"),
    ("key", "Nullable(String)"),
    ("headers", "Array(Tuple(name String, value Nullable(String)))"),
    ("payload", "String"),
    ("code", "LowCardinality(String)"),
    ("column", "String"),
    ("path", "String"),
    ("reason", "String"),
    ("revision", "LowCardinality(String)"),
    ("time", "DateTime64(3)"),
];

/// Name and ClickHouse type of each column of the dead letters' table, in order.
#[must_use]
pub fn dead_letter_columns() -> Vec<(String, String)> {
    COLUMNS.iter().map(|(name, column_type)| ((*name).to_owned(), (*column_type).to_owned())).collect()
}

/// A record that could not become a row.
struct DeadLetter {
    partition: u32,
    offset: u64,
    index: u32,
    table: String,
    kafka_time: Option<i64>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    payload: Vec<u8>,
    reject: Reject,
}

impl DeadLetter {
    fn new(record: &Record<'_>, index: u32, table: &str, reject: Reject) -> Self {
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
        Self {
            partition: record.partition,
            offset: record.offset,
            index,
            table: table.to_owned(),
            kafka_time: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            headers,
            payload: record.payload.unwrap_or_default().to_vec(),
            reject,
        }
    }

    fn bytes(&self) -> usize {
        let header =
            |(name, value): &(String, Option<Vec<u8>>)| name.len() + value.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(header).sum();
        let Reject { column, path, reason, .. } = &self.reject;
        size_of::<Self>()
            + self.key.as_ref().map_or(0, Vec::len)
            + headers
            + self.payload.len()
            + self.table.len()
            + column.len()
            + path.len()
            + reason.len()
    }
}

/// What all dead letters of a stream have in common.
pub(super) struct Origin {
    pub(super) stream: String,
    pub(super) topic: String,
    pub(super) revision: String,
}

/// The dead letters of the open batch.
#[derive(Default)]
pub(super) struct DeadLetters {
    letters: Vec<DeadLetter>,
    bytes: usize,
}

impl DeadLetters {
    /// Keeps a record: the one at `index` in its message, bad for `table`, or for all of them where that is empty.
    #[cold]
    pub(super) fn push(&mut self, record: &Record<'_>, index: u32, table: &str, reject: Reject) {
        let letter = DeadLetter::new(record, index, table, reject);
        self.bytes += letter.bytes();
        self.letters.push(letter);
    }

    /// About the bytes that a letter of this message takes beside its record and reason.
    pub(super) fn bytes_at_least(record: &Record<'_>) -> usize {
        let mut bytes = size_of::<DeadLetter>() + record.key.map_or(0, <[u8]>::len);
        record.headers.each(&mut |name, value| {
            bytes += size_of::<(String, Option<Vec<u8>>)>() + name.len() + value.map_or(0, <[u8]>::len);
        });
        bytes
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops the letters of partitions that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.letters.retain(|letter| keep(letter.partition));
        self.bytes = self.letters.iter().map(DeadLetter::bytes).sum();
    }

    /// Hands the letters over, stamped with the batch's time; `None` where there are none.
    pub(super) fn take(&mut self, origin: &Origin, time_ms: i64) -> Option<RecordBatch> {
        let letters = std::mem::take(self).letters;
        if letters.is_empty() {
            return None;
        }
        let arrays = arrays_of(&letters, origin, time_ms);
        let batch = RecordBatch::try_from_iter(COLUMNS.iter().map(|(name, _)| *name).zip(arrays));
        Some(batch.expect("each column has a value for each letter"))
    }
}

/// The columns, in the order of [`COLUMNS`].
fn arrays_of(letters: &[DeadLetter], origin: &Origin, time_ms: i64) -> [ArrayRef; COLUMNS.len()] {
    fn texts<'l>(letters: &'l [DeadLetter], text: impl Fn(&'l DeadLetter) -> &'l str) -> ArrayRef {
        Arc::new(BinaryArray::from_iter_values(letters.iter().map(text)))
    }
    [
        texts(letters, |_| origin.stream.as_str()),
        texts(letters, |_| origin.topic.as_str()),
        Arc::new(UInt32Array::from_iter_values(letters.iter().map(|letter| letter.partition))),
        Arc::new(UInt64Array::from_iter_values(letters.iter().map(|letter| letter.offset))),
        Arc::new(UInt32Array::from_iter_values(letters.iter().map(|letter| letter.index))),
        texts(letters, |letter| &letter.table),
        Arc::new(letters.iter().map(|letter| letter.kafka_time).collect::<TimestampMillisecondArray>()),
        Arc::new(letters.iter().map(|letter| letter.key.as_deref()).collect::<BinaryArray>()),
        headers_of(letters),
        Arc::new(BinaryArray::from_iter_values(letters.iter().map(|letter| &letter.payload))),
        texts(letters, |letter| letter.reject.code.as_str()),
        texts(letters, |letter| &letter.reject.column),
        texts(letters, |letter| &letter.reject.path),
        texts(letters, |letter| &letter.reject.reason),
        texts(letters, |_| origin.revision.as_str()),
        Arc::new(TimestampMillisecondArray::from_value(time_ms, letters.len())),
    ]
}

fn headers_of(letters: &[DeadLetter]) -> ArrayRef {
    let all = || letters.iter().flat_map(|letter| &letter.headers);
    let names: ArrayRef = Arc::new(BinaryArray::from_iter_values(all().map(|(name, _)| name)));
    let values: ArrayRef = Arc::new(all().map(|(_, value)| value.as_deref()).collect::<BinaryArray>());
    let fields = Fields::from(vec![
        Field::new("name", DataType::Binary, false),
        Field::new("value", DataType::Binary, true),
    ]);
    let pairs = StructArray::new(fields.clone(), vec![names, values], None);
    let item = Field::new("item", DataType::Struct(fields), false);
    let offsets = OffsetBuffer::from_lengths(letters.iter().map(|letter| letter.headers.len()));
    Arc::new(ListArray::new(Arc::new(item), offsets, Arc::new(pairs), None))
}
