//! Questions to Kafka beside the flow: what is committed, where a new group starts, what a log holds.
//! Every call waits for the broker, with a limit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumphouse_core::gap::Committed;
use pumphouse_core::lane::Stored;
use pumphouse_core::offset::{Offset, Partition};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};

use super::membership::number;
use crate::config::settings::StartFrom;

/// Limit for one question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What Kafka holds for partitions; the ones that nobody committed start where `start_from` says.
pub fn stored<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partitions: &BTreeSet<Partition>,
    start_from: StartFrom,
) -> KafkaResult<BTreeMap<Partition, Stored>> {
    let mut stored = BTreeMap::new();
    let mut unknown = Vec::new();
    for (partition, found) in committed(client, topic, partitions)? {
        match found {
            Some(found) => {
                stored.insert(partition, found);
            }
            None => unknown.push(partition),
        }
    }
    if stored.len() + unknown.len() != partitions.len() {
        return Err(KafkaError::OffsetFetch(rdkafka::types::RDKafkaErrorCode::UnknownPartition));
    }
    let start_from = if unknown.is_empty() { start_from } else { start(client, topic, start_from)? };
    for partition in unknown {
        let offset = first_offset(client, topic, partition, start_from)?;
        stored.insert(partition, Stored { offset, metadata: None });
    }
    Ok(stored)
}

/// What the group has committed; `None` for a partition without an offset.
pub fn committed<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partitions: &BTreeSet<Partition>,
) -> KafkaResult<Vec<(Partition, Option<Stored>)>> {
    let mut found = Vec::with_capacity(partitions.len());
    for element in ask_committed(client, topic, partitions)?.elements() {
        element.error()?;
        let Ok(partition) = u32::try_from(element.partition()).map(Partition) else { continue };
        let stored = match element.offset() {
            KafkaOffset::Offset(offset) => {
                Some(Stored::read(partition, unsigned(offset), element.metadata()))
            }
            _ => None,
        };
        found.push((partition, stored));
    }
    Ok(found)
}

/// What the group holds for partitions that had no metadata of ours, and where their logs end.
pub fn origins<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partitions: &BTreeSet<Partition>,
) -> KafkaResult<BTreeMap<Partition, (Committed, Offset)>> {
    let mut origins = BTreeMap::new();
    for element in ask_committed(client, topic, partitions)?.elements() {
        element.error()?;
        let Ok(partition) = u32::try_from(element.partition()).map(Partition) else { continue };
        let committed = match element.offset() {
            KafkaOffset::Offset(_) if element.metadata().is_empty() => Committed::Bare,
            KafkaOffset::Offset(offset) => {
                let stored = Stored::read(partition, unsigned(offset), element.metadata());
                if stored.metadata.is_some() { Committed::Ours } else { Committed::Foreign }
            }
            _ => Committed::Never,
        };
        let (_, end) = watermarks(client, topic, partition)?;
        origins.insert(partition, (committed, end));
    }
    Ok(origins)
}

fn ask_committed<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partitions: &BTreeSet<Partition>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, number(*partition));
    }
    client.committed_offsets(list, ANSWER_TIMEOUT)
}

/// Where a partition starts that the group has no offset for. `latest` means the time when the group began, not
/// now: what was written to a partition between its creation and its assignment belongs to the group as well.
fn start<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    start_from: StartFrom,
) -> KafkaResult<StartFrom> {
    if start_from != StartFrom::Latest {
        return Ok(start_from);
    }
    let count = partition_count(client, topic)?.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let all = (0..count).map(Partition).collect();
    let known = committed(client, topic, &all)?.into_iter().filter_map(|(_, stored)| stored?.metadata);
    let began = known.map(|metadata| metadata.since.0).min();
    Ok(began.map_or(StartFrom::Latest, StartFrom::Time))
}

/// Where a group without an offset begins to read a partition.
fn first_offset<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: Partition,
    start_from: StartFrom,
) -> KafkaResult<Offset> {
    let (low, high) = watermarks(client, topic, partition)?;
    let StartFrom::Time(at) = start_from else {
        return Ok(if start_from == StartFrom::Earliest { low } else { high });
    };
    Ok(offset_since(client, topic, partition, at)?.unwrap_or(high))
}

/// The first record of a partition at or after a time, in milliseconds since 1970-01-01 UTC; the log's end where no
/// record is that young.
pub fn offset_at<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: Partition,
    at: i64,
) -> KafkaResult<Offset> {
    match offset_since(client, topic, partition, at)? {
        Some(offset) => Ok(offset),
        None => watermarks(client, topic, partition).map(|(_, high)| high),
    }
}

fn offset_since<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: Partition,
    at: i64,
) -> KafkaResult<Option<Offset>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, number(partition), KafkaOffset::Offset(at))?;
    let found = client.offsets_for_times(list, ANSWER_TIMEOUT)?;
    let Some(element) = found.find_partition(topic, number(partition)) else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        KafkaOffset::Offset(offset) => Some(unsigned(offset)),
        // No record is that young.
        _ => None,
    })
}

/// The first offset of a partition's log and the position behind its last.
pub fn watermarks<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: Partition,
) -> KafkaResult<(Offset, Offset)> {
    let (low, high) = client.fetch_watermarks(topic, number(partition), ANSWER_TIMEOUT)?;
    Ok((unsigned(low), unsigned(high)))
}

/// The sum of the ends of all partitions: what it grows by came meanwhile.
pub fn events_ever<C: ConsumerContext>(client: &BaseConsumer<C>, topic: &str) -> KafkaResult<u64> {
    let partitions = partition_count(client, topic)?.unwrap_or(0);
    let ends = (0..u32::try_from(partitions).unwrap_or(u32::MAX))
        .map(|partition| watermarks(client, topic, Partition(partition)).map(|(_, end)| end.0));
    ends.sum()
}

/// How many partitions a topic has; `None` where there is no such topic.
pub fn partition_count<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
) -> KafkaResult<Option<usize>> {
    let metadata = client.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map(|found| found.partitions().len()).filter(|count| *count > 0))
}

fn unsigned(offset: i64) -> Offset {
    Offset(u64::try_from(offset).unwrap_or(0))
}
