//! Where the partitions of a topic stand: what is settled, what Kafka has, what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pumphouse_core::claim::{BatchId, Claim, Metadata};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition, Range};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;

use super::ground::Ground;
use super::survey::Said;
use super::trouble::unread;
use crate::fault::{Code, Fault};
use crate::source::kafka::{coordinator, lookup, properties};

/// One partition.
#[derive(Clone, Debug)]
pub(super) struct Position {
    /// What Kafka has of it: the first offset, and the position behind the last.
    pub(super) log: Range,
    /// What the group has settled; none where it has not begun.
    pub(super) committed: Option<Offset>,
    /// What stands beside the committed offset.
    pub(super) metadata: Option<Metadata>,
    /// What was asked for, as offsets.
    pub(super) said: (Option<Offset>, Option<Offset>),
}

/// All partitions of a topic.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    pub(super) partitions: BTreeMap<Partition, Position>,
    /// Whether Kafka compacts the topic; where it does not say, it is taken not to.
    pub(super) is_compacted: bool,
}

impl Position {
    /// Where the group began, if its history still says so.
    pub(super) fn origin(&self) -> Option<Offset> {
        let first = self.metadata.as_ref()?.history.first()?;
        (first.id == BatchId::ORIGIN).then_some(first.to)
    }

    /// The batch that settled an offset, if the history still knows.
    pub(super) fn settled_by(&self, offset: Offset) -> Option<BatchId> {
        let history = &self.metadata.as_ref()?.history;
        // The oldest one says where it ended, and not where it began.
        let pairs = history.iter().zip(history.iter().skip(1));
        let around = |(before, after): &(_, &pumphouse_core::claim::Settled)| {
            let before: &&pumphouse_core::claim::Settled = before;
            before.to <= offset && offset < after.to
        };
        pairs.into_iter().find(around).map(|(_, after)| after.id).filter(|id| *id != BatchId::ORIGIN)
    }
}

impl Positions {
    /// Claims that are not settled.
    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.partitions.values().filter_map(|position| position.metadata.as_ref()?.claim.as_ref())
    }
}

/// Asks Kafka.
pub(super) async fn positions(
    ground: &Ground,
    said: (Option<Said>, Option<Said>),
) -> Result<Positions, Fault> {
    let config = properties::reader(&ground.settings.kafka, &ground.stream);
    let topic = ground.stream.topic.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        coordinator::wait_for(|| ask(&consumer, &topic, said))
    });
    let asked = asked.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let topic = &ground.stream.topic;
    let partitions = asked.map_err(|error| unread(topic, &error))?.ok_or_else(|| {
        Fault::new(Code::TopicMissing, format!("topic `{topic}`"), "it does not exist").then("")
    })?;
    Ok(Positions { partitions, is_compacted: is_compacted(ground).await.unwrap_or(false) })
}

fn ask(
    consumer: &BaseConsumer,
    topic: &str,
    said: (Option<Said>, Option<Said>),
) -> KafkaResult<Option<BTreeMap<Partition, Position>>> {
    let Some(count) = lookup::partition_count(consumer, topic)? else { return Ok(None) };
    let all: BTreeSet<Partition> = (0..u32::try_from(count).unwrap_or(u32::MAX)).map(Partition).collect();
    let mut found = BTreeMap::new();
    for (partition, stored) in lookup::committed(consumer, topic, &all)? {
        let (low, high) = lookup::watermarks(consumer, topic, partition)?;
        let offset_of = |said| match said {
            None => Ok(None),
            Some(Said::Offset(offset)) => Ok(Some(Offset(offset))),
            Some(Said::Time(ServerTime(at))) => lookup::offset_at(consumer, topic, partition, at).map(Some),
        };
        let said = (offset_of(said.0)?, offset_of(said.1)?);
        let (committed, metadata) = match stored {
            Some(Stored { offset, metadata }) => (Some(offset), metadata),
            None => (None, None),
        };
        let position = Position { log: Range::new(low, high.max(low)), committed, metadata, said };
        found.insert(partition, position);
    }
    Ok(Some(found))
}

/// Whether Kafka compacts the topic; none where it does not say.
async fn is_compacted(ground: &Ground) -> Option<bool> {
    let config = properties::reader(&ground.settings.kafka, &ground.stream);
    let admin: AdminClient<DefaultClientContext> = config.create().ok()?;
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    let topic = ResourceSpecifier::Topic(&ground.stream.topic);
    let described = admin.describe_configs([&topic], &options).await.ok()?;
    let described = described.into_iter().next()?.ok()?;
    let policy = described.get("cleanup.policy")?.value.clone()?;
    Some(policy.contains("compact"))
}
