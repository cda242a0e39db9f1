//! The count at the end: every event is one row or one dead letter, nothing is doubled, and each dead letter is one
//! that was planted. Compares figures; does not ask for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::events::{Expected, Generator, Place};
use super::producer::Tally;
use super::view::grouped;

/// How many wrong dead letters are named one by one.
const NAMED_MAX: usize = 5;

/// What ClickHouse has of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows in the table.
    pub rows: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Different offsets among both together.
    pub distinct: u64,
}

/// One dead letter as ClickHouse has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The partition.
    pub partition: u32,
    /// The offset, which is also the generator's number: the topic held nothing before.
    pub offset: u64,
    /// The error code.
    pub code: String,
}

/// What came of one partition's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionCount {
    /// The partition.
    pub partition: u32,
    /// Events that Kafka acknowledged.
    pub produced: u64,
    /// Rows in the table.
    pub rows: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Rows and dead letters beyond the first of an offset.
    pub doubled: u64,
    /// Events that are neither.
    pub missing: u64,
}

/// The count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Whether it holds.
    pub holds: bool,
    /// How often the worker was killed on the way.
    pub kills: u32,
    /// How many batches that a killed worker had claimed were found.
    pub found_claimed: usize,
    /// By partition.
    pub partitions: Vec<PartitionCount>,
    /// The sum over the rollup.
    pub rollup_rows: u64,
    /// Bad events that were produced.
    pub planted: u64,
    /// What does not hold, in words.
    pub mistakes: Vec<String>,
    /// Where the worker's log was kept, if it was.
    pub folder: Option<PathBuf>,
}

/// Everything that ClickHouse says at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// By partition.
    pub partitions: BTreeMap<u32, Found>,
    /// The sum over the rollup.
    pub rollup_rows: u64,
    /// Every dead letter.
    pub letters: Vec<Letter>,
}

impl Count {
    /// Holds what was found against what was produced.
    #[must_use]
    pub fn new(tally: &Tally, findings: &Findings, generator: Generator, kills: u32) -> Self {
        let all = tally.by_partition.keys().chain(findings.partitions.keys());
        let all: BTreeSet<u32> = all.copied().collect();
        let partitions: Vec<_> = all.into_iter().map(|partition| one(partition, tally, findings)).collect();
        let mut mistakes: Vec<_> = partitions.iter().flat_map(partition_mistakes).collect();
        let rows: u64 = partitions.iter().map(|partition| partition.rows).sum();
        if findings.rollup_rows != rows {
            let rollup = grouped(findings.rollup_rows);
            mistakes.push(format!("the rollup counts {rollup} events, the table {}", grouped(rows)));
        }
        mistakes.extend(letter_mistakes(&findings.letters, generator));
        let (rollup_rows, planted) = (findings.rollup_rows, tally.bad());
        let letters = findings.letters.len() as u64;
        if letters != planted {
            mistakes.push(format!("{} bad events, {} dead letters", grouped(planted), grouped(letters)));
        }
        Self {
            found_claimed: 0,
            holds: mistakes.is_empty(),
            kills,
            partitions,
            rollup_rows,
            planted,
            mistakes,
            folder: None,
        }
    }

    /// Adds what else went wrong.
    pub fn fail(&mut self, mistake: impl Into<String>) {
        self.holds = false;
        self.mistakes.push(mistake.into());
    }

    /// The count as a table, with the verdict below.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = row(["partition", "produced", "rows", "dead letters", "doubled", "missing"]);
        let figures = |name: String, count: &PartitionCount| {
            let PartitionCount { produced, rows, dead_letters, doubled, missing, .. } = *count;
            let figures = [produced, rows, dead_letters, doubled, missing].map(grouped);
            let [produced, rows, dead_letters, doubled, missing] = &figures;
            row([&name, produced, rows, dead_letters, doubled, missing])
        };
        text.extend(self.partitions.iter().map(|count| figures(count.partition.to_string(), count)));
        let total = self.total();
        text.push_str(&figures("all".to_owned(), &total));
        let kills = match self.kills {
            0 => "without a kill".to_owned(),
            1 => format!("through one kill with -9 ({} found claimed)", batches(self.found_claimed)),
            kills => format!("through {kills} kills with -9 ({} found claimed)", batches(self.found_claimed)),
        };
        let verdict = if self.holds {
            let [produced, rows, dead_letters] =
                [total.produced, total.rows, total.dead_letters].map(grouped);
            format!(
                "{produced} produced = {rows} rows + {dead_letters} dead letters, nothing doubled, {kills}.\n\
                 The rollup counts the same {rows} rows; each dead letter is one that was planted, with its reason."
            )
        } else {
            format!("The count does not hold, {kills}:\n- {}", self.mistakes.join("\n- "))
        };
        let _ = write!(text, "\n{verdict}\n");
        text
    }

    fn total(&self) -> PartitionCount {
        let sum = |figure: fn(&PartitionCount) -> u64| self.partitions.iter().map(figure).sum();
        PartitionCount {
            partition: 0,
            produced: sum(|count| count.produced),
            rows: sum(|count| count.rows),
            dead_letters: sum(|count| count.dead_letters),
            doubled: sum(|count| count.doubled),
            missing: sum(|count| count.missing),
        }
    }
}

fn row(cells: [&str; 6]) -> String {
    let [name, figures @ ..] = cells;
    let figures = figures.map(|figure| format!("{figure:>14}")).concat();
    format!("{name:<9}{figures}\n")
}

fn one(partition: u32, tally: &Tally, findings: &Findings) -> PartitionCount {
    let produced = tally.by_partition.get(&partition).map_or(0, |sent| sent.acknowledged);
    let found = findings.partitions.get(&partition).copied().unwrap_or_default();
    PartitionCount {
        partition,
        produced,
        rows: found.rows,
        dead_letters: found.dead_letters,
        doubled: (found.rows + found.dead_letters).saturating_sub(found.distinct),
        missing: produced.saturating_sub(found.distinct),
    }
}

fn partition_mistakes(count: &PartitionCount) -> Vec<String> {
    let PartitionCount { partition, produced, rows, dead_letters, doubled, missing } = *count;
    let mut mistakes = Vec::new();
    if produced != rows + dead_letters {
        let (produced, rows, dead_letters) = (grouped(produced), grouped(rows), grouped(dead_letters));
        mistakes.push(format!(
            "partition {partition}: {produced} produced, {rows} rows and {dead_letters} dead letters"
        ));
    }
    if doubled > 0 {
        mistakes.push(format!("partition {partition}: {} there more than once", events(doubled)));
    }
    if missing > 0 {
        mistakes.push(format!("partition {partition}: {} nowhere", events(missing)));
    }
    mistakes
}

fn batches(count: usize) -> String {
    match count {
        1 => "1 batch was".to_owned(),
        more => format!("{more} batches were"),
    }
}

fn events(count: u64) -> String {
    match count {
        1 => "1 event is".to_owned(),
        more => format!("{} events are", grouped(more)),
    }
}

fn letter_mistakes(letters: &[Letter], generator: Generator) -> Vec<String> {
    let wrong = |letter: &Letter| {
        let place = Place { partition: letter.partition, sequence: letter.offset };
        let expected = match generator.expected(place) {
            Expected::Bad(kind) if kind.code() == letter.code => return None,
            Expected::Bad(kind) => kind.code(),
            Expected::Good => "a row",
        };
        let Letter { partition, offset, code } = letter;
        Some(format!("partition {partition}, offset {offset}: dead letter {code}, expected {expected}"))
    };
    let mut mistakes: Vec<_> = letters.iter().filter_map(wrong).collect();
    if mistakes.len() > NAMED_MAX {
        let more = mistakes.len() - NAMED_MAX;
        mistakes.truncate(NAMED_MAX);
        mistakes.push(format!("and {more} more dead letters that are wrong"));
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::producer::PartitionTally;

    const GENERATOR: fn() -> Generator = || Generator::new(5, 20);

    /// What a run would leave that loses and doubles nothing.
    fn flawless() -> (Tally, Findings) {
        let (mut tally, mut findings) = (Tally::default(), Findings::default());
        for partition in 0..3 {
            let events = 2_000 + u64::from(partition);
            let letters: Vec<_> = (0..events)
                .filter_map(|offset| match GENERATOR().expected(Place { partition, sequence: offset }) {
                    Expected::Bad(kind) => Some((kind, offset)),
                    Expected::Good => None,
                })
                .collect();
            let bad = letters.len() as u64;
            let sent = PartitionTally { events, bad, acknowledged: events, ..PartitionTally::default() };
            tally.events += events;
            tally.by_partition.insert(partition, sent);
            let rows = events - bad;
            let found = Found { rows, dead_letters: bad, distinct: events };
            findings.partitions.insert(partition, found);
            findings.rollup_rows += rows;
            for (kind, offset) in letters {
                *tally.bad_by_kind.entry(kind.name()).or_default() += 1;
                findings.letters.push(Letter { partition, offset, code: kind.code().to_owned() });
            }
        }
        (tally, findings)
    }

    fn counted(change: impl FnOnce(&mut Tally, &mut Findings)) -> Count {
        let (mut tally, mut findings) = flawless();
        change(&mut tally, &mut findings);
        Count::new(&tally, &findings, GENERATOR(), 2)
    }

    fn of(findings: &mut Findings, partition: u32) -> &mut Found {
        findings.partitions.get_mut(&partition).expect("found")
    }

    #[test]
    fn a_flawless_run_holds() {
        let count = counted(|_, _| ());
        assert!(count.holds, "{:?}", count.mistakes);
        insta::assert_snapshot!(count.table());
    }

    #[test]
    fn a_doubled_row_beside_a_lost_one_is_seen_although_the_sums_agree() {
        let count = counted(|_, findings| of(findings, 1).distinct -= 1);
        insta::assert_snapshot!(count.table());
        assert!(!count.holds);
    }

    #[test]
    fn a_lost_row_is_seen() {
        let count = counted(|_, findings| {
            of(findings, 2).rows -= 1;
            of(findings, 2).distinct -= 1;
        });
        assert_eq!(count.mistakes[0], "partition 2: 2,002 produced, 1,968 rows and 33 dead letters");
        assert_eq!(count.mistakes[1], "partition 2: 1 event is nowhere");
        assert!(count.mistakes[2].starts_with("the rollup counts"));
    }

    #[test]
    fn a_row_that_was_counted_twice_by_the_rollup_is_seen() {
        let count = counted(|_, findings| findings.rollup_rows += 1);
        assert!(!count.holds && count.mistakes[0].starts_with("the rollup counts"), "{:?}", count.mistakes);
    }

    #[test]
    fn a_good_event_among_the_dead_letters_is_seen() {
        let count = counted(|_, findings| {
            let offset = (0..1_000).find(|offset| {
                GENERATOR().expected(Place { partition: 0, sequence: *offset }) == Expected::Good
            });
            findings.letters[0].offset = offset.expect("most events are good");
        });
        assert!(!count.holds && count.mistakes[0].ends_with("expected a row"), "{:?}", count.mistakes);
    }

    #[test]
    fn many_wrong_reasons_are_named_in_part() {
        let count = counted(|_, findings| {
            findings.letters.iter_mut().for_each(|letter| letter.code = "PH-0199".to_owned());
        });
        assert_eq!(count.mistakes.len(), NAMED_MAX + 1);
    }

    #[test]
    fn a_partition_that_nobody_produced_to_is_seen() {
        let count = counted(|_, findings| {
            findings.partitions.insert(9, Found { rows: 1, dead_letters: 0, distinct: 1 });
        });
        assert!(
            !count.holds && count.mistakes[0].starts_with("partition 9: 0 produced"),
            "{:?}",
            count.mistakes
        );
    }

    #[test]
    fn nothing_at_all_is_a_count_that_holds() {
        assert!(Count::new(&Tally::default(), &Findings::default(), GENERATOR(), 0).holds);
    }
}
