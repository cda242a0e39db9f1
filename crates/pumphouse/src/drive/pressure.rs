//! The pressure on one stream's tables: asks every server for it, hands the lanes what was said, keeps the fullest table for the
//! log. What follows from a reading, the lanes' valves decide; what is not known is handed on as not known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pumphouse_clickhouse::client::Client;
use pumphouse_clickhouse::pressure::{self, Activity, Asked, PressureError, Reading, TableReading};
use pumphouse_core::valve::Pressure;
use tokio::task::JoinSet;

use super::lane::{Answer, Mailbox};
use crate::telemetry::{self, Fullest, FullestTable};

/// How often servers are asked.
const READ_EVERY: Duration = Duration::from_secs(3);
/// The pause after a reading is so many times as long as the reading took: a twentieth of the time goes by reading.
const PAUSES: u32 = 19;
/// … but not longer than this: a server that answers slowly is busy, and a valve that sees nothing lets it overflow.
const PAUSE_MAX: Duration = Duration::from_secs(6);
/// The pause after a server did not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What a stream's pressure is read with.
pub(super) struct Gauge {
    pub(super) stream: String,
    pub(super) client: Client,
    pub(super) asked: Arc<Asked>,
    pub(super) lanes: Vec<Mailbox>,
    pub(super) fullest: Arc<FullestTable>,
}

/// What is kept of one server between two readings.
#[derive(Default)]
struct Server {
    /// Not asked before: it did not answer lately.
    not_before: Option<Instant>,
    /// What was told of it last.
    trouble: Option<Trouble>,
}

/// What is not known of a server. A failure that only changes its reason, as on a server that answers hardly at all, is not
/// told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Nothing is known.
    Unknown,
    /// Only parts are.
    PartsAlone,
}

/// What was read of one server: the reading, and the inserts it refused since the one before.
type Read = (Reading, u64);

/// Reads until the process ends.
pub(super) fn keep_reading(gauge: Gauge) {
    tokio::spawn(async move {
        let mut servers: Vec<Server> = (0..gauge.client.url_count()).map(|_| Server::default()).collect();
        let mut rejected = BTreeMap::new();
        loop {
            let (readings, took) = gauge.read(&mut servers, &mut rejected).await;
            let tables = folded(&readings);
            gauge.fullest.set(fullest(readings));
            for lane in &gauge.lanes {
                lane.offer(Answer::Pressure(tables.clone()));
            }
            tokio::time::sleep(READ_EVERY.max((took * PAUSES).min(PAUSE_MAX))).await;
        }
    });
}

impl Gauge {
    /// Asks all servers at once that are not left alone for now; what they said, and how long the slowest answer took.
    async fn read(
        &self,
        servers: &mut [Server],
        rejected: &mut BTreeMap<String, u64>,
    ) -> (Vec<Read>, Duration) {
        let mut questions = JoinSet::new();
        let begun = Instant::now();
        for (url_index, server) in servers.iter().enumerate() {
            if server.not_before.is_none_or(|at| begun >= at) {
                let (client, asked) = (self.client.clone(), Arc::clone(&self.asked));
                questions.spawn(async move {
                    (url_index, pressure::read(&client, url_index, &asked).await, begun.elapsed())
                });
            }
        }
        let (mut readings, mut slowest) = (Vec::new(), Duration::ZERO);
        while let Some(answer) = questions.join_next().await {
            let Ok((url_index, read, took)) = answer else { continue };
            let server = &mut servers[url_index];
            server.not_before = read.is_err().then(|| begun + AGAIN_AFTER);
            self.tell(url_index, server, &read);
            if let Ok(reading) = read {
                slowest = slowest.max(took);
                let since = rejected_since(rejected, &reading);
                readings.push((reading, since));
            }
        }
        (readings, slowest)
    }

    /// Says once that a server can't be read, and once that it can.
    fn tell(&self, url_index: usize, server: &mut Server, read: &Result<Reading, PressureError>) {
        let trouble = trouble(read);
        if trouble == server.trouble {
            return;
        }
        let url = self.client.url(url_index);
        match read {
            Err(error) => telemetry::pressure_unknown(&self.stream, url, error),
            Ok(Reading { activity: Err(error), .. }) => {
                telemetry::pressure_unexplained(&self.stream, url, error);
            }
            Ok(Reading { activity: Ok(_), .. }) => telemetry::pressure_known(&self.stream, url),
        }
        server.trouble = trouble;
    }
}

fn trouble(read: &Result<Reading, PressureError>) -> Option<Trouble> {
    match read {
        Ok(Reading { activity: Ok(_), .. }) => None,
        Ok(Reading { activity: Err(_), .. }) => Some(Trouble::PartsAlone),
        Err(_) => Some(Trouble::Unknown),
    }
}

/// Inserts that the server refused since it was read last. A server that has started anew counts from zero.
fn rejected_since(before: &mut BTreeMap<String, u64>, reading: &Reading) -> u64 {
    let Ok(Activity { rejected, .. }) = reading.activity else { return 0 };
    let before = before.insert(reading.server.clone(), rejected).unwrap_or(rejected);
    rejected.checked_sub(before).unwrap_or(rejected)
}

/// One entry a table, always in the same order: of its replicas the worst, since a batch may go to any. Inserts that a server
/// holds back or has refused count for the tables that they may have been for.
fn folded(readings: &[Read]) -> Vec<Pressure> {
    let mut tables: Vec<Pressure> = Vec::new();
    for (reading, rejected) in readings {
        let delayed = reading.activity.as_ref().map_or(0, |activity| activity.delayed);
        for (at, table) in reading.tables.iter().enumerate() {
            let said = pressure_of(table, delayed, *rejected);
            match tables.get_mut(at) {
                Some(worst) => *worst = worse_of(*worst, said),
                None => tables.push(said),
            }
        }
    }
    tables
}

fn pressure_of(table: &TableReading, delayed: u64, rejected: u64) -> Pressure {
    Pressure {
        parts: table.parts,
        parts_total: table.parts_total,
        delay_at: table.limits.delay_at,
        refuse_at: table.limits.refuse_at,
        refuse_total_at: table.limits.refuse_total_at,
        delayed: if table.may_be_delayed() { delayed } else { 0 },
        rejected: if table.may_be_refused() { rejected } else { 0 },
    }
}

fn worse_of(one: Pressure, other: Pressure) -> Pressure {
    let lower = |one: u64, other: u64| if one == 0 || other == 0 { one.max(other) } else { one.min(other) };
    Pressure {
        parts: one.parts.max(other.parts),
        parts_total: one.parts_total.max(other.parts_total),
        delay_at: lower(one.delay_at, other.delay_at),
        refuse_at: lower(one.refuse_at, other.refuse_at),
        refuse_total_at: lower(one.refuse_total_at, other.refuse_total_at),
        delayed: one.delayed.max(other.delayed),
        rejected: one.rejected + other.rejected,
    }
}

/// The table that comes nearest to a limit.
fn fullest(readings: Vec<Read>) -> Option<Fullest> {
    let each = readings.into_iter().flat_map(|(Reading { server, tables, activity }, _)| {
        let activity = activity.ok();
        tables.into_iter().map(move |table| {
            let key = (table.database.clone(), table.table.clone());
            let merges = activity.as_ref().map(|a| a.merges.get(&key).copied().unwrap_or_default());
            let replica = activity.as_ref().and_then(|a| a.replicas.get(&key).copied());
            Fullest { server: server.clone(), table, merges, replica }
        })
    });
    // In millionths: a share of two numbers of parts, for a comparison that only the log sees.
    let share = |of: &Fullest| {
        let (parts, limit) = of.table.nearest();
        u128::from(parts) * 1_000_000 / u128::from(limit.max(1))
    };
    each.max_by_key(share)
}

#[cfg(test)]
#[path = "pressure_tests.rs"]
mod tests;
