//! What ClickHouse says of the user and of each server: settings in force, grants, versions, definitions. Asks; judges
//! nothing.

use std::collections::BTreeMap;

use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::quote;
use serde::Deserialize;

use super::grants::Grant;
use super::limits::LOOKED_AT;
use super::replicas::ServerFacts;

#[derive(Deserialize)]
struct Named {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Definition {
    create_table_query: String,
}

#[derive(Deserialize)]
struct Replica {
    name: String,
}

#[derive(Deserialize)]
struct Granted {
    result: u8,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// A table, not quoted: database and name.
pub(super) type TableId = (String, String);

/// Everything about one server that replicas have to have in common.
pub(super) async fn server(
    client: &Client,
    url_index: usize,
    tables: &[TableId],
) -> Result<ServerFacts, QueryError> {
    let version = client.query("SELECT version() AS version").at(url_index).row::<Version>().await?.version;
    let mut definitions = BTreeMap::new();
    for (database, table) in tables {
        let sql = "SELECT create_table_query FROM system.tables WHERE database = {database:String} \
                   AND name = {table:String}";
        let query = client.query(sql).at(url_index).param("database", database).param("table", table);
        let found: Option<Definition> = query.rows().await?.pop();
        definitions.insert(quote::table(database, table), found.map(|found| found.create_table_query));
    }
    Ok(ServerFacts {
        url: client.url(url_index).to_owned(),
        version,
        settings: settings(client, url_index).await?,
        read_only: read_only(client, url_index, tables).await?,
        tables: definitions,
    })
}

/// The user's settings that findings go by, as in force.
pub(super) async fn settings(
    client: &Client,
    url_index: usize,
) -> Result<BTreeMap<String, String>, QueryError> {
    let names: Vec<String> = LOOKED_AT.iter().map(|name| quote::text(name)).collect();
    let sql = format!("SELECT name, value FROM system.settings WHERE name IN ({})", names.join(", "));
    let rows: Vec<Named> = client.query(&sql).at(url_index).rows().await?;
    Ok(rows.into_iter().map(|row| (row.name, row.value)).collect())
}

async fn read_only(client: &Client, url_index: usize, tables: &[TableId]) -> Result<Vec<String>, QueryError> {
    let sql = "SELECT concat(database, '.', `table`) AS name FROM system.replicas WHERE is_readonly";
    let found: Vec<Replica> = client.query(sql).at(url_index).rows().await?;
    let is_ours =
        |name: &String| tables.iter().any(|(database, table)| *name == format!("{database}.{table}"));
    Ok(found.into_iter().map(|replica| replica.name).filter(is_ours).collect())
}

/// Whether the user has a grant.
pub(super) async fn is_granted(client: &Client, grant: &Grant) -> Result<bool, QueryError> {
    let sql = format!("CHECK GRANT {} ON {}", grant.access, grant.on);
    let answer: Granted = client.query(&sql).at(0).row().await?;
    Ok(answer.result != 0)
}
