//! Settings of live tables: what stands, how it is changed, and the table that remembers each change. Knows neither rates
//! nor when a change is due.

use std::collections::BTreeMap;

use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::ddl::{self, TableSpec};
use pumphouse_clickhouse::preflight::WINDOW;
use pumphouse_clickhouse::quote;
use serde::{Deserialize, Serialize};

use super::target::DEAD_LETTERS_DATABASE;

/// The table of changes.
pub const SETTING_CHANGES_TABLE: &str = "setting_changes";

/// What stands for a setting of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The value that holds.
    pub value: String,
    /// Whether the table itself says so; else it is the server's default.
    pub is_set: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Set as the curve says; written down before it is done.
    Change,
    /// The server refused the change before.
    Refused,
    /// Set to what stood before the first change.
    Revert,
}

/// A row of the table of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Database of the table.
    pub database: String,
    /// The table.
    pub table: String,
    /// The setting.
    pub setting: String,
    /// What was done.
    pub what: What,
    /// What held before.
    pub old_value: String,
    /// Whether the table said so itself.
    pub was_set: u8,
    /// What holds from now on.
    pub new_value: String,
    /// Events per second; 0 where the change followed none.
    pub rate: u64,
    /// The configuration that says so.
    pub revision: String,
}

/// What was done to a setting of a table since it was last reverted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The first change, which says what stood before, with the value that was set last.
    #[serde(flatten)]
    pub change: Change,
    /// What the changes can have left. Any of them: one that is written down was not always made.
    #[serde(skip_serializing)]
    left: Vec<String>,
}

/// How what stands goes with what was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A change stands.
    Curve,
    /// What stood before the first change stands, as after changes that were all refused.
    Before,
    /// Somebody else has set it since.
    Other,
}

impl Changed {
    /// Whose value stands.
    #[must_use]
    pub fn owner(&self, standing: &Standing) -> Owner {
        let was_set = self.change.was_set == 1;
        if standing.is_set && self.left.contains(&standing.value) {
            Owner::Curve
        } else if standing.is_set == was_set && (!was_set || standing.value == self.change.old_value) {
            Owner::Before
        } else {
            Owner::Other
        }
    }
}

/// Name and type of each column.
#[must_use]
pub fn setting_changes_columns() -> Vec<(String, String)> {
    [
        ("time", "DateTime64(3)"),
        ("database", "LowCardinality(String)"),
        ("table", "LowCardinality(String)"),
        ("setting", "LowCardinality(String)"),
        ("what", "LowCardinality(String)"),
        ("old_value", "String"),
        ("was_set", "UInt8"),
        ("new_value", "String"),
        ("rate", "UInt64"),
        ("revision", "LowCardinality(String)"),
    ]
    .map(|(name, column_type)| (name.to_owned(), column_type.to_owned()))
    .to_vec()
}

/// The table, which all streams share.
#[must_use]
pub fn setting_changes_table() -> TableSpec {
    TableSpec {
        database: DEAD_LETTERS_DATABASE.to_owned(),
        name: SETTING_CHANGES_TABLE.to_owned(),
        order_by: ["database", "table", "setting", "time"].map(quote::name).to_vec(),
        partition_by: None,
        ttl: None,
        window: WINDOW,
        columns: setting_changes_columns(),
    }
}

/// What stands for these settings of a table on one server; settings that the server does not know are left out.
///
/// # Errors
/// When the server does not answer, or does not show the table.
pub async fn standing(
    client: &Client,
    url_index: usize,
    (database, table): (&str, &str),
    settings: impl Iterator<Item = &str>,
) -> Result<BTreeMap<String, Standing>, QueryError> {
    #[derive(Deserialize)]
    struct Said {
        engine_full: String,
    }
    #[derive(Deserialize)]
    struct Default {
        name: String,
        value: String,
    }
    let sql =
        "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}";
    let query = client.query(sql).at(url_index).param("database", database).param("table", table);
    let said = explicit(&query.row::<Said>().await?.engine_full);
    let names: Vec<String> = settings.map(quote::text).collect();
    let sql =
        format!("SELECT name, value FROM system.merge_tree_settings WHERE name IN ({})", names.join(", "));
    let defaults = client.query(&sql).at(url_index).rows::<Default>().await?;
    let standing = |Default { name, value }| {
        let said = said.get(&name);
        let is_set = said.is_some();
        (name, Standing { value: said.cloned().unwrap_or(value), is_set })
    };
    Ok(defaults.into_iter().map(standing).collect())
}

/// The settings that a table's own engine clause holds: the text after its last `SETTINGS`.
fn explicit(engine_full: &str) -> BTreeMap<String, String> {
    let Some((_, settings)) = engine_full.rsplit_once(" SETTINGS ") else { return BTreeMap::new() };
    let pairs = settings.split(", ").filter_map(|pair| pair.split_once(" = "));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('\'').to_owned())).collect()
}

/// Sets a value on one server. On a replicated table this reaches that replica alone.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn modify(client: &Client, url_index: usize, change: &Change) -> Result<(), QueryError> {
    let sql = ddl::modify_setting(&change.database, &change.table, (&change.setting, &change.new_value));
    client.query(&sql).at(url_index).execute().await
}

/// Sets what stood before the change.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn revert(client: &Client, url_index: usize, change: &Change) -> Result<(), QueryError> {
    // What a table of changes says is no statement.
    let old = change
        .old_value
        .parse::<u64>()
        .map_or_else(|_| quote::text(&change.old_value), |old| old.to_string());
    let sql = if change.was_set == 1 {
        ddl::modify_setting(&change.database, &change.table, (&change.setting, &old))
    } else {
        ddl::reset_setting(&change.database, &change.table, &change.setting)
    };
    client.query(&sql).at(url_index).execute().await
}

/// Writes a change down on one server.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn record(client: &Client, url_index: usize, change: &Change) -> Result<(), QueryError> {
    let sql = format!(
        "INSERT INTO {} (time, database, `table`, setting, what, old_value, was_set, new_value, rate, revision) \
         SELECT now64(3), {{database:String}}, {{table:String}}, {{setting:String}}, {{what:String}}, \
         {{old_value:String}}, {}, {{new_value:String}}, {}, {{revision:String}}",
        quote::table(DEAD_LETTERS_DATABASE, SETTING_CHANGES_TABLE),
        change.was_set,
        change.rate,
    );
    let what = match change.what {
        What::Change => "change",
        What::Refused => "refused",
        What::Revert => "revert",
    };
    let query =
        client.query(&sql).at(url_index).setting("async_insert", "0").setting("insert_deduplicate", "0");
    query
        .param("database", &change.database)
        .param("table", &change.table)
        .param("setting", &change.setting)
        .param("what", what)
        .param("old_value", &change.old_value)
        .param("new_value", &change.new_value)
        .param("revision", &change.revision)
        .execute()
        .await
}

/// Each setting of the table that was changed since it was last reverted.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn changed(
    client: &Client,
    url_index: usize,
    (database, table): (&str, &str),
) -> Result<Vec<Changed>, QueryError> {
    let changes = quote::table(DEAD_LETTERS_DATABASE, SETTING_CHANGES_TABLE);
    let of = "database = {database:String} AND `table` = {table:String}";
    let sql = format!(
        "SELECT {{database:String}} AS database, {{table:String}} AS `table`, setting, 'change' AS what, \
         argMin(c.old_value, c.time) AS old_value, argMin(c.was_set, c.time) AS was_set, \
         argMax(c.new_value, c.time) AS new_value, argMax(c.rate, c.time) AS rate, argMax(c.revision, c.time) AS revision, \
         groupUniqArray(c.new_value) AS left \
         FROM (SELECT * FROM {changes} WHERE {of} AND what = 'change') AS c \
         LEFT JOIN (SELECT setting, max(time) AS at FROM {changes} WHERE {of} AND what = 'revert' GROUP BY setting) AS r \
         USING setting WHERE c.time > r.at GROUP BY setting ORDER BY setting"
    );
    let query = client.query(&sql).at(url_index).param("database", database).param("table", table);
    query.setting("join_use_nulls", "0").rows().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_its_settings_at_the_end_of_its_engine() {
        let said = "MergeTree PARTITION BY toDate(ts) ORDER BY (a, b) TTL ts + toIntervalDay(1) \
                    SETTINGS parts_to_delay_insert = 20, storage_policy = 'hot', index_granularity = 8192";
        let settings = explicit(said);
        assert_eq!(settings.get("parts_to_delay_insert").map(String::as_str), Some("20"));
        assert_eq!(settings.get("storage_policy").map(String::as_str), Some("hot"));
        assert_eq!(settings.len(), 3);
        assert!(explicit("MergeTree ORDER BY a").is_empty());
    }

    #[test]
    fn what_a_person_has_set_since_is_not_the_curves() {
        let changed = |old: &str, was_set, left: &[&str]| Changed {
            change: Change {
                database: "logs".to_owned(),
                table: "requests".to_owned(),
                setting: "parts_to_delay_insert".to_owned(),
                what: What::Change,
                old_value: old.to_owned(),
                was_set,
                new_value: left[0].to_owned(),
                rate: 0,
                revision: String::new(),
            },
            left: left.iter().map(|&value| value.to_owned()).collect(),
        };
        let standing = |value: &str, is_set| Standing { value: value.to_owned(), is_set };
        for (changed, standing, owner) in [
            (changed("1000", 0, &["400"]), standing("400", true), Owner::Curve),
            (changed("1000", 0, &["900", "400"]), standing("400", true), Owner::Curve),
            (changed("1000", 0, &["400"]), standing("77", true), Owner::Other),
            (changed("1000", 0, &["400"]), standing("1000", false), Owner::Before),
            (changed("77", 1, &["400"]), standing("77", true), Owner::Before),
            (changed("77", 1, &["400"]), standing("1000", false), Owner::Other),
        ] {
            assert_eq!(changed.owner(&standing), owner, "{changed:?} and {standing:?}");
        }
    }
}
