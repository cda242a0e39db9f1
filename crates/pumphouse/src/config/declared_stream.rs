//! The keys of one stream: one declaration each, in the order of the reference.

use super::declared::MIB;
use super::keys::Fallback::{Absent, Is, Required};
use super::keys::{Choice, Key, Kind};

/// `streams.<stream>`
pub(super) const STREAM: &[Key] = &[
    Key::new("from", Kind::Section(FROM), Required)
        .doc("Where the records come from.")
        .example("{ topic: app.requests }"),
    Key::new("values", Kind::Choice(choice(&["one", "lines", "array"])), Is("one"))
        .doc(
            "What one Kafka message holds: one record, a record on each line, or a JSON array of records. A record \
             that is bad is a dead letter alone; its neighbours arrive.",
        )
        .example("lines"),
    Key::new("tombstones", Kind::Choice(choice(&["filter", "dead_letter"])), Is("filter"))
        .doc("What a message without a value stands for: nothing, or a record that is missing (PH-0115).")
        .example("dead_letter"),
    Key::new("numbers", Kind::Choice(choice(&["strict", "coerce"])), Is("strict"))
        .doc(
            "Whether a value of another kind may stand for a column's, where nothing is lost: a text for a number, \
             a number for a text. Strictly it may not, and the record is a dead letter.",
        )
        .example("coerce"),
    Key::new("schema", Kind::Text, Absent("records are judged by the columns alone"))
        .doc(
            "A JSON Schema that every record has to satisfy before it is decoded (PH-0120): a file, named from \
             where the configuration is.",
        )
        .example("requests.schema.json"),
    COLUMNS.doc(
        "The columns and their ClickHouse types, in order. A type alone reads the field of the column's name; a map \
         says more. With `tables` they come first in every table.",
    ),
    UNKNOWN_FIELDS.doc("What becomes of fields that no column reads."),
    Key::new("table", Kind::Section(TABLE), Absent("`tables` says where the rows go"))
        .doc("The one table that the rows go to. Either it or `tables` has to be there.")
        .example("{ order_by: [service, ts] }"),
    ROLLUPS,
    Key::new("tables", Kind::Named("table", TABLES), Absent("there is one table, `table`")).doc(
        "Several tables, 1 to 64, by name. A record goes to each whose `when` it meets; one that meets none is \
         filtered. A record that is bad for one of them is a dead letter for that one.",
    ),
    Key::new("batch", Kind::Section(BATCH), Absent("every key its default"))
        .doc("When a batch closes: at the first limit it reaches."),
    Key::new("valve", Kind::Section(VALVE), Absent("every key its default")).doc(
        "What is done when ClickHouse has many parts to merge: batches become older and fewer, and past a limit none \
         are made and the records wait in Kafka.",
    ),
    Key::new("dead_letters", Kind::Section(DEAD_LETTERS), Absent("every key its default"))
        .doc("What becomes of records that can't become a row."),
    Key::new("gaps", Kind::Choice(choice(&["report", "halt"])), Is("report"))
        .doc(
            "What is done where Kafka deleted records before they were read: the missing offsets are kept in the table \
             `pumphouse.gaps` and the stream goes on behind them (PH-0055), or it halts for a person.",
        )
        .example("halt"),
    Key::new("lineage", Kind::SectionOrOff(LINEAGE), Absent("on, with the names below")).doc(
        "Names of the columns that say where a row came from. `false` leaves them out; then \
             audit and the repair of old claims can't work.",
    ),
];

const fn choice(now: &'static [&'static str]) -> Choice {
    Choice { now, also: &[], later: &[] }
}

const COLUMNS: Key =
    Key::new("columns", Kind::Columns(COLUMN), Absent("the tables declare all of their own"))
        .example("{ ts: DateTime64(3), service: LowCardinality(String) }");

const UNKNOWN_FIELDS: Key =
    Key::new("unknown_fields", Kind::WordOr("ignore", KEEP_IN), Is("ignore")).example("ignore");

/// `unknown_fields`, the form with a map.
pub(super) const KEEP_IN: &[Key] = &[Key::new("keep_in", Kind::Text, Required)
    .doc(
        "The column of type `JSON` that gets them, each under its name. It is declared without `from` and \
         `default`: no field of the record is read into it.",
    )
    .example("rest")];

const ROLLUPS: Key = Key::new("rollups", Kind::Named("rollup", ROLLUP), Absent("none"))
    .doc("Materialized views with a target table each, exact on a retry like the table itself.");

const FROM: &[Key] = &[
    Key::new("topic", Kind::Text, Required).doc("The Kafka topic.").example("app.requests"),
    Key::new("format", Kind::Choice(Choice { now: &["json"], also: &[], later: LATER_FORMATS }), Is("json"))
        .doc("How the records are encoded.")
        .example("json"),
];

const LATER_FORMATS: &[&str] = &["avro", "protobuf", "csv", "tsv", "msgpack", "raw"];

/// `streams.<stream>.columns.<column>`, the form with a map.
pub(super) const COLUMN: &[Key] = &[
    Key::new("type", Kind::ColumnType, Required)
        .doc("The column's type, as ClickHouse writes it.")
        .example("\"Nullable(String)\""),
    Key::new("from", Kind::Texts, Absent("the field of the column's name"))
        .doc("Path into the record: `geo.city`, or a list where a name holds a dot.")
        .example("geo.city"),
    Key::new(
        "default",
        Kind::Json,
        Absent("a missing field is a dead letter, or NULL where the type takes it"),
    )
    .doc(
        "The value where the field is missing. It has to fit the type; a decimal keeps its digits \
             as written.",
    )
    .example("unknown"),
    Key::new("epoch", Kind::Choice(EPOCH), Absent("a bare number is a dead letter"))
        .doc(
            "What a number in a column of dates or times counts since 1970-01-01 UTC. `s`, `ms`, `us` \
             and `ns` are accepted too.",
        )
        .example("milliseconds"),
];

const EPOCH: Choice = Choice {
    now: &["seconds", "milliseconds", "microseconds", "nanoseconds"],
    also: &[("s", "seconds"), ("ms", "milliseconds"), ("us", "microseconds"), ("ns", "nanoseconds")],
    later: &[],
};

/// `streams.<stream>.table`
const TABLE: &[Key] = &[
    Key::new("name", Kind::Text, Absent("the stream's name"))
        .doc("The table: `name`, or `database.name`.")
        .example("requests"),
    ORDER_BY,
    PARTITION_BY,
    TTL,
    SETTINGS_BY_RATE,
];

/// `streams.<stream>.tables.<table>`
pub(super) const TABLES: &[Key] = &[
    Key::new("when", Kind::When, Absent("every record"))
        .doc(
            "The records that the table takes: paths into the record with what is asked of the field, all of which \
             have to hold. A text, number or boolean is equal to it; a list is any of them; `{ not: … }` is none of \
             them; `{ exists: true }` or `{ exists: false }` asks whether it is there and not null. `otherwise` is \
             for the records that no other table with conditions takes.",
        )
        .example("{ kind: click, geo.country: [de, fr] }"),
    Key::new("name", Kind::Text, Absent("its name in `tables`"))
        .doc("The table: `name`, or `database.name`.")
        .example("clicks"),
    COLUMNS
        .doc("The table's own columns, after those of the stream.")
        .without("the stream's columns alone")
        .example("{ target: String, x: UInt16 }"),
    UNKNOWN_FIELDS.doc("What becomes of fields that no column of this table reads.").without("as the stream says"),
    ORDER_BY,
    PARTITION_BY,
    TTL,
    SETTINGS_BY_RATE,
    ROLLUPS,
];

/// What is asked of a field in `when`, the form with a map.
pub(super) const ASKED: &[Key] = &[
    Key::new("not", Kind::Json, Absent("any value"))
        .doc("The field is equal to none of these; a missing one is equal to none.")
        .example("bot"),
    Key::new("exists", Kind::Flag, Absent("it may be missing"))
        .doc("Whether the field is there and not null.")
        .example("true"),
];

const ORDER_BY: Key = Key::new("order_by", Kind::Texts, Required)
    .doc("Sorting key: columns or expressions, the one filtered by most first.")
    .example("[service, endpoint, ts]");

const PARTITION_BY: Key = Key::new("partition_by", Kind::Text, Absent("one partition"))
    .doc(
        "Partition key: an expression of the row alone. Keep it coarse, a month rather than a \
             day: each insert makes a part per partition it touches.",
    )
    .example("toYYYYMM(ts)");

const TTL: Key = Key::new("ttl", Kind::Text, Absent("rows are kept"))
    .doc("When rows are removed: an expression.")
    .example("ts + INTERVAL 13 MONTH");

const SETTINGS_BY_RATE: Key = Key::new(
    "settings_by_rate",
    Kind::Curves("table settings to their values by events per second"),
    Absent("settings stay as they are"),
)
.doc(
    "Settings of the table that follow the stream's rate: straight between two points, flat outside. One process sets \
     them by `ALTER TABLE … MODIFY SETTING`, each at most once a minute and only where it differs by a tenth; \
     `pumphouse settings` shows the changes and takes them back.",
)
.example("{ parts_to_delay_insert: { 1000000: 20, 4000000: 50 } }");

pub(super) const ROLLUP: &[Key] = &[
    Key::new("every", Kind::Text, Required)
        .doc("Width of a time bucket and the column with the time: `<number> <unit> of <column>`.")
        .example("1 minute of ts"),
    Key::new("dimensions", Kind::Texts, Absent("none: one row per bucket"))
        .doc("Columns to group by.")
        .example("[service, endpoint]"),
    Key::new("metrics", Kind::Pairs("metric names to aggregate expressions"), Required)
        .doc("What is counted: a name and an aggregate expression each, as in a `SELECT`.")
        .example("{ requests: count(), p99_ms: \"quantile(0.99)(duration_ms)\" }"),
];

const BATCH: &[Key] = &[
    Key::new("freshness", Kind::Duration(10, 600_000), Is("1s"))
        .doc(
            "Age at which a batch closes: how old a row is at most before it is inserted, as long as \
             ClickHouse keeps up.",
        )
        .example("5s"),
    Key::new("rows", Kind::Number(1, 50_000_000), Is("1000000"))
        .doc("Rows at which a batch closes.")
        .example("500000"),
    Key::new("bytes", Kind::Size(1024, 1024 * MIB), Is("128MiB"))
        .doc(
            "Bytes of decoded columns at which a batch closes; at most `process.memory` divided by \
             `process.lanes`. Where it is not set, it is lowered to what each lane of each stream can \
             have.",
        )
        .example("64MiB"),
];

const VALVE: &[Key] = &[
    Key::new("batch_age_max", Kind::Duration(10, 3_600_000), Absent("30s, or `batch.freshness` where that is more"))
        .doc(
            "The age to which a batch may grow while parts pile up, in steps that double `batch.freshness`; at least \
             that. It is how late rows may come while ClickHouse merges.",
        )
        .example("1m"),
    Key::new("shut_at_percent", Kind::Number(10, 95), Is("80"))
        .doc(
            "The valve shuts at this share of the parts at which ClickHouse refuses inserts, in percent: of \
             `parts_to_throw_insert` in one table partition, and of `max_parts_in_total` in all of them, of any table or \
             view's target of the stream.",
        )
        .example("60"),
    Key::new("parts_max", Kind::NumberOrNull(1, 10_000_000), Absent("the server's limits alone"))
        .doc("Active parts of a table, over all its partitions, at which the valve shuts whatever the server allows.")
        .example("200000"),
];

const DEAD_LETTERS: &[Key] = &[
    Key::new("table", Kind::Flag, Is("true"))
        .doc(
            "Keep them in the table `pumphouse.dead_letters`, with coordinates, bytes and reason. \
             Without it and without `topic` they are counted and gone.",
        )
        .example("true"),
    Key::new("topic", Kind::TextOrNull, Absent("none"))
        .doc(
            "A Kafka topic that gets them too, with their reason in headers; none that a stream of this file \
             reads. It has to be there, and offsets pass a record only when the topic has its letter; a letter \
             may come twice there, under the same key.",
        )
        .example("requests.dead"),
];

const LINEAGE: &[Key] = &[
    Key::new("partition", Kind::Text, Is("_partition"))
        .doc("Column of the Kafka partition, `UInt32`.")
        .example("_partition"),
    Key::new("offset", Kind::Text, Is("_offset")).doc("Column of the offset, `UInt64`.").example("_offset"),
    Key::new("ingested_at", Kind::Text, Is("_ingested_at"))
        .doc(
            "Column of the time the batch was claimed, `DateTime64(3)`: the same for all rows of a \
             batch, and on a retry.",
        )
        .example("_ingested_at"),
    Key::new("index", Kind::Text, Is("_index"))
        .doc("Column of the record's place in its message, `UInt32`; only where `values` is not `one`.")
        .example("_index"),
];
