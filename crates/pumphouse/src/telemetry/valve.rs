//! What is said of the valve and of the pressure that turns it. The names of the events stand with all others.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use pumphouse_clickhouse::pressure::{Limits, Merges, Replica, TableReading};
use pumphouse_core::valve::Opening;

use super::{ValveState, event};
use crate::fault::{Code, Fault};

/// The table that comes nearest to a limit, as last read; none while that is not known.
#[derive(Debug, Default)]
pub struct FullestTable(Mutex<Option<Fullest>>);

/// One table on one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fullest {
    /// The server that said so.
    pub server: String,
    /// Its parts and limits.
    pub table: TableReading,
    /// Its merges under way, where that is known.
    pub merges: Option<Merges>,
    /// Where that server stands as a replica of it.
    pub replica: Option<Replica>,
}

impl FullestTable {
    /// The table, if it is known.
    #[must_use]
    pub fn get(&self) -> Option<Fullest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what was read now.
    pub fn set(&self, fullest: Option<Fullest>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fullest;
    }
}

/// A change of one lane's valve.
#[derive(Clone, Debug)]
pub struct Turn {
    /// How far it was open.
    pub before: Opening,
    /// How far it is open.
    pub opening: Opening,
    /// What kind of fact it followed.
    pub by: TurnedBy,
    /// The table that comes nearest to a limit, if that is known.
    pub fullest: Option<Fullest>,
}

/// What made a valve turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedBy {
    /// What servers say of parts.
    Reading,
    /// A server that refused an insert.
    Refusal,
    /// Time, or batches that landed.
    Time,
}

/// Logs that a server can't be asked how loaded the tables are.
pub fn pressure_unknown(stream: &str, url: &str, error: &dyn fmt::Display) {
    let code = Code::PressureUnknown;
    let fault = Fault::new(code, format!("ClickHouse at {url}"), format!("parts can't be read: {error}"))
        .advise("GRANT SELECT ON system.parts, or wait for the server");
    tracing::warn!(stream, code = code.number(), error = %fault, "{}", event::PRESSURE_UNKNOWN);
}

/// Logs that a server tells of parts, and not of what goes on in it.
pub fn pressure_unexplained(stream: &str, url: &str, error: &dyn fmt::Display) {
    let code = Code::PressureUnknown;
    let what = format!("merges and inserts held back can't be read: {error}");
    let fault =
        Fault::new(code, format!("ClickHouse at {url}"), what).then("the valve goes by the parts alone");
    tracing::warn!(stream, code = code.number(), error = %fault, "{}", event::PRESSURE_UNKNOWN);
}

/// Logs that a server tells everything again.
pub fn pressure_known(stream: &str, url: &str) {
    tracing::info!(stream, url, "{}", event::PRESSURE_KNOWN);
}

/// Logs a change of a lane's valve, and why it came.
pub fn valve_turned(stream: &str, lane: &str, turn: &Turn) {
    let Turn { before, opening, fullest, .. } = turn;
    let Opening { level, share, age, .. } = *opening;
    let batch_age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let why = Why(fullest.as_ref());
    match (before.is_shut, opening.is_shut) {
        (false, true) => {
            let fault = shut(turn);
            tracing::warn!(stream, lane, code = fault.code.number(), error = %fault, "{}", event::VALVE_SHUT);
        }
        (true, false) => {
            tracing::info!(stream, lane, level, batch_age_ms, %why, "{}", event::VALVE_REOPENED);
        }
        _ => {
            let is_wider = (level, share) < (before.level, before.share);
            let name = if is_wider { event::VALVE_WIDENED } else { event::VALVE_NARROWED };
            let valve = ValveState::of(*opening);
            tracing::info!(stream, lane, %valve, level, batch_age_ms, batch_divided_by = 1_u32 << share, %why, "{name}");
        }
    }
}

fn shut(turn: &Turn) -> Fault {
    let (on, figures) = match &turn.fullest {
        Some(fullest) => (format!("table {}", Place(fullest)), Figures(fullest).to_string()),
        None => ("tables of the stream".to_owned(), UNKNOWN.to_owned()),
    };
    let what = match turn.by {
        TurnedBy::Refusal => format!("ClickHouse refused an insert for too many parts; {figures}"),
        TurnedBy::Reading | TurnedBy::Time => figures,
    };
    Fault::new(Code::ValveShut, on, what)
}

const UNKNOWN: &str = "parts are not known";

/// Where the fullest table is, and what it has and may have.
struct Why<'a>(Option<&'a Fullest>);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(fullest) => write!(f, "{}: {}", Place(fullest), Figures(fullest)),
            None => f.write_str(UNKNOWN),
        }
    }
}

struct Place<'a>(&'a Fullest);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fullest { server, table: TableReading { database, table, .. }, .. } = self.0;
        write!(f, "{database}.{table} on {server}")
    }
}

struct Figures<'a>(&'a Fullest);

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fullest { table, merges, replica, .. } = self.0;
        let TableReading { fullest, parts, parts_total, limits, .. } = table;
        write!(f, "{parts} parts in partition {fullest}, {parts_total} in all; ")?;
        let Limits { delay_at, refuse_at, refuse_total_at } = *limits;
        let limits = [
            (delay_at, format!("delayed from {delay_at}")),
            (refuse_at, format!("refused from {refuse_at}")),
            (refuse_total_at, format!("refused from {refuse_total_at} in all")),
        ];
        let mut said = limits.into_iter().filter(|(limit, _)| *limit > 0).map(|(_, text)| text);
        match said.next() {
            None => f.write_str("no limit holds")?,
            Some(first) => write!(f, "inserts are {}", said.fold(first, |all, next| all + ", " + &next))?,
        }
        if let Some(merges) = merges {
            let percent = (merges.bytes_done * 100).checked_div(merges.bytes).unwrap_or(0);
            let seconds = merges.longest.as_secs();
            match merges.count {
                0 => f.write_str("; no merge runs")?,
                1 => write!(f, "; a merge runs for {seconds} s, {percent} % done")?,
                count => write!(f, "; {count} merges run, {percent} % done, the oldest for {seconds} s")?,
            }
        }
        let Some(Replica { queue, delay }) = replica else { return Ok(()) };
        write!(f, "; {queue} entries in the replica's queue, {} s behind", delay.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fullest() -> Fullest {
        Fullest {
            server: "ch-1".to_owned(),
            table: TableReading {
                database: "metrics".to_owned(),
                table: "requests".to_owned(),
                fullest: "202611".to_owned(),
                parts: 2412,
                parts_total: 2600,
                limits: Limits { delay_at: 1000, refuse_at: 3000, refuse_total_at: 100_000 },
                is_replicated: false,
            },
            merges: Some(Merges { count: 0, ..Merges::default() }),
            replica: None,
        }
    }

    fn turn(by: TurnedBy, fullest: Option<Fullest>) -> Turn {
        let opening = Opening { is_shut: true, ..Opening::default() };
        Turn { before: Opening::default(), opening, by, fullest }
    }

    #[test]
    fn a_shut_valve_says_which_table_what_happens_next_and_where_to_read_on() {
        let line = shut(&turn(TurnedBy::Reading, Some(fullest()))).to_string();
        assert_eq!(
            line,
            "PH-0069 table metrics.requests on ch-1: 2412 parts in partition 202611, 2600 in all; \
             inserts are delayed from 1000, refused from 3000, refused from 100000 in all; no merge runs; records wait in \
             Kafka, nothing is lost, and the valve reopens by itself when merges have caught up; see `pumphouse explain PH-0069`"
        );
    }

    #[test]
    fn a_valve_shut_by_a_refusal_says_so_also_where_nothing_is_known_of_parts() {
        let line = shut(&turn(TurnedBy::Refusal, None)).to_string();
        let words = "PH-0069 tables of the stream: ClickHouse refused an insert for too many parts; parts are not known; records wait";
        assert!(line.starts_with(words), "{line}");
    }

    #[test]
    fn merges_and_replicas_are_told_where_they_are_known() {
        let merges = Merges { count: 2, bytes: 200, bytes_done: 50, longest: Duration::from_secs(61) };
        let replica = Replica { queue: 7, delay: Duration::from_secs(30) };
        let text =
            Why(Some(&Fullest { merges: Some(merges), replica: Some(replica), ..fullest() })).to_string();
        let words =
            "; 2 merges run, 25 % done, the oldest for 61 s; 7 entries in the replica's queue, 30 s behind";
        assert!(text.ends_with(words), "{text}");
        let mut large = fullest();
        large.table.limits = Limits::default();
        let text = Why(Some(&Fullest { merges: None, ..large })).to_string();
        assert!(text.ends_with("2600 in all; no limit holds"), "{text}");
    }
}
