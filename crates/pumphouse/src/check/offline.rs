//! What the file alone tells: its tables as `apply` would create them, under the load that is said. Asks no server.

use pumphouse_clickhouse::quote;

use super::finding::{Finding, Severity};
use super::load::{Asked, Load};
use super::table::TableFacts;
use super::{engine, partitions, schema, sorting, ttl, window};
use crate::config::settings::{Settings, Stream, Table};
use crate::decode;
use crate::fault::Code;
use crate::sink::tables;

/// Functions that give the same row another table partition on a retry; the server knows all of them.
const IMPURE: [&str; 14] = [
    "now",
    "now64",
    "nowinblock",
    "today",
    "yesterday",
    "rand",
    "rand32",
    "rand64",
    "randconstant",
    "generateuuidv4",
    "generateuuidv7",
    "hostname",
    "rownumberinblock",
    "rownumberinallblocks",
];

/// Everything that can be said without a server.
#[must_use]
pub fn offline(settings: &Settings, asked: &Asked) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stream in settings.streams.values() {
        findings.extend(schema::judge(stream));
        #[expect(clippy::cast_precision_loss, reason = "figures to be read by people")]
        let rate = asked.rate.map(|rate| rate as f64);
        let load = Load::of(settings, stream, (asked, rate), None);
        findings.extend(stream.tables.iter().flat_map(|table| of_declared(stream, table, &load)));
    }
    findings
}

/// All that is to be said of a table that is not there yet.
pub(super) fn of_declared(stream: &Stream, table: &Table, load: &Load) -> Vec<Finding> {
    let facts = declared(stream, table);
    impure(&facts).into_iter().chain(of_table(&facts, load)).collect()
}

/// All that can be judged of a table, wherever its facts are from.
pub(super) fn of_table(table: &TableFacts, load: &Load) -> Vec<Finding> {
    let mut findings = partitions::judge(table, load);
    findings.extend(sorting::judge(table));
    findings.extend(window::judge(table, load));
    findings.extend(engine::judge(table));
    findings.extend(ttl::judge(table));
    findings
}

/// A table as `apply` would create it.
fn declared(stream: &Stream, table: &Table) -> TableFacts {
    let spec = tables::table(table, decode::table_columns(stream, table));
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // What `apply` sets where it pays.
    let settings = [setting("ttl_only_drop_parts", "1")];
    let expires = pumphouse_clickhouse::key_time::expires_by_part;
    let by_part =
        expires(spec.partition_by.as_deref().unwrap_or_default(), spec.ttl.as_deref().unwrap_or_default());
    TableFacts {
        stream: stream.name.clone(),
        name: quote::table(&spec.database, &spec.name),
        engine: "MergeTree".to_owned(),
        partition_key: spec.partition_by.unwrap_or_default(),
        sorting_key: spec.order_by.join(", "),
        ttl: spec.ttl,
        settings: settings.into_iter().filter(|_| by_part).collect(),
        sent: spec.columns,
        window: Some(u64::from(spec.window)),
        held: None,
    }
}

fn impure(table: &TableFacts) -> Option<Finding> {
    let words = table.partition_key.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let call = words.into_iter().find(|word| {
        let is_call = table.partition_key.contains(&format!("{word}("));
        is_call && IMPURE.contains(&word.to_ascii_lowercase().as_str())
    })?;
    Some(Finding {
        severity: Severity::Error,
        code: Code::PartitionKeyImpure,
        stream: table.stream.clone(),
        on: table.name.clone(),
        what: format!("the partition key {} depends on {call}()", table.partition_key),
        why: "tokens count per table partition, so a row that moves to another one on a retry is doubled"
            .to_owned(),
        mend: format!(
            "`partition_by` of stream {}: columns of the record only, such as toYYYYMM(ts)",
            table.stream
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;

    fn found(table: &str, batch: &str, asked: Asked) -> Vec<(&'static str, &'static str)> {
        let text = format!(
            "clickhouse: {{ url: \"http://h\" }}\nkafka: {{ brokers: h }}\nstreams:\n  s:\n    from: {{ topic: t }}\n    \
             batch: {batch}\n    columns: {{ ts: DateTime64(3), service: String }}\n    table: {table}\n"
        );
        let settings = config::parse("f", &text, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        let findings = super::super::finding::in_order(offline(&settings, &asked));
        findings.iter().map(|finding| (finding.severity.word(), finding.code.number())).collect()
    }

    const CALM: Asked = Asked { rate: None, spread: None, processes: 1, outage: Duration::from_hours(24) };

    #[test]
    fn the_file_alone_tells_what_its_keys_will_do() {
        let year = Asked { spread: Some(Duration::from_hours(365 * 24)), ..CALM };
        let monthly = "{ order_by: [service, ts], partition_by: toYYYYMM(ts), ttl: ts + INTERVAL 13 MONTH }";
        let daily = "{ order_by: [service, ts], partition_by: toYYYYMMDD(ts), ttl: ts + INTERVAL 13 MONTH }";
        for (table, batch, asked, expected) in [
            (monthly, "{}", CALM, vec![]),
            (daily, "{}", CALM, vec![]),
            (daily, "{}", year, vec![("warning", "PH-0211"), ("warning", "PH-0216")]),
            (monthly, "{ freshness: 50ms }", CALM, vec![("warning", "PH-0213"), ("warning", "PH-0216")]),
            ("{ order_by: [ts, service] }", "{}", CALM, vec![("advice", "PH-0215")]),
            ("{ order_by: service, partition_by: toDate(now()) }", "{}", CALM, vec![("error", "PH-0047")]),
        ] {
            assert_eq!(found(table, batch, asked), expected, "{table} {batch}");
        }
    }
}
