//! What stands between a live table and exactly once: findings, each with the statement that mends it.
//!
//! Reads the server's catalogue, decides by the rules below, changes nothing. Does not know how a table came
//! to be, nor what is done about a finding.
//!
//! | code | finding |
//! |---|---|
//! | PH-0040 | the table is missing |
//! | PH-0041 | the table remembers no tokens, or few |
//! | PH-0042 | its engine can't deduplicate inserts |
//! | PH-0043 | the target of a view that the table feeds can't be exact |
//! | PH-0044 | a column is missing, computed, or of another type |
//! | PH-0045 | the server is older than what was tested |
//! | PH-0046 | a setting that inserts rely on does not take effect |
//! | PH-0047 | a partition key is not a pure function of the row: a retry may land beside the first try |

mod columns;
mod engine;
mod live;
mod purity;
mod settings;
mod steady;
mod view_purity;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::client::{Client, QueryError};
use crate::ddl;
use engine::Window;
use live::{Catalogue, LiveTable, TableName};
use view_purity::Reach;

pub(crate) use engine::{Engine, effective_setting};
pub use steady::{Refusing, is_steady};

/// The window that new tables get and that findings propose.
pub const WINDOW: u32 = 10_000;
/// Fewer entries than this are a warning: one insert takes an entry for each table partition that it touches.
const WINDOW_MIN: u64 = 1_000;
/// The oldest server on which retries were tested: before it, tokens are hashed otherwise.
const TESTED_SINCE: (u32, u32) = (26, 6);
/// Longest time for which a token is relied on.
const SAFE_AGE_SECONDS_MAX: u64 = 1_800;

/// What a table must be like.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// The table's database.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    /// Name and type of each column that inserts send, lineage included.
    pub columns: &'a [(String, String)],
    /// The settings that the operator adds to each insert.
    pub settings: &'a BTreeMap<String, String>,
    /// Whether a server older than the tested ones is accepted.
    pub allow_untested_server: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// The smallest window of the table and all targets behind it, in entries.
    pub window_entries: u64,
    /// The table's partition key, as the server prints it; empty where it has none.
    pub partition_key: String,
    /// For how long a token is relied on: half the shortest window in seconds, at most 30 minutes.
    pub safe_age_seconds: u64,
    /// Whether materialized views hang on the table.
    pub has_views: bool,
    /// Database and name of each table that views fill from it, directly or through others.
    pub view_targets: Vec<(String, String)>,
    /// Whether the engine keeps every row, so that asking the table tells what landed.
    pub keeps_every_row: bool,
    /// Whether the table is replicated: then asking it needs `SYSTEM SYNC REPLICA` first.
    pub is_replicated: bool,
}

impl Report {
    /// Whether nothing speaks against running.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Warn)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The error code: `PH-0041`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, on what.
    pub what: String,
    /// What would come of it.
    pub why: String,
    /// The statement or the step that mends it.
    pub mend: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Rows could be lost or doubled, or could not be inserted at all.
    Refuse,
    /// Worth knowing.
    Warn,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}; {}", self.code, self.what, self.why, self.mend)
    }
}

/// Whether an engine, by its name, leaves every row as it is when it merges.
#[must_use]
pub fn keeps_every_row(engine: &str) -> bool {
    Engine::of(engine).keeps_every_row()
}

/// Looks at a table, and at every table behind its views, on one server.
///
/// # Errors
/// When the server does not answer, or the user may not read `system.tables`, `system.columns`,
/// `system.functions` and `system.settings`.
pub async fn inspect(
    client: &Client,
    url_index: usize,
    expected: &Expected<'_>,
) -> Result<Report, QueryError> {
    let mut report = Report {
        findings: Vec::new(),
        window_entries: 0,
        partition_key: String::new(),
        safe_age_seconds: SAFE_AGE_SECONDS_MAX,
        has_views: false,
        view_targets: Vec::new(),
        keeps_every_row: false,
        is_replicated: false,
    };
    let catalogue = Catalogue::open(client, url_index).await?;
    report.findings.extend(version_finding(&catalogue.version, expected.allow_untested_server));
    report.findings.extend(settings::ineffective(client, url_index, expected).await?);
    let name = TableName::new(expected.database, expected.table);
    let Some(table) = catalogue.table(&name).await? else {
        report.findings.push(missing(&name));
        return Ok(report);
    };
    report.partition_key.clone_from(&table.partition_key);
    let engine = Engine::of(&table.engine);
    (report.keeps_every_row, report.is_replicated) = (engine.keeps_every_row(), engine.is_replicated());
    if !engine.deduplicates() {
        report.findings.push(wrong_engine(&name, &table.engine));
        return Ok(report);
    }
    report.findings.extend(columns::differences(&catalogue, &name, expected.columns).await?);
    let sent = expected.columns.iter().map(|(name, _)| name.clone()).collect();
    let mut windows =
        vec![look_at_table(&catalogue, (&table, Role::Table), &sent, &mut report.findings).await?];
    let behind = look_at_views(&catalogue, table, &mut report.findings).await?;
    report.has_views = behind.is_some();
    for (target, window) in behind.unwrap_or_default() {
        report.view_targets.push((target.database, target.table));
        windows.push(window);
    }
    report.window_entries = windows.iter().map(|window| window.entries).min().unwrap_or_default();
    let shortest = windows.iter().filter_map(|window| window.seconds).min();
    report.safe_age_seconds = shortest.map_or(SAFE_AGE_SECONDS_MAX, |s| (s / 2).min(SAFE_AGE_SECONDS_MAX));
    report.findings.sort_by_key(|finding| (finding.severity, finding.code));
    Ok(report)
}

/// What a table is to the stream.
#[derive(Clone, Copy)]
enum Role {
    /// Batches go to it.
    Table,
    /// A view fills it.
    Target,
}

impl Role {
    /// The code of a finding: whatever is wrong with a target is a matter of the view.
    fn code(self, of_a_table: &'static str) -> &'static str {
        match self {
            Self::Table => of_a_table,
            Self::Target => "PH-0043",
        }
    }
}

/// Window and partition key of one table that rows are written to.
async fn look_at_table(
    catalogue: &Catalogue<'_>,
    (table, role): (&LiveTable, Role),
    sent: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) -> Result<Window, QueryError> {
    let window = Window::of(table, catalogue);
    findings.extend(window_finding(table, role, window));
    let columns = catalogue.columns(&table.name()).await?;
    if let Some(reason) = purity::impurity(&table.partition_key, &columns, sent, &catalogue.impure_functions)
    {
        findings.push(impure_key(&table.name(), role, &reason));
    }
    Ok(window)
}

/// Follows the views from a table to their targets, and from there on; none where there is no view.
async fn look_at_views(
    catalogue: &Catalogue<'_>,
    table: LiveTable,
    findings: &mut Vec<Finding>,
) -> Result<Option<Vec<(TableName, Window)>>, QueryError> {
    let mut windows = None::<Vec<_>>;
    let mut seen = BTreeSet::from([table.name()]);
    let mut next: VecDeque<_> = table.dependents().into();
    while let Some(name) = next.pop_front() {
        let Some(view) = catalogue.table(&name).await? else { continue };
        if !seen.insert(name.clone()) || view.engine != "MaterializedView" {
            continue;
        }
        let windows = windows.get_or_insert_default();
        next.extend(view.dependents());
        let Some(target) = catalogue.target(&view).await? else {
            findings.push(lost_target(&name));
            continue;
        };
        next.extend(target.dependents());
        if target.engine == "Null" {
            continue;
        }
        if !Engine::of(&target.engine).deduplicates() {
            findings.push(wrong_target(&name, &target));
            continue;
        }
        let sent = catalogue.columns(&name).await?.into_iter().map(|column| column.name).collect();
        let window = look_at_table(catalogue, (&target, Role::Target), &sent, findings).await?;
        windows.push((target.name(), window));
        findings.extend(impure_view(&view, &target, &catalogue.impure_functions));
    }
    Ok(windows)
}

fn version_finding(version: &str, allowed: bool) -> Option<Finding> {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let release = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    (release < TESTED_SINCE).then(|| Finding {
        code: "PH-0045",
        severity: if allowed { Severity::Warn } else { Severity::Refuse },
        what: format!("ClickHouse {version} is older than {}.{}", TESTED_SINCE.0, TESTED_SINCE.1),
        why: "retries were tested from that version on; older ones hash tokens and treat views otherwise"
            .to_owned(),
        mend: "upgrade, or accept it with `clickhouse.allow_untested_server: true`".to_owned(),
    })
}

fn missing(name: &TableName) -> Finding {
    Finding {
        code: "PH-0040",
        severity: Severity::Refuse,
        what: format!("table {name} is missing"),
        why: "rows have nowhere to go".to_owned(),
        mend: "`pumphouse apply` creates it".to_owned(),
    }
}

fn wrong_engine(name: &TableName, engine: &str) -> Finding {
    Finding {
        code: "PH-0042",
        severity: Severity::Refuse,
        what: format!("table {name} has engine {engine}"),
        why: "it keeps no tokens of its own, so a retry can double rows".to_owned(),
        mend:
            "name a table of the MergeTree family: behind a Distributed or Buffer table, the one that stores"
                .to_owned(),
    }
}

fn wrong_target(view: &TableName, target: &LiveTable) -> Finding {
    Finding {
        code: "PH-0043",
        severity: Severity::Refuse,
        what: format!("view {view} writes to {}, engine {}", target.name(), target.engine),
        why: "each retry would add the view's rows there again".to_owned(),
        mend: format!("let the view write to a MergeTree table, or DROP VIEW {view}"),
    }
}

fn lost_target(view: &TableName) -> Finding {
    Finding {
        code: "PH-0043",
        severity: Severity::Refuse,
        what: format!("the target of view {view} can't be seen"),
        why: "it is gone, hidden from this user, or the server is too old to name it; inserts would fail or could double rows there".to_owned(),
        mend: format!("create the target, GRANT SHOW on it, or DROP VIEW {view}"),
    }
}

fn window_finding(table: &LiveTable, role: Role, window: Window) -> Option<Finding> {
    let name = table.name();
    let (setting, mend) = if Engine::of(&table.engine).is_replicated() {
        let setting = "replicated_deduplication_window";
        (setting, format!("ALTER TABLE {name} MODIFY SETTING {setting} = {WINDOW}"))
    } else {
        ("non_replicated_deduplication_window", ddl::set_window(&name.database, &name.table, WINDOW))
    };
    let (severity, why) = match window.entries {
        0 => (Severity::Refuse, "the table remembers no tokens, so each retry would double rows"),
        entries if entries < WINDOW_MIN => (
            Severity::Warn,
            "other inserts can push a token out before its retry, and the retry would then double rows",
        ),
        _ => return None,
    };
    let what = format!("{setting} of {name} is {}", window.entries);
    Some(Finding { code: role.code("PH-0041"), severity, what, why: why.to_owned(), mend })
}

fn impure_key(name: &TableName, role: Role, reason: &str) -> Finding {
    Finding {
        code: role.code("PH-0047"),
        severity: Severity::Refuse,
        what: format!("the partition key of {name} depends on {reason}"),
        why: "tokens count per table partition, so a row that moves to another one on a retry is doubled"
            .to_owned(),
        mend: "partition by columns of the record only, such as toYYYYMM(ts): create a new table and copy"
            .to_owned(),
    }
}

/// A view whose own query is impure doubles rows where that reaches the target's partition key.
fn impure_view(view: &LiveTable, target: &LiveTable, impure: &BTreeSet<String>) -> Option<Finding> {
    let key = &target.partition_key;
    let how = match view_purity::reach(&view.as_select, key, impure)? {
        Reach::Expression(expression) => format!("computes {expression}"),
        Reach::Elsewhere(call) => format!("calls {call}() in a subquery"),
    };
    Some(Finding {
        code: "PH-0043",
        severity: Severity::Refuse,
        what: format!("view {} {how}, and its target is partitioned by {key}", view.name()),
        why: "a retry may put the view's rows into another partition, where tokens do not know them: they are doubled"
            .to_owned(),
        mend: "compute it from columns of the record, or partition the target by such a column".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_before_the_tested_ones_is_refused_unless_accepted() {
        for (version, old) in [
            ("26.6.1.1", false),
            ("26.7.2.1", false),
            ("27.1.1.1", false),
            ("26.5.9.9", true),
            ("25.12.1.1", true),
            ("nonsense", true),
        ] {
            let severity = |allowed| version_finding(version, allowed).map(|finding| finding.severity);
            assert_eq!(severity(false), old.then_some(Severity::Refuse), "{version}");
            assert_eq!(severity(true), old.then_some(Severity::Warn), "{version}");
        }
    }

    #[test]
    fn a_finding_reads_as_one_line_that_ends_with_what_mends_it() {
        let finding = missing(&TableName::new("metrics", "my table"));
        assert_eq!(
            finding.to_string(),
            "PH-0040 table metrics.`my table` is missing: rows have nowhere to go; `pumphouse apply` creates it"
        );
    }
}
