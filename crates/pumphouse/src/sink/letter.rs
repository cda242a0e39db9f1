//! A dead letter as a Kafka message: key, value and headers. Reads them off the columns that the table gets, so that
//! both tell the same; sends nothing.
//!
//! | part | what it holds |
//! |---|---|
//! | key | `topic:partition:offset`; `topic:partition:offset:index:table` where a message may give several letters |
//! | value | the record's bytes |
//! | headers | the record's own in their order, then ours, named `pumphouse-…` |

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMillisecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};

use crate::config::settings::{Stream, Values};

/// Headers that are texts of the table's columns.
const TEXT_HEADERS: [(&str, &str); 7] = [
    ("pumphouse-stream", "stream"),
    ("pumphouse-topic", "topic"),
    ("pumphouse-table", "table"),
    ("pumphouse-code", "code"),
    ("pumphouse-column", "column"),
    ("pumphouse-path", "path"),
    ("pumphouse-reason", "reason"),
];

/// How much of a letter goes to the topic. Where it takes no message of that size, less goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// No value.
    WithoutValue,
    /// Neither value nor key nor headers of the record: only ours.
    Envelope,
}

impl Part {
    /// The next smaller part, if there is one.
    #[must_use]
    pub fn less(self) -> Option<Self> {
        match self {
            Self::Whole => Some(Self::WithoutValue),
            Self::WithoutValue => Some(Self::Envelope),
            Self::Envelope => None,
        }
    }

    /// What is left out, as a header says it.
    fn left_out(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::WithoutValue => Some("value"),
            Self::Envelope => Some("value,key,headers"),
        }
    }
}

/// What tells a stream's letters apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// One message gives one letter at most.
    ByOffset,
    /// One message may give several: by its records, and by the tables these are bad for.
    ByRecordAndTable,
}

impl Naming {
    /// What this stream needs.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        let one = stream.values == Values::One && stream.tables.len() == 1;
        if one { Self::ByOffset } else { Self::ByRecordAndTable }
    }
}

/// One letter of a batch.
#[derive(Clone, Copy)]
pub struct Letter<'b> {
    /// The letters of the batch, as the table's columns.
    pub batch: &'b RecordBatch,
    /// Which of them.
    pub row: usize,
}

impl<'b> Letter<'b> {
    /// Names it, the same at every attempt.
    #[must_use]
    pub fn key(self, naming: Naming) -> Vec<u8> {
        let numbers = format!(":{}:{}", self.partition(), self.offset());
        let mut key = [self.bytes("topic"), numbers.as_bytes()].concat();
        if naming == Naming::ByRecordAndTable {
            key.extend_from_slice(format!(":{}:", self.index()).as_bytes());
            key.extend_from_slice(self.bytes("table"));
        }
        key
    }

    /// The record's bytes, where they go along.
    #[must_use]
    pub fn value(self, part: Part) -> &'b [u8] {
        if part == Part::Whole { self.bytes("payload") } else { &[] }
    }

    /// The record's headers, then ours; where a name is there twice, the last one is ours.
    #[must_use]
    pub fn headers(self, part: Part) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new();
        if part != Part::Envelope {
            headers = self.own_headers(headers);
        }
        for (name, column) in TEXT_HEADERS {
            headers = with(headers, name, Some(self.bytes(column)));
        }
        for (name, number) in [
            ("pumphouse-partition", u64::from(self.partition())),
            ("pumphouse-offset", self.offset()),
            ("pumphouse-index", u64::from(self.index())),
        ] {
            headers = with(headers, name, Some(number.to_string().as_bytes()));
        }
        headers = with(headers, "pumphouse-revision", Some(self.bytes("revision")));
        let key = self.optional("key").filter(|_| part != Part::Envelope);
        headers = with(headers, "pumphouse-key", key);
        for (name, column) in [("pumphouse-kafka-time", "kafka_time"), ("pumphouse-time", "time")] {
            headers = with(headers, name, self.time(column).as_deref().map(str::as_bytes));
        }
        let Some(left_out) = part.left_out() else { return headers };
        headers = with(headers, "pumphouse-left-out", Some(left_out.as_bytes()));
        let bytes = self.bytes("payload").len().to_string();
        with(headers, "pumphouse-value-bytes", Some(bytes.as_bytes()))
    }

    /// About the bytes that it takes in Kafka.
    #[must_use]
    pub fn size(self, part: Part) -> usize {
        let of_reason = self.bytes("reason").len() + self.bytes("path").len();
        let of_record = self.own_pairs().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        let of_record = of_record.sum::<usize>() + self.optional("key").map_or(0, <[u8]>::len);
        self.value(part).len() + of_reason + if part == Part::Envelope { 0 } else { of_record }
    }

    fn own_headers(self, headers: OwnedHeaders) -> OwnedHeaders {
        self.own_pairs().fold(headers, |headers, (name, value)| {
            // Kafka's names of headers are texts, and so were these before they were columns.
            with(headers, &String::from_utf8_lossy(name), value)
        })
    }

    fn own_pairs(self) -> impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)> {
        let list = self.column("headers").as_list::<i32>();
        let [from, to] = [self.row, self.row + 1].map(|at| list.value_offsets()[at]);
        let pairs = list.values().as_struct();
        let (names, values) = (pairs.column(0).as_binary::<i32>(), pairs.column(1).as_binary::<i32>());
        let rows = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
        rows.map(move |row| (names.value(row), values.is_valid(row).then(|| values.value(row))))
    }

    fn partition(self) -> u32 {
        self.column("partition").as_primitive::<UInt32Type>().value(self.row)
    }

    fn offset(self) -> u64 {
        self.column("offset").as_primitive::<UInt64Type>().value(self.row)
    }

    fn index(self) -> u32 {
        self.column("index").as_primitive::<UInt32Type>().value(self.row)
    }

    fn time(self, column: &str) -> Option<String> {
        let times = self.column(column).as_primitive::<TimestampMillisecondType>();
        let time = times.is_valid(self.row).then(|| times.value(self.row))?;
        let time = Timestamp::from_millisecond(time).ok()?;
        Some(time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
    }

    fn bytes(self, column: &str) -> &'b [u8] {
        self.column(column).as_binary::<i32>().value(self.row)
    }

    fn optional(self, column: &str) -> Option<&'b [u8]> {
        let values = self.column(column).as_binary::<i32>();
        values.is_valid(self.row).then(|| values.value(self.row))
    }

    fn column(self, name: &str) -> &'b dyn Array {
        self.batch.column_by_name(name).expect("a letter has every column of the table").as_ref()
    }
}

fn with(headers: OwnedHeaders, key: &str, value: Option<&[u8]>) -> OwnedHeaders {
    headers.insert(Header { key, value })
}

#[cfg(test)]
#[path = "letter_tests.rs"]
pub(crate) mod tests;
