//! What is written to the topic, and when: messages that a seed decides, at a rate that a schedule decides. Remembers
//! when each offset was written, so that a reader's delay can be told of every message.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::super::incident::Failure;
use super::super::incident::stage::Stage;

const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// How often messages that are due are written.
const TURN: Duration = Duration::from_millis(10);

/// Messages without end; the same seed tells the same ones.
pub trait Feed: Send {
    /// The next message and its partition.
    fn next(&mut self) -> (u32, String);
}

/// A time at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// How long.
    pub lasts: Duration,
    /// Messages per second.
    pub rate: u64,
}

/// Rates one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub Vec<Leg>);

impl Schedule {
    /// Messages that are to be written after so long.
    #[must_use]
    pub fn due(&self, after: Duration) -> u64 {
        let (mut left, mut due) = (after, 0);
        for Leg { lasts, rate } in &self.0 {
            let there = left.min(*lasts);
            due += rate * u64::try_from(there.as_millis()).unwrap_or(u64::MAX) / 1000;
            left -= there;
        }
        due
    }

    /// How long it takes.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.0.iter().map(|leg| leg.lasts).sum()
    }

    /// When a leg begins.
    #[must_use]
    pub fn begins(&self, leg: usize) -> Duration {
        self.0.iter().take(leg).map(|leg| leg.lasts).sum()
    }
}

/// When each message was written, by partition and offset, since the start.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// One list for each partition.
    pub written: Vec<Vec<Duration>>,
}

impl Tape {
    /// All messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.written.iter().map(|partition| partition.len() as u64).sum()
    }
}

/// Writes by the schedule, into a topic that is empty, until its end or until told to stop.
///
/// # Errors
/// When Kafka does not take the messages.
pub fn play(
    stage: &Stage,
    (topic, partitions): (&str, u32),
    feed: &mut dyn Feed,
    (schedule, started): (&Schedule, Instant),
    stop: &AtomicBool,
) -> Result<Tape, Failure> {
    let mut config = stage.client();
    config.set("enable.idempotence", "true").set("linger.ms", "5");
    let producer: BaseProducer = config.create()?;
    let mut tape = Tape { written: vec![Vec::new(); partitions as usize] };
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let now = started.elapsed();
        while sent < schedule.due(now) {
            let (partition, message) = feed.next();
            send(&producer, (topic, partition), &message)?;
            tape.written[partition as usize].push(now);
            sent += 1;
        }
        producer.poll(Duration::ZERO);
        if now >= schedule.lasts() {
            break;
        }
        thread::sleep(TURN);
    }
    producer.flush(FLUSH_TIMEOUT)?;
    Ok(tape)
}

/// A full queue is emptied first.
fn send(producer: &BaseProducer, (topic, partition): (&str, u32), message: &str) -> Result<(), Failure> {
    let number = i32::try_from(partition).unwrap_or(i32::MAX);
    loop {
        let record = BaseRecord::<(), str>::to(topic).partition(number).payload(message);
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(20));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leg_adds_its_share() {
        let leg = |seconds, rate| Leg { lasts: Duration::from_secs(seconds), rate };
        let schedule = Schedule(vec![leg(10, 5), leg(2, 100)]);
        let due = |millis| schedule.due(Duration::from_millis(millis));
        assert_eq!([due(0), due(1_000), due(10_000), due(11_500), due(99_000)], [0, 5, 50, 200, 250]);
        assert_eq!(
            (schedule.lasts(), schedule.begins(1)),
            (Duration::from_secs(12), Duration::from_secs(10))
        );
    }
}
