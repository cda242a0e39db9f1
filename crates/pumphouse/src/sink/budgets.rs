//! The budgets of all tables that this process inserts into, shared by its lanes, and the question whether a table may
//! have forgotten a token. The rules are the core's ([`pumphouse_core::window`]).

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::exception::Kind;
use pumphouse_clickhouse::quote;
use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::moment::ServerTime;
use pumphouse_core::window::{self, Budget};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::target::Target;

/// How long one order waits for others; then it comes back, and is sent again with a later deadline.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The budgets, by the table's full name.
pub struct Budgets {
    processes: u64,
    tables: Mutex<BTreeMap<String, Budget>>,
    changed: Notify,
}

impl Budgets {
    /// Budgets for one of at most so many processes.
    #[must_use]
    pub fn new(processes: u64) -> Self {
        Self { processes, tables: Mutex::default(), changed: Notify::new() }
    }

    /// Waits until an insert of at most `entries` may be sent; the batch that it would have to wait for longer.
    ///
    /// # Errors
    /// The batch in doubt that keeps it from being sent now.
    pub async fn begin(&self, target: &Target, batch: BatchId, entries: u64) -> Result<(), BatchId> {
        let waited = timeout(WAIT_MAX, async {
            loop {
                let changed = self.changed.notified();
                if self.try_begin(target, batch, entries).is_ok() {
                    return;
                }
                changed.await;
            }
        });
        match waited.await {
            Ok(()) => Ok(()),
            Err(_) => self.try_begin(target, batch, entries),
        }
    }

    fn try_begin(&self, target: &Target, batch: BatchId, entries: u64) -> Result<(), BatchId> {
        let mut tables = self.tables.lock();
        let budget =
            tables.entry(target.name()).or_insert_with(|| Budget::new(target.window, self.processes));
        if budget.begin(batch, entries) { Ok(()) } else { Err(budget.waits_for().unwrap_or(batch)) }
    }

    /// An insert has its answer.
    pub fn end(&self, table: &str, batch: BatchId) {
        if let Some(budget) = self.tables.lock().get_mut(table) {
            budget.end(batch);
        }
        self.changed.notify_waiters();
    }

    /// A batch is not this lane's any more, or its token is not sent again.
    pub fn forget(&self, batch: BatchId) {
        self.tables.lock().values_mut().for_each(|budget| budget.end(batch));
        self.changed.notify_waiters();
    }
}

/// Until when an insert of `claim` may start again under its token, by the clock of `server`, which is asked what came into
/// the table since; `None` where the token may be forgotten, the end of time where the table can't tell. Parts that were not
/// written since the claim hold none of what came.
///
/// # Errors
/// When the table can't be asked now, or not within `timeout`.
pub async fn remembered_until(
    client: &Client,
    target: &Target,
    server: usize,
    claim: &Claim,
    timeout: Duration,
) -> Result<Option<ServerTime>, QueryError> {
    #[derive(Deserialize)]
    struct Added {
        added: u64,
        now: i64,
    }
    let Some(lineage) = &target.lineage else { return Ok(Some(ServerTime(i64::MAX))) };
    let since = format!("fromUnixTimestamp64Milli({})", claim.claimed_at.0);
    let all = format!(
        "SELECT uniqExact(_partition_id, {time}) AS added, toUnixTimestamp64Milli(now64(3)) AS now FROM {table} \
         WHERE {time} > {since}",
        time = quote::name(&lineage.claimed_at),
        table = quote::table(&target.database, &target.table),
    );
    // What is merged between the two looks has a new name, and is not left out.
    let young = format!(
        "{all} AND _part NOT IN (SELECT name FROM system.parts WHERE database = {database} AND table = {name} \
         AND modification_time < toDateTime({since}) - 60)",
        database = quote::text(&target.database),
        name = quote::text(&target.table),
    );
    let limit = timeout.as_secs().saturating_sub(1).max(1).to_string();
    let ask = async |sql: &str| {
        let query = client.query(sql).at(server).timeout(timeout);
        query.setting("max_execution_time", &limit).row::<Added>().await
    };
    let Added { added, now } = match ask(&young).await {
        // The user may not read `system.parts`.
        Err(QueryError::Server(error)) if error.kind == Kind::Access => ask(&all).await?,
        answer => answer?,
    };
    Ok(window::remembered_until(target.window, added, claim.claimed_at, ServerTime(now)))
}
