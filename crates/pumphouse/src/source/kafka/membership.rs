//! One membership in a consumer group: join, assignment, commits, leaving. Call-backs only note what happened;
//! the lane's thread asks for it. Knows nothing of claims.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;
use pumphouse_core::claim::Metadata;
use pumphouse_core::offset::{Offset, Partition};
use pumphouse_core::pump::CommitId;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::ffi::{self, CommitAnswer, CommitQueue, EventWaker, PartitionQueue, Taken};

/// Something that happened to the membership.
#[derive(Debug)]
pub enum Event {
    /// The group gives us these partitions; [`Membership::accept`] takes them.
    Assigned(BTreeSet<Partition>),
    /// The group wants these back; [`Membership::release`] gives them.
    Revoked(BTreeSet<Partition>),
    /// The membership is over.
    Lost,
    /// A record came past its partition's own queue, which it never should: what else did is unknown.
    Astray(Partition),
    /// The client reports a failure; librdkafka goes on trying unless it is fatal.
    Failed(KafkaError),
}

/// A member of the group `group`, reading one topic.
pub struct Membership {
    // The order matters: queues go before the client they belong to.
    queues: BTreeMap<Partition, PartitionQueue>,
    commits: CommitQueue,
    waker: EventWaker,
    consumer: Arc<Client>,
    topic: String,
    /// Whether librdkafka waits for our answer to a rebalance.
    unanswered: bool,
}

/// The consumer with what its call-backs note.
pub type Client = BaseConsumer<Notes>;

/// What the call-backs note for the lane's thread.
#[derive(Default)]
pub struct Notes {
    events: Mutex<VecDeque<Event>>,
    closing: AtomicBool,
}

impl ClientContext for Notes {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(target: "kafka", facility, "{message}");
            }
            _ => tracing::warn!(target: "kafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The same comes as an event, where it is logged in measure.
        tracing::debug!(target: "kafka", %error, "{reason}");
    }
}

impl ConsumerContext for Notes {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = partitions_of(list);
        let event = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Event::Assigned(partitions),
            _ if ffi::assignment_lost(consumer.client().native_client()) => Event::Lost,
            _ => Event::Revoked(partitions),
        };
        if self.closing.load(Ordering::Acquire) || matches!(event, Event::Lost) {
            // Nobody waits for a batch any more: answer at once, or closing would never end.
            give_back(consumer, list);
        }
        self.events.lock().push_back(event);
    }
}

impl Membership {
    /// Joins the group; events wake the calling thread.
    pub fn join(config: &ClientConfig, topic: &str) -> KafkaResult<Self> {
        let thread = thread::current();
        let consumer: Client = config.create_with_context(Notes::default())?;
        let native = consumer.client().native_client();
        let waker = EventWaker::new(native, &thread)
            .ok_or_else(|| KafkaError::ClientCreation("the consumer has no queue".to_owned()))?;
        let commits = CommitQueue::new(native, &thread);
        consumer.subscribe(&[topic])?;
        Ok(Self {
            queues: BTreeMap::new(),
            commits,
            waker,
            consumer: Arc::new(consumer),
            topic: topic.to_owned(),
            unanswered: false,
        })
    }

    /// The client, for reads that may take a while elsewhere.
    #[must_use]
    pub fn client(&self) -> Arc<Client> {
        Arc::clone(&self.consumer)
    }

    /// What happened since the last call, in order. Never waits.
    pub fn poll(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let polled = self.consumer.poll(Duration::ZERO);
            let noted: Vec<Event> = self.consumer.context().events.lock().drain(..).collect();
            self.unanswered |=
                noted.iter().any(|event| matches!(event, Event::Assigned(_) | Event::Revoked(_)));
            let idle = polled.is_none() && noted.is_empty() && !self.waker.has_events();
            events.extend(noted);
            match polled {
                Some(Ok(message)) => events.extend(astray(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => events.push(Event::Failed(error)),
                None if idle => return events,
                None => {}
            }
        }
    }

    /// Whether the group waits for [`Membership::accept`] or [`Membership::release`].
    #[must_use]
    pub fn owes_answer(&self) -> bool {
        self.unanswered
    }

    /// Takes assigned partitions, possibly none, and begins to fetch them at these offsets.
    pub fn accept(&mut self, starts: &BTreeMap<Partition, Offset>) -> KafkaResult<()> {
        self.unanswered = false;
        let thread: Thread = thread::current();
        let native = self.consumer.client().native_client();
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for (partition, offset) in starts {
            // Each queue stands alone before anything is fetched into it. What came before would go to the consumer's
            // own queue: records older than those that are taken here, and failures without their partition.
            let queue = PartitionQueue::new(native, &self.topic, number(*partition), &thread)
                .ok_or_else(|| KafkaError::ClientCreation(format!("partition {partition} has no queue")))?;
            self.queues.insert(*partition, queue);
            list.add_partition_offset(&self.topic, number(*partition), KafkaOffset::Offset(signed(*offset)))?;
        }
        match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&list)?,
            _ => self.consumer.assign(&list)?,
        }
        Ok(())
    }

    /// Gives partitions back to the group.
    pub fn release(&mut self, partitions: &BTreeSet<Partition>) -> KafkaResult<()> {
        self.unanswered = false;
        self.queues.retain(|partition, _| !partitions.contains(partition));
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, number(*partition));
        }
        match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_unassign(&list),
            _ => self.consumer.unassign(),
        }
    }

    /// Forgets the queues of a membership that is over.
    pub fn forget(&mut self) {
        self.queues.clear();
    }

    /// Hands what `partition` has fetched to `visit`, at most so many; returns how many.
    pub(crate) fn take(
        &mut self,
        partition: Partition,
        at_most: usize,
        visit: &mut dyn FnMut(&Taken<'_>),
    ) -> usize {
        self.queues.get_mut(&partition).map_or(0, |queue| queue.take(at_most, visit))
    }

    /// The position behind the last record that `take` handed over, control records included; `None`
    /// before the first.
    #[must_use]
    pub fn position(&self, partition: Partition) -> Option<Offset> {
        ffi::position(self.consumer.client().native_client(), &self.topic, number(partition)).map(Offset)
    }

    /// Sends one offset commit for several partitions; its answer carries the same identity.
    pub fn commit(&self, id: CommitId, entries: &BTreeMap<Partition, (Offset, Metadata)>) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(entries.len());
        for (partition, (offset, metadata)) in entries {
            let mut element = list.add_partition(&self.topic, number(*partition));
            element.set_offset(KafkaOffset::Offset(signed(*offset)))?;
            element.set_metadata(metadata.encode());
        }
        let sent = self.commits.commit(self.consumer.client().native_client(), &list, id.0);
        sent.map_err(|error| KafkaError::ConsumerCommit(error.into()))
    }

    /// The answer to a commit, if it is there; answers to earlier commits, of an assignment that was lost, are dropped.
    pub(crate) fn commit_answer(&self, id: CommitId) -> Option<CommitAnswer> {
        std::iter::from_fn(|| self.commits.poll()).find(|answer| answer.number == id.0)
    }

    /// First and last offset known of the partition's log.
    #[must_use]
    pub fn known_watermarks(&self, partition: Partition) -> Option<(u64, u64)> {
        ffi::known_watermarks(self.consumer.client().native_client(), &self.topic, number(partition))
    }

    /// Ends the membership on a thread of its own: leaving may take as long as the broker takes to answer.
    #[must_use]
    pub fn close(self) -> thread::JoinHandle<()> {
        thread::spawn(move || drop(self))
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Release);
        if self.unanswered {
            // Closing waits for the answer that nobody will give any more.
            give_back(&self.consumer, &self.consumer.assignment().unwrap_or_default());
        }
    }
}

fn give_back(consumer: &Client, list: &TopicPartitionList) {
    let given = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        _ => consumer.unassign(),
    };
    if let Err(error) = given {
        tracing::debug!(target: "kafka", %error, "partitions could not be given back");
    }
}

fn astray(message: &BorrowedMessage<'_>) -> Option<Event> {
    u32::try_from(message.partition()).ok().map(|partition| Event::Astray(Partition(partition)))
}

fn partitions_of(list: &TopicPartitionList) -> BTreeSet<Partition> {
    list.elements()
        .iter()
        .filter_map(|element| u32::try_from(element.partition()).ok())
        .map(Partition)
        .collect()
}

/// The partition's number as Kafka counts it.
pub(super) fn number(partition: Partition) -> i32 {
    i32::try_from(partition.0).unwrap_or(i32::MAX)
}

/// The offset as Kafka counts it.
pub(super) fn signed(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}
