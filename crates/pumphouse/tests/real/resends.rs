//! A retry that is tried on a copy: that it sees a table which forgets, that it works with every engine, and that nothing is
//! left behind.
//!
//! Every story takes the address of a server and the name of a database that exists and is its own.

use std::collections::BTreeMap;

use pumphouse_clickhouse::Client;
use pumphouse_clickhouse::resend::{Original, Resent, resend};
use serde::Deserialize;

use super::wire::client;

async fn run(client: &Client, sql: &str) {
    client.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Tries a table of these columns.
async fn tried(
    client: &Client,
    (database, table): (&str, &str),
    columns: &[(&str, &str)],
    rest: Rest,
) -> Resent {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let columns: Vec<_> = columns.iter().map(owned).collect();
    let Rest { has_ttl, has_rows, .. } = rest;
    let settings = &BTreeMap::new();
    let original = Original { database, table, columns: &columns, settings, has_ttl, has_rows };
    resend(client, 0, &original).await
}

#[derive(Clone, Copy, Default)]
struct Rest {
    has_ttl: bool,
    has_rows: bool,
}

/// The tables of a database: a copy that stays is seen here.
async fn tables(client: &Client, database: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let sql = format!("SELECT name FROM system.tables WHERE database = '{database}' ORDER BY name");
    let rows: Vec<Named> = client.rows(&sql).await.unwrap_or_else(|error| panic!("{error}"));
    rows.into_iter().map(|row| row.name).collect()
}

/// The trial can fail: without a window the row is there twice.
pub(crate) async fn a_retry_is_recognised_with_a_window_and_doubled_without(url: &str, database: &str) {
    let client = client(url);
    let window = "SETTINGS non_replicated_deduplication_window";
    for (table, entries, expected) in
        [("remembers", 1_000, Resent::Recognised), ("forgets", 0, Resent::Doubled(1, 2))]
    {
        let sql = format!(
            "CREATE TABLE {database}.{table} (a UInt8) ENGINE = MergeTree ORDER BY a {window} = {entries}"
        );
        run(&client, &sql).await;
        assert_eq!(
            tried(&client, (database, table), &[("a", "UInt8")], Rest::default()).await,
            expected,
            "{table}"
        );
    }
    assert_eq!(tables(&client, database).await, ["forgets", "remembers"]);
}

/// Engines that fold, and types that are sent as others.
pub(crate) async fn every_engine_and_type_can_be_tried(url: &str, database: &str) {
    let client = client(url);
    let window = "SETTINGS non_replicated_deduplication_window = 1000";
    let columns = [
        ("id", "LowCardinality(UUID)"),
        ("ts", "DateTime64(3)"),
        ("sign", "Int8"),
        ("version", "UInt64"),
        ("state", "Enum8('a' = 1, 'b' = 2)"),
        ("rest", "JSON"),
        ("tags", "Map(String, Array(Nullable(String)))"),
        ("price", "Decimal(38, 4)"),
        ("from", "IPv6"),
    ];
    let structure: Vec<String> =
        columns.iter().map(|(name, column_type)| format!("`{name}` {column_type}")).collect();
    for (table, engine) in [
        ("plain", "MergeTree"),
        ("replacing", "ReplacingMergeTree(version)"),
        ("summing", "SummingMergeTree(version)"),
        ("collapsing", "CollapsingMergeTree(sign)"),
        ("versioned", "VersionedCollapsingMergeTree(sign, version)"),
    ] {
        run(
            &client,
            &format!(
                "CREATE TABLE {database}.{table} ({}) ENGINE = {engine} PARTITION BY toYYYYMM(ts) ORDER BY id TTL \
                 toDateTime(ts) + INTERVAL 13 MONTH {window}",
                structure.join(", ")
            ),
        )
        .await;
        let rest = Rest { has_ttl: true, has_rows: false };
        assert_eq!(tried(&client, (database, table), &columns, rest).await, Resent::Recognised, "{table}");
    }
    assert_eq!(tables(&client, database).await.len(), 5);
}

/// A constraint that no default meets is told, and a row of the table meets it.
pub(crate) async fn a_table_that_takes_no_default_row_says_so_until_it_has_one(url: &str, database: &str) {
    let client = client(url);
    run(
        &client,
        &format!(
            "CREATE TABLE {database}.strict (a UInt8, CONSTRAINT large CHECK a > 5) ENGINE = MergeTree ORDER BY a \
             SETTINGS non_replicated_deduplication_window = 1000"
        ),
    )
    .await;
    let columns = [("a", "UInt8")];
    match tried(&client, (database, "strict"), &columns, Rest::default()).await {
        Resent::Untried(reason) => assert!(reason.contains("large"), "{reason}"),
        other => panic!("{other:?}"),
    }
    run(&client, &format!("INSERT INTO {database}.strict VALUES (6)")).await;
    let rest = Rest { has_rows: true, ..Rest::default() };
    assert_eq!(tried(&client, (database, "strict"), &columns, rest).await, Resent::Recognised);
    assert_eq!(tables(&client, database).await, ["strict"]);
}
