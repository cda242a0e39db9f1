//! What Kafka says of its brokers and of a stream's topics, asked once: metadata, settings, where logs begin and end. Judges
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pumphouse_core::offset::Partition;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{MetadataBroker, MetadataTopic};

use super::topic::{KafkaFacts, TopicFacts};
use crate::config::settings::{Settings, Stream};
use crate::fault::{Code, Fault};
use crate::source::kafka::{lookup, properties};

/// Limit for one question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The topic in which Kafka keeps offsets.
const OFFSETS: &str = "__consumer_offsets";

/// A connection for the questions of one stream.
pub(super) struct Asking {
    consumer: Arc<BaseConsumer>,
    admin: AdminClient<DefaultClientContext>,
    server: String,
    topic: String,
    letters: Option<String>,
}

/// Where the logs of a topic stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Logs {
    /// Records that were ever written, as far as offsets tell.
    pub(super) written: u64,
    /// Records that are there.
    pub(super) kept: u64,
    /// Whether older ones were deleted.
    pub(super) is_cut: bool,
}

/// What metadata tells of a topic.
struct Seen {
    brokers: Vec<i32>,
    topic: Option<TopicFacts>,
}

impl Asking {
    /// Connects to nothing yet.
    pub(super) fn of(settings: &Settings, stream: &Stream) -> Result<Self, Fault> {
        let server = format!("Kafka at {}", settings.kafka.brokers);
        let config = properties::reader(&settings.kafka, stream);
        let refused = |error: KafkaError| Fault::new(Code::KafkaRefuses, &server, error.to_string());
        let consumer = Arc::new(config.create::<BaseConsumer>().map_err(refused)?);
        let admin = config.create().map_err(refused)?;
        let (topic, letters) = (stream.topic.clone(), stream.dead_letters.topic.clone());
        Ok(Self { consumer, admin, server, topic, letters })
    }

    /// Everything that findings go by.
    pub(super) async fn facts(&self) -> Result<KafkaFacts, Fault> {
        let mut untold = Vec::new();
        let (topic, brokers) = self.topic(&self.topic, &mut untold).await?;
        let letters = match &self.letters {
            Some(letters) => Some(self.topic(letters, &mut untold).await?.0),
            None => None,
        };
        // Kafka makes it for the first group.
        let offsets = match self.seen(OFFSETS).await?.topic {
            Some(seen) => {
                let settings = self.settings(ResourceSpecifier::Topic(OFFSETS), &mut untold).await;
                Some(TopicFacts { settings, ..seen })
            }
            None => None,
        };
        let settings = match brokers.first() {
            Some(broker) => self.settings(ResourceSpecifier::Broker(*broker), &mut untold).await,
            None => BTreeMap::new(),
        };
        Ok(KafkaFacts { brokers: brokers.len(), settings, offsets, topic, letters, untold })
    }

    /// Where the stream's topic stands now.
    pub(super) async fn logs(&self, partitions: usize) -> Result<Logs, Fault> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let mut logs = Logs::default();
            for partition in (0..partitions).filter_map(|partition| u32::try_from(partition).ok()) {
                let (low, high) = lookup::watermarks(&*consumer, &topic, Partition(partition))?;
                logs.written += high.0;
                logs.kept += high.0.saturating_sub(low.0);
                logs.is_cut |= low.0 > 0;
            }
            Ok(logs)
        });
        self.answer(asked.await)
    }

    /// A topic with its settings, and the brokers; a fault where there is no such topic.
    async fn topic(&self, name: &str, untold: &mut Vec<String>) -> Result<(TopicFacts, Vec<i32>), Fault> {
        let Seen { brokers, topic } = self.seen(name).await?;
        let missing = || {
            Fault::new(Code::TopicMissing, &self.server, format!("topic `{name}` does not exist")).advise(
                format!("kafka-topics.sh --create --topic {name} --partitions 6 --bootstrap-server …"),
            )
        };
        let topic = topic.ok_or_else(missing)?;
        let settings = self.settings(ResourceSpecifier::Topic(name), untold).await;
        Ok((TopicFacts { settings, ..topic }, brokers))
    }

    async fn seen(&self, name: &str) -> Result<Seen, Fault> {
        let (consumer, name) = (Arc::clone(&self.consumer), name.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = consumer.fetch_metadata(Some(&name), ANSWER_TIMEOUT)?;
            let brokers = metadata.brokers().iter().map(MetadataBroker::id).collect();
            let found = metadata.topics().iter().find(|topic| topic.name() == name);
            let topic = found.map(MetadataTopic::partitions).filter(|partitions| !partitions.is_empty());
            let topic = topic.map(|partitions| TopicFacts {
                name: name.clone(),
                partitions: partitions.len(),
                copies: partitions
                    .iter()
                    .map(|partition| partition.replicas().len())
                    .min()
                    .unwrap_or_default(),
                ..TopicFacts::default()
            });
            Ok(Seen { brokers, topic })
        });
        self.answer(asked.await)
    }

    /// The settings in force; none, and a word on it, where the user may not see them.
    async fn settings(
        &self,
        of: ResourceSpecifier<'_>,
        untold: &mut Vec<String>,
    ) -> BTreeMap<String, String> {
        let options = AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
        let described = self.admin.describe_configs([&of], &options).await;
        let described = described.map_err(|error| error.to_string()).and_then(|described| {
            let first = described.into_iter().next().ok_or_else(|| "no answer".to_owned())?;
            first.map_err(|error| error.to_string())
        });
        match described {
            Ok(resource) => {
                let pairs = resource.entries.into_iter().map(|entry| (entry.name, entry.value));
                pairs.filter_map(|(name, value)| Some((name, value?))).collect()
            }
            Err(error) => {
                let of = match of {
                    ResourceSpecifier::Topic(topic) => format!("topic {topic}"),
                    ResourceSpecifier::Broker(broker) => format!("broker {broker}"),
                    ResourceSpecifier::Group(group) => format!("group {group}"),
                };
                untold.push(format!("settings of {of}: {error}"));
                BTreeMap::new()
            }
        }
    }

    fn answer<T>(&self, asked: Result<Result<T, KafkaError>, tokio::task::JoinError>) -> Result<T, Fault> {
        let unreachable = |error: String| Fault::new(Code::KafkaUnreachable, &self.server, error);
        asked.map_err(|error| unreachable(error.to_string()))?.map_err(|error| unreachable(error.to_string()))
    }
}
