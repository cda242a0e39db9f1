//! Deletes dead letters. An open one is noted as given up first, so that it stays accounted for.

use pumphouse_clickhouse::quote;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::replay::Log;
use serde::Serialize;

use super::filter::{Cursor, Filter};
use super::letters::{self, LONG_QUERY_MAX, Listed, with_long_statement};
use super::log::{How, Outcome, ReplayLog};
use super::plan::note;
use super::trouble::asked;
use crate::config::settings::Settings;
use crate::fault::{Code, Fault};
use crate::sink::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE};

/// Letters deleted by one statement.
const CHUNK: usize = 10_000;

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Letters that were resolved.
    pub resolved: u64,
    /// Letters that were open.
    pub open: u64,
}

/// Deletes the letters that the filter means.
///
/// # Errors
/// PH-0052 where a replay is under way; where ClickHouse refuses or can't be asked any more.
pub async fn purge(
    client: &pumphouse_clickhouse::client::Client,
    settings: &Settings,
    filter: &Filter,
    progress: &mut dyn FnMut(&Purged),
) -> Result<Purged, Fault> {
    let mut purged = Purged::default();
    for (stream, topic, _) in asked(|| letters::topics(client, filter)).await? {
        let log = ReplayLog {
            client,
            stream: &stream,
            revision: &settings.revision,
            insert_timeout: settings.clickhouse.insert_timeout,
        };
        refuse_under_way(&log).await?;
        let filter = Filter { stream: Some(stream.clone()), topic: Some(topic.clone()), ..filter.clone() };
        let mut behind: Option<Cursor> = None;
        loop {
            let chunk = asked(|| letters::page(client, &filter, behind.as_ref(), CHUNK)).await?;
            let Some(last) = chunk.last() else { break };
            behind = Some(last.name.cursor());
            give_up(&log, &topic, &chunk).await?;
            let sql = deletion((&stream, &topic), &chunk);
            asked(|| {
                let delete = with_long_statement(client.query(&sql).at(0)).timeout(LONG_QUERY_MAX);
                delete.setting("lightweight_deletes_sync", "2").execute()
            })
            .await?;
            let open = chunk.iter().filter(|letter| letter.how.is_empty()).count() as u64;
            purged.open += open;
            purged.resolved += chunk.len() as u64 - open;
            progress(&purged);
        }
    }
    Ok(purged)
}

/// The records of an entry have to stay until it is settled.
async fn refuse_under_way(log: &ReplayLog<'_>) -> Result<(), Fault> {
    let (end, _) = asked(|| log.end()).await?;
    match end {
        Log::Settled { .. } => Ok(()),
        Log::Open(entry) => {
            let what = format!("entry {} of the log is not settled", entry.number);
            Err(Fault::new(Code::ReplayUnderWay, format!("stream `{}`", log.stream), what))
        }
    }
}

async fn give_up(log: &ReplayLog<'_>, topic: &str, chunk: &[Listed]) -> Result<(), Fault> {
    let open = chunk.iter().filter(|letter| letter.how.is_empty());
    let outcomes: Vec<Outcome<'_>> = open
        .map(|letter| Outcome { name: &letter.name, time_ms: letter.time_ms, how: How::Purged })
        .collect();
    if outcomes.is_empty() {
        return Ok(());
    }
    let now = ServerTime(asked(|| log.client.server_time_ms()).await?);
    note(log, topic, &outcomes, now).await
}

/// All copies of these letters, up to the time of the last.
fn deletion((stream, topic): (&str, &str), chunk: &[Listed]) -> String {
    let names: Vec<String> = chunk.iter().map(|letter| letter.name.literal()).collect();
    let last = chunk.iter().map(|letter| letter.time_ms).max().unwrap_or_default();
    format!(
        "DELETE FROM {} WHERE stream = {} AND topic = {} AND time <= fromUnixTimestamp64Milli({last}) \
         AND (partition, offset, `index`, `table`) IN ({})",
        quote::table(DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE),
        quote::text(stream),
        quote::text(topic),
        names.join(", "),
    )
}
