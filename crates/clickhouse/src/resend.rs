//! Whether a retry is recognised, by trying: one row is sent twice under one token into a copy of a table, as any insert is
//! sent, and counted. The copy is a table of its own, `CREATE TABLE … AS`, and is dropped again whatever comes of it.
//! Does not judge the answer.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::Deserialize;

use crate::arrow_stream::{Body, Compression};
use crate::client::{Client, QueryError};
use crate::insert::{Insert, InsertAnswer};
use crate::{ddl, quote, wire_type};

/// After every trial, in seconds since 1970: the copy is dropped, so there is no deadline.
const NO_DEADLINE: i64 = 4_000_000_000;
/// Limit for one insert of a row.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a retry is tried on.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// The table's database.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    /// Name and type of each column that inserts send.
    pub columns: &'a [(String, String)],
    /// The settings that go with each insert.
    pub settings: &'a BTreeMap<String, String>,
    /// Whether rows of the table expire.
    pub has_ttl: bool,
    /// Whether it has rows: then one of them is sent, which meets its constraints.
    pub has_rows: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// The retry added nothing, and the same row under another token did.
    Recognised,
    /// The retry added rows: so many after the first try, and after the second.
    Doubled(u64, u64),
    /// It could not be tried, for this reason.
    Untried(String),
}

#[derive(Deserialize)]
struct Definition {
    engine_full: String,
}

#[derive(Deserialize)]
struct Count {
    rows: u64,
}

/// Tries it on one server.
pub async fn resend(client: &Client, url_index: usize, original: &Original<'_>) -> Resent {
    let name = format!("{}_check_{:016x}", original.table, RandomState::new().hash_one(original.table));
    let copy = Copy { client, url_index, original, name };
    if let Err(error) = copy.create().await {
        // Nobody knows whether a statement without an answer was carried out.
        let _ = copy.drop().await;
        return Resent::Untried(error.to_string());
    }
    let tried = copy.try_twice().await;
    match (tried, copy.drop().await) {
        (_, Err(error)) => {
            let copy = quote::table(original.database, &copy.name);
            Resent::Untried(format!("the copy {copy} could not be dropped, so drop it by hand: {error}"))
        }
        (Ok(resent), Ok(())) => resent,
        (Err(reason), Ok(())) => Resent::Untried(reason),
    }
}

/// The copy.
struct Copy<'a> {
    client: &'a Client,
    url_index: usize,
    original: &'a Original<'a>,
    name: String,
}

impl Copy<'_> {
    async fn create(&self) -> Result<(), QueryError> {
        let sql = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}";
        let asked = self.client.query(sql).at(self.url_index);
        let asked = asked.param("database", self.original.database).param("table", self.original.table);
        let definition: Definition = asked.row().await?;
        let create = ddl::create_alike(self.original.database, &self.name, self.original.table);
        match beside(&definition.engine_full, &self.name) {
            Some(engine) => self.run(&format!("{create} ENGINE = {engine}")).await,
            None => self.run(&create).await,
        }
    }

    async fn run(&self, sql: &str) -> Result<(), QueryError> {
        self.client.query(sql).at(self.url_index).execute().await
    }

    async fn drop(&self) -> Result<(), QueryError> {
        self.run(&ddl::drop_table(self.original.database, &self.name)).await
    }

    async fn try_twice(&self) -> Result<Resent, String> {
        let told = |error: QueryError| error.to_string();
        if self.original.has_ttl {
            // The row's times are those of 1970.
            let table = quote::table(self.original.database, &self.name);
            self.run(&format!("ALTER TABLE {table} REMOVE TTL")).await.map_err(told)?;
        }
        let bytes = self.client.query(&self.row()).at(self.url_index).bytes().await.map_err(told)?;
        let body = Body { bytes: bytes.into(), compression: Compression::None };
        self.send(&body, "first").await?;
        let first = self.count().await.map_err(told)?;
        self.send(&body, "first").await?;
        let second = self.count().await.map_err(told)?;
        if second != first {
            return Ok(Resent::Doubled(first, second));
        }
        // A row that can't be counted would be recognised, too.
        self.send(&body, "second").await?;
        let third = self.count().await.map_err(told)?;
        if third > second {
            return Ok(Resent::Recognised);
        }
        Err(format!("the copy has {third} rows whatever is sent, so it can't tell"))
    }

    /// The query for one row: one of the table's, or the defaults of the types. Numbers are 1: an engine may take no sign 0,
    /// and keep no sum of 0.
    fn row(&self) -> String {
        let value = |(name, column_type): &(String, String)| {
            let (sent, column) = (quote::text(&wire_type::sent_as(column_type)), quote::quoted_name(name));
            let is_number = ["Int", "UInt", "Float"].iter().any(|number| column_type.starts_with(number));
            let value = match (self.original.has_rows, is_number) {
                (true, _) => column.clone(),
                (false, true) => "1".to_owned(),
                (false, false) => format!("defaultValueOfTypeName({})", quote::text(column_type)),
            };
            format!("CAST({value}, {sent}) AS {column}")
        };
        let values: Vec<String> = self.original.columns.iter().map(value).collect();
        let from = quote::table(self.original.database, self.original.table);
        let from = if self.original.has_rows { format!(" FROM {from} LIMIT 1") } else { String::new() };
        format!("SELECT {}{from} FORMAT ArrowStream", values.join(", "))
    }

    async fn send(&self, body: &Body, token: &str) -> Result<(), String> {
        let insert = Insert {
            database: self.original.database,
            table: &self.name,
            columns: self.original.columns,
            token: &format!("ph-check/{}/{token}", self.name),
            deadline_unix_seconds: NO_DEADLINE,
            timeout: TIMEOUT,
            body,
            query_id: None,
            settings: self.original.settings,
            url_index: self.url_index,
            has_views: false,
        };
        match self.client.insert(&insert).await {
            InsertAnswer::Done => Ok(()),
            InsertAnswer::Refused(refusal) => Err(refusal.to_string()),
            InsertAnswer::Unknown(doubt) => Err(doubt.to_string()),
        }
    }

    async fn count(&self) -> Result<u64, QueryError> {
        let sql = format!("SELECT count() AS rows FROM {}", quote::table(self.original.database, &self.name));
        Ok(self.client.query(&sql).at(self.url_index).row::<Count>().await?.rows)
    }
}

/// The engine of a replicated copy, which needs a path of its own in Keeper; none where the path is not said.
fn beside(engine_full: &str, name: &str) -> Option<String> {
    let replicated = engine_full.strip_prefix("Replicated")?;
    let (family, rest) = replicated.split_once("('")?;
    let (path, rest) = rest.split_once('\'')?;
    family.chars().all(char::is_alphanumeric).then(|| format!("Replicated{family}('{path}_{name}'{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replicated_copy_has_a_path_of_its_own() {
        let full = "ReplicatedMergeTree('/tables/{shard}/t', '{replica}') PARTITION BY f('x') ORDER BY a SETTINGS s = 1";
        let copy = "ReplicatedMergeTree('/tables/{shard}/t_c', '{replica}') PARTITION BY f('x') ORDER BY a SETTINGS s = 1";
        assert_eq!(beside(full, "c").as_deref(), Some(copy));
        assert_eq!(beside("ReplicatedMergeTree ORDER BY f('x')", "c"), None);
        assert_eq!(beside("MergeTree ORDER BY f('x')", "c"), None);
    }
}
