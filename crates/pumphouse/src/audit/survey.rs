//! An audit of one stream, from sums to single records: ClickHouse sums up chunks of offsets; where these do not show that
//! all is there, the topic is read and summed up; where that does not agree either, records are judged one by one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pumphouse_clickhouse::client::QueryError;
use pumphouse_core::audit::{self, Bounds, Fate, Known, Tally, bounds, chunk_size, chunks};
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition, Range};

use super::contents::{Contents, Piece};
use super::gaps::Gaps;
use super::ground::Ground;
use super::judging::{Judging, Outcome, Scales};
use super::positions::{Positions, positions};
use super::report::{Part, Report};
use super::rounds::{Chunk, one_of_each, portions, rounds};
use super::tallies::{self, ByChunk, Spans};
use super::topic::{self, Expectation};
use super::trouble::{unanswered, unreadable};
use crate::config::settings::StartFrom;
use crate::decode::SetAside;
use crate::fault::Fault;
use crate::source::kafka::reader::ReadError;

/// Times that a range is read again because Kafka deleted a part of it meanwhile.
const READS_MAX: u32 = 5;

/// Where an audit begins or ends, as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// At an offset.
    Offset(u64),
    /// At the first record of that time or later.
    Time(ServerTime),
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Where it begins.
    pub from: Option<Said>,
    /// Where it ends.
    pub to: Option<Said>,
    /// The only partition.
    pub partition: Option<Partition>,
}

/// How far an audit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many rows more were looked through in ClickHouse.
    Rows(u64),
    /// So many messages more were read from the topic, of so many in all.
    Messages(u64, u64),
    /// So many offsets more were judged one by one, of so many in all.
    Judged(u64, u64),
}

/// Who is told how far it has come.
pub(super) type Tell<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// Whether what is missing is kept, to be made rows again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// It is only counted.
    Nothing,
    /// It is kept.
    Missing,
}

pub(super) struct Survey<'a> {
    pub(super) ground: &'a Ground,
    pub(super) positions: Positions,
    pub(super) gaps: Gaps,
    pub(super) report: Report,
    size: u64,
    rows: Vec<ByChunk>,
    letters: ByChunk,
}

/// Audits a stream.
///
/// # Errors
/// When a server does not answer.
pub async fn audit(ground: &Ground, asked: Asked, progress: Tell<'_>) -> Result<Report, Fault> {
    // First what is settled, then the tables: what is settled by now is there.
    let positions = positions(ground, (asked.from, asked.to)).await?;
    let mut survey = Survey::of(ground, positions).await?;
    let spans = survey.spans(asked.partition, progress).await?;
    if !ground.can_tell() {
        return Ok(survey.report);
    }
    survey.sum_up(&spans, progress).await?;
    let open = survey.compare_sums(&spans);
    let open = survey.compare_topic(open, progress).await?;
    survey.judge_all(&open, progress).await?;
    Ok(survey.report)
}

impl<'a> Survey<'a> {
    pub(super) async fn of(ground: &'a Ground, positions: Positions) -> Result<Self, Fault> {
        let gaps = Gaps::of(ground).await.map_err(|error| unanswered("the reported gaps", &error))?;
        let mute = ground.tables.iter().filter_map(|table| Some((table.name.clone(), table.mute.clone()?)));
        let report = Report {
            stream: ground.stream.name.clone(),
            topic: ground.stream.topic.clone(),
            tables: ground.tables.iter().map(|table| table.name.clone()).collect(),
            mute: mute.collect(),
            ..Report::default()
        };
        let (rows, letters) = (Vec::new(), ByChunk::new());
        Ok(Self { ground, positions, gaps, report, size: audit::CHUNK_MIN, rows, letters })
    }

    /// What is audited of each partition.
    async fn spans(&mut self, only: Option<Partition>, progress: Tell<'_>) -> Result<Spans, Fault> {
        let is_meant = |partition: &Partition| only.is_none_or(|only| only == *partition);
        let needs_lowest = |position: &super::positions::Position| {
            position.said.0.is_none() && position.origin().is_none() && position.committed.is_some()
        };
        let mut lowest = BTreeMap::new();
        if self.positions.partitions.values().any(needs_lowest) {
            lowest = self.lowest(progress).await?;
        }
        let mut spans = Spans::new();
        for (partition, position) in self.positions.partitions.iter().filter(|(p, _)| is_meant(p)) {
            let found = position.committed.map(|committed| {
                let lowest_found = [lowest.get(partition).copied(), self.gaps.lowest(*partition)];
                bounds(&Known {
                    origin: position.origin(),
                    from_earliest: self.ground.settings.kafka.start_from == StartFrom::Earliest,
                    log_start: position.log.from,
                    lowest_found: lowest_found.into_iter().flatten().min(),
                    committed,
                    said: position.said,
                })
            });
            let part = Part { bounds: found, log_start: position.log.from, by_table: BTreeMap::new() };
            self.report.partitions.insert(*partition, part);
            if let Some(Bounds { range, .. }) = found.filter(|found| !found.range.is_empty()) {
                spans.insert(*partition, range);
                let gaps = self.gaps.touching(*partition, range);
                self.report.gaps.extend(gaps.map(|gap| (*partition, gap.range, gap.reason.clone())));
            }
        }
        Ok(spans)
    }

    async fn lowest(&self, progress: Tell<'_>) -> Result<BTreeMap<Partition, Offset>, Fault> {
        let mut lowest = BTreeMap::<Partition, Offset>::new();
        for table in self.ground.tables.iter().filter(|table| table.mute.is_none()) {
            let found = tallies::lowest(self.ground, table, &mut |rows| progress(Progress::Rows(rows))).await;
            for (partition, offset) in found.map_err(|error| unanswered(&table.name, &error))? {
                let lowest = lowest.entry(partition).or_insert(offset);
                *lowest = (*lowest).min(offset);
            }
        }
        Ok(lowest)
    }

    async fn sum_up(&mut self, spans: &Spans, progress: Tell<'_>) -> Result<(), Fault> {
        self.size = chunk_size(spans.values().map(|range| range.len()).sum());
        for table in &self.ground.tables {
            let mut told = |rows| progress(Progress::Rows(rows));
            let rows = match table.mute {
                Some(_) => Ok(ByChunk::new()),
                None => tallies::rows(self.ground, table, (spans, self.size), &mut told).await,
            };
            self.rows.push(rows.map_err(|error| unanswered(&table.name, &error))?);
        }
        let letters = tallies::letters(self.ground, spans, self.size).await;
        self.letters = letters.map_err(|error: QueryError| unanswered("the dead letters", &error))?;
        Ok(())
    }

    /// The chunks whose sums do not show by themselves that each offset is there once; the others are counted.
    fn compare_sums(&mut self, spans: &Spans) -> Vec<Chunk> {
        let mut open = Vec::new();
        for (partition, range) in spans {
            for (number, chunk) in chunks(*range, self.size) {
                if !self.ground.is_dense() || !self.is_whole((*partition, number), chunk) {
                    open.push((*partition, number, chunk));
                }
            }
        }
        open
    }

    fn is_whole(&mut self, (partition, number): (Partition, u64), chunk: Range) -> bool {
        let of = |sums: &ByChunk| sums.get(&(partition, number)).copied().unwrap_or_default();
        let (whole, letters) = (Tally::of(chunk), of(&self.letters));
        let rows: Vec<Tally> = self.rows.iter().map(of).collect();
        let (gaps, gap_count) = self.gaps_in(partition, chunk);
        let is_whole = match rows.as_slice() {
            [only] => only.and(letters).and(gaps) == whole,
            all => letters.and(gaps) == Tally::default() && all.iter().all(|rows| *rows == whole),
        };
        if is_whole {
            for (table, rows) in rows.iter().enumerate() {
                self.count((partition, Some(table)), Fate::Inserted, rows.count);
            }
            self.count((partition, None), Fate::Dead, letters.count);
            self.count((partition, None), Fate::Gap, gap_count);
        }
        is_whole
    }

    fn gaps_in(&self, partition: Partition, chunk: Range) -> (Tally, u64) {
        let mut sum = Tally::default();
        let mut next = chunk.from;
        for gap in self.gaps.touching(partition, chunk) {
            // Reported gaps may overlap.
            let (from, to) = (gap.range.from.max(next), gap.range.to.min(chunk.to));
            if from < to {
                sum = sum.and(Tally::of(Range::new(from, to)));
                next = to;
            }
        }
        (sum, sum.count)
    }

    /// Reads the topic where sums alone say too little; what still does not agree comes back.
    async fn compare_topic(&mut self, open: Vec<Chunk>, progress: Tell<'_>) -> Result<Vec<Piece>, Fault> {
        let mut pieces = Vec::new();
        let (kept, lost): (Vec<Chunk>, Vec<Chunk>) = open.into_iter().partition(|(partition, _, chunk)| {
            let log = self.positions.partitions.get(partition).map(|position| position.log);
            log.is_some_and(|log| log.from <= chunk.from && chunk.to <= log.to)
        });
        pieces.extend(lost.into_iter().map(|(partition, _, chunk)| (partition, chunk)));
        let total = kept.iter().map(|(_, _, chunk)| chunk.len()).sum();
        for round in rounds(kept, self.size) {
            let spans: Spans = round.iter().map(|(partition, (range, _))| (*partition, *range)).collect();
            let mut read = 0;
            let mut told = |messages| {
                read += messages;
                progress(Progress::Messages(messages, total));
            };
            let found = topic::expectation(self.ground, (&spans, self.size), &mut told).await;
            self.report.read += read;
            let expectation = match found {
                Ok(expectation) => expectation,
                Err(ReadError::Deleted(..) | ReadError::Cut(..)) => {
                    // Deleted meanwhile: judged by what there is.
                    let chunks = round
                        .into_iter()
                        .flat_map(|(p, (_, chunks))| chunks.into_iter().map(move |c| (p, c.1)));
                    pieces.extend(chunks);
                    continue;
                }
                Err(error) => return Err(unreadable(&self.ground.stream.topic, &error)),
            };
            for (partition, (_, chunks)) in round {
                for (number, chunk) in chunks {
                    if !self.agrees((partition, number), chunk, &expectation) {
                        pieces.push((partition, chunk));
                    }
                }
            }
        }
        Ok(pieces)
    }

    /// Whether a chunk has what the topic says; if so it is counted.
    fn agrees(&mut self, chunk: (Partition, u64), range: Range, expected: &Expectation) -> bool {
        let of = |sums: &ByChunk| sums.get(&chunk).copied().unwrap_or_default();
        let tables = &self.ground.tables;
        let told = (0..tables.len()).filter(|number| tables[*number].mute.is_none());
        let rows: Vec<(usize, Tally)> = told.map(|number| (number, of(&self.rows[number]))).collect();
        let (letters, kept) = (of(&expected.letters), self.ground.keeps_letters());
        let agrees = rows.iter().all(|(number, rows)| *rows == of(&expected.tables[*number]))
            && (!kept || letters == of(&self.letters))
            && self.gaps.touching(chunk.0, range).next().is_none();
        let messages = expected.messages.get(&chunk).copied().unwrap_or_default();
        if !agrees || (messages < range.len() && self.positions.is_compacted) {
            return false;
        }
        for (number, rows) in rows {
            self.count((chunk.0, Some(number)), Fate::Inserted, rows.count);
        }
        let dead = if kept { Fate::Dead } else { Fate::Unkept };
        self.count((chunk.0, None), dead, letters.count);
        let filtered = expected.filtered.get(&chunk).copied().unwrap_or_default();
        self.count((chunk.0, None), Fate::Filtered, filtered);
        self.count((chunk.0, None), Fate::NoRecord, range.len().saturating_sub(messages));
        true
    }

    /// Judges every record of these ranges.
    async fn judge_all(&mut self, pieces: &[Piece], progress: Tell<'_>) -> Result<(), Fault> {
        let total = pieces.iter().map(|(_, range)| range.len()).sum();
        for portion in portions(pieces) {
            let (outcome, read) = self.judge(&portion, Aside::Nothing).await?;
            self.report.read += read;
            let lost = |partition: &Partition| {
                let of =
                    |((p, _), counts): (&(Partition, _), &audit::Counts)| p == partition && counts.lost() > 0;
                outcome.counts.iter().any(of)
            };
            self.report.missing_in.extend(portion.iter().filter(|(partition, _)| lost(partition)));
            self.add(outcome);
            progress(Progress::Judged(portion.iter().map(|(_, range)| range.len()).sum(), total));
        }
        Ok(())
    }

    /// Judges the records of a few ranges, and sets aside what is missing where that is wanted; says how many messages
    /// were read.
    pub(super) async fn judge(&mut self, portion: &[Piece], aside: Aside) -> Result<(Outcome, u64), Fault> {
        let mut tries = 0;
        loop {
            match self.judge_once(portion, aside).await? {
                Ok(judged) => return Ok(judged),
                Err(ReadError::Deleted(..) | ReadError::Cut(..)) if tries < READS_MAX => {
                    tries += 1;
                    self.positions = positions(self.ground, (None, None)).await?;
                }
                Err(error) => return Err(unreadable(&self.ground.stream.topic, &error)),
            }
        }
    }

    async fn judge_once(
        &self,
        portion: &[Piece],
        aside: Aside,
    ) -> Result<Result<(Outcome, u64), ReadError>, Fault> {
        let Self { ground, positions, .. } = self;
        let contents = Contents::of(ground, portion).await;
        let contents = contents.map_err(|error| unanswered("the rows of single offsets", &error))?;
        let scales = Arc::new(Scales::new(ground, contents, self.gaps.clone(), positions));
        let letters = || SetAside::new(&ground.stream, &ground.settings.revision);
        let mut whole = Outcome { aside: (aside == Aside::Missing).then(letters), ..Outcome::default() };
        let (mut left, mut read): (VecDeque<Piece>, u64) = (portion.to_vec().into(), 0);
        while !left.is_empty() {
            let spans = one_of_each(&mut left);
            let mut judging = Judging::begin(ground, &scales, positions, &spans, whole.aside.take());
            let to_read = judging.to_read();
            let work = move |reader: topic::Reader| {
                reader(&mut |record| judging.take(record))?;
                Ok(judging.end())
            };
            match topic::reading(ground, &to_read, &mut |messages| read += messages, work).await {
                Ok(outcome) => whole.add(outcome),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok((whole, read)))
    }

    fn add(&mut self, outcome: Outcome) {
        for ((partition, table), counts) in outcome.counts {
            if let Some(part) = self.report.partitions.get_mut(&partition) {
                part.by_table.entry(table).or_default().add(&counts);
            }
        }
        for findings in outcome.findings.into_values() {
            self.report.findings.append(findings);
        }
    }

    fn count(&mut self, (partition, table): (Partition, Option<usize>), fate: Fate, records: u64) {
        if let Some(part) = self.report.partitions.get_mut(&partition).filter(|_| records > 0) {
            part.by_table.entry(table).or_default().take(fate, records);
        }
    }
}
