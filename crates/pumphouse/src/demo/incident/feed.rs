//! The messages: events as their producers write them, and four test messages that somebody left in the topic. Every
//! one has its offset, so that a consumer's rows can be held against it.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde::Serialize;

use super::Failure;
use super::stage::{PARTITIONS, Stage, TOPIC};

/// Messages that each partition gets.
pub const PER_PARTITION: u64 = 1_000;
/// How far apart the users of two partitions are: a row's user tells its partition and offset.
pub const USERS_PER_PARTITION: u64 = 1_000_000;

const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// A message that is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TestMessage {
    /// Where it lies.
    pub partition: u32,
    /// Where it lies.
    pub offset: u64,
    /// What it says.
    pub payload: &'static str,
    /// The code that it has to get.
    pub code: &'static str,
    /// The column that it has to be bad for.
    pub column: &'static str,
}

/// The report of the incident names three places and counts four messages; the fourth is put behind the first.
pub const TEST_MESSAGES: [TestMessage; 4] = [
    TestMessage {
        partition: 0,
        offset: 58,
        payload: r#"{"test":"connection_test","occurred_at":"now"}"#,
        code: "PH-0106",
        column: "occurred_at",
    },
    TestMessage {
        partition: 0,
        offset: 59,
        payload: r#"{"test":"connection_test","occurred_at":""}"#,
        code: "PH-0106",
        column: "occurred_at",
    },
    TestMessage {
        partition: 1,
        offset: 56,
        payload: r#"{"test":"direct_publish","occurred_at":"2026-01-27T09:12:44.120Z"}"#,
        code: "PH-0101",
        column: "event_id",
    },
    TestMessage {
        partition: 2,
        offset: 113,
        payload: r#"{"test":"message","source":"console"}"#,
        code: "PH-0101",
        column: "event_id",
    },
];

/// How many messages were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// All of them.
    pub messages: u64,
    /// Those that are events.
    pub events: u64,
}

/// Writes the messages in portions, each partition in sequence.
pub struct Feed {
    producer: BaseProducer,
    /// Messages in each partition.
    written: u64,
}

impl Feed {
    /// A feed that has written nothing.
    ///
    /// # Errors
    /// When Kafka's client can't be made.
    pub fn new(stage: &Stage) -> Result<Self, Failure> {
        let mut config = stage.client();
        config.set("enable.idempotence", "true").set("linger.ms", "5");
        Ok(Self { producer: config.create()?, written: 0 })
    }

    /// Writes the next messages of each partition, up to `to`, and waits until Kafka has them.
    ///
    /// # Errors
    /// When Kafka does not take them.
    pub fn write_up_to(&mut self, to: u64) -> Result<(), Failure> {
        for offset in self.written..to {
            for partition in 0..PARTITIONS {
                let message = message(partition, offset);
                let number = i32::try_from(partition).unwrap_or(i32::MAX);
                let record = BaseRecord::<(), str>::to(TOPIC).partition(number).payload(&message);
                self.producer.send(record).map_err(|(error, _)| error)?;
            }
        }
        self.written = to;
        Ok(self.producer.flush(FLUSH_TIMEOUT)?)
    }

    /// What was written so far.
    #[must_use]
    pub fn sent(&self) -> Sent {
        let messages = self.written * u64::from(PARTITIONS);
        let tests = TEST_MESSAGES.iter().filter(|test| test.offset < self.written).count() as u64;
        Sent { messages, events: messages - tests }
    }
}

/// The message at a place.
fn message(partition: u32, offset: u64) -> String {
    let test = TEST_MESSAGES.iter().find(|test| (test.partition, test.offset) == (partition, offset));
    test.map_or_else(|| event(partition, offset), |test| test.payload.to_owned())
}

fn event(partition: u32, offset: u64) -> String {
    let user = u64::from(partition) * USERS_PER_PARTITION + offset;
    let kind = ["view", "click", "share"][usize::try_from(offset % 3).unwrap_or(0)];
    format!(
        r#"{{"event_id":"30000000-0000-4000-8000-{user:012x}","occurred_at":"2026-01-27T09:{:02}:{:02}.{:03}Z","user_id":{user},"kind":"{kind}","subject_type":"article","properties":{{"page":"/{}"}}}}"#,
        offset / 60 % 60,
        offset % 60,
        user % 1000,
        offset % 7,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_messages_lie_where_the_report_says_and_all_others_are_events() {
        let tests = (0..PARTITIONS).flat_map(|partition| (0..PER_PARTITION).map(move |at| (partition, at)));
        let tests: Vec<_> =
            tests.filter(|(partition, at)| message(*partition, *at).contains("\"test\"")).collect();
        assert_eq!(tests, [(0, 58), (0, 59), (1, 56), (2, 113)]);
        for text in [event(0, 0), event(2, 999)] {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    }
}
