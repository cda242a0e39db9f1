//! Tables and rollups as statements: text from neutral descriptions. Asks no server, changes nothing, and does
//! not know where a description comes from.

use crate::{key_time, quote};

/// The setting under which `DESCRIBE` writes a type on one line, as `system.columns` does.
pub const PLAIN_TYPES: (&str, &str) = ("print_pretty_type_names", "0");

/// The column in which a rollup counts its rows, so that it can be compared with its table.
pub const ROLLUP_ROWS: &str = "_rows";

/// A table to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its database.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Name and type of each column.
    pub columns: Vec<(String, String)>,
    /// The sorting key: expressions.
    pub order_by: Vec<String>,
    /// The partition key: an expression.
    pub partition_by: Option<String>,
    /// The TTL: an expression.
    pub ttl: Option<String>,
    /// Deduplication entries that the table remembers.
    pub window: u32,
}

/// A rollup to create: a materialized view and the table that it fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupSpec {
    /// The database of all three tables.
    pub database: String,
    /// The table that the view reads.
    pub source: String,
    /// Name and type of each column of the source.
    pub source_columns: Vec<(String, String)>,
    /// The view's name.
    pub view: String,
    /// The name of the table that the view fills.
    pub target: String,
    /// Width of a time bucket: `1 minute`.
    pub every: String,
    /// The column with the time; the bucket has the same name in the target.
    pub time: String,
    /// Columns to group by.
    pub dimensions: Vec<String>,
    /// Name and aggregate expression, as for a `SELECT`.
    pub metrics: Vec<(String, String)>,
    /// Deduplication entries that the target remembers.
    pub window: u32,
    /// Whether it counts its rows in [`ROLLUP_ROWS`]; older ones do not.
    pub counts_rows: bool,
}

impl RollupSpec {
    /// The columns that group it, quoted: the dimensions, then the bucket of time.
    #[must_use]
    pub fn key(&self) -> Vec<String> {
        self.dimensions.iter().chain([&self.time]).map(|name| quote::name(name)).collect()
    }

    /// The bucket of a row of the source.
    #[must_use]
    pub fn bucket(&self) -> String {
        format!("toStartOfInterval({}, INTERVAL {})", quote::name(&self.time), self.every)
    }

    /// The rows that the view makes of `source`, a table or a subquery.
    ///
    /// # Errors
    /// When a metric is not one aggregate function.
    pub fn select(&self, source: &str) -> Result<String, NotAnAggregate> {
        rollup_select(self, source)
    }
}

/// A metric that can't be kept as a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "metric `{name}`: `{expression}` is not one call of an aggregate function, like `countIf(status >= 500)`"
)]
pub struct NotAnAggregate {
    /// The metric's name.
    pub name: String,
    /// Its expression.
    pub expression: String,
}

/// `CREATE DATABASE IF NOT EXISTS`.
#[must_use]
pub fn create_database(database: &str) -> String {
    format!("CREATE DATABASE IF NOT EXISTS {}", quote::name(database))
}

/// `CREATE TABLE IF NOT EXISTS … ENGINE = MergeTree`, with a deduplication window.
#[must_use]
pub fn create_table(table: &TableSpec) -> String {
    let mut sql = format!(
        "CREATE TABLE IF NOT EXISTS {}\n(\n{}\n)\nENGINE = MergeTree",
        quote::table(&table.database, &table.name),
        column_lines(&table.columns),
    );
    if let Some(partition_by) = &table.partition_by {
        sql += "\nPARTITION BY ";
        sql += partition_by;
    }
    sql += "\nORDER BY (";
    sql += &table.order_by.join(", ");
    sql += ")";
    if let Some(ttl) = &table.ttl {
        sql += "\nTTL ";
        sql += ttl;
    }
    sql += &table_settings(&table.columns, &table.order_by, table.window);
    let (partition_by, ttl) = (table.partition_by.as_deref(), table.ttl.as_deref());
    if key_time::expires_by_part(partition_by.unwrap_or_default(), ttl.unwrap_or_default()) {
        // Rows then expire without a merge that writes all others anew.
        sql += ", ttl_only_drop_parts = 1";
    }
    sql
}

/// `CREATE TABLE IF NOT EXISTS` for a rollup's target; `columns` as [`describe_rollup`] makes the server say.
#[must_use]
pub fn create_rollup_target(rollup: &RollupSpec, columns: &[(String, String)]) -> String {
    let key = rollup.key();
    format!(
        "CREATE TABLE IF NOT EXISTS {}\n(\n{}\n)\nENGINE = AggregatingMergeTree\nORDER BY ({}){}",
        quote::table(&rollup.database, &rollup.target),
        column_lines(columns),
        key.join(", "),
        table_settings(columns, &key, rollup.window),
    )
}

/// `CREATE MATERIALIZED VIEW IF NOT EXISTS … TO` the target.
///
/// # Errors
/// When a metric is not one aggregate function.
pub fn create_rollup_view(rollup: &RollupSpec) -> Result<String, NotAnAggregate> {
    Ok(format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {}\nTO {}\nAS {}",
        quote::table(&rollup.database, &rollup.view),
        quote::table(&rollup.database, &rollup.target),
        rollup_select(rollup, &quote::table(&rollup.database, &rollup.source))?,
    ))
}

/// A query whose rows name the columns of a rollup's target and their types. The source need not exist yet; send
/// it with [`PLAIN_TYPES`].
///
/// # Errors
/// When a metric is not one aggregate function.
pub fn describe_rollup(rollup: &RollupSpec) -> Result<String, NotAnAggregate> {
    let source = format!("null({})", quote::text(&quote::structure(&rollup.source_columns)));
    Ok(format!("DESCRIBE TABLE ({})", rollup_select(rollup, &source)?))
}

/// `ALTER TABLE … MODIFY SETTING` that gives a table a deduplication window.
#[must_use]
pub fn set_window(database: &str, table: &str, window: u32) -> String {
    format!(
        "ALTER TABLE {} MODIFY SETTING non_replicated_deduplication_window = {window}",
        quote::table(database, table)
    )
}

/// `ALTER TABLE … MODIFY SETTING` of one setting with a number.
#[must_use]
pub fn modify_setting(database: &str, table: &str, (setting, value): (&str, &str)) -> String {
    format!("ALTER TABLE {} MODIFY SETTING {} = {value}", quote::table(database, table), quote::name(setting))
}

/// `ALTER TABLE … RESET SETTING`: the server's default holds again.
#[must_use]
pub fn reset_setting(database: &str, table: &str, setting: &str) -> String {
    format!("ALTER TABLE {} RESET SETTING {}", quote::table(database, table), quote::name(setting))
}

/// `ALTER TABLE … ADD COLUMN`.
#[must_use]
pub fn add_column(database: &str, table: &str, column: (&str, &str)) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {}", quote::table(database, table), quote::name(column.0), column.1)
}

/// `CREATE TABLE IF NOT EXISTS … AS` another one: the same columns, keys, indexes and settings, without its rows.
#[must_use]
pub fn create_alike(database: &str, table: &str, like: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} AS {}",
        quote::table(database, table),
        quote::table(database, like)
    )
}

/// `ALTER TABLE … MOVE PARTITION ID … TO TABLE`: no view sees the rows, and the source keeps their tokens.
#[must_use]
pub fn move_partition(database: &str, (from, to): (&str, &str), id: &str) -> String {
    format!(
        "ALTER TABLE {} MOVE PARTITION ID {} TO TABLE {}",
        quote::table(database, from),
        quote::text(id),
        quote::table(database, to)
    )
}

/// `ALTER TABLE … DROP PARTITION ID`.
#[must_use]
pub fn drop_partition(database: &str, table: &str, id: &str) -> String {
    format!("ALTER TABLE {} DROP PARTITION ID {}", quote::table(database, table), quote::text(id))
}

/// `DROP TABLE IF EXISTS`.
#[must_use]
pub fn drop_table(database: &str, table: &str) -> String {
    format!("DROP TABLE IF EXISTS {}", quote::table(database, table))
}

/// The states of a rollup. The inner query has names of its own, so that a bucket or a metric may be called
/// like a column of the source without hiding it from the other expressions.
fn rollup_select(rollup: &RollupSpec, source: &str) -> Result<String, NotAnAggregate> {
    let time = quote::name(&rollup.time);
    let dimensions: Vec<_> = rollup.dimensions.iter().map(|name| quote::name(name)).collect();
    let (mut outer, mut inner) = (vec![format!("__bucket AS {time}")], Vec::new());
    inner.push(format!("{} AS __bucket", rollup.bucket()));
    outer.extend(dimensions.iter().cloned());
    inner.extend(dimensions.iter().cloned());
    for (number, (name, expression)) in rollup.metrics.iter().enumerate() {
        let state = state_of(expression)
            .ok_or_else(|| NotAnAggregate { name: name.clone(), expression: expression.clone() })?;
        inner.push(format!("{state} AS __metric_{number}"));
        outer.push(format!("__metric_{number} AS {}", quote::name(name)));
    }
    if rollup.counts_rows {
        inner.push("sumSimpleState(toUInt64(1)) AS __rows".to_owned());
        outer.push(format!("__rows AS {ROLLUP_ROWS}"));
    }
    let mut groups = vec!["__bucket".to_owned()];
    groups.extend(dimensions);
    Ok(format!(
        "SELECT {}\nFROM\n(\n    SELECT\n        {}\n    FROM {source}\n    GROUP BY {}\n)",
        outer.join(", "),
        inner.join(",\n        "),
        groups.join(", "),
    ))
}

/// `quantile(0.99)(d)` to `quantileState(0.99)(d)`; none unless the text is one call and nothing else.
fn state_of(expression: &str) -> Option<String> {
    let expression = expression.trim();
    let open = expression.find('(')?;
    let (function, arguments) = expression.split_at(open);
    let function = function.trim_end();
    let named = !function.is_empty()
        && function.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let first = closed_at(arguments)?;
    let rest = arguments[first..].trim_start();
    let whole = rest.is_empty() || closed_at(rest).is_some_and(|end| rest[end..].trim().is_empty());
    (named && whole).then(|| format!("{function}State{arguments}"))
}

/// The byte after the parenthesis that closes the one at the start; texts in quotes are passed over.
fn closed_at(text: &str) -> Option<usize> {
    if !text.starts_with('(') {
        return None;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, None, false);
    for (at, letter) in text.char_indices() {
        match (quoted, letter) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(quote), letter) if letter == quote => quoted = None,
            (None, '\'' | '`' | '"') => quoted = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => return Some(at + 1),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn column_lines(columns: &[(String, String)]) -> String {
    let lines: Vec<_> = columns
        .iter()
        .map(|(name, column_type)| format!("    {} {column_type}", quote::name(name)))
        .collect();
    lines.join(",\n")
}

fn table_settings(columns: &[(String, String)], key: &[String], window: u32) -> String {
    let nullable = |part: &String| {
        let column = columns.iter().find(|(name, _)| quote::name(name) == *part || name == part);
        column.is_some_and(|(_, column_type)| column_type.contains("Nullable("))
    };
    let nullable_key = if key.iter().any(nullable) { ", allow_nullable_key = 1" } else { "" };
    format!("\nSETTINGS non_replicated_deduplication_window = {window}{nullable_key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(columns: &[(&str, &str)]) -> Vec<(String, String)> {
        columns.iter().map(|(name, column_type)| ((*name).to_owned(), (*column_type).to_owned())).collect()
    }

    fn rollup() -> RollupSpec {
        RollupSpec {
            database: "metrics".to_owned(),
            source: "requests".to_owned(),
            source_columns: columns(&[
                ("ts", "DateTime64(3, 'UTC')"),
                ("service", "LowCardinality(String)"),
                ("d", "Float64"),
            ]),
            view: "requests_per_minute_mv".to_owned(),
            target: "requests_per_minute".to_owned(),
            every: "1 minute".to_owned(),
            time: "ts".to_owned(),
            dimensions: vec!["service".to_owned()],
            metrics: [("requests", "count()"), ("p99", "quantile(0.99)(d)")]
                .map(|(name, expression)| (name.to_owned(), expression.to_owned()))
                .to_vec(),
            window: 10_000,
            counts_rows: true,
        }
    }

    #[test]
    fn a_table_is_written_as_a_person_would() {
        let table = TableSpec {
            database: "metrics".to_owned(),
            name: "app.requests".to_owned(),
            columns: columns(&[
                ("ts", "DateTime64(3)"),
                ("order", "Nullable(String)"),
                ("_offset", "UInt64"),
            ]),
            order_by: vec!["`order`".to_owned(), "ts".to_owned()],
            partition_by: Some("toYYYYMM(ts)".to_owned()),
            ttl: Some("ts + INTERVAL 13 MONTH".to_owned()),
            window: 10_000,
        };
        assert_eq!(
            create_table(&table),
            "CREATE TABLE IF NOT EXISTS metrics.`app.requests`
(
    ts DateTime64(3),
    `order` Nullable(String),
    _offset UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (`order`, ts)
TTL ts + INTERVAL 13 MONTH
SETTINGS non_replicated_deduplication_window = 10000, allow_nullable_key = 1, ttl_only_drop_parts = 1"
        );
        let bare = TableSpec { partition_by: None, ttl: None, order_by: vec!["ts".to_owned()], ..table };
        let sql = create_table(&bare);
        assert!(
            sql.ends_with("ORDER BY (ts)\nSETTINGS non_replicated_deduplication_window = 10000"),
            "{sql}"
        );
    }

    #[test]
    fn a_rollup_is_a_target_and_a_view_of_states() {
        let described = columns(&[("ts", "DateTime"), ("service", "LowCardinality(String)")]);
        assert_eq!(
            create_rollup_target(&rollup(), &described),
            "CREATE TABLE IF NOT EXISTS metrics.requests_per_minute
(
    ts DateTime,
    service LowCardinality(String)
)
ENGINE = AggregatingMergeTree
ORDER BY (service, ts)
SETTINGS non_replicated_deduplication_window = 10000"
        );
        assert_eq!(
            create_rollup_view(&rollup()).expect("aggregates"),
            "CREATE MATERIALIZED VIEW IF NOT EXISTS metrics.requests_per_minute_mv
TO metrics.requests_per_minute
AS SELECT __bucket AS ts, service, __metric_0 AS requests, __metric_1 AS p99, __rows AS _rows
FROM
(
    SELECT
        toStartOfInterval(ts, INTERVAL 1 minute) AS __bucket,
        service,
        countState() AS __metric_0,
        quantileState(0.99)(d) AS __metric_1,
        sumSimpleState(toUInt64(1)) AS __rows
    FROM metrics.requests
    GROUP BY __bucket, service
)"
        );
        let described = describe_rollup(&rollup()).expect("aggregates");
        assert!(
            described.contains(
                r"FROM null('`ts` DateTime64(3, \'UTC\'), `service` LowCardinality(String), `d` Float64')"
            ),
            "{described}"
        );
    }

    #[test]
    fn a_rollup_from_before_does_not_count_its_rows() {
        let older = RollupSpec { counts_rows: false, ..rollup() };
        assert!(!create_rollup_view(&older).expect("aggregates").contains("_rows"));
    }

    #[test]
    fn only_one_aggregate_call_becomes_a_state() {
        for (expression, state) in [
            ("count()", Some("countState()")),
            (" countIf(status >= 500) ", Some("countIfState(status >= 500)")),
            ("quantile(0.99)(d)", Some("quantileState(0.99)(d)")),
            ("quantiles(0.5, 0.9) (d)", Some("quantilesState(0.5, 0.9) (d)")),
            ("sumIf(x, note = ') (')", Some("sumIfState(x, note = ') (')")),
            (r"countIf(a = 'it\'s)')", Some(r"countIfState(a = 'it\'s)')")),
            ("uniq((a, b))", Some("uniqState((a, b))")),
            ("count() + 1", None),
            ("sum(a) / sum(b)", None),
            ("(a)", None),
            ("count", None),
            ("count(", None),
            ("quantile(0.9)(d)(e)", None),
            ("count() FROM t; DROP TABLE t", None),
        ] {
            assert_eq!(state_of(expression).as_deref(), state, "{expression}");
        }
        let mut wrong = rollup();
        wrong.metrics[0].1 = "sum(d) / count()".to_owned();
        let error = create_rollup_view(&wrong).expect_err("two calls").to_string();
        assert_eq!(
            error,
            "metric `requests`: `sum(d) / count()` is not one call of an aggregate function, like `countIf(status >= 500)`"
        );
    }

    #[test]
    fn the_statements_that_mend_are_short() {
        assert_eq!(
            set_window("metrics", "my table", 10_000),
            "ALTER TABLE metrics.`my table` MODIFY SETTING non_replicated_deduplication_window = 10000"
        );
        assert_eq!(
            add_column("metrics", "t", ("_offset", "UInt64")),
            "ALTER TABLE metrics.t ADD COLUMN _offset UInt64"
        );
        assert_eq!(create_database("my-db"), "CREATE DATABASE IF NOT EXISTS `my-db`");
        assert_eq!(create_alike("d", "t_mend_1", "t"), "CREATE TABLE IF NOT EXISTS d.t_mend_1 AS d.t");
        assert_eq!(
            move_partition("d", ("t_mend_1", "t"), "202611"),
            "ALTER TABLE d.t_mend_1 MOVE PARTITION ID '202611' TO TABLE d.t"
        );
        assert_eq!(drop_table("d", "t"), "DROP TABLE IF EXISTS d.t");
        assert_eq!(drop_partition("d", "t", "202611"), "ALTER TABLE d.t DROP PARTITION ID '202611'");
    }
}
