//! Holds what ClickHouse has against what was produced: rows of both tables, dead letters, the sums of a rollup and
//! of a view. Goes through each partition in sorted chunks, so memory is bounded. Shares no code with the product.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Peekable;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::event::{Event, SECOND_TABLE, hash, hexadecimal};
use crate::http::ClickHouse;
use crate::producer::{self, Truth};

/// Offsets compared at once.
const CHUNK: u64 = 100_000;
/// Offsets of one view's group.
pub(crate) const GROUP: u64 = 1000;
/// Findings that are told; more are counted.
const TOLD_MAX: usize = 40;

/// What to compare.
pub(crate) struct Oracle {
    pub(crate) clickhouse: ClickHouse,
    pub(crate) database: String,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) seed: u64,
    pub(crate) folder: PathBuf,
}

/// What differs.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) events: u64,
    pub(crate) rows: u64,
    pub(crate) letters: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) changed: u64,
    pub(crate) foreign: u64,
    /// Of the rollup that pumphouse made.
    pub(crate) sums: u64,
    /// Of the view that was made by hand.
    pub(crate) views: u64,
    pub(crate) told: Vec<String>,
}

/// Kinds of difference.
#[derive(Clone, Copy)]
enum Wrong {
    Lost,
    Doubled,
    Changed,
    Foreign,
    Sums,
    Views,
}

impl Findings {
    /// Whether all that pumphouse answers for is as it should be. It names the batches that a view made by hand may
    /// lack (PH-0066); without such a warning the view has to hold, too.
    pub(crate) fn is_exact(&self, warned: u64) -> bool {
        (self.views == 0 || warned > 0)
            && [self.lost, self.doubled, self.changed, self.foreign, self.sums] == [0; 5]
    }

    fn tell(&mut self, wrong: Wrong, times: u64, what: impl fmt::Display) {
        let (count, word) = match wrong {
            Wrong::Lost => (&mut self.lost, "lost"),
            Wrong::Doubled => (&mut self.doubled, "doubled"),
            Wrong::Changed => (&mut self.changed, "changed"),
            Wrong::Foreign => (&mut self.foreign, "not produced"),
            Wrong::Sums => (&mut self.sums, "wrong sum"),
            Wrong::Views => (&mut self.views, "wrong sum of the view"),
        };
        *count += times;
        if self.told.len() < TOLD_MAX {
            self.told.push(format!("{word}: {what}"));
        }
    }
}

/// Count and sum of amounts, as a view has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    amounts: i64,
}

impl Sum {
    fn add(&mut self, event: &Event) {
        self.rows += 1;
        self.amounts = self.amounts.wrapping_add(event.amount);
    }
}

/// What the views should say: by partition and group of offsets, and by service and minute.
#[derive(Default)]
struct Sums {
    groups: BTreeMap<(u32, u64), Sum>,
    minutes: BTreeMap<(String, u64), Sum>,
}

/// The three places an event may be, over one chunk of offsets.
#[derive(Default)]
struct Places {
    rows: BTreeMap<u64, Vec<u64>>,
    second: BTreeMap<u64, Vec<u64>>,
    letters: BTreeMap<u64, Vec<(String, u64)>>,
}

impl Oracle {
    /// Compares everything.
    pub(crate) fn compare(&self) -> anyhow::Result<Findings> {
        let (mut findings, mut sums) = (Findings::default(), Sums::default());
        for partition in 0..self.partitions {
            self.compare_partition(partition, &mut findings, &mut sums)
                .with_context(|| format!("comparing partition {partition}"))?;
        }
        self.compare_views(&mut findings, &sums)?;
        Ok(findings)
    }

    fn compare_partition(
        &self,
        partition: u32,
        findings: &mut Findings,
        sums: &mut Sums,
    ) -> anyhow::Result<()> {
        let mut truth = producer::truth(&self.folder, partition)?.peekable();
        let mut from = 0;
        while truth.peek().is_some() {
            let to = from + CHUNK;
            let places = self.places(partition, from, to)?;
            self.compare_chunk((partition, from, to), &mut truth, places, (findings, sums))?;
            from = to;
        }
        for table in ["events", SECOND_TABLE] {
            let beyond = format!(
                "SELECT count() FROM {}.{table} WHERE _partition = {partition} AND _offset >= {from}",
                self.database
            );
            let rows = self.clickhouse.number(&beyond)?;
            if rows > 0 {
                findings.tell(
                    Wrong::Foreign,
                    rows,
                    format!("{rows} rows in {table}, {partition}/{from} and up"),
                );
            }
        }
        Ok(())
    }

    fn places(&self, partition: u32, from: u64, to: u64) -> anyhow::Result<Places> {
        let Self { database, topic, .. } = self;
        let mut places = Places::default();
        let within = format!("_partition = {partition} AND _offset >= {from} AND _offset < {to}");
        let rows = format!(
            "SELECT _offset, id, toUnixTimestamp64Milli(at), service, status, amount, hex(note) \
             FROM {database}.events WHERE {within} FORMAT TSV"
        );
        self.clickhouse.lines(&rows, |line| {
            let (offset, row) = split(line)?;
            places.rows.entry(offset).or_default().push(hash(row.as_bytes()));
            Ok(())
        })?;
        let second =
            format!("SELECT _offset, id, amount FROM {database}.{SECOND_TABLE} WHERE {within} FORMAT TSV");
        self.clickhouse.lines(&second, |line| {
            let (offset, row) = split(line)?;
            places.second.entry(offset).or_default().push(hash(row.as_bytes()));
            Ok(())
        })?;
        let letters = format!(
            "SELECT offset, table, hex(payload) FROM pumphouse.dead_letters WHERE topic = '{topic}' \
             AND partition = {partition} AND offset >= {from} AND offset < {to} FORMAT TSV"
        );
        self.clickhouse.lines(&letters, |line| {
            let (offset, letter) = split(line)?;
            let (table, payload) = letter.split_once('\t').context("two columns")?;
            let letter = (table.to_owned(), hash(payload.as_bytes()));
            places.letters.entry(offset).or_default().push(letter);
            Ok(())
        })?;
        Ok(places)
    }

    fn compare_chunk(
        &self,
        (partition, from, to): (u32, u64, u64),
        truth: &mut Peekable<impl Iterator<Item = std::io::Result<Truth>>>,
        mut places: Places,
        (findings, sums): (&mut Findings, &mut Sums),
    ) -> anyhow::Result<()> {
        let mut expected = from;
        while let Some(next) = truth.next_if(|next| next.as_ref().map_or(true, |truth| truth.offset < to)) {
            let next = next?;
            if next.offset != expected {
                bail!("the truth jumps from offset {expected} to {}", next.offset);
            }
            expected += 1;
            findings.events += 1;
            self.compare_event(partition, next, &mut places, findings)?;
            let event = Event::new(self.seed, next.id);
            if !event.is_bad() {
                sums.groups.entry((partition, next.offset / GROUP)).or_default().add(&event);
                let minute = event.milliseconds / 60_000;
                sums.minutes.entry((event.service.to_owned(), minute)).or_default().add(&event);
            }
        }
        let Places { rows, second, letters } = places;
        let left = rows.keys().chain(second.keys()).chain(letters.keys());
        for offset in left {
            findings.tell(Wrong::Foreign, 1, format!("{partition}/{offset}"));
        }
        Ok(())
    }

    fn compare_event(
        &self,
        partition: u32,
        truth: Truth,
        places: &mut Places,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        let event = Event::new(self.seed, truth.id);
        let payload = event.payload();
        if hash(&payload) != truth.hash {
            bail!("event {} is not what was produced: the oracle's own fault", truth.id);
        }
        let at = |what: &str| format!("{partition}/{} (event {}) {what}", truth.offset, truth.id);
        let good = (!event.is_bad()).then(|| hash(event.row().as_bytes()));
        let found = places.rows.remove(&truth.offset).unwrap_or_default();
        findings.rows += found.len() as u64;
        judge(findings, good, &found, || at("row"));
        let second = event.goes_second();
        let second = second.then(|| hash(format!("{}\t{}", event.id, event.amount).as_bytes()));
        judge(findings, second, &places.second.remove(&truth.offset).unwrap_or_default(), || {
            at("second row")
        });
        // A bad record is one letter, or one for each table that it is bad for.
        let mut letters = BTreeMap::<String, Vec<u64>>::new();
        for (table, letter) in places.letters.remove(&truth.offset).unwrap_or_default() {
            letters.entry(table).or_default().push(letter);
        }
        findings.letters += u64::from(!letters.is_empty());
        let letter = event.is_bad().then(|| hash(hexadecimal(&payload).as_bytes()));
        if letters.is_empty() {
            letters.insert(String::new(), Vec::new());
        }
        for (table, found) in letters {
            judge(findings, letter, &found, || at(&format!("dead letter {table}")));
        }
        Ok(())
    }

    fn compare_views(&self, findings: &mut Findings, sums: &Sums) -> anyhow::Result<()> {
        let groups = format!(
            "SELECT partition, group, sum(rows), sum(amounts) FROM {}.totals GROUP BY partition, group FORMAT TSV",
            self.database
        );
        let groups = self.sums(&groups, |key| key.parse().ok(), |second| second.parse().ok())?;
        differ(findings, Wrong::Views, "partition and thousand of offsets", (&sums.groups, &groups));
        let minutes = format!(
            "SELECT service, intDiv(toUnixTimestamp(at), 60), countMerge(events), sumMerge(amounts) \
             FROM {}.events_per_minute GROUP BY 1, 2 FORMAT TSV",
            self.database
        );
        let minutes = self.sums(&minutes, |key| Some(key.to_owned()), |second| second.parse().ok())?;
        differ(findings, Wrong::Sums, "service and minute", (&sums.minutes, &minutes));
        Ok(())
    }

    fn sums<A: Ord, B: Ord>(
        &self,
        sql: &str,
        first: impl Fn(&str) -> Option<A>,
        second: impl Fn(&str) -> Option<B>,
    ) -> anyhow::Result<BTreeMap<(A, B), Sum>> {
        let mut sums = BTreeMap::new();
        self.clickhouse.lines(sql, |line| {
            let mut columns = line.split('\t');
            let mut next = || columns.next().unwrap_or_default();
            let key = first(next()).zip(second(next())).with_context(|| format!("`{line}`"))?;
            let sum = Sum { rows: next().parse()?, amounts: next().parse()? };
            sums.insert(key, sum);
            Ok(())
        })?;
        Ok(sums)
    }
}

fn split(line: &str) -> anyhow::Result<(u64, &str)> {
    let (offset, rest) = line.split_once('\t').with_context(|| format!("`{line}` has one column"))?;
    Ok((offset.parse()?, rest))
}

/// One place of one event: what should be there, and what is.
fn judge(findings: &mut Findings, expected: Option<u64>, found: &[u64], at: impl Fn() -> String) {
    let more = found.len() as u64;
    match expected {
        Some(_) if found.is_empty() => findings.tell(Wrong::Lost, 1, at()),
        Some(expected) if found.iter().any(|found| *found != expected) => {
            findings.tell(Wrong::Changed, 1, at());
        }
        Some(_) if more > 1 => findings.tell(Wrong::Doubled, more - 1, at()),
        None if more > 0 => findings.tell(Wrong::Foreign, more, at()),
        _ => {}
    }
}

fn differ<K: Ord + fmt::Debug>(
    findings: &mut Findings,
    wrong: Wrong,
    what: &str,
    (expected, found): (&BTreeMap<K, Sum>, &BTreeMap<K, Sum>),
) {
    for key in expected.keys().chain(found.keys().filter(|key| !expected.contains_key(key))) {
        let sums = [expected.get(key), found.get(key)].map(|sum| sum.copied().unwrap_or_default());
        if sums[0] != sums[1] {
            findings.tell(wrong, 1, format!("{what} {key:?}: {:?} expected, {:?} found", sums[0], sums[1]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(expected: Option<u64>, found: &[u64]) -> [u64; 4] {
        let mut findings = Findings::default();
        judge(&mut findings, expected, found, || "0/1".to_owned());
        [findings.lost, findings.doubled, findings.changed, findings.foreign]
    }

    #[test]
    fn each_difference_is_counted_as_what_it_is() {
        assert_eq!(judged(Some(7), &[7]), [0, 0, 0, 0]);
        assert_eq!(judged(None, &[]), [0, 0, 0, 0]);
        assert_eq!(judged(Some(7), &[]), [1, 0, 0, 0]);
        assert_eq!(judged(Some(7), &[7, 7, 7]), [0, 2, 0, 0]);
        assert_eq!(judged(Some(7), &[8]), [0, 0, 1, 0]);
        assert_eq!(judged(None, &[7]), [0, 0, 0, 1]);
    }

    #[test]
    fn a_sum_that_only_one_side_has_differs() {
        let (mut findings, sum) = (Findings::default(), Sum { rows: 3, amounts: -1 });
        let (expected, found) = ([(1, sum), (2, sum)].into(), [(2, sum), (3, sum)].into());
        differ(&mut findings, Wrong::Sums, "view", (&expected, &found));
        assert_eq!(findings.sums, 2);
    }
}
