//! The server's catalogue as it stands: tables, columns, defaults, functions. Judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, Query, QueryError};
use crate::{ddl, quote};

/// A table's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TableName {
    pub(super) database: String,
    pub(super) table: String,
}

impl TableName {
    pub(super) fn new(database: &str, table: &str) -> Self {
        Self { database: database.to_owned(), table: table.to_owned() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote::table(&self.database, &self.table))
    }
}

/// A row of `system.tables`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LiveTable {
    database: String,
    name: String,
    pub(super) engine: String,
    pub(super) engine_full: String,
    pub(super) partition_key: String,
    pub(super) as_select: String,
    dependencies_database: Vec<String>,
    dependencies_table: Vec<String>,
    target_database: String,
    target_table: String,
}

impl LiveTable {
    pub(super) fn name(&self) -> TableName {
        TableName::new(&self.database, &self.name)
    }

    /// The views that read what is inserted here.
    pub(super) fn dependents(&self) -> Vec<TableName> {
        let names = self.dependencies_database.iter().zip(&self.dependencies_table);
        names.map(|(database, table)| TableName::new(database, table)).collect()
    }
}

/// A row of `system.columns`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct LiveColumn {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) column_type: String,
    pub(super) default_kind: String,
    pub(super) default_expression: String,
}

/// One server's catalogue.
#[derive(Debug)]
pub(super) struct Catalogue<'a> {
    client: &'a Client,
    url_index: usize,
    /// The server's version.
    pub(super) version: String,
    /// Functions whose result may differ for the same arguments, in lower case.
    pub(super) impure_functions: BTreeSet<String>,
    /// The server's defaults for the settings of tables that matter here.
    pub(super) table_settings: BTreeMap<String, String>,
    /// Whether `system.tables` names the targets of views.
    names_targets: bool,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Valued {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Typed {
    name: String,
    #[serde(rename = "type")]
    column_type: String,
}

impl<'a> Catalogue<'a> {
    /// Reads what holds for every table.
    pub(super) async fn open(client: &'a Client, url_index: usize) -> Result<Self, QueryError> {
        async fn names(query: Query<'_>) -> Result<Vec<String>, QueryError> {
            Ok(query.rows::<Named>().await?.into_iter().map(|row| row.name).collect())
        }
        let version = names(client.query("SELECT version() AS name").at(url_index)).await?;
        // What the server does not know to be pure (`neighbor`, dictionaries of regions, scripts) may be anything.
        let impure = "SELECT lower(name) AS name FROM system.functions \
                      WHERE NOT is_aggregate AND ifNull(deterministic, 0) = 0";
        let targets = "SELECT name FROM system.columns \
                       WHERE database = 'system' AND table = 'tables' AND name = 'target_table'";
        let settings =
            "SELECT name, value FROM system.merge_tree_settings WHERE name LIKE '%deduplication_window%'";
        let settings = client.query(settings).at(url_index).rows::<Valued>().await?;
        Ok(Self {
            client,
            url_index,
            version: version.into_iter().next().unwrap_or_default(),
            impure_functions: names(client.query(impure).at(url_index)).await?.into_iter().collect(),
            table_settings: settings.into_iter().map(|row| (row.name, row.value)).collect(),
            names_targets: !names(client.query(targets).at(url_index)).await?.is_empty(),
        })
    }

    /// A table, if it is there and visible.
    pub(super) async fn table(&self, name: &TableName) -> Result<Option<LiveTable>, QueryError> {
        let target = if self.names_targets {
            "target_database, target_table"
        } else {
            "'' AS target_database, '' AS target_table"
        };
        let sql = format!(
            "SELECT database, name, engine, engine_full, partition_key, as_select, dependencies_database, \
             dependencies_table, {target} FROM system.tables \
             WHERE database = {{database:String}} AND name = {{table:String}}"
        );
        Ok(self.of_table::<LiveTable>(&sql, name).await?.pop())
    }

    /// The table that a view writes to.
    pub(super) async fn target(&self, view: &LiveTable) -> Result<Option<LiveTable>, QueryError> {
        self.table(&TableName::new(&view.target_database, &view.target_table)).await
    }

    /// A table's columns.
    pub(super) async fn columns(&self, name: &TableName) -> Result<Vec<LiveColumn>, QueryError> {
        let sql = "SELECT name, type, default_kind, default_expression FROM system.columns \
                   WHERE database = {database:String} AND table = {table:String}";
        self.of_table(sql, name).await
    }

    /// The types of columns as the server itself would write them.
    pub(super) async fn spelled(
        &self,
        columns: &[(String, String)],
    ) -> Result<BTreeMap<String, String>, QueryError> {
        let structure = quote::text(&quote::structure(columns));
        let sql = format!("DESCRIBE TABLE (SELECT * FROM null({structure}))");
        let query =
            self.client.query(&sql).at(self.url_index).setting(ddl::PLAIN_TYPES.0, ddl::PLAIN_TYPES.1);
        Ok(query.rows::<Typed>().await?.into_iter().map(|row| (row.name, row.column_type)).collect())
    }

    pub(super) async fn of_table<T: DeserializeOwned>(
        &self,
        sql: &str,
        name: &TableName,
    ) -> Result<Vec<T>, QueryError> {
        let query = self.client.query(sql).at(self.url_index);
        query.param("database", &name.database).param("table", &name.table).rows().await
    }
}
