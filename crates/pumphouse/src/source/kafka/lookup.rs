//! Questions to Kafka beside the flow: what is committed, where a new group starts, what a log holds.
//! Every call waits for the broker, with a limit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumphouse_core::claim::Metadata;
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
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, number(*partition));
    }
    let committed = client.committed_offsets(list, ANSWER_TIMEOUT)?;
    let mut stored = BTreeMap::new();
    for element in committed.elements() {
        element.error()?;
        let Ok(partition) = u32::try_from(element.partition()).map(Partition) else { continue };
        let found = match element.offset() {
            KafkaOffset::Offset(offset) => {
                Stored { offset: unsigned(offset), metadata: Metadata::decode(element.metadata()) }
            }
            _ => Stored { offset: first_offset(client, topic, partition, start_from)?, metadata: None },
        };
        stored.insert(partition, found);
    }
    if stored.len() == partitions.len() {
        Ok(stored)
    } else {
        Err(KafkaError::OffsetFetch(rdkafka::types::RDKafkaErrorCode::UnknownPartition))
    }
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
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, number(partition), KafkaOffset::Offset(at))?;
    let found = client.offsets_for_times(list, ANSWER_TIMEOUT)?;
    let element = found.find_partition(topic, number(partition));
    Ok(match element.map(|element| element.offset()) {
        Some(KafkaOffset::Offset(offset)) => unsigned(offset),
        _ => high,
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
