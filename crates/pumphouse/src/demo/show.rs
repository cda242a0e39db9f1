//! What happens when: events flow, the worker is killed and started again, no more events, the worker finishes and
//! ends, everything is counted. Decides nothing about a single record.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use pumphouse_clickhouse::client::{Client, QueryError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, interval, sleep};

use super::configuration::GROUP;
use super::count::Count;
use super::feed::Feed;
use super::findings::{self, Figures};
use super::producer::Tally;
use super::schedule::Schedule;
use super::screen::Screen;
use super::stage::Stage;
use super::view::{CURVE_SECONDS, Phase, Snapshot, Worker as State, grouped};
use super::{Error, Wishes, broken};

/// How often the view is drawn and the worker looked after.
const TICK: Duration = Duration::from_millis(100);
/// How long the figures rest before they are asked for again.
const FIGURES_REST: Duration = Duration::from_millis(500);
/// How long a killed worker stays dead.
const DEAD_FOR: Duration = Duration::from_millis(500);
/// How long the worker may take for what is left when no more events come.
const DRAIN_TIMEOUT: Duration = Duration::from_mins(1);
/// How long it may take to end when asked: its own limit and some.
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// How long ClickHouse may leave the figures unanswered.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A running demo.
pub struct Show<'a> {
    stage: &'a mut Stage,
    wishes: Wishes,
    schedule: Schedule,
    screen: Screen,
    snapshot: Snapshot,
    begun: Instant,
    feed: Option<Feed>,
    tick: Interval,
    interrupts: Interrupts,
    asking: Asking,
    answered_at: Instant,
    /// When a killed worker is started again.
    start_at: Option<Instant>,
    killed_at: Option<Duration>,
    /// Rows at the first look after the worker was started.
    rows_before: Option<u64>,
    /// Events and rows at the last full second.
    at_last_second: (u64, u64),
    seconds_closed: u64,
    /// Claimed batches that were found after the kills so far.
    found_claimed: usize,
}

type Asking = Pin<Box<dyn Future<Output = Result<Figures, QueryError>>>>;

impl<'a> Show<'a> {
    /// Starts the worker and the events.
    ///
    /// # Errors
    /// When either does not start.
    pub fn begin(stage: &'a mut Stage, wishes: Wishes, screen: Screen) -> Result<Self, Error> {
        let pid = stage.worker.start()?;
        let feed = Feed::start(&stage.kafka, GROUP, wishes.generator, wishes.rate)
            .map_err(|error| broken(error.to_string()))?;
        let url = stage.url().to_owned();
        let mut show = Self {
            schedule: Schedule::new(wishes.run_for),
            snapshot: Snapshot {
                run_for: wishes.run_for,
                command: findings::command_to_try(&url),
                url,
                worker: State::Starting { pid },
                ..Snapshot::default()
            },
            screen,
            wishes,
            begun: Instant::now(),
            feed: Some(feed),
            tick: interval(TICK),
            interrupts: Interrupts::listen()?,
            asking: ask(stage.client.clone()),
            answered_at: Instant::now(),
            start_at: None,
            killed_at: None,
            rows_before: Some(0),
            at_last_second: (0, 0),
            seconds_closed: 0,
            found_claimed: 0,
            stage,
        };
        let (rate, partitions) = (grouped(wishes.rate.into()), show.stage.kafka.partitions());
        show.tell(format!("{rate} events/s begin, over {partitions} partitions; worker {pid} starts"));
        Ok(show)
    }

    /// Shows everything to its end and counts.
    ///
    /// # Errors
    /// When something fails that makes a count impossible.
    pub async fn count(mut self) -> Result<Count, Error> {
        while !self.moment().await? && !self.schedule.is_over(self.begun.elapsed()) {
            self.kill_if_due()?;
        }
        let tally = self.stop_feed()?;
        let not_drained = self.drain(&tally).await?;
        let not_ended = self.end_worker().await?;
        self.snapshot.phase = Phase::Counting;
        self.screen.show(&self.snapshot);
        let found = findings::findings(&self.stage.client).await;
        let found = found.map_err(|error| broken(format!("ClickHouse did not answer the count: {error}")))?;
        let mut count = Count::new(&tally, &found, self.wishes.generator, self.snapshot.kills);
        count.found_claimed = self.stage.worker.found_claimed();
        self.name_examples(&mut count).await;
        not_drained.into_iter().chain(not_ended).for_each(|mistake| count.fail(mistake));
        Ok(count)
    }

    /// Adds some of the offsets that are wrong: ClickHouse is gone when somebody wants to look.
    async fn name_examples(&self, count: &mut Count) {
        let wrong: Vec<_> =
            count.partitions.iter().filter(|one| one.doubled + one.missing > 0).copied().collect();
        for one in wrong {
            let asked = findings::examples(&self.stage.client, one.partition, one.produced).await;
            for (what, offsets) in ["more than once", "nowhere"].into_iter().zip(asked.unwrap_or_default()) {
                if !offsets.is_empty() {
                    count.fail(format!(
                        "partition {}, {what}: for example the offsets {offsets:?}",
                        one.partition
                    ));
                }
            }
        }
    }

    /// Lets one tick pass and shows what is new; whether somebody asked to end.
    async fn moment(&mut self) -> Result<bool, Error> {
        let interrupted = tokio::select! {
            _ = self.tick.tick() => false,
            figures = &mut self.asking => {
                self.take_in(figures)?;
                self.asking = ask(self.stage.client.clone());
                false
            }
            () = self.interrupts.next() => true,
        };
        self.look_after_worker()?;
        self.look_after_feed()?;
        self.snapshot.elapsed = self.begun.elapsed();
        self.close_second();
        self.screen.show(&self.snapshot);
        Ok(interrupted || self.screen.asks_to_end())
    }

    fn take_in(&mut self, figures: Result<Figures, QueryError>) -> Result<(), Error> {
        let figures = match figures {
            Ok(figures) => figures,
            Err(error) if self.answered_at.elapsed() > SILENCE_MAX => {
                return Err(broken(format!("ClickHouse does not answer: {error}")).into());
            }
            Err(_) => return Ok(()),
        };
        self.answered_at = Instant::now();
        let milliseconds =
            |value: Option<f64>| value.map(|value| Duration::from_secs_f64(value.max(0.0) / 1000.0));
        self.snapshot.rows = figures.rows;
        self.snapshot.dead_letters = figures.dead_letters;
        self.snapshot.batches = figures.batches;
        self.snapshot.parts = figures.parts;
        self.snapshot.freshness_p50 = milliseconds(figures.freshness_p50);
        self.snapshot.freshness_p99 = milliseconds(figures.freshness_p99);
        self.notice_rows();
        Ok(())
    }

    /// Rows that arrive after a start show that the worker works.
    fn notice_rows(&mut self) {
        let (State::Starting { pid } | State::Restarting { pid }) = self.snapshot.worker else { return };
        let rows = self.snapshot.rows;
        if *self.rows_before.get_or_insert(rows) == rows {
            return;
        }
        let now = self.begun.elapsed();
        let happened = match self.killed_at {
            Some(killed_at) => {
                let seconds = now.saturating_sub(killed_at).as_secs_f64();
                let found_claimed = self.stage.worker.found_claimed();
                let found = found_claimed - std::mem::replace(&mut self.found_claimed, found_claimed);
                format!("rows flow again, {seconds:.1} s after the kill; batches found claimed: {found}")
            }
            None => "the first rows are in ClickHouse".to_owned(),
        };
        self.tell(happened);
        self.snapshot.worker = State::Running { pid };
    }

    fn look_after_worker(&mut self) -> Result<(), Error> {
        if let Some(status) = self.stage.worker.ended()?
            && self.start_at.is_none()
        {
            let last = self.stage.worker.last_words();
            return Err(
                broken(format!("the worker ended by itself with {status}; its last words: {last}")).into()
            );
        }
        if self.start_at.is_some_and(|start_at| Instant::now() >= start_at) {
            self.start_at = None;
            self.rows_before = None;
            let pid = self.stage.worker.start()?;
            self.snapshot.worker = State::Restarting { pid };
            self.tell(format!("worker {pid} starts, and waits for the dead one's session to end"));
        }
        Ok(())
    }

    fn kill_if_due(&mut self) -> Result<(), Error> {
        let now = self.begun.elapsed();
        // A worker that has not taken over yet has nothing in its hands that a kill could spoil.
        let is_at_work = matches!(self.snapshot.worker, State::Running { .. });
        if is_at_work && self.schedule.is_kill_due(now, self.snapshot.kills) {
            self.stage.worker.kill()?;
            self.snapshot.kills += 1;
            self.snapshot.worker = State::Killed;
            self.killed_at = Some(now);
            self.start_at = Some(Instant::now() + DEAD_FOR);
            self.tell("the worker is killed with -9, in the middle of whatever it does".to_owned());
        }
        Ok(())
    }

    fn look_after_feed(&mut self) -> Result<(), Error> {
        let Some(feed) = &self.feed else { return Ok(()) };
        if feed.has_ended() {
            return self.stop_feed().map(drop);
        }
        let progress = feed.progress();
        self.snapshot.produced = progress.produced;
        self.snapshot.lag = progress.lag;
        self.snapshot.is_held = progress.is_held;
        Ok(())
    }

    fn stop_feed(&mut self) -> Result<Tally, Error> {
        let Some(feed) = self.feed.take() else { return Ok(Tally::default()) };
        let tally = feed.stop().map_err(|error| broken(error.to_string()))?;
        self.snapshot.phase = Phase::Draining;
        self.snapshot.is_held = false;
        self.snapshot.produced = tally.events;
        self.tell(format!("no more events; {} are produced", grouped(tally.events)));
        Ok(tally)
    }

    /// Waits until the group has committed everything; what is left after the time limit is a mistake.
    async fn drain(&mut self, tally: &Tally) -> Result<Option<String>, Error> {
        let asked = |error: super::mock_kafka::MockKafkaError| broken(error.to_string());
        let offsets = self.stage.kafka.offsets(GROUP).map_err(asked)?;
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        loop {
            let committed = offsets.committed().map_err(asked)?;
            let left = |(partition, sent): (&u32, &super::producer::PartitionTally)| {
                sent.events.saturating_sub(committed.get(partition).copied().unwrap_or(0))
            };
            self.snapshot.lag = tally.by_partition.iter().map(left).sum();
            if self.snapshot.lag == 0 {
                self.tell("every offset is committed".to_owned());
                return Ok(None);
            }
            if Instant::now() > deadline {
                let (lag, seconds) = (grouped(self.snapshot.lag), DRAIN_TIMEOUT.as_secs());
                return Ok(Some(format!("{lag} events were not committed within {seconds} s")));
            }
            if self.moment().await? {
                return Err(broken("it was ended before the count").into());
            }
        }
    }

    /// Asks the worker to end; anything but an orderly end is a mistake.
    async fn end_worker(&mut self) -> Result<Option<String>, Error> {
        if self.start_at.take().is_some() {
            return Ok(None);
        }
        self.stage.worker.ask_to_end()?;
        let deadline = Instant::now() + END_TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.stage.worker.ended()? {
                self.snapshot.worker = State::Ended;
                let words = || format!("the worker, asked to end, ended with {status}");
                return Ok((!status.success()).then(words));
            }
            self.tick.tick().await;
            self.snapshot.elapsed = self.begun.elapsed();
            self.screen.show(&self.snapshot);
        }
        self.stage.worker.kill()?;
        Ok(Some(format!("the worker did not end within {} s of being asked", END_TIMEOUT.as_secs())))
    }

    /// Adds a point to the curves when a second is full.
    fn close_second(&mut self) {
        let full = self.snapshot.elapsed.as_secs();
        if self.seconds_closed >= full {
            return;
        }
        self.seconds_closed = full;
        let (produced, rows) = (self.snapshot.produced, self.snapshot.rows);
        let (produced_before, rows_before) = std::mem::replace(&mut self.at_last_second, (produced, rows));
        push(&mut self.snapshot.produced_each_second, produced.saturating_sub(produced_before));
        push(&mut self.snapshot.rows_each_second, rows.saturating_sub(rows_before));
    }

    fn tell(&mut self, what: String) {
        self.snapshot.happenings.push((self.begun.elapsed(), what));
    }
}

fn push(curve: &mut Vec<u64>, value: u64) {
    if curve.len() == CURVE_SECONDS {
        curve.remove(0);
    }
    curve.push(value);
}

fn ask(client: Client) -> Asking {
    Box::pin(async move {
        sleep(FIGURES_REST).await;
        findings::figures(&client).await
    })
}

/// Ctrl-C and SIGTERM, which end the demo in order from here on.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|error| broken(format!("can't hear signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}
