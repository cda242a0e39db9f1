//! Looks whether an insert that was in doubt left all of its rows once it is answered as done, and brings back those
//! that a token without its part (a ghost) keeps out. What a count means is for the core to say.
//!
//! Views have those rows already, so they must not see them again: the rows go into a table beside, alike in all but
//! its name, and are moved. It keeps the tokens of what was moved, so any number of owners may do this at once, and
//! again.

use arrow_array::RecordBatch;
use arrow_select::filter::filter_record_batch;
use pumphouse_clickhouse::arrow_stream::{self, Body};
use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::insert::{Insert, InsertAnswer, Refusal as Refused};
use pumphouse_clickhouse::{ddl, quote};
use pumphouse_core::token::token;
use pumphouse_core::verdict::Refusal;
use pumphouse_core::whole::{self, Counted, Moving, Next};
use serde::Deserialize;

use super::insert::{Order, Sink, refusal_of};
use super::rollups;
use super::target::Target;
use super::whole::{ClaimedRows, Live};
use crate::fault::Code;
use crate::telemetry::event;

/// Why it is not known, or not the case, that every row is there once.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Something was not answered: all of it is done again, which changes nothing that was done.
    Unanswered(String),
    /// A person is needed.
    Halt(Refusal),
}

impl From<QueryError> for Trouble {
    fn from(error: QueryError) -> Self {
        Self::Unanswered(error.to_string())
    }
}

/// One insert that is answered as done, after it had been in doubt.
pub(super) struct Doubted<'a> {
    pub(super) sink: &'a Sink,
    pub(super) target: &'a Target,
    pub(super) order: &'a Order,
    pub(super) body: &'a Body,
    /// Rows in the body.
    pub(super) sent: u64,
    pub(super) server: usize,
}

impl Doubted<'_> {
    /// Counts, mends and counts again until every row is there once. A table that can't tell is taken at its word.
    pub(super) async fn make_whole(&self) -> Result<(), Trouble> {
        let Some(rows) = self.rows() else { return Ok(()) };
        self.make_table_whole(&rows).await?;
        rollups::make_whole(self, &rows).await
    }

    async fn make_table_whole(&self, rows: &ClaimedRows<'_>) -> Result<(), Trouble> {
        let (mut live, mut mends) = (None::<Live>, 0);
        loop {
            let found = rows.count(self.sent).await?;
            if live.is_none() && found != self.sent {
                live = Some(rows.live().await?);
            }
            let rows_expire = live.as_ref().is_some_and(Live::rows_expire);
            let next = whole::after_count(Counted { sent: self.sent, found, rows_expire }, mends);
            self.say(next, (found, mends));
            match (next, &live) {
                (Next::Mend(number), Some(live)) => {
                    self.mend(rows, live, number).await?;
                    mends = number;
                }
                (Next::Unmended, _) => return Err(Trouble::Halt(Refusal::Unmended)),
                (Next::Doubled, _) => return Err(Trouble::Halt(Refusal::Doubled)),
                _ => return Ok(()),
            }
        }
    }

    fn rows(&self) -> Option<ClaimedRows<'_>> {
        let Self { sink, target, order, server, .. } = *self;
        // The claim of a replay names no ranges to count by.
        let lineage = target.lineage.as_ref().filter(|_| !order.claim.ranges.is_empty())?;
        let (client, claim, timeout) = (&sink.client, &order.claim, sink.timeout);
        Some(ClaimedRows { client, server, target, lineage, claim, timeout })
    }

    fn say(&self, next: Next, (found, mends): (u64, u32)) {
        let (table, batch, sent) = (self.target.name(), self.order.claim.id, self.sent);
        match next {
            Next::Whole if mends == 0 => {}
            Next::Whole => tracing::warn!(table, %batch, sent, mends, "{}", event::ROWS_MENDED),
            Next::Expired => tracing::warn!(table, %batch, sent, found, "{}", event::ROWS_EXPIRED),
            Next::Mend(_) => tracing::warn!(table, %batch, sent, found, "{}", event::ROWS_MISSING),
            Next::Unmended => {
                tracing::error!(table, %batch, sent, found, code = Code::RowsUnmended.number(), "{}", event::ROWS_MISSING);
            }
            Next::Doubled => {
                tracing::error!(table, %batch, sent, found, code = Code::BatchDoubled.number(), "{}", event::ROWS_DOUBLED);
            }
        }
    }

    /// Inserts what is missing under a token of its own: into the table where nothing hangs on it, else beside it.
    async fn mend(&self, rows: &ClaimedRows<'_>, live: &Live, number: u32) -> Result<(), Trouble> {
        let Some(body) = self.missing(rows).await? else { return Ok(()) };
        if live.dependents.is_empty() {
            return self.insert(&self.target.table, &body, number).await;
        }
        let beside = self.beside();
        self.execute(&ddl::create_alike(&self.target.database, &beside, &self.target.table)).await?;
        self.insert(&beside, &body, number).await?;
        self.move_from(rows, &beside).await
    }

    /// The table beside: one for each batch and table.
    fn beside(&self) -> String {
        let batch = self.order.claim.id.to_string();
        format!("{}{MARK}{}", self.target.table, &batch[..BATCH_DIGITS])
    }

    /// The rows that the table lacks; none where it lacks none any more.
    async fn missing(&self, rows: &ClaimedRows<'_>) -> Result<Option<Body>, Trouble> {
        let all: RecordBatch =
            arrow_stream::decode(self.body).map_err(|error| self.unable(&error.to_string()))?;
        let Ok(mask) = rows.missing(&all).await? else {
            return Err(self.unable("rows of one message have the same identity in this table"));
        };
        let missing = filter_record_batch(&all, &mask).map_err(|error| self.unable(&error.to_string()))?;
        if missing.num_rows() == 0 {
            return Ok(None);
        }
        let body = arrow_stream::encode(&missing, self.body.compression);
        body.map(Some).map_err(|error| self.unable(&error.to_string()))
    }

    async fn insert(&self, table: &str, body: &Body, number: u32) -> Result<(), Trouble> {
        let Self { sink, target, order, server, .. } = *self;
        let batch = order.claim.id;
        let query_id = format!("ph-{batch}-{}-g{number}-{:08x}", order.table.0, fastrand::u32(..));
        let insert = Insert {
            database: &target.database,
            table,
            columns: &target.columns,
            token: &format!("{}/g{number}", token(batch, &target.name())),
            deadline_unix_seconds: order.deadline.0.div_euclid(1000),
            timeout: sink.timeout,
            body,
            query_id: Some(&query_id),
            settings: &sink.settings,
            url_index: server,
            has_views: false,
        };
        match sink.client.insert(&insert).await {
            InsertAnswer::Done => Ok(()),
            InsertAnswer::Refused(Refused::Server(error)) => Err(self.failed(QueryError::Server(error))),
            InsertAnswer::Refused(Refused::NotSent(reason)) => Err(Trouble::Unanswered(reason)),
            InsertAnswer::Unknown(doubt) => Err(Trouble::Unanswered(doubt.to_string())),
        }
    }

    /// Moves the rows into the table, one table partition after the other, each after one more look: a move that was
    /// cut off by the server's end may have left a partition behind.
    async fn move_from(&self, rows: &ClaimedRows<'_>, beside: &str) -> Result<(), Trouble> {
        #[derive(Deserialize)]
        struct Held {
            #[serde(rename = "__id")]
            id: String,
            #[serde(rename = "__rows")]
            rows: u64,
            #[serde(rename = "__there")]
            there: u64,
        }
        let database = &self.target.database;
        let identity = rows.identity().join(", ");
        let sql = format!(
            "SELECT _partition_id AS __id, count() AS __rows, countIf(({identity}) IN (SELECT {identity} FROM {table} \
             WHERE {condition})) AS __there FROM {beside} WHERE {condition} GROUP BY __id ORDER BY __id LIMIT 1",
            table = rows.table(),
            condition = rows.condition(),
            beside = quote::table(database, beside),
        );
        while let Some(held) = rows.ask::<Held>(&sql).await?.pop() {
            match whole::moving(held.rows, held.there) {
                Moving::Move => {
                    let to = (beside, self.target.table.as_str());
                    self.execute(&ddl::move_partition(database, to, &held.id)).await?;
                }
                Moving::Leftover => self.execute(&ddl::drop_partition(database, beside, &held.id)).await?,
                Moving::Mixed => {
                    return Err(self.unable("some rows of a partition are there and some are not"));
                }
            }
        }
        Ok(())
    }

    async fn execute(&self, sql: &str) -> Result<(), Trouble> {
        let query = self.sink.client.query(sql).at(self.server).timeout(self.sink.timeout);
        query.execute().await.map_err(|error| self.failed(error))
    }

    /// A refusal that stays one needs a person.
    fn failed(&self, error: QueryError) -> Trouble {
        match &error {
            QueryError::Server(server)
                if matches!(refusal_of(server.kind), Refusal::Access | Refusal::Missing | Refusal::Block) =>
            {
                self.unable(&error.to_string())
            }
            _ => error.into(),
        }
    }

    fn unable(&self, error: &str) -> Trouble {
        let (table, batch, code) = (self.target.name(), self.order.claim.id, Code::RowsUnmended.number());
        tracing::error!(table, %batch, code, error, "{}", event::ROWS_MISSING);
        Trouble::Halt(Refusal::Unmended)
    }
}

/// Between the table's name and the batch.
const MARK: &str = "_mend_";
/// Hexadecimal digits of the batch in the name of the table beside.
const BATCH_DIGITS: usize = 16;

/// Drops tables beside that are older than a day: by then no claim is young enough for its owner to mend it.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn drop_old(
    sink_targets: &[Target],
    client: &pumphouse_clickhouse::client::Client,
) -> Result<(), QueryError> {
    #[derive(Deserialize)]
    struct Old {
        name: String,
    }
    for target in sink_targets {
        let sql = format!(
            "SELECT name FROM system.tables WHERE database = {} AND startsWith(name, {mark}) \
             AND match(substring(name, length({mark}) + 1), '^[0-9a-f]{{{BATCH_DIGITS}}}$') \
             AND metadata_modification_time < now() - INTERVAL 1 DAY",
            quote::text(&target.database),
            mark = quote::text(&format!("{}{MARK}", target.table)),
        );
        for old in client.rows::<Old>(&sql).await? {
            client.execute(&ddl::drop_table(&target.database, &old.name)).await?;
            tracing::info!(table = old.name, "{}", event::MENDING_TABLE_DROPPED);
        }
    }
    Ok(())
}
