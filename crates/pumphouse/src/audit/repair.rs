//! Makes rows of what an audit found missing: each record becomes a dead letter of its own code, and is replayed. So a
//! repair is as exact as a replay: two at once, or one after a crash, insert each row once.

use std::time::Duration;

use pumphouse_clickhouse::arrow_stream::{self, Compression};
use pumphouse_clickhouse::insert::{Insert, InsertAnswer};
use pumphouse_core::audit::Counts;
use pumphouse_core::offset::Range;

use super::contents::Piece;
use super::ground::Ground;
use super::judging::Outcome;
use super::positions::{Positions, positions};
use super::report::Report;
use super::rounds::portions;
use super::survey::{Aside, Survey};
use super::trouble::unanswered;
use crate::decode::{Code as RejectCode, SetAside, dead_letter_columns};
use crate::fault::{Code, Fault};
use crate::replay::filter::Filter;
use crate::replay::session;
use crate::sink::target::{DEAD_LETTERS_DATABASE, DEAD_LETTERS_TABLE};

/// Rounds of setting aside and replaying; each makes at least one record a row, or the repair ends.
const ROUNDS_MAX: u32 = 100_000;

/// What came of a repair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Records that became rows.
    pub rows: u64,
    /// Dead letters that were written again.
    pub letters: u64,
    /// Records that are missing still.
    pub left: u64,
}

/// Mends what `report` found missing. The replay's ground is the stream with its tables looked at.
///
/// # Errors
/// When it is not safe now, or a server does not answer.
pub async fn repair(
    ground: &Ground,
    replay: &session::Ground,
    report: &Report,
    progress: &mut (dyn FnMut(&Repaired) + Send),
) -> Result<Repaired, Fault> {
    let positions = positions(ground, (None, None)).await?;
    is_safe(ground, &positions, &report.missing_in)?;
    let mut survey = Survey::of(ground, positions).await?;
    let mut repaired = Repaired::default();
    for portion in portions(&report.missing_in) {
        let mut lost = u64::MAX;
        for _ in 0..ROUNDS_MAX {
            let (outcome, _) = survey.judge(&portion, Aside::Missing).await?;
            let counts = all(&outcome);
            if counts.lost() == 0 || counts.lost() >= lost {
                repaired.left += counts.lost();
                break;
            }
            lost = counts.lost();
            repaired.letters += counts.letters_missing;
            set_aside(ground, outcome.aside).await?;
            let filter = Filter { code: Some(RejectCode::Missing.as_str().to_owned()), ..Filter::default() };
            let replayed = session::replay(replay, &filter, &mut |_| {}).await?;
            repaired.rows += replayed.replayed;
            progress(&repaired);
        }
    }
    Ok(repaired)
}

fn all(outcome: &Outcome) -> Counts {
    let mut all = Counts::default();
    outcome.counts.values().for_each(|counts| all.add(counts));
    all
}

/// A claim that is not settled may still bring rows of its ranges.
fn is_safe(ground: &Ground, positions: &Positions, pieces: &[Piece]) -> Result<(), Fault> {
    let unsafe_for = |what: String| {
        Err(Fault::new(Code::RepairUnsafe, format!("repair of stream `{}`", ground.stream.name), what))
    };
    for (partition, range) in pieces {
        let committed = positions.partitions.get(partition).and_then(|position| position.committed);
        if committed.is_none_or(|committed| committed < range.to) {
            let at = committed.map_or_else(|| "nowhere".to_owned(), |offset| offset.to_string());
            return unsafe_for(format!(
                "partition {partition} stands at {at}, and offsets {range} were audited"
            ));
        }
        for claim in positions.claims() {
            let claimed = claim.ranges.get(partition);
            if let Some(claimed) = claimed.filter(|claimed| touch(**claimed, *range)) {
                return unsafe_for(format!(
                    "batch {} claims offsets {claimed} of partition {partition} and is not settled",
                    claim.id
                ));
            }
        }
    }
    Ok(())
}

fn touch(one: Range, other: Range) -> bool {
    one.from < other.to && other.from < one.to
}

/// Writes dead letters. The same ones again are the same letters: what came last counts.
async fn set_aside(ground: &Ground, aside: Option<SetAside>) -> Result<(), Fault> {
    let Ground { client, settings, .. } = ground;
    let now = client.server_time_ms().await.map_err(|error| unanswered("its time", &error))?;
    let Some(batch) = aside.and_then(|mut aside| aside.take(now)) else { return Ok(()) };
    let refused = |what: String| {
        Fault::new(Code::RepairUnsafe, format!("table {DEAD_LETTERS_DATABASE}.{DEAD_LETTERS_TABLE}"), what)
            .then("the repair ends; the next one goes on from here")
    };
    let body = arrow_stream::encode(&batch, Compression::Lz4).map_err(|error| refused(error.to_string()))?;
    let timeout = settings.clickhouse.insert_timeout;
    let insert = Insert {
        database: DEAD_LETTERS_DATABASE,
        table: DEAD_LETTERS_TABLE,
        columns: &dead_letter_columns(),
        token: &format!("ph1a:{}/{:032x}", ground.stream.name, fastrand::u128(..)),
        deadline_unix_seconds: (now + milliseconds(timeout)).div_euclid(1000),
        timeout,
        body: &body,
        query_id: None,
        settings: &settings.clickhouse.settings,
        url_index: 0,
        has_views: false,
    };
    match client.insert(&insert).await {
        InsertAnswer::Done => Ok(()),
        InsertAnswer::Refused(refusal) => Err(refused(refusal.to_string())),
        InsertAnswer::Unknown(doubt) => Err(refused(doubt.to_string())),
    }
}

fn milliseconds(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pumphouse_core::offset::Offset;

    #[test]
    fn ranges_touch_where_they_share_an_offset() {
        let range = |from, to| Range::new(Offset(from), Offset(to));
        assert!(touch(range(0, 5), range(4, 9)) && touch(range(4, 9), range(0, 5)));
        assert!(!touch(range(0, 5), range(5, 9)));
    }
}
