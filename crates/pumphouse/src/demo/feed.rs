//! Produces events at a steady rate on a thread of its own, and holds back where the mock would drop what is not
//! committed yet. Knows nothing of ClickHouse or of the worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::ahead::Ahead;
use super::events::Generator;
use super::mock_kafka::{MockKafka, MockKafkaError, Offsets};
use super::producer::{EventProducer, SendError, Tally};

/// How often it looks whether events are due.
const TICK: Duration = Duration::from_millis(10);
/// How often it asks for the committed offsets.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// What compression leaves, until it is known: everything.
const WIRE_SHARE_FIRST: f64 = 1.0;
/// Events of at most this time are made up for after a pause, so that a pause is not followed by a flood.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Why no more events are produced.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// An event could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The cluster did not answer.
    #[error(transparent)]
    Kafka(#[from] MockKafkaError),
    /// The thread could not be started, or ended by a panic.
    #[error("the thread that produces events {0}")]
    Thread(String),
}

/// Where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events that Kafka acknowledged.
    pub produced: u64,
    /// Events past the committed offsets.
    pub lag: u64,
    /// Whether any partition waits for commits.
    pub is_held: bool,
}

/// A running producer of events.
pub struct Feed {
    thread: JoinHandle<Result<Tally, FeedError>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    produced: AtomicU64,
    lag: AtomicU64,
    is_held: AtomicBool,
}

impl Feed {
    /// Begins to produce `rate` events per second, held against what `group` commits.
    ///
    /// # Errors
    /// When the clients or the thread can't be made.
    pub fn start(kafka: &MockKafka, group: &str, generator: Generator, rate: u32) -> Result<Self, FeedError> {
        let producer = EventProducer::new(kafka.brokers(), kafka.topic(), kafka.partitions(), generator)?;
        let shared = Arc::new(Shared::default());
        let mut production = Production {
            producer,
            offsets: kafka.offsets(group)?,
            ahead: vec![Ahead::default(); kafka.partitions() as usize],
            next_partition: 0,
            wire_share: WIRE_SHARE_FIRST,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name("demo-feed".to_owned())
            .spawn(move || {
                production.produce(rate)?;
                Ok(production.producer.finish()?)
            })
            .map_err(|error| FeedError::Thread(format!("did not start: {error}")))?;
        Ok(Self { thread, shared })
    }

    /// Where it stands.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            produced: self.shared.produced.load(Ordering::Relaxed),
            lag: self.shared.lag.load(Ordering::Relaxed),
            is_held: self.shared.is_held.load(Ordering::Relaxed),
        }
    }

    /// Whether it ended by itself: only by a failure, which [`Self::stop`] tells.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Produces no more, waits until everything is acknowledged, and tells what was produced.
    ///
    /// # Errors
    /// The reason why it ended early, or why an event was not acknowledged.
    pub fn stop(self) -> Result<Tally, FeedError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| FeedError::Thread("ended by a panic".to_owned()))?
    }
}

struct Production {
    producer: EventProducer,
    offsets: Offsets,
    ahead: Vec<Ahead>,
    next_partition: u32,
    wire_share: f64,
    shared: Arc<Shared>,
}

impl Production {
    fn produce(&mut self, rate: u32) -> Result<(), FeedError> {
        let mut pace = Pace::new(rate);
        let mut ask_at = Instant::now();
        let mut last = ask_at;
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.producer.poll(TICK);
            let now = Instant::now();
            if now >= ask_at {
                ask_at = now + ASK_EVERY;
                self.take_in_commits()?;
            }
            let due = pace.due(now - last);
            last = now;
            self.send(due)?;
        }
        Ok(())
    }

    fn take_in_commits(&mut self) -> Result<(), FeedError> {
        for (ahead, offset) in self.ahead.iter_mut().zip(self.offsets.committed()?.into_values()) {
            ahead.committed(offset);
        }
        let lag = self.ahead.iter().map(Ahead::records).sum();
        self.shared.lag.store(lag, Ordering::Relaxed);
        self.shared.produced.store(self.producer.acknowledged(), Ordering::Relaxed);
        self.wire_share = self.producer.wire_share().unwrap_or(WIRE_SHARE_FIRST);
        let is_held = !self.ahead.iter().all(|ahead| ahead.has_room(self.wire_share));
        self.shared.is_held.store(is_held, Ordering::Relaxed);
        Ok(())
    }

    /// Sends up to `due` events to the partitions in turn; one without room is left out.
    fn send(&mut self, due: u32) -> Result<(), FeedError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        for _ in 0..due {
            let partitions = self.ahead.len();
            let from = self.next_partition as usize;
            let free = (from..from + partitions).map(|index| index % partitions);
            let Some(chosen) = free.into_iter().find(|index| self.ahead[*index].has_room(self.wire_share))
            else {
                break;
            };
            let partition = u32::try_from(chosen).unwrap_or(0);
            let bytes = self.producer.send_next(partition, time)?;
            self.ahead[chosen].produced(bytes);
            self.next_partition = partition + 1;
        }
        Ok(())
    }
}

/// How many events are due, from the time that passed.
struct Pace {
    rate: u32,
    /// Billionths of an event that are due already.
    owed: u128,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { rate, owed: 0 }
    }

    fn due(&mut self, passed: Duration) -> u32 {
        const BILLION: u128 = 1_000_000_000;
        self.owed += passed.min(CATCH_UP).as_nanos() * u128::from(self.rate);
        let due = self.owed / BILLION;
        self.owed %= BILLION;
        u32::try_from(due).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::TopicPartitionList;
    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    use rdkafka::{ClientConfig, Offset};

    use crate::demo::ahead::AHEAD_BYTES_MAX;
    use crate::demo::mock_kafka::{KEPT_BYTES, Kept};

    #[test]
    fn a_second_of_ticks_gives_exactly_the_rate() {
        let mut pace = Pace::new(20_001);
        let due: u32 = (0..1_000).map(|_| pace.due(Duration::from_millis(1))).sum();
        assert_eq!(due, 20_001);
    }

    #[test]
    fn a_long_pause_is_not_followed_by_a_flood() {
        assert_eq!(Pace::new(20_000).due(Duration::from_secs(30)), 2_000);
    }

    /// Waits until the feed has been seen in a state, for a minute at most.
    fn wait_for(feed: &Feed, wanted: impl Fn(Progress) -> bool) -> Progress {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !wanted(feed.progress()) && Instant::now() < deadline && !feed.has_ended() {
            std::thread::sleep(TICK);
        }
        assert!(wanted(feed.progress()), "{:?}", feed.progress());
        feed.progress()
    }

    #[test]
    fn without_commits_it_holds_before_the_mock_drops_anything_and_goes_on_after_them() {
        let kafka = MockKafka::start("events", 2).expect("a cluster");
        let feed = Feed::start(&kafka, "g", Generator::new(3, 5), 200_000).expect("started");
        let held = wait_for(&feed, |progress| progress.is_held && progress.lag == progress.produced);
        let raw = held.produced * 350;
        assert!(raw > AHEAD_BYTES_MAX && raw < 2 * KEPT_BYTES * 5, "{held:?}");

        let offsets = kafka.offsets("g").expect("offsets");
        assert_eq!(offsets.kept(0).expect("an answer").from, 0, "nothing is dropped");
        let end = offsets.kept(0).expect("an answer").to;
        let committer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka.brokers())
            .set("group.id", "g")
            .create()
            .expect("a consumer");
        let mut commit = TopicPartitionList::new();
        commit.add_partition_offset("events", 0, Offset::Offset(end)).expect("an offset");
        committer.commit(&commit, CommitMode::Sync).expect("committed");
        // The other partition stays where it is as soon as librdkafka has told how well it compresses.
        let to = |partition| offsets.kept(partition).expect("an answer").to;
        wait_for(&feed, |progress| progress.produced > held.produced && to(0) > to(1) + 5_000);

        let tally = feed.stop().expect("all acknowledged");
        assert!(tally.by_partition[&0].events > tally.by_partition[&1].events);
        let to = i64::try_from(tally.by_partition[&1].events).expect("few");
        assert_eq!(offsets.kept(1).expect("an answer"), Kept { from: 0, to });
        assert!(offsets.kept(0).expect("an answer").from <= end);
    }
}
