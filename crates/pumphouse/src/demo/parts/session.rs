//! One of the two on the feed, from its start to its end: the writers that give up, or `pumphouse run`. Knows how they are
//! started and ended; what the feed is and what has to hold is for the incident to say.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::super::incident::Failure;
use super::super::incident::stage::{DATABASE, GROUP_PREFIX, Stage, wait_for};
use super::feed::{Feed, Schedule, Tape, play};
use super::naive::{Habit, Signals, Tally, write};
use super::told::{Outcome, Phases};
use super::watch::{Watched, freshness, recovered_after, watch};

/// After the rate has fallen it has recovered when no message is older than it was before, times this.
const RECOVERED_FACTOR: u64 = 2;
const ASSIGNED_WITHIN: Duration = Duration::from_mins(1);
const END_WITHIN: Duration = Duration::from_mins(2);
/// How long pumphouse may take for what is left when the feed is over.
const DRAIN_WITHIN: Duration = Duration::from_mins(3);
/// How often a step is told.
const TOLD_EVERY: u64 = 5;

/// How long an incident takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As it is shown to people.
    Whole,
    /// Half of that: everything happens, but there is little time to recover.
    Half,
}

impl Length {
    /// So many seconds of the whole.
    #[must_use]
    pub fn of(self, seconds: u64) -> Duration {
        match self {
            Self::Whole => Duration::from_secs(seconds),
            Self::Half => Duration::from_millis(seconds * 500),
        }
    }
}

/// What is written where.
#[derive(Clone, Debug)]
pub struct Plot {
    /// pumphouse's stream, the table, and the end of the topics' names.
    pub name: &'static str,
    /// Kafka's partitions.
    pub partitions: u32,
    /// When.
    pub schedule: Schedule,
    /// How the writer that gives up writes.
    pub habit: Habit,
    /// How long that one may go on.
    pub naive_within: Duration,
    /// Further words for `pumphouse run`.
    pub run_with: &'static [&'static str],
}

impl Plot {
    /// The topic that the naive writer reads.
    #[must_use]
    pub fn naive_topic(&self) -> String {
        format!("naive.{}", self.name)
    }

    /// The topic that pumphouse reads.
    #[must_use]
    pub fn topic(&self) -> String {
        format!("app.{}", self.name)
    }
}

/// Lets the naive writer have the feed.
///
/// # Errors
/// When a server does not answer.
pub fn naive(
    (stage, plot): (&Stage, &Plot),
    feed: &mut dyn Feed,
    table: &str,
    stall: &mut Stall,
    say: &mut dyn FnMut(&str),
) -> Result<(Vec<Tally>, Watched), Failure> {
    let mut due = TOLD_EVERY;
    let (topic, signals, started) = (plot.naive_topic(), Signals::default(), Instant::now());
    let full_name = stall.table.clone();
    thread::scope(|scope| {
        let _stops = Stops(&signals.stop);
        let feeder = scope
            .spawn(|| play(stage, (&topic, plot.partitions), feed, (&plot.schedule, started), &signals.stop));
        let task = |partition| {
            let (topic, signals, full_name) = (&topic, &signals, &full_name);
            scope.spawn(move || write(stage, (topic, partition), full_name, plot.habit, signals))
        };
        let tasks: Vec<_> = (0..plot.partitions).map(task).collect();
        let watched = watch(stage, table, ("naive", &topic, plot.partitions), started, |watched| {
            stall.turn(stage, started.elapsed(), say)?;
            signals.feed_is_over.store(feeder.is_finished(), Ordering::Relaxed);
            tell(watched, &mut due, say);
            let over =
                started.elapsed() > plot.naive_within || tasks.iter().all(ScopedJoinHandle::is_finished);
            Ok(!over)
        })?;
        signals.stop.store(true, Ordering::Relaxed);
        feeder.join().expect("the feeder does not panic")?;
        let tallies = tasks.into_iter().map(|task| task.join().expect("a task does not panic"));
        Ok((tallies.collect::<Result<_, _>>()?, watched))
    })
}

/// What there is to tell of pumphouse.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The feed.
    pub tape: Tape,
    /// The table and the group.
    pub watched: Watched,
    /// What its log says of the valve.
    pub valve: Vec<String>,
}

/// Lets pumphouse have the feed.
///
/// # Errors
/// When a server does not answer, or pumphouse does not take part or does not come to the end.
pub fn pumphouse(
    (stage, plot): (&Stage, &Plot),
    feed: &mut dyn Feed,
    config: &Path,
    stall: &mut Stall,
    say: &mut dyn FnMut(&str),
) -> Result<Ran, Failure> {
    let mut worker = stage.worker(config).with(plot.run_with);
    worker.start()?;
    let assigned = || Ok(worker.has_said("partitions assigned").then_some(()));
    wait_for("pumphouse's assignment", ASSIGNED_WITHIN, assigned, || worker.last_words())?;
    let (topic, stop, started) = (plot.topic(), AtomicBool::new(false), Instant::now());
    let mut due = TOLD_EVERY;
    let group = format!("{GROUP_PREFIX}{}", plot.name);
    let (tape, watched) = thread::scope(|scope| {
        let _stops = Stops(&stop);
        let feeder =
            scope.spawn(|| play(stage, (&topic, plot.partitions), feed, (&plot.schedule, started), &stop));
        let watched = watch(stage, plot.name, (&group, &topic, plot.partitions), started, |watched| {
            stall.turn(stage, started.elapsed(), say)?;
            tell(watched, &mut due, say);
            if !feeder.is_finished() {
                return Ok(true);
            }
            let passed = watched.offsets.last().map_or(0, |(_, offsets)| offsets.iter().sum());
            let all = plot.schedule.due(plot.schedule.lasts());
            Ok(passed < all && started.elapsed() < plot.schedule.lasts() + DRAIN_WITHIN)
        });
        let watched = watched.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        Ok::<_, Failure>((feeder.join().expect("the feeder does not panic")?, watched))
    })?;
    worker.ask_to_end()?;
    wait_for("pumphouse's end", END_WITHIN, || Ok(worker.ended()?), || "it still runs".to_owned())?;
    let valve = worker.lines_with(" valve ").iter().map(|line| turned(line)).collect();
    Ok(Ran { tape, watched, valve })
}

/// What the table got: every row of a part that an insert made: what was refused made none, and what was left out as known neither.
///
/// # Errors
/// When the server does not answer.
pub fn outcome(stage: &Stage, name: &str, read: u64, watched: &Watched) -> Result<Outcome, Failure> {
    stage.query("SYSTEM FLUSH LOGS")?;
    let written = stage.number(&format!(
        "SELECT sum(rows) FROM system.part_log WHERE event_type = 'NewPart' AND error = 0 \
         AND database = '{DATABASE}' AND `table` = '{name}'"
    ))?;
    let (fullest, total) = watched.most();
    let last = watched.looks.last().copied().unwrap_or_default();
    let missing = read.saturating_sub(written);
    Ok(Outcome { read, written, lost: missing, refused: last.refused, delayed: last.delayed, fullest, total })
}

/// The freshness before the second leg of a schedule, from there to the `calm` one, and after that.
#[must_use]
pub fn phases(schedule: &Schedule, calm: usize, ages: &[(Duration, Option<Duration>)]) -> Phases {
    let [peak, calm] = [schedule.begins(1), schedule.begins(calm)];
    let before = freshness(ages, Duration::ZERO, peak);
    let bound = before.map(|before| Duration::from_millis(before.p99 * RECOVERED_FACTOR));
    let recovered = bound.and_then(|bound| recovered_after(ages, calm, bound));
    Phases {
        before,
        during: freshness(ages, peak, calm),
        after: recovered.and_then(|after| freshness(ages, calm + after, schedule.lasts())),
        recovered_after: recovered.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// A line of the log, without what is the same in all of them.
fn turned(line: &str) -> String {
    let line = line.replace("  INFO ", " ").replace("  WARN ", " ");
    let words = line.split_whitespace().skip(1).filter(|word| !word.starts_with("stream="));
    words.collect::<Vec<_>>().join(" ").chars().take(150).collect()
}

/// Whatever happens, nobody goes on writing.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tells the parts now and then; `due` is when next.
fn tell(watched: &Watched, due: &mut u64, say: &mut dyn FnMut(&str)) {
    let Some(look) = watched.looks.last().filter(|look| look.second >= *due) else { return };
    *due = look.second + TOLD_EVERY;
    say(&format!(
        "{:>3} s: {} parts, {} in the fullest partition, {} inserts refused",
        look.second, look.total, look.fullest, look.refused
    ));
}

/// Merges of a table that stand still for a while.
#[derive(Clone, Debug)]
pub struct Stall {
    /// `database.table`.
    pub table: String,
    /// From when to when.
    pub within: std::ops::Range<Duration>,
    /// Whether they stand still now.
    pub is_on: bool,
}

impl Stall {
    /// Stops or starts the merges when that is due.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn turn(&mut self, stage: &Stage, now: Duration, say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let due = self.within.contains(&now);
        if due != self.is_on {
            let word = if due { "STOP" } else { "START" };
            stage.query(&format!("SYSTEM {word} MERGES {}", self.table))?;
            say(if due { "merges stand still" } else { "merges go on" });
            self.is_on = due;
        }
        Ok(())
    }
}
