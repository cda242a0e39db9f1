//! From the tree to the settings: the top of the file, and what must hold among its parts. Each stream is read
//! in `stream`. Whatever is wrong is told to the walk; settings come out only where nothing was.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::{NonZeroU16, NonZeroU32};

use super::declared::FILE;
use super::said::{Entry, Node, Place, Said, Scalar};
use super::schema_file::Files;
use super::settings::{
    ClickHouse, Compression, Kafka, Listen, LogFormat, Process, Secret, Settings, Stream, Table,
};
use super::stream::{self, Around};
use super::walk::{Section, Walk};
use super::{insert_settings, kafka_properties, scalar};

/// The default of `process.listen`, the only address this version takes.
const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9464));

/// Bytes below which a batch is not lowered, however many streams share the memory.
const BATCH_BYTES_FLOOR: u64 = 1 << 20;

/// What the file means; `None` after a mistake was told.
pub(super) fn settings(root: &Node, walk: &Walk<'_>, files: Files<'_>) -> Option<Settings> {
    if matches!(root.said, Said::Nothing) {
        walk.mistake(
            Place::START,
            "",
            "the file is empty",
            "begin with the smallest file of docs/reference/configuration.md",
        );
        return None;
    }
    let file = Section::open(walk, String::new(), Place::START, Some(root), FILE)?;
    let clickhouse = file.section("clickhouse").and_then(|section| clickhouse(&section));
    let kafka_section = file.section("kafka");
    let kafka = kafka_section.as_ref().and_then(kafka);
    let process = file.section("process").and_then(|section| process(&section));
    let lanes = process.as_ref().map_or(1, |process| process.lanes.get());
    if let Some(entries) = kafka_section.and_then(|section| section.entries("properties")) {
        kafka_properties::tell_shared_instance(entries, lanes, walk);
    }
    let entries = file.entries("streams")?;
    if entries.is_empty() && file.is_set("streams") {
        walk.mistake(
            file.place_of("streams"),
            "streams",
            "no stream",
            "add one: a name with `from`, `columns` and `table` or `tables`",
        );
    }
    let around = around(clickhouse.as_ref(), process.as_ref(), entries.len(), files);
    let streams: Vec<_> = entries.iter().map(|entry| stream::read(entry, &around, walk)).collect();
    tell_shared_tables(&streams, entries, walk);
    tell_circles(entries, walk);
    let streams: Option<BTreeMap<String, Stream>> =
        streams.into_iter().map(|stream| stream.map(|stream| (stream.name.clone(), stream))).collect();
    let mut settings = Settings {
        clickhouse: clickhouse?,
        kafka: kafka?,
        process: process?,
        streams: streams?,
        revision: String::new(),
    };
    settings.revision = super::revision::of(&settings);
    Some(settings)
}

/// A wrong part leaves its defaults to the streams, so that they are checked all the same.
fn around<'a>(
    clickhouse: Option<&ClickHouse>,
    process: Option<&Process>,
    streams: usize,
    files: Files<'a>,
) -> Around<'a> {
    let database = clickhouse.map_or("default", |clickhouse| clickhouse.database.as_str()).to_owned();
    let streams = u64::try_from(streams).unwrap_or(u64::MAX).max(1);
    let per_lane = process.map_or(u64::MAX, |process| process.memory / u64::from(process.lanes.get()));
    Around {
        database,
        batch_bytes_default: (per_lane / streams).max(BATCH_BYTES_FLOOR),
        batch_bytes_max: per_lane,
        files,
    }
}

/// Groups differ by the streams' names, so two streams may read one topic; one table has one writer. Rollups write
/// tables, too.
fn tell_shared_tables(streams: &[Option<Stream>], entries: &[Entry], walk: &Walk<'_>) {
    let mut writers: BTreeMap<String, &str> = BTreeMap::new();
    for (stream, entry) in streams.iter().zip(entries) {
        let Some(stream) = stream else { continue };
        let path = Walk::join("streams", &stream.name);
        for name in stream.tables.iter().flat_map(written) {
            let what = match writers.insert(name.clone(), &stream.name) {
                None => continue,
                Some(first) if first == stream.name => format!("writes the table `{name}` twice"),
                Some(first) => format!("writes the table `{name}`, as `{first}` does"),
            };
            walk.mistake(entry.place, &path, what, "give one of them another `name`");
        }
    }
}

/// The tables that rows for a table end in: itself, and those of its rollups with their views.
fn written(table: &Table) -> Vec<String> {
    let target = |rollup: &String| format!("{}_{rollup}", table.full_name());
    let targets = table.rollups.keys().map(target);
    let views = table.rollups.keys().map(|rollup| target(rollup) + "_mv");
    std::iter::once(table.full_name()).chain(targets).chain(views).collect()
}

/// A dead letter that is read again is a dead letter again, for ever.
fn tell_circles(entries: &[Entry], walk: &Walk<'_>) {
    let topic_of = |entry: &'_ Entry, keys: [&str; 2]| match &entry.node.find(&keys)?.said {
        Said::Text(text) => Some(text.text.trim().to_owned()),
        _ => None,
    };
    let read: Vec<_> =
        entries.iter().map(|entry| (topic_of(entry, ["from", "topic"]), &entry.name)).collect();
    for entry in entries {
        let (keys, suggestion) = (["dead_letters", "topic"], "name a topic of its own for dead letters");
        let Some(dead) = topic_of(entry, keys) else { continue };
        let Some(Node { place, said: Said::Text(text) }) = entry.node.find(&keys) else { continue };
        if let Some((_, reader)) = read.iter().find(|(topic, _)| topic.as_ref() == Some(&dead)) {
            let path = Walk::join(&Walk::join("streams", &entry.name), &keys.join("."));
            let what = format!("is the topic that the stream `{}` reads", Walk::join("", reader));
            walk.wrong_value(*place, &path, text, scalar::Wrong::new(what, suggestion));
        }
    }
}

fn clickhouse(section: &Section<'_>) -> Option<ClickHouse> {
    let urls = section.texts("url").and_then(|texts| urls(&texts, section));
    let database = section.text("database").filter(|name| is_database(name, section));
    let user = section.text("user");
    let password = section.value("password", |text, _| Ok(Secret::new(text.to_owned())));
    let connect_timeout = section.duration("connect_timeout");
    let insert_timeout = section.duration("insert_timeout");
    let query_timeout = section.duration("query_timeout");
    let start_retries = section.number("start_retries").and_then(|n| NonZeroU32::new(u32::try_from(n).ok()?));
    let start_retry_every = section.duration("start_retry_every");
    let compression = section.choice("compression");
    let settings = section.entries("settings").map(|entries| insert_settings::read(entries, section.walk));
    let allow_untested_server = section.flag("allow_untested_server");
    Some(ClickHouse {
        urls: urls?,
        database: database?,
        user: user?,
        password: password?,
        connect_timeout: connect_timeout?,
        insert_timeout: insert_timeout?,
        query_timeout: query_timeout?,
        start_retries: start_retries?,
        start_retry_every: start_retry_every?,
        compression: match compression? {
            "none" => Compression::None,
            "zstd" => Compression::Zstd,
            _ => Compression::Lz4,
        },
        settings: settings?,
        allow_untested_server: allow_untested_server?,
    })
}

fn urls(texts: &[(&Scalar, Place)], section: &Section<'_>) -> Option<Vec<String>> {
    let path = section.key_path("url");
    let mut urls: Vec<String> = Vec::new();
    for (text, place) in texts {
        match scalar::url(&text.text) {
            Ok(url) if urls.contains(&url) => section.walk.mistake_unseen(
                super::mistake::MISTAKE,
                *place,
                &path,
                scalar::Wrong::new("the same address is given twice", "name each replica once"),
            ),
            Ok(url) => urls.push(url),
            Err(wrong) => section.walk.wrong_value(*place, &path, text, wrong),
        }
    }
    (urls.len() == texts.len()).then_some(urls)
}

fn is_database(name: &str, section: &Section<'_>) -> bool {
    let fine = super::column::is_identifier(name);
    if !fine {
        let (place, path) = (section.place_of("database"), section.key_path("database"));
        section.walk.mistake(
            place,
            &path,
            "is not a name a database can have",
            "use letters, digits and `_`",
        );
    }
    fine
}

fn kafka(section: &Section<'_>) -> Option<Kafka> {
    let brokers = section.texts("brokers").and_then(|texts| brokers(&texts, section));
    let group = section.text("group").filter(|group| is_group(group, section));
    let start_from = section.value("start_from", scalar::start_from);
    let properties =
        section.entries("properties").map(|entries| kafka_properties::read(entries, section.walk));
    Some(Kafka { brokers: brokers?, group: group?, start_from: start_from?, properties: properties? })
}

fn brokers(texts: &[(&Scalar, Place)], section: &Section<'_>) -> Option<String> {
    let mut brokers = Vec::new();
    for (text, place) in texts {
        for broker in text.text.split(',').map(str::trim) {
            if is_broker(broker) {
                brokers.push(broker);
            } else {
                let wrong = scalar::Wrong::new(
                    "is not `host:port`",
                    "for example `localhost:9092`, several with commas",
                );
                section.walk.wrong_value(*place, &section.key_path("brokers"), text, wrong);
                return None;
            }
        }
    }
    Some(brokers.join(","))
}

/// librdkafka takes a missing port for 9092; so do we.
fn is_broker(broker: &str) -> bool {
    let (host, port) = match broker.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (broker, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@') || (!bracketed && c == ':');
    !host.is_empty() && !host.contains(odd) && port.is_none_or(|port| matches!(port.parse::<u16>(), Ok(1..)))
}

fn is_group(group: &str, section: &Section<'_>) -> bool {
    let fine = group.len() <= 150
        && group.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !fine {
        section.wrong("group", "is not a name a group can have", "use letters, digits, `.`, `_` and `-`");
    }
    fine
}

/// Nothing listens in this version; whoever sets an address means to scrape it, and has to be told.
fn is_default(address: SocketAddr, section: &Section<'_>) -> bool {
    let fine = address == LISTEN;
    if !fine {
        section.wrong("listen", "is not available in this version", format!("remove it or use `{LISTEN}`"));
    }
    fine
}

fn process(section: &Section<'_>) -> Option<Process> {
    let at_most_u16 = |number: u64| NonZeroU16::new(u16::try_from(number).ok()?);
    let lanes = section.number("lanes").and_then(at_most_u16);
    let memory = section.size("memory");
    let processes_max = section.number("processes_max").and_then(at_most_u16);
    let drain_timeout = section.duration("drain_timeout");
    let address = section.value("listen", scalar::address).filter(|address| is_default(*address, section));
    let log = section.choice("log");
    Some(Process {
        lanes: lanes?,
        memory: memory?,
        processes_max: processes_max?,
        drain_timeout: drain_timeout?,
        listen: Listen { address: address?, may_move: !section.is_set("listen") },
        log: if log? == "json" { LogFormat::Json } else { LogFormat::Text },
    })
}
