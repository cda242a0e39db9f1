//! The configuration file of the demo's worker: the columns of the generated events, one rollup. Knows the
//! names that the count asks for.

use super::events;

/// The stream's name.
pub const STREAM: &str = "requests";
/// The topic it is read from.
pub const TOPIC: &str = "app.requests";
/// The group it is read as.
pub const GROUP: &str = "pumphouse.requests";
/// The database of its tables.
pub const DATABASE: &str = "demo";
/// The rollup's name.
pub const ROLLUP: &str = "per_minute";
/// Partitions of the topic.
pub const PARTITIONS: u32 = 6;

/// How long the group waits for a member that was killed. Kafka's usual 45 s would be a long demo.
const SESSION_TIMEOUT_MS: u32 = 2_000;
const HEARTBEAT_MS: u32 = 500;

/// The file, with these servers.
#[must_use]
pub fn yaml(clickhouse_url: &str, brokers: &str) -> String {
    let columns =
        events::COLUMNS.map(|(name, column_type)| format!("      {name}: {column_type}\n")).concat();
    format!(
        r#"# Written by `pumphouse demo`.
clickhouse: {{ url: "{clickhouse_url}", database: {DATABASE} }}
kafka:
  brokers: "{brokers}"
  properties: {{ session.timeout.ms: "{SESSION_TIMEOUT_MS}", heartbeat.interval.ms: "{HEARTBEAT_MS}" }}
streams:
  {STREAM}:
    from: {{ topic: {TOPIC}, format: json }}
    columns:
{columns}    table: {{ order_by: [service, endpoint, ts], partition_by: toYYYYMM(ts) }}
    rollups:
      {ROLLUP}:
        every: 1 minute of ts
        dimensions: [service, endpoint, tier]
        metrics:
          requests: count()
          errors: "countIf(status >= 500)"
          bytes: sum(bytes_sent)
          p99_ms: "quantile(0.99)(duration_ms)"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_means_what_the_demo_counts_on() {
        let file = yaml("http://127.0.0.1:18123", "127.0.0.1:9092");
        let settings = crate::config::parse("pumphouse.yaml", &file, &|_| None).expect("no mistake");
        let stream = &settings.streams[STREAM];
        assert_eq!(format!("{}.{STREAM}", settings.kafka.group), GROUP);
        assert_eq!((stream.topic.as_str(), stream.tables[0].database.as_str()), (TOPIC, DATABASE));
        assert_eq!(stream.tables[0].columns.len(), events::COLUMNS.len());
        assert!(stream.tables[0].rollups.contains_key(ROLLUP));
        assert!(stream.lineage.is_some() && stream.dead_letters.table);
        assert_eq!(settings.kafka.properties["session.timeout.ms"].reveal(), "2000");
    }

    #[test]
    fn the_file_of_the_demo() {
        insta::assert_snapshot!(yaml("http://127.0.0.1:18123", "127.0.0.1:9092"));
    }
}
