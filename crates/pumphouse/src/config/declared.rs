//! The keys of the file outside its streams: one declaration each, in the order of the reference. What the
//! streams hold is in `declared_stream`; what the values mean together is decided in `meaning` and `stream`.

use super::declared_stream::STREAM;
use super::keys::Fallback::{Absent, Is, Required};
use super::keys::{Choice, Key, Kind};

/// The top of the file.
pub(super) const FILE: &[Key] = &[
    Key::new("clickhouse", Kind::Section(CLICKHOUSE), Required)
        .doc("The servers that rows go to.")
        .example("{ url: \"http://localhost:8123\" }"),
    Key::new("kafka", Kind::Section(KAFKA), Required)
        .doc("The brokers that events come from.")
        .example("{ brokers: \"localhost:9092\" }"),
    Key::new("process", Kind::Section(PROCESS), Absent("every key its default"))
        .doc("This process: its lanes, its memory, its address."),
    Key::new("streams", Kind::Named("stream", STREAM), Required)
        .doc("The declared flows, by name: lower-case letters, digits and `_`, a letter first.")
        .example("{ requests: { from: …, columns: …, table: … } }"),
];

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

const CLICKHOUSE: &[Key] = &[
    Key::new("url", Kind::Urls, Required)
        .doc(
            "Address of the HTTP interface; several are replicas of each other. A path prefix is \
             kept; user and password do not belong in it.",
        )
        .example("\"http://localhost:8123\""),
    Key::new("database", Kind::Text, Is("default"))
        .doc("Database of the tables whose name does not say another.")
        .example("metrics"),
    Key::new("user", Kind::Text, Is("default")).doc("The user that inserts.").example("pumphouse"),
    Key::new("password", Kind::Secret, Is(""))
        .doc("The user's password. Never shown; best given by a variable.")
        .example("\"${CLICKHOUSE_PASSWORD:-}\""),
    Key::new("connect_timeout", Kind::Duration(10, 5 * MINUTE), Is("5s"))
        .doc("Limit for opening a connection.")
        .example("5s"),
    Key::new("insert_timeout", Kind::Duration(SECOND, 20 * MINUTE), Is("60s"))
        .doc(
            "Limit for one insert, its answer included. Past it the insert is in doubt and is \
             settled, not guessed.",
        )
        .example("60s"),
    Key::new("query_timeout", Kind::Duration(100, 20 * MINUTE), Is("10s"))
        .doc("Limit for any other query.")
        .example("10s"),
    Key::new("start_retries", Kind::Number(1, 1_000_000), Is("30"))
        .doc(
            "Attempts to reach each server, Kafka as well, when `run` or `apply` starts, before it gives up with \
             exit code 69. After the first success `run` waits without limit. `audit`, `explain`, `settings` and \
             `dead` try at most three times.",
        )
        .example("30"),
    Key::new("start_retry_every", Kind::Duration(10, 10 * MINUTE), Is("2s"))
        .doc("Pause between these attempts; at most 1 s for `audit`, `explain`, `settings` and `dead`.")
        .example("2s"),
    Key::new(
        "compression",
        Kind::Choice(Choice { now: &["lz4", "zstd", "none"], also: &[], later: &[] }),
        Is("lz4"),
    )
    .doc("Compression of inserts. `zstd` sends fewer bytes and costs more processor time.")
    .example("zstd"),
    Key::new("settings", Kind::Pairs("ClickHouse settings"), Absent("none"))
        .doc(
            "Further ClickHouse settings sent with each insert. The ones that delivery depends on are \
             refused by name.",
        )
        .example("{ max_partitions_per_insert_block: 500 }"),
    Key::new("allow_untested_server", Kind::Flag, Is("false"))
        .doc(
            "Accept a server older than the versions whose retries were tested. Exactly once is not \
             promised there.",
        )
        .example("true"),
];

const KAFKA: &[Key] = &[
    Key::new("brokers", Kind::Texts, Required)
        .doc("Brokers to ask first, `host:port`: a list, or a text with commas.")
        .example("\"localhost:9092\""),
    Key::new("group", Kind::Text, Is("pumphouse"))
        .doc("Prefix of the consumer groups: a stream's group is `<group>.<stream>`.")
        .example("pumphouse"),
    Key::new("start_from", Kind::StartFrom, Is("earliest"))
        .doc(
            "Where a group without offsets starts: `earliest`, `latest`, or the first record at or \
             after a time.",
        )
        .example("\"2026-11-01T00:00:00Z\""),
    Key::new("properties", Kind::Pairs("librdkafka properties"), Absent("none"))
        .doc(
            "Further properties of librdkafka: TLS, SASL, `group.protocol`, `group.instance.id`, \
             fetch sizes. A broker waits up to 100 ms (`fetch.wait.max.ms`) for 128 KiB (`fetch.min.bytes`) \
             where these are not said. The ones that would break delivery are refused by name (PH-0014); values of \
             secret ones are never shown.",
        )
        .example("{ security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512 }"),
];

const PROCESS: &[Key] = &[
    Key::new("lanes", Kind::Number(1, 256), Is("2"))
        .doc(
            "Members of the consumer group per stream in this process. More lanes use more cores; \
             more processes use more machines.",
        )
        .example("4"),
    Key::new("memory", Kind::Size(MIB, TIB), Is("256MiB"))
        .doc("Bytes to share out over all lanes: a quarter for decoded and in-flight batches, at which partitions \
             pause, an eighth for fetched messages, the rest for encoded inserts.")
        .example("1GiB"),
    Key::new("processes_max", Kind::Number(1, 1000), Is("8"))
        .doc(
            "How many processes at most run this configuration at once: each uses that part of a table's \
             deduplication window while one of its inserts is in doubt.",
        )
        .example("8"),
    Key::new("drain_timeout", Kind::Duration(SECOND, 60 * MINUTE), Is("25s"))
        .doc(
            "How long a stop may take to settle what is open. Keep it below the grace period of \
             whatever stops the process.",
        )
        .example("25s"),
    Key::new("listen", Kind::Address, Is("127.0.0.1:9464"))
        .doc(
            "Address of metrics and health, which come in a later version: nothing listens yet, so \
             any other address than the default is refused.",
        )
        .example("\"127.0.0.1:9464\""),
    Key::new("log", Kind::Choice(Choice { now: &["text", "json"], also: &[], later: &[] }), Is("text"))
        .doc("Form of the log: one line of text, or one JSON object a line.")
        .example("json"),
];

pub(super) const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
