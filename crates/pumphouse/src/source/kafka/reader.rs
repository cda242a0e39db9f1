//! Reads a claim's ranges again, outside the subscription: assigned by hand, never committing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pumphouse_core::offset::{Offset, Partition, Range};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::ffi::{PartitionQueue, Taken};
use super::membership::{number, signed};
use super::{lookup, with_record};
use crate::decode::Record;

/// Pause while nothing comes.
const IDLE_PAUSE: Duration = Duration::from_millis(50);
/// Such pauses in a row after which the log's ends are asked for: half a minute.
const IDLE_ROUNDS_MAX: u32 = 600;

/// Why ranges could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The log begins behind the partition's range, or within it: retention deleted all of it before this offset.
    Deleted(Partition, Offset),
    /// The log ends before this range does: it was cut, or is another topic's.
    Cut(Partition, Range),
    /// The log holds bytes in this range that are no records.
    Damaged(Partition, Range),
    /// The reading was called off.
    Cancelled,
    /// Kafka failed.
    Kafka(KafkaError),
}

impl From<KafkaError> for ReadError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

/// Hands every record of `ranges` to `visit`, each partition in order; waits for Kafka until `cancelled`.
pub fn read_ranges(
    config: &ClientConfig,
    topic: &str,
    ranges: &BTreeMap<Partition, Range>,
    cancelled: &AtomicBool,
    visit: &mut dyn FnMut(&Record<'_>),
) -> Result<(), ReadError> {
    let consumer: BaseConsumer = config.create()?;
    let mut queues = assign(&consumer, topic, ranges)?;
    let mut silent: BTreeSet<Partition> = ranges.keys().copied().collect();
    let mut idle = 0;
    while !queues.is_empty() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(ReadError::Cancelled);
        }
        // Serves what is not a record; errors of the connection are retried by the client itself.
        let _ = consumer.poll(Duration::ZERO);
        let mut progress = 0;
        let mut done = Vec::new();
        for (partition, queue) in &mut queues {
            let range = ranges[partition];
            let mut state = Reading::Going;
            let taken =
                queue.take(usize::MAX, &mut |taken| state = state.after(taken, *partition, range, visit));
            progress += taken;
            if taken > 0 {
                silent.remove(partition);
            }
            match state {
                Reading::Going => {}
                Reading::Done => done.push(*partition),
                Reading::OutOfRange => return Err(missing(&consumer, topic, *partition, range)?),
                Reading::Failed(
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG
                    | RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_COMPRESSION,
                ) => return Err(ReadError::Damaged(*partition, range)),
                Reading::Failed(error) => return Err(KafkaError::MessageConsumption(error.into()).into()),
            }
        }
        queues.retain(|partition, _| !done.contains(partition));
        idle = if progress == 0 { idle + 1 } else { 0 };
        if progress == 0 {
            thread::park_timeout(IDLE_PAUSE);
        }
        if idle >= IDLE_ROUNDS_MAX {
            idle = 0;
            check_ends(&consumer, topic, ranges, queues.keys().map(|p| (*p, silent.contains(p))))?;
        }
    }
    Ok(())
}

/// A log that ends before the range does was cut, or is another topic's; but a broker that just became the
/// leader may show an older end for a moment, so this is asked only after nothing came for a while. Of a partition that
/// was silent all the time, the beginning is looked at as well: whoever said that it is gone may not have been heard.
fn check_ends(
    consumer: &BaseConsumer,
    topic: &str,
    ranges: &BTreeMap<Partition, Range>,
    open: impl Iterator<Item = (Partition, bool)>,
) -> Result<(), ReadError> {
    for (partition, is_silent) in open {
        let (low, high) = lookup::watermarks(consumer, topic, partition)?;
        let range = ranges[&partition];
        if is_silent && low > range.from {
            return Err(ReadError::Deleted(partition, low.min(range.to)));
        }
        if high < range.to {
            return Err(ReadError::Cut(partition, Range::new(high.max(range.from), range.to)));
        }
    }
    Ok(())
}

/// How far one partition's reading has come.
#[derive(Clone, Copy)]
enum Reading {
    Going,
    Done,
    OutOfRange,
    /// A rebuild with a record less would be another batch.
    Failed(RDKafkaRespErr),
}

impl Reading {
    fn after(
        self,
        taken: &Taken<'_>,
        partition: Partition,
        range: Range,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Self {
        match (self, taken) {
            (Self::Going, Taken::Record(message)) => {
                let offset = Offset(message.offset());
                if offset < range.to {
                    with_record(partition.0, message, |record| visit(record));
                }
                if offset.0 + 1 >= range.to.0 { Self::Done } else { Self::Going }
            }
            (Self::Going, Taken::End(offset)) if Offset(*offset) >= range.to => Self::Done,
            (Self::Going, Taken::Failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, _)) => {
                Self::OutOfRange
            }
            (Self::Going, Taken::Failed(error, _)) => Self::Failed(*error),
            (state, _) => state,
        }
    }
}

fn assign(
    consumer: &BaseConsumer,
    topic: &str,
    ranges: &BTreeMap<Partition, Range>,
) -> KafkaResult<BTreeMap<Partition, PartitionQueue>> {
    let mut list = TopicPartitionList::with_capacity(ranges.len());
    for (partition, range) in ranges {
        list.add_partition_offset(topic, number(*partition), KafkaOffset::Offset(signed(range.from)))?;
    }
    // Before anything is fetched, so that neither a record nor a failure can slip into the common queue.
    let native = consumer.client().native_client();
    let queues = ranges.keys().map(|partition| {
        let queue = PartitionQueue::new(native, topic, number(*partition), &thread::current());
        let queue =
            queue.ok_or_else(|| KafkaError::ClientCreation(format!("partition {partition} has no queue")))?;
        Ok((*partition, queue))
    });
    let queues = queues.collect::<KafkaResult<_>>()?;
    consumer.assign(&list)?;
    Ok(queues)
}

/// What the log lacks of a range that it says lies outside.
fn missing(
    consumer: &BaseConsumer,
    topic: &str,
    partition: Partition,
    range: Range,
) -> KafkaResult<ReadError> {
    let (low, _) = lookup::watermarks(consumer, topic, partition)?;
    Ok(if low > range.from {
        ReadError::Deleted(partition, low.min(range.to))
    } else {
        ReadError::Cut(partition, range)
    })
}
