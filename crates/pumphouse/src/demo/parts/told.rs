//! Figures of an incident as a table for people. Knows no server.

use std::fmt::Write as _;

use serde::Serialize;

use super::watch::Freshness;

/// What one of the two made of the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Messages that it read.
    pub read: u64,
    /// Rows that the table got, as the server's log of parts has it.
    pub written: u64,
    /// Rows that it read and the table did not get.
    pub lost: u64,
    /// Inserts that the server refused for too many parts.
    pub refused: u64,
    /// Inserts that it held back.
    pub delayed: u64,
    /// Most active parts of one table partition.
    pub fullest: u64,
    /// Most active parts of the table.
    pub total: u64,
}

/// The freshness of three times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Phases {
    /// Before the rate rises.
    pub before: Option<Freshness>,
    /// While it is high.
    pub during: Option<Freshness>,
    /// From when it had recovered.
    pub after: Option<Freshness>,
    /// How long that took after the rate had fallen, in milliseconds.
    pub recovered_after: Option<u64>,
}

impl Phases {
    /// As lines.
    #[must_use]
    pub fn page(&self) -> String {
        let one = |freshness: Option<Freshness>| {
            freshness.map_or("none".to_owned(), |Freshness { p50, p99 }| {
                format!("p50 {}, p99 {}", seconds(p50), seconds(p99))
            })
        };
        let recovered = self.recovered_after.map_or("never".to_owned(), seconds);
        format!(
            "   freshness of pumphouse before   {}\n                          during   {}\n                          \
             after    {}\n   time to recover                 {recovered}\n",
            one(self.before),
            one(self.during),
            one(self.after),
        )
    }
}

/// One of the figures.
type Figure = fn(&Outcome) -> u64;

/// Both beside each other.
#[must_use]
pub fn table(naive: &Outcome, pumphouse: &Outcome) -> String {
    let mut page = format!("   {:32}{:>14}{:>14}\n", "", "naive writer", "pumphouse");
    let lines: [(&str, Figure); 7] = [
        ("messages read", |outcome| outcome.read),
        ("rows written", |outcome| outcome.written),
        ("rows lost", |outcome| outcome.lost),
        ("inserts refused (code 252)", |outcome| outcome.refused),
        ("inserts held back by the server", |outcome| outcome.delayed),
        ("most parts of one partition", |outcome| outcome.fullest),
        ("most parts of the table", |outcome| outcome.total),
    ];
    for (name, of) in lines {
        let _ = writeln!(page, "   {name:32}{:>14}{:>14}", of(naive), of(pumphouse));
    }
    page
}

/// The end of a report.
#[must_use]
pub fn verdict(mistakes: &[String]) -> String {
    if mistakes.is_empty() {
        return "All of it holds.".to_owned();
    }
    mistakes.iter().fold("It does not hold:".to_owned(), |page, mistake| format!("{page}\n  - {mistake}"))
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_came_is_said_so() {
        let before = Some(Freshness { p50: 940, p99: 1_260 });
        let page = Phases { before, ..Phases::default() }.page();
        assert!(page.contains("before   p50 0.9 s, p99 1.2 s\n"), "{page}");
        assert!(page.contains("during   none\n") && page.ends_with("never\n"), "{page}");
    }
}
