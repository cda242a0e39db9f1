//! What the incident showed, as figures and as a page, and what must hold of it. Asks nobody.

use std::fmt::Write as _;

use serde::Serialize;

use super::cure::{Cure, Letter};
use super::feed::{Sent, TEST_MESSAGES, TestMessage};
use super::naive::Naive;
use super::replay::Replay;
use super::stage::{PARTITIONS, Standing};

/// The whole incident.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was written.
    pub sent: Sent,
    /// The consumer that got stuck.
    pub naive: Naive,
    /// pumphouse.
    pub cure: Cure,
    /// What became of one of the dead letters.
    pub replay: Replay,
    /// What does not hold; empty where all does.
    pub mistakes: Vec<String>,
    /// Whether all holds.
    pub holds: bool,
}

impl Report {
    /// Judges what was found.
    #[must_use]
    pub fn new(sent: Sent, naive: Naive, cure: Cure, replay: Replay) -> Self {
        let claims =
            [claims_of_naive(sent, &naive), claims_of_cure(sent, &cure), claims_of_replay(sent, &replay)]
                .concat();
        let mistakes: Vec<String> =
            claims.into_iter().filter(|(holds, _)| !holds).map(|(_, claim)| claim).collect();
        Self { sent, naive, cure, replay, holds: mistakes.is_empty(), mistakes }
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        let steps = [self.page_of_naive(), self.page_of_cure(), self.page_of_replay()];
        for part in [&[self.page_of_feed()][..], &steps, &[self.verdict()]].concat() {
            page.push_str(&part);
            page.push('\n');
        }
        page
    }

    fn page_of_feed(&self) -> String {
        let Sent { messages, events } = self.sent;
        let mut page = format!(
            "Four test messages in a topic of three partitions\n\n\
             {messages} messages, {events} of them events; the others, where the report of the incident puts them:\n"
        );
        for test in &TEST_MESSAGES {
            let _ =
                writeln!(page, "  partition {} offset {:>3}  {}", test.partition, test.offset, test.payload);
        }
        page.push_str(
            "  (the report names three places and counts four messages; the one at partition 0 offset 59 is our guess)\n",
        );
        page
    }

    fn page_of_naive(&self) -> String {
        let Naive { rows_before, looks, standing, error, messages_read } = &self.naive;
        let mut page = format!(
            "1. A consumer that inserts what a poll brought or nothing of it\n   \
             (ClickHouse's Kafka engine and a materialized view): {rows_before} rows, then the test messages\n\n   \
             second  messages  rows   lag\n"
        );
        for look in looks {
            let _ = writeln!(
                page,
                "   {:>6}  {:>8}  {:>4}  {:>4}",
                look.seconds, look.messages, look.rows, look.lag
            );
        }
        let missing = self.sent.events - looks.last().map_or(0, |look| look.rows);
        let _ = writeln!(
            page,
            "\n   {missing} events are not in the table; it stands at {:?}",
            committed(standing)
        );
        let _ = writeln!(
            page,
            "   and has read {messages_read} messages, most of them again and again. Its error:"
        );
        let _ = writeln!(page, "   {}", cut(error, 300));
        page
    }

    fn page_of_cure(&self) -> String {
        let Cure { rows, places, in_place, dead_letters, standing, milliseconds } = &self.cure;
        let mut page = format!(
            "2. pumphouse, on the same topic\n\n   \
             {rows} rows of {} events, at {places} different places, {in_place} of them the event of their place\n   \
             stands at {:?} of {:?}, lag {}, after {:.1} s; every offset is its own commit\n   \
             {} dead letters:\n",
            self.sent.events,
            committed(standing),
            standing.ends,
            standing.lag,
            f64::from(u32::try_from(*milliseconds).unwrap_or(u32::MAX)) / 1000.0,
            dead_letters.len(),
        );
        for Letter { partition, offset, code, column, path, reason, .. } in dead_letters {
            let _ = writeln!(
                page,
                "   partition {partition} offset {offset:>3}  {code}  column {column}, field {path}: {reason}"
            );
        }
        page
    }

    fn page_of_replay(&self) -> String {
        let Replay { of, rows, row, rows_in_all, open, resolved } = &self.replay;
        format!(
            "3. After defaults for what it lacks: pumphouse dead replay --partition {} --offset {}\n\n   \
             {rows} row at its place, also after a second replay: {row}\n   \
             {rows_in_all} rows in all; dead letters open: {}; resolved: {}\n",
            of.partition,
            of.offset,
            places(open),
            places(resolved),
        )
    }

    fn verdict(&self) -> String {
        if self.holds {
            return "All of it holds.".to_owned();
        }
        self.mistakes
            .iter()
            .fold("It does not hold:".to_owned(), |page, mistake| format!("{page}\n  - {mistake}"))
    }
}

type Claim = (bool, String);

fn claims_of_naive(sent: Sent, naive: &Naive) -> Vec<Claim> {
    let stuck = naive.looks.iter().all(|look| look.rows == naive.rows_before);
    let lags: Vec<i64> = naive.looks.iter().map(|look| look.lag).collect();
    vec![
        (stuck, "the naive consumer got on, so it shows nothing".to_owned()),
        (lags.is_sorted() && naive.standing.lag > 0, format!("the naive consumer's lag fell: {lags:?}")),
        (naive.rows_before < sent.events, "the naive consumer has every event".to_owned()),
        (!naive.error.is_empty(), "the naive consumer says nothing of its error".to_owned()),
    ]
}

fn claims_of_cure(sent: Sent, cure: &Cure) -> Vec<Claim> {
    let Cure { rows, places, in_place, dead_letters, standing, .. } = cure;
    let all = [*rows, *places, *in_place] == [sent.events; 3];
    let found: Vec<_> = dead_letters.iter().map(told).collect();
    let expected: Vec<_> = TEST_MESSAGES
        .iter()
        .map(|test| (test.partition, test.offset, test.code, test.column, test.payload))
        .collect();
    let reasoned = dead_letters.iter().all(|letter| !letter.path.is_empty() && !letter.reason.is_empty());
    vec![
        (all, format!("{rows} rows at {places} places, {in_place} in place; {} events", sent.events)),
        (found == expected, format!("dead letters expected {expected:?}, found {found:?}")),
        (reasoned, "a dead letter has no path or no reason".to_owned()),
        (standing.lag == 0, format!("lag {}", standing.lag)),
        (standing.with_history == PARTITIONS, "an offset that pumphouse did not commit".to_owned()),
    ]
}

fn claims_of_replay(sent: Sent, replay: &Replay) -> Vec<Claim> {
    let Replay { of, rows, rows_in_all, open, resolved, .. } = replay;
    let place = |test: &TestMessage| (u64::from(test.partition), test.offset);
    let others: Vec<_> = TEST_MESSAGES.iter().filter(|test| *test != of).map(place).collect();
    vec![
        (*rows == 1, format!("{rows} rows of the replayed letter")),
        (*rows_in_all == sent.events + 1, format!("{rows_in_all} rows after the replay")),
        (*open == others, format!("open after the replay: {open:?}")),
        (*resolved == [place(of)], format!("resolved by the replay: {resolved:?}")),
    ]
}

fn places(places: &[(u64, u64)]) -> String {
    let told = places.iter().map(|(partition, offset)| format!("{partition}/{offset}"));
    told.collect::<Vec<_>>().join(", ")
}

fn told(letter: &Letter) -> (u32, u64, &str, &str, &str) {
    (letter.partition, letter.offset, &letter.code, &letter.column, &letter.payload)
}

fn committed(standing: &Standing) -> Vec<i64> {
    standing.committed.iter().map(|offset| offset.unwrap_or(0)).collect()
}

/// The beginning of a text, and that there is more.
fn cut(text: &str, chars_max: usize) -> String {
    let mut cut: String = text.chars().take(chars_max).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
