//! The wire against a real server: what one insert leaves behind, and what each answer proves.
//!
//! Every story takes the address of a server and the name of a database that exists and is its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch, StringArray, UInt32Array};
use pumphouse_clickhouse::arrow_stream::{Body, Compression, encode};
use pumphouse_clickhouse::{Client, ClientSettings, Doubt, Insert, InsertAnswer, Kind, Refusal};

const MINUTE: Duration = Duration::from_mins(1);

/// A client for stories: user `default`, generous limits.
pub(crate) fn client(url: &str) -> Client {
    // The second story finds the provider installed; that is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::new(&ClientSettings {
        urls: vec![url.to_owned()],
        user: "default".to_owned(),
        password: String::new(),
        connect_timeout: MINUTE,
        query_timeout: MINUTE,
    })
    .expect("a client")
}

/// Rows `id, part, word` with `part` counting through `parts`.
fn rows(count: i64, parts: i64) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("id", Arc::new((0..count).collect::<Int64Array>()) as _),
        (
            "part",
            Arc::new(
                (0..count).map(|id| u32::try_from(id % parts).expect("few parts")).collect::<UInt32Array>(),
            ) as _,
        ),
        ("word", Arc::new((0..count).map(|id| Some(format!("w{}", id % 97))).collect::<StringArray>()) as _),
    ])
    .expect("columns of one length")
}

fn columns() -> Vec<(String, String)> {
    [("id", "Int64"), ("part", "UInt32"), ("word", "LowCardinality(String)")]
        .map(|(name, column_type)| (name.to_owned(), column_type.to_owned()))
        .to_vec()
}

async fn create(client: &Client, database: &str, table: &str) {
    let sql = format!(
        "CREATE TABLE {database}.{table} (id Int64, part UInt32, word LowCardinality(String), \
         CONSTRAINT small CHECK id < 1000000) ENGINE = MergeTree PARTITION BY part ORDER BY id \
         SETTINGS non_replicated_deduplication_window = 100"
    );
    client.execute(&sql).await.expect("a table");
}

async fn number(client: &Client, sql: &str) -> u64 {
    #[derive(serde::Deserialize)]
    struct Number {
        n: u64,
    }
    client.query(sql).row::<Number>().await.expect("a number").n
}

async fn count(client: &Client, database: &str, table: &str) -> u64 {
    number(client, &format!("SELECT count() AS n FROM {database}.{table}")).await
}

/// What differs between the inserts of these stories.
struct Try<'a> {
    client: &'a Client,
    database: &'a str,
    table: &'a str,
    columns: Vec<(String, String)>,
    settings: BTreeMap<String, String>,
    seconds_left: i64,
    has_views: bool,
}

impl<'a> Try<'a> {
    fn new(client: &'a Client, database: &'a str, table: &'a str) -> Self {
        let settings = BTreeMap::new();
        Self { client, database, table, columns: columns(), settings, seconds_left: 600, has_views: false }
    }

    async fn insert(&self, token: &str, body: &Body) -> InsertAnswer {
        let now = self.client.server_time_ms().await.expect("the server's clock") / 1_000;
        self.client
            .insert(&Insert {
                database: self.database,
                table: self.table,
                columns: &self.columns,
                token,
                deadline_unix_seconds: now + self.seconds_left,
                timeout: MINUTE,
                body,
                query_id: None,
                settings: &self.settings,
                url_index: 0,
                has_views: self.has_views,
            })
            .await
    }
}

fn refused(answer: &InsertAnswer, kind: Kind) {
    match answer {
        InsertAnswer::Refused(Refusal::Server(error)) if error.kind == kind => {}
        other => panic!("{kind:?} expected, got {other:?}"),
    }
}

/// 300,000 rows over 3 table partitions are 3 parts, under every compression, and a retry adds nothing.
pub(crate) async fn a_batch_is_one_part_for_each_table_partition_and_its_token_holds(
    url: &str,
    database: &str,
) {
    let client = client(url);
    create(&client, database, "parts").await;
    client.execute(&format!("SYSTEM STOP MERGES {database}.parts")).await.expect("merges stopped");
    let attempt = Try::new(&client, database, "parts");
    let batch = rows(300_000, 3);
    for (round, compression) in (1..).zip([Compression::None, Compression::Lz4, Compression::Zstd]) {
        let body = encode(&batch, compression).expect("encodes");
        let token = format!("ph1:{round:032x}/{database}.parts");
        for _ in 0..2 {
            assert_eq!(attempt.insert(&token, &body).await, InsertAnswer::Done, "{compression:?}");
            assert_eq!(count(&client, database, "parts").await, round * 300_000, "{compression:?}");
        }
        let parts = format!(
            "SELECT count() AS n FROM system.parts WHERE active AND database = '{database}' AND table = 'parts'"
        );
        assert_eq!(number(&client, &parts).await, round * 3, "{compression:?}");
    }
}

/// A deadline that has passed by the server's clock refuses the insert, and the token is still free.
pub(crate) async fn a_late_insert_is_refused_by_the_server_and_leaves_nothing(url: &str, database: &str) {
    let client = client(url);
    create(&client, database, "late").await;
    let mut attempt = Try::new(&client, database, "late");
    let body = encode(&rows(1_000, 2), Compression::Lz4).expect("encodes");
    attempt.seconds_left = -5;
    let answer = attempt.insert("ph1:1/late", &body).await;
    refused(&answer, Kind::Deadline);
    assert_eq!(answer.server_error().map(|error| error.code), Some(395));
    assert_eq!(count(&client, database, "late").await, 0);
    attempt.seconds_left = 600;
    assert_eq!(attempt.insert("ph1:1/late", &body).await, InsertAnswer::Done);
    assert_eq!(count(&client, database, "late").await, 1_000);
}

/// Settings of a user or of the configuration can't switch deduplication off, nor turn NULL into a default.
pub(crate) async fn foreign_settings_do_not_weaken_an_insert(url: &str, database: &str) {
    let client = client(url);
    create(&client, database, "weak").await;
    let mut attempt = Try::new(&client, database, "weak");
    attempt.settings = [
        ("async_insert", "1"),
        ("deduplicate_insert", "disable"),
        ("deduplicate_insert_select", "disable"),
        ("insert_deduplicate", "0"),
        ("insert_deduplication_token", ""),
        ("max_insert_block_size", "1000"),
        ("max_partitions_per_insert_block", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let body = encode(&rows(10_000, 4), Compression::Lz4).expect("encodes");
    for _ in 0..2 {
        assert_eq!(attempt.insert("ph1:1/weak", &body).await, InsertAnswer::Done);
    }
    assert_eq!(count(&client, database, "weak").await, 10_000);
}

/// Each refusal is of its kind and leaves nothing.
pub(crate) async fn a_refusal_is_told_by_its_kind_and_leaves_nothing(url: &str, database: &str) {
    let client = client(url);
    create(&client, database, "refusals").await;
    let body = encode(&rows(1_000, 2), Compression::Lz4).expect("encodes");

    let mut attempt = Try::new(&client, database, "no_such_table");
    refused(&attempt.insert("ph1:1/x", &body).await, Kind::MissingTable);

    attempt.table = "refusals";
    "no_such_column".clone_into(&mut attempt.columns[2].0);
    refused(&attempt.insert("ph1:2/x", &body).await, Kind::ColumnMismatch);

    attempt.columns = columns();
    attempt.columns.push(("left_out".to_owned(), "UInt8".to_owned()));
    refused(&attempt.insert("ph1:3/x", &body).await, Kind::ColumnMismatch);

    attempt.columns = columns();
    attempt.settings = [("no_such_setting".to_owned(), "1".to_owned())].into();
    refused(&attempt.insert("ph1:4/x", &body).await, Kind::Setting);
    attempt.settings.clear();

    let too_large = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 4_711_000])) as _),
        ("part", Arc::new(UInt32Array::from(vec![1, 1])) as _),
        ("word", Arc::new(StringArray::from(vec!["a", "b"])) as _),
    ])
    .expect("columns of one length");
    let answer = attempt.insert("ph1:5/x", &encode(&too_large, Compression::Lz4).expect("encodes")).await;
    refused(&answer, Kind::BadRow);
    assert!(!format!("{answer:?}").contains("4711000"), "{answer:?}");

    let null = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![Some(1), None])) as _),
        ("part", Arc::new(UInt32Array::from(vec![1, 1])) as _),
        ("word", Arc::new(StringArray::from(vec!["a", "b"])) as _),
    ])
    .expect("columns of one length");
    refused(
        &attempt.insert("ph1:6/x", &encode(&null, Compression::Lz4).expect("encodes")).await,
        Kind::BadRow,
    );
    assert_eq!(count(&client, database, "refusals").await, 0);
}

/// More parts than the table takes: refused, nothing landed, and the same token works once there is room.
pub(crate) async fn too_many_parts_are_refused_and_the_token_stays_free(url: &str, database: &str) {
    let client = client(url);
    create(&client, database, "crowded").await;
    let run = async |sql: String| client.execute(&sql).await.expect("a statement");
    run(format!("SYSTEM STOP MERGES {database}.crowded")).await;
    let limits = "parts_to_delay_insert = 2, parts_to_throw_insert = 3";
    run(format!("ALTER TABLE {database}.crowded MODIFY SETTING {limits}")).await;
    let attempt = Try::new(&client, database, "crowded");
    let body = encode(&rows(10, 1), Compression::Lz4).expect("encodes");
    let mut answers = Vec::new();
    for round in 0..6 {
        answers.push(attempt.insert(&format!("ph1:{round}/crowded"), &body).await);
    }
    refused(&answers[5], Kind::TooManyParts);
    let done = answers.iter().filter(|answer| **answer == InsertAnswer::Done).count() as u64;
    assert_eq!(count(&client, database, "crowded").await, done * 10);
    run(format!("ALTER TABLE {database}.crowded MODIFY SETTING parts_to_throw_insert = 3000")).await;
    assert_eq!(attempt.insert("ph1:5/crowded", &body).await, InsertAnswer::Done);
    assert_eq!(count(&client, database, "crowded").await, (done + 1) * 10);
}

/// A view that throws gives an error while the table holds the rows: doubt. The same token then fills the view.
pub(crate) async fn a_view_that_throws_leaves_doubt_and_the_token_heals_it(url: &str, database: &str) {
    let client = client(url);
    create(&client, database, "source").await;
    let run = async |sql: String| client.execute(&sql).await.expect("a statement");
    run(format!(
        "CREATE TABLE {database}.target (id Int64, CONSTRAINT never CHECK id < 5) ENGINE = MergeTree \
         ORDER BY id SETTINGS non_replicated_deduplication_window = 100"
    ))
    .await;
    run(format!(
        "CREATE MATERIALIZED VIEW {database}.view TO {database}.target AS SELECT id FROM {database}.source"
    ))
    .await;
    let mut attempt = Try::new(&client, database, "source");
    attempt.has_views = true;
    let body = encode(&rows(10, 1), Compression::Lz4).expect("encodes");
    let answer = attempt.insert("ph1:1/source", &body).await;
    assert!(matches!(answer, InsertAnswer::Unknown(Doubt::Server(_))), "{answer:?}");
    assert_eq!(count(&client, database, "source").await, 10, "the table has them although an error came");
    assert_eq!(count(&client, database, "target").await, 0);
    run(format!("ALTER TABLE {database}.target DROP CONSTRAINT never")).await;
    for _ in 0..2 {
        assert_eq!(attempt.insert("ph1:1/source", &body).await, InsertAnswer::Done);
        assert_eq!(count(&client, database, "source").await, 10);
        assert_eq!(count(&client, database, "target").await, 10);
    }
}

/// A wrong password is an answer of the server, told as such.
pub(crate) async fn a_wrong_password_is_refused(url: &str, database: &str) {
    let good = client(url);
    create(&good, database, "locked").await;
    let bad = Client::new(&ClientSettings {
        urls: vec![url.to_owned()],
        user: "default".to_owned(),
        password: "wrong".to_owned(),
        connect_timeout: MINUTE,
        query_timeout: MINUTE,
    })
    .expect("a client");
    let attempt = Try::new(&good, database, "locked");
    let insert = Insert {
        database,
        table: "locked",
        columns: &attempt.columns,
        token: "ph1:1/locked",
        deadline_unix_seconds: 4_000_000_000,
        timeout: MINUTE,
        body: &encode(&rows(1_000, 1), Compression::None).expect("encodes"),
        query_id: None,
        settings: &attempt.settings,
        url_index: 0,
        has_views: true,
    };
    refused(&bad.insert(&insert).await, Kind::Access);
    assert_eq!(count(&good, database, "locked").await, 0);
}

/// A refusal that comes before the body is read still arrives when the body is larger than any buffer between.
pub(crate) async fn a_refusal_of_a_large_body_is_an_answer_and_no_broken_connection(
    url: &str,
    database: &str,
) {
    let client = client(url);
    let body = encode(&rows(900_000, 1), Compression::None).expect("encodes");
    assert!(body.bytes.len() > 10 << 20, "larger than any buffer");
    for table in ["gone", "lost", "never_was"] {
        refused(&Try::new(&client, database, table).insert("ph1:1/gone", &body).await, Kind::MissingTable);
    }
}
