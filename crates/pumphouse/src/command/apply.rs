//! `apply`: creates the databases, tables and rollups that are missing, and says what stands there otherwise
//! than declared. Drops nothing and alters nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use pumphouse_clickhouse::client::Client;
use pumphouse_clickhouse::ddl::{self, RollupSpec, TableSpec};
use pumphouse_clickhouse::preflight::{self, Expected, Finding};
use pumphouse_clickhouse::quote;
use serde::{Deserialize, Serialize};

use super::configuration::{ConfigurationFile, read_or_say};
use crate::config::settings::ClickHouse;
use crate::decode;
use crate::drive::ready;
use crate::fault::Exit;
use crate::sink::tables::{self, Columns, Declared};
use crate::telemetry;

/// Create the databases, tables and rollups that are missing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse apply -c pumphouse.yaml
  pumphouse apply --dry-run
  pumphouse apply --json | jq -r '.statements[]'

What exists is never altered or dropped.

Exit codes: 0 all as declared, 1 ClickHouse refused, 2 something differs (or, with --dry-run, is \
missing), 65 configuration, 69 ClickHouse was not reached.")]
pub struct Apply {
    #[command(flatten)]
    file: ConfigurationFile,
    /// Only show the statements
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Apply {
    /// Brings the server to what is declared and prints every statement.
    ///
    /// # Errors
    /// When the server does not answer or refuses a statement.
    pub fn run(self) -> anyhow::Result<Exit> {
        let settings = match read_or_say(&self.file.config) {
            Ok(settings) => settings,
            Err(exit) => return Ok(exit),
        };
        telemetry::init(settings.process.log)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mode = if self.dry_run { Mode::DryRun } else { Mode::Create };
        let applied = runtime.block_on(async {
            let client = ready::reach_at_start(&settings.clickhouse).await?;
            let declared = tables::declared(&settings, decode::table_columns, &decode::dead_letter_columns());
            let mut say = |line: &str| {
                if !self.json {
                    println!("-- {line}");
                }
            };
            apply(&client, &settings.clickhouse, &declared, mode, &mut say).await
        })?;
        if self.json {
            println!("{}", serde_json::to_string(&applied)?);
        } else {
            applied.statements.iter().for_each(|statement| println!("{statement};"));
        }
        Ok(applied.exit(mode))
    }
}

/// Whether missing tables are created, or only their statements shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Create what is missing.
    Create,
    /// Change nothing.
    DryRun,
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The statements, in the order run.
    pub statements: Vec<String>,
    /// What is there already.
    pub existing: Vec<String>,
    /// What is there but not as declared, or not fit for exactly once; one sentence each.
    pub differences: Vec<String>,
}

impl Applied {
    /// 2 where something differs, or a dry run found something to create.
    #[must_use]
    pub fn exit(&self, mode: Mode) -> Exit {
        let to_do = mode == Mode::DryRun && !self.statements.is_empty();
        if to_do || !self.differences.is_empty() { Exit::Findings } else { Exit::Fine }
    }
}

/// A table of the server as far as it is compared.
#[derive(Clone, Debug, Deserialize)]
struct Live {
    database: String,
    name: String,
    sorting_key: String,
    partition_key: String,
    select: String,
}

type LiveTables = BTreeMap<(String, String), Live>;

/// Brings the server to what is declared, one line to `say` for each object.
///
/// # Errors
/// When the server does not answer, refuses a statement, or a metric is not one aggregate function.
pub async fn apply(
    client: &Client,
    clickhouse: &ClickHouse,
    declared: &Declared,
    mode: Mode,
    say: &mut impl FnMut(&str),
) -> anyhow::Result<Applied> {
    let mut work = Work { client, mode, say, applied: Applied::default() };
    let databases = live_databases(client).await?;
    for database in &declared.databases {
        let object = format!("database {}", quote::name(database));
        if databases.contains(database) {
            work.exists(&object);
        } else {
            work.create(&object, ddl::create_database(database)).await?;
        }
    }
    let live = live_tables(client, &declared.databases).await?;
    for table in &declared.tables {
        work.table(table, &live).await?;
    }
    for rollup in &declared.rollups {
        work.rollup(rollup, &live).await?;
    }
    for table in &declared.tables {
        let is_there =
            mode == Mode::Create || live.contains_key(&(table.database.clone(), table.name.clone()));
        if is_there {
            work.inspect(table, clickhouse).await?;
        }
    }
    Ok(work.applied)
}

/// The work in progress.
struct Work<'a, S> {
    client: &'a Client,
    mode: Mode,
    say: &'a mut S,
    applied: Applied,
}

impl<S: FnMut(&str)> Work<'_, S> {
    async fn create(&mut self, object: &str, sql: String) -> anyhow::Result<()> {
        let done = match self.mode {
            Mode::Create => "created",
            Mode::DryRun => "to be created",
        };
        if self.mode == Mode::Create {
            self.client.execute(&sql).await.with_context(|| format!("{object} was not created"))?;
        }
        (self.say)(&format!("{object}: {done}"));
        self.applied.statements.push(sql);
        Ok(())
    }

    fn exists(&mut self, object: &str) {
        (self.say)(&format!("{object}: exists"));
        self.applied.existing.push(object.to_owned());
    }

    fn differs(&mut self, difference: String) {
        (self.say)(&difference);
        self.applied.differences.push(difference);
    }

    async fn table(&mut self, table: &TableSpec, live: &LiveTables) -> anyhow::Result<()> {
        let name = quote::table(&table.database, &table.name);
        let object = format!("table {name}");
        let Some(found) = live.get(&(table.database.clone(), table.name.clone())) else {
            return self.create(&object, ddl::create_table(table)).await;
        };
        self.exists(&object);
        let sorting = ("sorting key", found.sorting_key.as_str(), table.order_by.join(", "));
        let partition = table.partition_by.clone().unwrap_or_default();
        for (what, live, declared) in [sorting, ("partition key", found.partition_key.as_str(), partition)] {
            if bare(live) != bare(&declared) {
                self.differs(format!(
                    "{object}: the {what} is {}, declared as {}; left as it is; \
                     a key is changed only by a new table: declare it as it is, or copy into a new one",
                    quoted(live),
                    quoted(&declared)
                ));
            }
        }
        Ok(())
    }

    async fn rollup(&mut self, rollup: &RollupSpec, live: &LiveTables) -> anyhow::Result<()> {
        let target = format!("table {}", quote::table(&rollup.database, &rollup.target));
        let is_there = live.contains_key(&(rollup.database.clone(), rollup.target.clone()));
        let counts_rows = !is_there || self.counts_rows(rollup).await?;
        let rollup = &RollupSpec { counts_rows, ..rollup.clone() };
        let columns = described(self.client, rollup).await?;
        if is_there {
            self.exists(&target);
            for difference in self.target_differences(rollup, &columns).await? {
                self.differs(difference);
            }
        } else {
            self.create(&target, ddl::create_rollup_target(rollup, &columns)).await?;
        }
        let view = format!("view {}", quote::table(&rollup.database, &rollup.view));
        let sql = ddl::create_rollup_view(rollup)?;
        let Some(found) = live.get(&(rollup.database.clone(), rollup.view.clone())) else {
            return self.create(&view, sql).await;
        };
        self.exists(&view);
        let select = sql.split_once("\nAS ").map(|(_, select)| select).unwrap_or_default();
        if formatted(self.client, select).await? != found.select {
            self.differs(format!(
                "{view}: its query is not the declared one; left as it is; to replace it, stop pumphouse, \
                 DROP VIEW {}, then apply again",
                quote::table(&rollup.database, &rollup.view)
            ));
        }
        Ok(())
    }

    /// Whether a target that is there counts its rows; those from before do not, and stay as they are.
    async fn counts_rows(&self, rollup: &RollupSpec) -> anyhow::Result<bool> {
        Ok(self.live_columns(rollup).await?.iter().any(|(name, _)| name == ddl::ROLLUP_ROWS))
    }

    async fn live_columns(&self, rollup: &RollupSpec) -> anyhow::Result<Columns> {
        let sql = "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}";
        let query = self.client.query(sql).param("database", &rollup.database).param("table", &rollup.target);
        Ok(query.rows::<Typed>().await?.into_iter().map(Typed::pair).collect())
    }

    /// What the target's columns are, where they are not what the view writes.
    async fn target_differences(
        &self,
        rollup: &RollupSpec,
        columns: &[(String, String)],
    ) -> anyhow::Result<Vec<String>> {
        let live = self.live_columns(rollup).await?;
        let target = quote::table(&rollup.database, &rollup.target);
        let missing = columns.iter().filter(|column| !live.contains(column));
        Ok(missing
            .map(|(name, column_type)| {
                let name = quote::name(name);
                format!(
                    "table {target}: no column {name} {column_type}; left as it is; \
                     ALTER TABLE {target} ADD COLUMN {name} {column_type}, or drop the rollup and apply again"
                )
            })
            .collect())
    }

    /// What preflight says of a table that is there.
    async fn inspect(&mut self, table: &TableSpec, clickhouse: &ClickHouse) -> anyhow::Result<()> {
        let expected = Expected {
            database: &table.database,
            table: &table.name,
            columns: &table.columns,
            settings: &clickhouse.settings,
            allow_untested_server: clickhouse.allow_untested_server,
        };
        let report =
            preflight::inspect(self.client, 0, &expected).await.context("the tables can't be inspected")?;
        for difference in report.findings.iter().map(Finding::to_string) {
            if !self.applied.differences.contains(&difference) {
                self.differs(difference);
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Typed {
    name: String,
    #[serde(rename = "type")]
    column_type: String,
}

impl Typed {
    fn pair(self) -> (String, String) {
        (self.name, self.column_type)
    }
}

async fn live_databases(client: &Client) -> anyhow::Result<BTreeSet<String>> {
    let rows = client.rows::<Named>("SELECT name FROM system.databases").await;
    Ok(rows.context("the databases can't be listed")?.into_iter().map(|row| row.name).collect())
}

async fn live_tables(client: &Client, databases: &BTreeSet<String>) -> anyhow::Result<LiveTables> {
    let names: Vec<_> = databases.iter().map(|database| quote::text(database)).collect();
    let sql = format!(
        "SELECT database, name, sorting_key, partition_key, \
         if(empty(as_select), '', formatQuerySingleLine(as_select)) AS select \
         FROM system.tables WHERE database IN ({})",
        names.join(", ")
    );
    let rows = client.rows::<Live>(&sql).await.context("the tables can't be listed")?;
    Ok(rows.into_iter().map(|row| ((row.database.clone(), row.name.clone()), row)).collect())
}

/// The columns that a rollup's target needs, as the server derives them.
async fn described(client: &Client, rollup: &RollupSpec) -> anyhow::Result<Columns> {
    let sql = ddl::describe_rollup(rollup)?;
    let rows = client.query(&sql).setting(ddl::PLAIN_TYPES.0, ddl::PLAIN_TYPES.1).rows::<Typed>().await;
    let view = quote::table(&rollup.database, &rollup.view);
    let rows = rows.with_context(|| format!("the server can't make sense of rollup {view}"))?;
    Ok(rows.into_iter().map(Typed::pair).collect())
}

/// A query as the server writes it.
async fn formatted(client: &Client, select: &str) -> anyhow::Result<String> {
    let query = client.query("SELECT formatQuerySingleLine({query:String}) AS name").param("query", select);
    Ok(query.row::<Named>().await?.name)
}

/// A key without what the server may write otherwise: spaces, backticks, the outer parentheses.
/// A key as it is written, or that there is none.
fn quoted(key: &str) -> String {
    if key.is_empty() { "none".to_owned() } else { format!("`{key}`") }
}

fn bare(key: &str) -> String {
    let bare: String = key.chars().filter(|letter| !letter.is_whitespace() && *letter != '`').collect();
    let inner = bare.strip_prefix('(').and_then(|bare| bare.strip_suffix(')'));
    match inner {
        Some(inner) if !inner.contains(['(', ')']) => inner.to_owned(),
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_whatever_its_spaces_and_ticks() {
        assert_eq!(bare("service, endpoint, ts"), bare("(service,endpoint, `ts`)"));
        assert_eq!(bare("(toYYYYMM(ts), a)"), "(toYYYYMM(ts),a)");
        assert_ne!(bare("a, b"), bare("b, a"));
    }

    #[test]
    fn a_key_that_is_not_there_is_called_none() {
        assert_eq!((quoted("toYYYYMM(ts)").as_str(), quoted("").as_str()), ("`toYYYYMM(ts)`", "none"));
    }

    #[test]
    fn findings_end_with_exit_code_2() {
        let mut applied = Applied { statements: vec!["CREATE".to_owned()], ..Applied::default() };
        assert_eq!(applied.exit(Mode::Create), Exit::Fine);
        assert_eq!(applied.exit(Mode::DryRun), Exit::Findings);
        applied.differences.push("table d.t: another sorting key".to_owned());
        assert_eq!(applied.exit(Mode::Create), Exit::Findings);
    }
}
