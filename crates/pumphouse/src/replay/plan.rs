//! Looks for letters to claim, a chunk at a time: what each would be now, and what of it is there already. Notes those
//! that need no row; inserts none.

use std::collections::BTreeSet;

use pumphouse_core::moment::ServerTime;
use pumphouse_core::replay::{Answer, Judgement};

use super::filter::{Cursor, Fate, Filter};
use super::judged::{Place, Planned};
use super::letters::{self, Letter, Listed};
use super::lineage::{Judged, Lineage};
use super::log::{How, Outcome, ReplayLog};
use super::parts::taken_apart;
use super::refused::mark_refused;
use super::session::{Ground, Report};
use super::trial::{Candidate, Trial, judgement, places};
use super::trouble::{asked, unwritten};
use crate::fault::Fault;

/// Letters of one entry.
pub const LETTERS_MAX: usize = 10_000;
/// Bytes of their records, keys and headers.
const BYTES_MAX: u64 = 16 << 20;
/// Rows that they may be.
const ROWS_MAX: usize = 100_000;
/// Tries to note what became of letters.
const TRIES_MAX: u32 = 5;

/// Goes through the letters that a filter means, in the order of their names.
pub(super) struct Planner<'a> {
    ground: &'a Ground,
    lineage: Lineage<'a>,
    filter: Filter,
    /// Letters up to here are done with.
    behind: Option<Cursor>,
    /// The end of the chunk that was planned, and what stays of it.
    end: Option<Cursor>,
    chunk: Report,
    pub(super) report: Report,
}

impl<'a> Planner<'a> {
    pub(super) async fn new(ground: &'a Ground, filter: Filter) -> Result<Self, Fault> {
        let Ground { client, stream, targets, .. } = ground;
        let lineage = asked(|| Lineage::of(client, stream, targets)).await?;
        let (stream, topic) = (stream.name.clone(), stream.topic.clone());
        let report = Report { stream: stream.clone(), ..Report::default() };
        // Letters that come while it replays are for the next one: or it might never end.
        let now = asked(|| client.server_time_ms()).await?;
        let until = Some(filter.until.map_or(now, |until| until.min(now)));
        let filter = Filter { stream: Some(stream), topic: Some(topic), fate: Fate::Open, until, ..filter };
        Ok(Self { ground, lineage, filter, behind: None, end: None, chunk: Report::default(), report })
    }

    /// The next letters to claim; none where all are done with. With a time, notes what needs no row.
    pub(super) async fn next(&mut self, note_at: Option<ServerTime>) -> Result<Option<Planned>, Fault> {
        loop {
            let letters = self.chunk().await?;
            if letters.is_empty() {
                return Ok(None);
            }
            let planned = self.judge(letters, note_at).await?;
            if !planned.letters.is_empty() {
                return Ok(Some(planned));
            }
            self.pass();
        }
    }

    /// Goes past the chunk that was planned last.
    pub(super) fn pass(&mut self) {
        self.behind = self.end.take().or(self.behind.take());
        let chunk = std::mem::take(&mut self.chunk);
        self.report.seen += chunk.seen;
        self.report.found += chunk.found;
        self.report.filtered += chunk.filtered;
        for (code, more) in chunk.remaining {
            let remaining = self.report.remaining.entry(code).or_default();
            remaining.letters += more.letters;
            if remaining.reason.is_empty() {
                remaining.reason = more.reason;
            }
        }
    }

    /// The next letters, whole, within the bounds of an entry.
    async fn chunk(&self) -> Result<Vec<Letter>, Fault> {
        let Ground { client, stream, letters_max, .. } = self.ground;
        let letters_max = (*letters_max).clamp(1, LETTERS_MAX);
        let (filter, behind) = (&self.filter, self.behind.as_ref());
        let listed = asked(|| letters::page(client, filter, behind, letters_max)).await?;
        let mut names: Vec<_> = listed.iter().map(|Listed { name, time_ms, .. }| (name, *time_ms)).collect();
        let of = (stream.name.as_str(), stream.topic.as_str());
        let fitting = asked(|| letters::fitting(client, of, &names, BYTES_MAX)).await?;
        names.truncate(fitting);
        asked(|| letters::whole(client, of, &names)).await
    }

    async fn judge(&mut self, letters: Vec<Letter>, note_at: Option<ServerTime>) -> Result<Planned, Fault> {
        let Ground { settings, stream, .. } = self.ground;
        let trial = Trial { stream, revision: &settings.revision };
        let doubtful: Vec<&Letter> = letters.iter().filter(|letter| trial.may_be_part(letter)).collect();
        let apart = asked(|| taken_apart(&self.lineage, &doubtful)).await?;
        let judged = trial.judge(&letters, &apart, ROWS_MAX);
        let origins = letters.iter().map(|letter| (letter.name.partition, letter.name.offset, 0));
        let mut judged: Vec<_> = origins.zip(judged).collect();
        asked_marks(&self.lineage, &mut judged).await?;
        let (origins, mut candidates): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
        let known = mark_refused(self.ground, &trial, &letters, &mut candidates).await;
        let judged: Vec<Judged> = origins.into_iter().zip(candidates).take(known).collect();
        self.end = letters.get(judged.len() - 1).map(|letter| letter.name.cursor());
        self.chunk = Report { seen: judged.len() as u64, ..Report::default() };
        let mut planned = Planned::default();
        let mut noted: Vec<(Letter, How)> = Vec::new();
        let mut taken = Taken::default();
        let mut later = 0;
        for (letter, (_, candidates)) in letters.into_iter().zip(judged) {
            match judgement(&candidates) {
                Judgement::Claim if !taken.take(&letter, &candidates) => later += 1,
                Judgement::Claim => planned.letters.push((letter, places(&candidates))),
                Judgement::Bad => self.stays(&candidates),
                Judgement::Found => noted.push((letter, How::Found)),
                Judgement::Filtered => noted.push((letter, How::Filtered)),
            }
        }
        self.chunk.found = noted.iter().filter(|(_, how)| *how == How::Found).count() as u64;
        self.chunk.filtered = noted.len() as u64 - self.chunk.found;
        match note_at {
            // Only said: they will be found once the others are rows.
            None => self.chunk.found += later,
            Some(_) if later > 0 => self.stop_before_the_rest(&planned, noted.len()),
            Some(_) => {}
        }
        if let (Some(now), false) = (note_at, noted.is_empty()) {
            self.note(&noted, now).await?;
        }
        Ok(planned)
    }

    /// Some letters wait for others of this chunk: it is looked at once more, and what stays of it counted then.
    fn stop_before_the_rest(&mut self, planned: &Planned, noted: usize) {
        self.end = None;
        self.chunk.seen = (planned.letters.len() + noted) as u64;
        self.chunk.remaining.clear();
    }

    fn stays(&mut self, candidates: &[Candidate]) {
        let Some((code, reason)) = candidates.iter().find_map(|candidate| candidate.reject.clone()) else {
            return;
        };
        let remaining = self.chunk.remaining.entry(code).or_default();
        remaining.letters += 1;
        if remaining.reason.is_empty() {
            remaining.reason = reason;
        }
    }

    /// Notes what became of letters that need no row. Said twice it says the same.
    async fn note(&mut self, noted: &[(Letter, How)], now: ServerTime) -> Result<(), Fault> {
        let Ground { settings, client, stream, .. } = self.ground;
        let log = ReplayLog {
            client,
            stream: &stream.name,
            revision: &settings.revision,
            insert_timeout: settings.clickhouse.insert_timeout,
        };
        let outcomes: Vec<Outcome<'_>> = noted
            .iter()
            .map(|(letter, how)| Outcome { name: &letter.name, time_ms: letter.time_ms, how: *how })
            .collect();
        note(&log, &stream.topic, &outcomes, now).await?;
        // They are counted now: another look at this chunk does not meet them again.
        let counted = Report {
            seen: noted.len() as u64,
            found: std::mem::take(&mut self.chunk.found),
            filtered: std::mem::take(&mut self.chunk.filtered),
            ..Report::default()
        };
        self.chunk.seen -= counted.seen;
        self.report.seen += counted.seen;
        self.report.found += counted.found;
        self.report.filtered += counted.filtered;
        Ok(())
    }
}

/// The rows that an entry makes. Two letters may stand for the same one: its record was read again under another
/// configuration and was bad in another way, as a whole the one time and for a table the other.
#[derive(Default)]
struct Taken(BTreeSet<(u32, u64, Place)>);

impl Taken {
    /// Takes the rows of a letter, unless one of them is taken.
    fn take(&mut self, letter: &Letter, candidates: &[Candidate]) -> bool {
        let rows = places(candidates).into_iter().filter(|place| place.is_row);
        let rows: Vec<_> = rows.map(|place| (letter.name.partition, letter.name.offset, place)).collect();
        let is_free = !rows.iter().any(|row| self.0.contains(row));
        if is_free {
            self.0.extend(rows);
        }
        is_free
    }
}

/// Notes outcomes that no entry stands behind, trying again while that helps.
pub(super) async fn note(
    log: &ReplayLog<'_>,
    topic: &str,
    outcomes: &[Outcome<'_>],
    now: ServerTime,
) -> Result<(), Fault> {
    let token = format!("ph1n:{}/{:032x}", log.stream, fastrand::u128(..));
    for attempt in 1.. {
        match log.resolve(topic, outcomes, &token, now).await {
            Answer::Done => break,
            answer if attempt == TRIES_MAX => return Err(unwritten(log.stream, answer)),
            Answer::Unknown | Answer::Refused(_) => {
                tokio::time::sleep(pumphouse_core::verdict::pause_in_doubt(attempt, 0)).await;
            }
        }
    }
    Ok(())
}

async fn asked_marks(lineage: &Lineage<'_>, judged: &mut [Judged]) -> Result<(), Fault> {
    for attempt in 1.. {
        match lineage.mark_found(judged).await {
            Ok(()) => break,
            Err(error) => super::trouble::again(&error, attempt).await?,
        }
    }
    Ok(())
}
