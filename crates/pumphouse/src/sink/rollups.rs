//! Looks whether the targets behind a table's views have a batch that met a killed server, and gives a declared rollup
//! that lacks it the batch's rows. What a look means is for the core to say; what nobody can tell is told as such.

use std::collections::BTreeMap;
use std::time::Duration;

use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::ddl::{ROLLUP_ROWS, RollupSpec};
use pumphouse_clickhouse::insert::{InsertAnswer, Refusal as Refused};
use pumphouse_clickhouse::insert_select::InsertSelect;
use pumphouse_clickhouse::quote;
use pumphouse_core::token::token;
use pumphouse_core::whole::{self, Group, Looks, MENDS_MAX, Verdict};
use serde::Deserialize;

use super::mend::{Doubted, Trouble};
use super::whole::{ClaimedRows, Live};
use crate::fault::Code;
use crate::telemetry::event;

/// Groups of a rollup that are compared: a batch is there with all of them or with none.
const SAMPLE: usize = 100;
/// Batches that were under way at the same time were claimed within this time of each other.
const SAME_KILL: Duration = Duration::from_mins(1);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why nobody can tell.
enum Blind {
    /// A reason for people.
    Because(String),
    /// Something was not answered.
    Trouble(Trouble),
}

impl From<QueryError> for Blind {
    fn from(error: QueryError) -> Self {
        match error {
            // The batch is in the table; a question that the server refuses must not hold it up for ever.
            QueryError::Server(error) => Self::Because(format!("the server refuses the question: {error}")),
            error => Self::Trouble(error.into()),
        }
    }
}

#[derive(Deserialize)]
struct Sampled {
    #[serde(rename = "__key")]
    key: u64,
    #[serde(rename = "__bucket")]
    bucket: String,
}

#[derive(Deserialize)]
struct InRollup {
    #[serde(rename = "__key")]
    key: u64,
    #[serde(rename = "__counted")]
    counted: u64,
}

#[derive(Deserialize)]
struct InTable {
    #[serde(rename = "__key")]
    key: u64,
    #[serde(rename = "__counted")]
    counted: u64,
    #[serde(rename = "__of_batch")]
    of_batch: u64,
    /// Times of claims, and how many rows each has.
    #[serde(rename = "__of_others")]
    of_others: (Vec<i64>, Vec<u64>),
}

/// Compares all that hangs on the table, and mends what can be mended.
pub(super) async fn make_whole(doubted: &Doubted<'_>, rows: &ClaimedRows<'_>) -> Result<(), Trouble> {
    let started = rows.server_started().await?;
    if !whole::may_have_restarted(rows.claim.claimed_at.0.div_euclid(1000), started) {
        return Ok(());
    }
    let live = rows.live().await?;
    let declared = &doubted.target.rollups;
    for view in undeclared(&live, declared) {
        Behind { doubted, rows, target: &view }.say_blind("it is not a declared rollup");
    }
    for rollup in declared.iter().filter(|rollup| live.dependents.contains(&view_of(rollup))) {
        let target = format!("{}.{}", rollup.database, rollup.target);
        let behind = Behind { doubted, rows, target: &target };
        match behind.mend(rollup).await {
            Ok(()) => {}
            Err(Blind::Because(reason)) => behind.say_blind(&reason),
            Err(Blind::Trouble(trouble)) => return Err(trouble),
        }
    }
    Ok(())
}

fn view_of(rollup: &RollupSpec) -> String {
    format!("{}.{}", rollup.database, rollup.view)
}

fn undeclared(live: &Live, declared: &[RollupSpec]) -> Vec<String> {
    let views: Vec<String> = declared.iter().map(view_of).collect();
    live.dependents.iter().filter(|dependent| !views.contains(dependent)).cloned().collect()
}

/// One target, or view, behind the table.
struct Behind<'a> {
    doubted: &'a Doubted<'a>,
    rows: &'a ClaimedRows<'a>,
    /// Its name.
    target: &'a str,
}

impl Behind<'_> {
    async fn mend(&self, rollup: &RollupSpec) -> Result<(), Blind> {
        self.is_comparable(rollup).await?;
        let sample = self.sample(rollup).await?;
        for number in 1..=MENDS_MAX {
            match self.compare(rollup, &sample).await? {
                Verdict::Ghost => self.insert(rollup, number).await?,
                Verdict::CantTell | Verdict::Again => {
                    return Err(Blind::Because(
                        "it and its table do not agree on other batches either".to_owned(),
                    ));
                }
                Verdict::Whole => return Ok(()),
            }
        }
        Err(Blind::Because(format!("{MENDS_MAX} tries to give it the batch did not help")))
    }

    /// Whether it counts its rows, and takes a batch as one part.
    async fn is_comparable(&self, rollup: &RollupSpec) -> Result<(), Blind> {
        #[derive(Deserialize)]
        struct Target {
            partition_key: String,
            dependents: u64,
            counts: u64,
        }
        let (database, table) = (quote::text(&rollup.database), quote::text(&rollup.target));
        let sql = format!(
            "SELECT partition_key, length(dependencies_table) AS dependents, (SELECT count() FROM system.columns \
             WHERE database = {database} AND table = {table} AND name = {rows} \
             AND type = 'SimpleAggregateFunction(sum, UInt64)') AS counts \
             FROM system.tables WHERE database = {database} AND name = {table}",
            rows = quote::text(ROLLUP_ROWS),
        );
        let why = match self.rows.ask::<Target>(&sql).await?.pop() {
            None => "it is not there",
            Some(target) if target.counts == 0 => "it has no column `_rows`",
            Some(target) if !target.partition_key.is_empty() => "it is partitioned",
            Some(target) if target.dependents > 0 => "views hang on it",
            Some(_) => return Ok(()),
        };
        Err(Blind::Because(why.to_owned()))
    }

    /// Some groups of the batch.
    async fn sample(&self, rollup: &RollupSpec) -> Result<Vec<Sampled>, Blind> {
        let sql = format!(
            "SELECT {key} AS __key, toString(any({bucket})) AS __bucket FROM {table} WHERE {condition} \
             GROUP BY __key ORDER BY __key LIMIT {SAMPLE}",
            key = key_of_table(rollup),
            bucket = rollup.bucket(),
            table = self.rows.table(),
            condition = self.rows.condition(),
        );
        Ok(self.rows.ask(&sql).await?)
    }

    /// Looks until the looks agree.
    async fn compare(&self, rollup: &RollupSpec, sample: &[Sampled]) -> Result<Verdict, Blind> {
        let mut looks = Looks::default();
        loop {
            let verdict = looks.add(whole::look(&self.groups(rollup, sample).await?));
            if verdict != Verdict::Again {
                return Ok(verdict);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The rollup first, then the table: what lands in between can only make the table larger.
    async fn groups(&self, rollup: &RollupSpec, sample: &[Sampled]) -> Result<Vec<Group>, Blind> {
        let Some((first, last)) = span(sample) else { return Ok(Vec::new()) };
        let keys = sample.iter().map(|group| group.key.to_string()).collect::<Vec<_>>().join(", ");
        let between = |bucket: &str| {
            format!("{bucket} >= {} AND {bucket} <= {}", quote::text(first), quote::text(last))
        };
        let of_rollup = format!(
            "SELECT cityHash64({}) AS __key, sum({ROLLUP_ROWS}) AS __counted FROM {} WHERE {} AND __key IN ({keys}) GROUP BY __key",
            rollup.key().join(", "),
            quote::table(&rollup.database, &rollup.target),
            between(&quote::name(&rollup.time)),
        );
        let of_table = format!(
            "SELECT {} AS __key, count() AS __counted, countIf({}) AS __of_batch, {} AS __of_others FROM {} \
             WHERE {} AND __key IN ({keys}) GROUP BY __key",
            key_of_table(rollup),
            self.rows.condition(),
            self.of_others(),
            self.rows.table(),
            between(&rollup.bucket()),
        );
        let in_rollup = self.rows.ask::<InRollup>(&of_rollup).await?;
        let in_rollup: BTreeMap<u64, u64> = in_rollup.into_iter().map(|row| (row.key, row.counted)).collect();
        let in_table = self.rows.ask::<InTable>(&of_table).await?;
        let group = |row: InTable| Group {
            in_rollup: in_rollup.get(&row.key).copied().unwrap_or_default(),
            in_table: row.counted,
            of_batch: row.of_batch,
            of_others: row.of_others.0.into_iter().zip(row.of_others.1).collect(),
        };
        Ok(in_table.into_iter().map(group).collect())
    }

    /// Rows of batches that may have met the same kill, by the time of their claims.
    fn of_others(&self) -> String {
        let (time, at) = (quote::name(&self.rows.lineage.claimed_at), self.rows.claim.claimed_at.0);
        let span = i64::try_from(SAME_KILL.as_millis()).expect("a minute");
        format!(
            "sumMapIf([toUnixTimestamp64Milli({time})], [toUInt64(1)], NOT ({own}) \
             AND {time} BETWEEN fromUnixTimestamp64Milli({from}) AND fromUnixTimestamp64Milli({to}))",
            own = self.rows.condition(),
            from = at - span,
            to = at + span,
        )
    }

    /// What the view makes of the batch's rows, under a token of its own.
    async fn insert(&self, rollup: &RollupSpec, number: u32) -> Result<(), Blind> {
        let (order, sink) = (self.doubted.order, self.doubted.sink);
        let (batch, table) = (order.claim.id, self.doubted.target.name());
        tracing::warn!(table, target = self.target, %batch, "{}", event::ROLLUP_LACKS);
        let source = format!("(SELECT * FROM {} WHERE {})", self.rows.table(), self.rows.condition());
        let select = rollup.select(&source).map_err(|error| Blind::Because(error.to_string()))?;
        let insert = InsertSelect {
            database: &rollup.database,
            table: &rollup.target,
            select: &select,
            order_by: &rollup.key(),
            token: &format!("{}/{}/g{number}", token(batch, &table), rollup.target),
            deadline_unix_seconds: order.deadline.0.div_euclid(1000),
            timeout: sink.timeout,
            query_id: &format!("ph-{batch}-{}-r{number}-{:08x}", order.table.0, fastrand::u32(..)),
            url_index: self.doubted.server,
        };
        match sink.client.insert_select(&insert).await {
            InsertAnswer::Done => {
                tracing::warn!(table, target = self.target, %batch, "{}", event::ROLLUP_MENDED);
                Ok(())
            }
            InsertAnswer::Refused(Refused::Server(error)) => Err(QueryError::Server(error).into()),
            InsertAnswer::Refused(Refused::NotSent(reason)) => Err(unanswered(reason)),
            InsertAnswer::Unknown(doubt) => Err(unanswered(doubt.to_string())),
        }
    }

    fn say_blind(&self, reason: &str) {
        let (table, batch) = (self.doubted.target.name(), self.doubted.order.claim.id);
        let (rows, claimed_at) = (self.doubted.sent, self.rows.claim.claimed_at.0);
        let code = Code::RollupInDoubt.number();
        tracing::warn!(table, target = self.target, %batch, claimed_at, rows, code, reason, "{}", event::ROLLUP_IN_DOUBT);
    }
}

fn unanswered(reason: String) -> Blind {
    Blind::Trouble(Trouble::Unanswered(reason))
}

/// A number for each group, the same for a row of the table as for a row of the rollup.
fn key_of_table(rollup: &RollupSpec) -> String {
    let mut columns: Vec<String> = rollup.dimensions.iter().map(|name| quote::name(name)).collect();
    columns.push(rollup.bucket());
    format!("cityHash64({})", columns.join(", "))
}

/// The first and the last bucket; texts of times of one form stand in the order of time.
fn span(sample: &[Sampled]) -> Option<(&str, &str)> {
    let buckets = || sample.iter().map(|group| group.bucket.as_str());
    Some((buckets().min()?, buckets().max()?))
}
