//! One lane's thread: polls its membership, feeds the pump with facts, carries out its orders.
//!
//! Everything that Kafka requires to happen in order (poll, assignment, commits) happens on this thread; what
//! takes long (inserts, reading a claim again, asking Kafka what is stored) happens elsewhere and comes back
//! as an [`Answer`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::{self, Thread};
use std::time::Duration;

use pumphouse_core::batch::Filled;
use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::Time;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, CommitId, Input, Pump, TableId};
use pumphouse_core::valve::{Opening, Pressure};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::clock::Clock;
use super::commits::judge_commit;
use super::gaps::Ends;
use super::isolate::Refused;
use super::patience::Patience;
use super::report::LaneReport;
use super::valve::turned_by;
use super::{crash, faults, ready};
use crate::config::settings::{Settings, Stream};
use crate::decode::{OpenBatch, Sealed};
use crate::fault::{Code, Fault};
use crate::sink::insert::Sink;
use crate::sink::isolate::Found;
use crate::sink::payload::Payload;
use crate::source::kafka::membership::{Event, Membership};
use crate::telemetry::{FullestTable, event};

/// Longest sleep while nothing happens; every event wakes the thread earlier.
const IDLE_PAUSE_MAX: Duration = Duration::from_millis(100);
/// How often lag and memory are noted.
const STANDING_EVERY: Duration = Duration::from_millis(500);
/// How often the same failure of Kafka's client is logged.
const SAME_FAILURE_EVERY: Duration = Duration::from_secs(10);
/// How long an offset commit may stay unanswered before the membership ends.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers that may wait for a lane. In use are a handful: one question to Kafka, one read, one insert per table,
/// one order to drain, and what an earlier membership still has under way. Where it is full the sender waits;
/// that is never the lane's own thread, which alone takes them out and sends itself nothing.
pub(super) const ANSWERS_MAX: usize = 256;

/// An answer and the membership it belongs to.
pub type Numbered = (u64, Answer);

/// What a lane shares with the process.
pub struct Shared {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The stream.
    pub stream: Stream,
    /// The way into ClickHouse.
    pub sink: Arc<Sink>,
    /// The clocks.
    pub clock: Arc<Clock>,
    /// Where what takes long is run.
    pub runtime: tokio::runtime::Handle,
    /// Properties of a member of the group.
    pub member: ClientConfig,
    /// Properties of a reader beside it.
    pub reader: ClientConfig,
    /// The stream's table that comes nearest to a limit of parts.
    pub fullest: Arc<FullestTable>,
    /// How long a claimed batch may take to land once its partitions are asked back.
    pub revoke_wait: Duration,
}

impl Shared {
    /// What was sealed, on its way to the stream's targets.
    pub(super) fn payload(&self, sealed: Sealed, times: Vec<(i64, u64)>) -> Payload {
        let compression = ready::compression(self.settings.clickhouse.compression);
        Payload::new(sealed, times, compression, &self.stream.dead_letters).partitioned_by(&self.sink.targets)
    }
}

/// What comes back to the lane's thread.
pub enum Answer {
    /// A fact about something the pump ordered.
    Fact(Input),
    /// What Kafka holds for newly assigned partitions.
    Assigned(BTreeMap<Partition, Stored>),
    /// The ends of the logs where fetching failed.
    Ends(Ends),
    /// A claimed batch, built again, and what retention deleted of it.
    Rebuilt(Box<Claim>, Arc<Payload>, Filled, BTreeMap<Partition, Range>),
    /// What was found of the rows that a table refuses.
    Isolated(BatchId, TableId, Box<Found>),
    /// What servers say of the tables' parts; nothing where that is not known.
    Pressure(Vec<Pressure>),
    /// What was to answer panicked.
    Broken,
    /// The process wants the lane to settle what is open and leave until then.
    Drain(Time),
}

/// Sends answers to a lane and wakes it.
#[derive(Clone)]
pub struct Mailbox {
    /// Answers of an earlier membership are dropped.
    pub(super) epoch: u64,
    pub(super) sender: SyncSender<Numbered>,
    pub(super) thread: Thread,
    /// Set when the answer is no longer wanted.
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Mailbox {
    /// Delivers an answer. Not to be called on the lane's own thread: it may wait for that.
    pub fn send(&self, answer: Answer) {
        // A lane that has ended needs no answers.
        let _ = self.sender.send((self.epoch, answer));
        self.thread.unpark();
    }

    /// Delivers what a lane may do without, whatever its membership, and never waits.
    pub(super) fn offer(&self, answer: Answer) {
        let _ = self.sender.try_send((self.epoch, answer));
        self.thread.unpark();
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// What a partition's queue held instead of records.
pub(super) struct FetchFailed {
    pub(super) partition: Partition,
    pub(super) at: Offset,
    pub(super) error: RDKafkaRespErr,
    pub(super) text: String,
}

/// How a lane ended.
#[derive(Debug)]
pub enum End {
    /// It left the group with nothing open, or at the end of its time.
    Left,
    /// A person is needed.
    Halted(Box<Fault>),
    /// A fault of this program: something panicked.
    Broken,
}

/// A membership that is being left, which takes as long as the broker takes to answer.
#[must_use]
pub struct Leaving(thread::JoinHandle<()>);

impl Leaving {
    /// Waits until the membership is left.
    pub fn wait(self) {
        if self.0.join().is_err() {
            tracing::error!("the consumer could not be closed");
        }
    }
}

/// Tells the lane when the work that owes it an answer panics: a lane must not wait for ever.
pub(super) struct OwedAnswer(pub(super) Mailbox);

impl Drop for OwedAnswer {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.send(Answer::Broken);
        }
    }
}

/// One lane.
pub struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) pump: Pump,
    pub(super) membership: Membership,
    pub(super) owned: BTreeSet<Partition>,
    pub(super) open: OpenBatch,
    pub(super) times: Vec<(i64, u64)>,
    pub(super) payloads: BTreeMap<BatchId, Arc<Payload>>,
    pub(super) refused: Arc<Refused>,
    pub(super) commit: Option<(CommitId, Time)>,
    pub(super) mailbox: Mailbox,
    pub(super) report: Arc<LaneReport>,
    pub(super) end: Option<End>,
    pub(super) fetch_failed: Option<FetchFailed>,
    /// Where records could not be read, and how many times in a row.
    pub(super) unreadable: Option<(Partition, Offset, u32)>,
    /// Partitions whose queue held a failure: nothing is taken from them until the lane has joined again.
    pub(super) distrusted: BTreeSet<Partition>,
    /// The partition that the next turn begins with.
    pub(super) first_taken: Partition,
    /// The group asked us to take an assignment without partitions.
    pub(super) nothing_assigned: bool,
    /// How far the valve was open when it was told last.
    pub(super) opening: Opening,
    /// How long the group is waited for.
    pub(super) patience: Patience,
    /// Memberships of this lane that are being left.
    pub(super) leaving: Vec<thread::JoinHandle<()>>,
    last_failure: (Option<RDKafkaErrorCode>, Time),
    standing_due: Time,
    answers: Receiver<Numbered>,
}

impl Lane {
    /// Joins the group. To be called on the lane's own thread.
    ///
    /// # Errors
    /// PH-0013 where Kafka's client can't be made, PH-0001 where the columns can't be decoded into.
    pub fn join(
        shared: Arc<Shared>,
        pump: Pump,
        report: Arc<LaneReport>,
        (sender, answers): (SyncSender<Numbered>, Receiver<Numbered>),
    ) -> Result<Self, Fault> {
        let open = OpenBatch::new(&shared.stream, &shared.settings.revision)
            .map_err(|error| faults::columns(&shared.stream, &error))?;
        let membership = Membership::join(&shared.member, &shared.stream.topic)
            .map_err(|error| faults::client(&shared.stream, &error))?;
        let cancelled = Arc::default();
        let mailbox = Mailbox { epoch: 1, sender, thread: thread::current(), cancelled };
        let opening = pump.opening();
        report.opening(opening);
        let mut lane = Self {
            shared,
            pump,
            membership,
            owned: BTreeSet::new(),
            open,
            times: Vec::new(),
            payloads: BTreeMap::new(),
            refused: Arc::default(),
            commit: None,
            mailbox,
            report,
            end: None,
            fetch_failed: None,
            unreadable: None,
            distrusted: BTreeSet::new(),
            first_taken: Partition(0),
            nothing_assigned: false,
            opening,
            patience: Patience::default(),
            leaving: Vec::new(),
            last_failure: (None, Time::default()),
            standing_due: Time::default(),
            answers,
        };
        lane.await_group();
        Ok(lane)
    }

    /// Runs until the lane leaves or halts; the membership is still being left when this returns.
    pub fn run(mut self) -> (End, Leaving) {
        loop {
            let mut busy = self.take_group_events();
            busy |= self.take_commit_answer();
            busy |= self.take_answers();
            busy |= self.take_records();
            self.heed_fetch_failure();
            self.tick_when_due();
            self.heed_silence();
            if let Some(end) = self.end.take() {
                return (end, self.leave());
            }
            if !busy {
                thread::park_timeout(self.pause());
            }
        }
    }

    /// Feeds one fact and carries out what follows.
    pub(super) fn step(&mut self, input: Input) {
        let by = turned_by(&input);
        let effects = self.pump.step(&self.shared.clock.moment(), input);
        self.heed_opening(by);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn take_group_events(&mut self) -> bool {
        let events = self.membership.poll();
        let any = !events.is_empty();
        for event in events {
            match event {
                Event::Assigned(partitions) => {
                    self.patience.end();
                    self.ask_stored(partitions);
                }
                Event::Revoked(partitions) => self.begin_release(partitions),
                Event::Lost => self.lose(),
                Event::Astray(partition) => self.distrust(partition),
                Event::Failed(error) => self.client_failed(&error),
            }
        }
        any
    }

    fn begin_release(&mut self, partitions: BTreeSet<Partition>) {
        tracing::info!(stream = %self.shared.stream.name, ?partitions, "{}", event::REVOKED);
        crash::reached(crash::Point::Revoking);
        let until = self.shared.clock.now().after(self.shared.revoke_wait);
        self.step(Input::Revoking { partitions, until });
    }

    /// The membership is over; librdkafka joins again by itself.
    fn lose(&mut self) {
        tracing::warn!(stream = %self.shared.stream.name, "membership lost; joining again");
        self.membership.forget();
        self.begin_epoch();
        self.await_group();
        self.step(Input::Lost);
    }

    /// From here on, answers to earlier questions do not count.
    pub(super) fn begin_epoch(&mut self) {
        self.mailbox.cancelled.store(true, Ordering::Relaxed);
        self.mailbox.cancelled = Arc::default();
        self.mailbox.epoch += 1;
        self.commit = None;
        self.nothing_assigned = false;
        self.owned.clear();
        self.times.clear();
        self.fetch_failed = None;
        self.distrusted.clear();
    }

    fn client_failed(&mut self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let refused = matches!(
            code,
            Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed)
        );
        if fatal || refused {
            let on = format!("topic `{}`", self.shared.stream.topic);
            self.end = Some(End::Halted(Box::new(Fault::new(Code::KafkaRefuses, on, error.to_string()))));
        } else {
            self.log_failure(error);
        }
    }

    /// While brokers are down the client says so many times a second.
    fn log_failure(&mut self, error: &KafkaError) {
        let now = self.shared.clock.now();
        let (said, until) = &self.last_failure;
        if *said != error.rdkafka_error_code() || now >= *until {
            self.last_failure = (error.rdkafka_error_code(), now.after(SAME_FAILURE_EVERY));
            tracing::warn!(stream = %self.shared.stream.name, %error, "Kafka's client reports a failure");
        }
    }

    fn take_commit_answer(&mut self) -> bool {
        let Some((id, until)) = self.commit else { return false };
        let answer = match self.membership.commit_answer(id) {
            Some(answer) => Some(answer),
            None if self.shared.clock.now() >= until => None,
            None => return false,
        };
        self.commit = None;
        let judged =
            answer.as_ref().map_or(Some(CommitFailure::Unknown), |a| judge_commit(a.error, &a.partitions));
        let Some(failure) = judged else {
            self.step(Input::Committed(id));
            return true;
        };
        let errors = answer.map(|answer| (answer.error, answer.partitions));
        let stream = &self.shared.stream.name;
        if failure == CommitFailure::NotYet {
            // Usual while a rebalance goes on, and repeated ten times a second.
            tracing::debug!(stream, ?errors, "offset commit not stored yet");
        } else {
            let code = Code::CommitUnanswered.number();
            tracing::warn!(stream, code, ?failure, ?errors, "offset commit failed");
        }
        self.step(Input::CommitFailed(id, failure));
        true
    }

    fn take_answers(&mut self) -> bool {
        let mut any = std::mem::take(&mut self.nothing_assigned);
        if any {
            self.accept(BTreeMap::new());
        }
        while let Ok((epoch, answer)) = self.answers.try_recv() {
            any = true;
            match answer {
                Answer::Drain(until) => self.step(Input::Drain(until)),
                Answer::Pressure(tables) => self.step(Input::Pressure(tables)),
                _ if epoch != self.mailbox.epoch => {}
                Answer::Broken => self.end = Some(End::Broken),
                Answer::Fact(input) => self.step(input),
                Answer::Isolated(batch, table, found) => self.isolated(batch, table, *found),
                Answer::Assigned(stored) => self.accept(stored),
                Answer::Ends(ends) => self.ends_known(&ends),
                // What is not awaited was called off meanwhile; its rows may be others than those at hand.
                Answer::Rebuilt(claim, payload, filled, deleted) if self.pump.awaits_rows(&claim) => {
                    self.payloads.insert(claim.id, payload);
                    self.step(Input::Rebuilt { claim, filled, deleted });
                }
                Answer::Rebuilt(..) => {}
            }
        }
        any
    }

    fn accept(&mut self, stored: BTreeMap<Partition, Stored>) {
        let starts = stored.iter().map(|(partition, stored)| (*partition, stored.offset)).collect();
        if let Err(error) = self.membership.accept(&starts) {
            tracing::warn!(stream = %self.shared.stream.name, %error, "assignment could not be taken");
            return self.rejoin();
        }
        self.owned.extend(stored.keys());
        tracing::info!(stream = %self.shared.stream.name, partitions = ?stored.keys().collect::<Vec<_>>(), "{}", event::ASSIGNED);
        self.step(Input::Assigned(stored));
    }

    fn tick_when_due(&mut self) {
        if self.pump.wake_at().is_some_and(|at| self.shared.clock.now() >= at) {
            self.step(Input::Tick);
        }
        if self.shared.clock.now() >= self.standing_due {
            self.standing_due = self.shared.clock.now().after(STANDING_EVERY);
            self.pass_control_records();
            self.report_standing();
        }
    }

    fn pause(&self) -> Duration {
        let commit = self.commit.map(|(_, until)| until);
        let due = [commit, self.pump.wake_at()].into_iter().flatten().min();
        due.map_or(IDLE_PAUSE_MAX, |at| self.shared.clock.until(at)).min(IDLE_PAUSE_MAX)
    }

    fn leave(self) -> Leaving {
        self.mailbox.cancelled.store(true, Ordering::Relaxed);
        Leaving(self.membership.close())
    }
}

pub(super) const fn commit_timeout() -> Duration {
    COMMIT_TIMEOUT
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
