//! Judges records one by one: what the topic says each should have come to, beside what tables, letters and gaps have.
//! Asks nobody; gets records in the order of their offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pumphouse_core::audit::{Counts, Expected, Fate, Findings, Found, Letter, Limits, Trouble, judge};
use pumphouse_core::offset::{Offset, Partition, Range};

use super::contents::{Contents, LetterAt, RowsAt};
use super::gaps::Gaps;
use super::ground::Ground;
use super::positions::Positions;
use super::tallies::Spans;
use super::topic::Decoder;
use crate::decode::{Code, Record, Reject, SetAside, Tried};

/// Letters, and bytes of them, that are set aside at once.
const ASIDE_MAX: usize = 10_000;
const ASIDE_BYTES_MAX: usize = 32 << 20;

/// Counts by partition, and by table where it is known.
pub(super) type CountsBy = BTreeMap<(Partition, Option<usize>), Counts>;

/// What came out.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) counts: CountsBy,
    pub(super) findings: BTreeMap<Partition, Findings>,
    /// What is missing, as dead letters, where that was asked for.
    pub(super) aside: Option<SetAside>,
    /// Whether more is missing than was set aside.
    pub(super) has_more: bool,
}

impl Outcome {
    /// Takes the outcome of another part in.
    pub(super) fn add(&mut self, other: Self) {
        for (of, counts) in other.counts {
            self.counts.entry(of).or_default().add(&counts);
        }
        for (partition, findings) in other.findings {
            self.findings.entry(partition).or_default().append(findings);
        }
        self.aside = other.aside;
        self.has_more |= other.has_more;
    }
}

/// What does not change while records are judged.
pub(super) struct Scales {
    pub(super) contents: Contents,
    pub(super) gaps: Gaps,
    names: Vec<String>,
    limits: Vec<Limits>,
    of_message: Limits,
    mute: BTreeSet<usize>,
}

impl Scales {
    pub(super) fn new(ground: &Ground, contents: Contents, gaps: Gaps, positions: &Positions) -> Self {
        let of_message = Limits {
            rows_expire: false,
            letters_kept: ground.keeps_letters(),
            is_compacted: positions.is_compacted,
        };
        let limits = |rows_expire| Limits { rows_expire, ..of_message };
        let mute = ground.tables.iter().enumerate().filter(|(_, table)| table.mute.is_some());
        Self {
            contents,
            gaps,
            names: ground.tables.iter().map(|table| table.name.clone()).collect(),
            limits: ground.tables.iter().map(|table| limits(table.rows_expire)).collect(),
            of_message,
            mute: mute.map(|(number, _)| number).collect(),
        }
    }
}

/// A range of each partition on its way.
pub(super) struct Judging {
    scales: Arc<Scales>,
    decoder: Decoder,
    spans: Spans,
    /// What Kafka has.
    logs: BTreeMap<Partition, Range>,
    /// The next offset to be judged.
    next: BTreeMap<Partition, Offset>,
    outcome: Outcome,
}

impl Judging {
    /// Begins; what Kafka no longer has is judged at once.
    pub(super) fn begin(
        ground: &Ground,
        scales: &Arc<Scales>,
        positions: &Positions,
        spans: &Spans,
        aside: Option<SetAside>,
    ) -> Self {
        let logs = positions.partitions.iter().map(|(partition, position)| (*partition, position.log));
        let mut judging = Self {
            scales: Arc::clone(scales),
            decoder: Decoder::new(&ground.stream, &ground.settings.revision),
            spans: spans.clone(),
            logs: logs.collect(),
            next: spans.iter().map(|(partition, range)| (*partition, range.from)).collect(),
            outcome: Outcome { aside, ..Outcome::default() },
        };
        for (partition, range) in spans {
            let low = judging.logs.get(partition).map_or(range.to, |log| log.from);
            judging.pass(*partition, low.min(range.to), Expected::Gone);
        }
        judging
    }

    /// What has to be read from Kafka.
    pub(super) fn to_read(&self) -> Spans {
        let of = |(partition, range): (&Partition, &Range)| {
            let log = self.logs.get(partition)?;
            let (from, to) = (range.from.max(log.from), range.to.min(log.to));
            (from < to).then(|| (*partition, Range::new(from, to)))
        };
        self.spans.iter().filter_map(of).collect()
    }

    /// Judges a record, and the offsets before it that have none.
    pub(super) fn take(&mut self, record: &Record<'_>) {
        let (partition, offset) = (Partition(record.partition), Offset(record.offset));
        if self.next.get(&partition).is_none_or(|next| offset < *next) {
            return;
        }
        self.pass(partition, offset, Expected::NoRecord);
        let tried = self.decoder.judge(record).to_vec();
        self.judge_record(record, &tried);
        self.next.insert(partition, Offset(offset.0 + 1));
    }

    /// Judges what comes after the last record.
    pub(super) fn end(mut self) -> Outcome {
        for (partition, range) in self.spans.clone() {
            let high = self.logs.get(&partition).map_or(range.to, |log| log.to.min(range.to));
            self.pass(partition, high, Expected::NoRecord);
            self.pass(partition, range.to, Expected::Gone);
        }
        self.outcome
    }

    /// Judges offsets up to `to` that have no record.
    fn pass(&mut self, partition: Partition, to: Offset, expected: Expected) {
        let Some(next) = self.next.get_mut(&partition) else { return };
        let from = *next;
        *next = from.max(to);
        for offset in (from.0..to.0).map(Offset) {
            self.judge_whole(partition, offset, expected);
        }
    }

    /// Judges an offset whose message has no records to be told apart.
    fn judge_whole(&mut self, partition: Partition, offset: Offset, expected: Expected) {
        let scales = Arc::clone(&self.scales);
        let rows = scales.contents.rows_at(partition, offset);
        let letters = scales.contents.letters_at(partition, offset);
        if !rows.is_empty() {
            return rows.iter().for_each(|rows| self.count_rows(rows));
        }
        if !letters.is_empty() {
            return self.count((partition, None), Fate::Dead, letters.len() as u64);
        }
        let found = Found { in_gap: scales.gaps.at(partition, offset).is_some(), ..Found::default() };
        self.note(judge(expected, found, scales.of_message), None, (partition, offset, 0));
    }

    fn judge_record(&mut self, record: &Record<'_>, tried: &[Tried]) {
        let (partition, offset) = (Partition(record.partition), Offset(record.offset));
        if tried.is_empty() {
            return self.judge_whole(partition, offset, Expected::Filtered);
        }
        let scales = Arc::clone(&self.scales);
        let rows = scales.contents.rows_at(partition, offset);
        let letters = scales.contents.letters_at(partition, offset);
        let in_gap = scales.gaps.at(partition, offset).is_some();
        let is_expected = |rows: &RowsAt| {
            tried.iter().any(|tried| (tried.table, tried.index) == (Some(rows.table), rows.index))
        };
        // Rows in tables that would not take the record now: another configuration put them there.
        let elsewhere: Vec<&RowsAt> = rows.iter().filter(|rows| !is_expected(rows)).collect();
        for rows in &elsewhere {
            self.count_rows(rows);
        }
        for Tried { table, index, reject } in tried {
            if table.is_some_and(|table| scales.mute.contains(&table)) {
                continue;
            }
            let own = |rows: &&RowsAt| Some(rows.table) == *table && rows.index == *index;
            let is_elsewhere = elsewhere.iter().any(|rows| rows.index == *index);
            if table.is_none() && is_elsewhere {
                // It was a row then, and would be a dead letter now.
                continue;
            }
            let found = Found {
                rows: rows.iter().find(own).map_or(0, |rows| rows.count),
                letter: letter_of(letters, *index, table.map_or("", |table| &scales.names[table])),
                in_gap,
                elsewhere: is_elsewhere,
            };
            let expected = if reject.is_none() { Expected::Row } else { Expected::Letter };
            let limits = table.map_or(scales.of_message, |table| scales.limits[table]);
            let fate = judge(expected, found, limits);
            self.note(fate, *table, (partition, offset, *index));
            self.set_aside(record, fate, (*table, *index, reject.as_ref()));
        }
    }

    /// Keeps what is missing, as the dead letter that it is or that makes it a row again.
    fn set_aside(
        &mut self,
        record: &Record<'_>,
        fate: Fate,
        (table, index, reject): (Option<usize>, u32, Option<&Reject>),
    ) {
        let Some(aside) = &mut self.outcome.aside else { return };
        if !matches!(fate, Fate::Missing | Fate::LetterMissing) {
            return;
        }
        if aside.count() >= ASIDE_MAX || aside.bytes() >= ASIDE_BYTES_MAX {
            self.outcome.has_more = true;
            return;
        }
        let name = table.map_or("", |table| self.scales.names[table].as_str());
        let reject = reject.cloned().unwrap_or_else(|| Reject {
            code: Code::Missing,
            column: String::new(),
            path: String::new(),
            reason: format!("expected its row in {name}, found none; an audit read the record again"),
        });
        aside.push(record, index, name, reject);
    }

    fn count_rows(&mut self, rows: &RowsAt) {
        let fate = if rows.count > 1 { Fate::Doubled(rows.count - 1) } else { Fate::Inserted };
        let place = (Partition(rows.partition), Offset(rows.offset), rows.index);
        self.note(fate, Some(rows.table), place);
    }

    fn note(&mut self, fate: Fate, table: Option<usize>, place: (Partition, Offset, u32)) {
        self.count((place.0, table), fate, 1);
        if let Some(trouble) = Trouble::of(fate) {
            self.outcome.findings.entry(place.0).or_default().take(trouble, table, place);
        }
    }

    fn count(&mut self, of: (Partition, Option<usize>), fate: Fate, records: u64) {
        self.outcome.counts.entry(of).or_default().take(fate, records);
    }
}

/// What the letters say of one record, for a table or as a whole.
fn letter_of(letters: &[LetterAt], index: u32, table: &str) -> Letter {
    let of = |letter: &&LetterAt| {
        letter.index == index && (letter.table.is_empty() || table.is_empty() || letter.table == table)
    };
    letters.iter().find(of).map_or(Letter::None, LetterAt::state)
}
