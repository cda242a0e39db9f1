//! The servers, files and commands of an incident. All end with this value.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pumphouse_core::claim::Metadata;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;
use tempfile::TempDir;

use super::super::worker::Worker;
use super::Failure;
use crate::embedded::clickhouse::Merges;
use crate::embedded::{clickhouse, kafka};
use crate::fault::Exit;
use crate::source::kafka::coordinator;

/// The topic.
pub const TOPIC: &str = "customer.events";
/// Its partitions.
pub const PARTITIONS: u32 = 3;
/// The database of all tables.
pub const DATABASE: &str = "incident";
/// pumphouse's stream.
pub const STREAM: &str = "events";
/// What the names of pumphouse's groups begin with; a stream's name follows.
pub const GROUP_PREFIX: &str = "pumphouse.";
/// pumphouse's group.
pub const GROUP: &str = "pumphouse.events";

const KAFKA_TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);

/// Everything that an incident needs.
pub struct Stage {
    clickhouse: clickhouse::Server,
    kafka: kafka::Server,
    exe: PathBuf,
    folder: TempDir,
}

/// Where a group stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The committed offset of each partition; nothing where there is none.
    pub committed: Vec<Option<i64>>,
    /// The end of each partition.
    pub ends: Vec<i64>,
    /// Messages that the group has not passed.
    pub lag: i64,
    /// Partitions whose offset carries pumphouse's own history: nobody set it by hand.
    pub with_history: u32,
}

impl Stage {
    /// Starts both servers, and creates the topic and the database of incident 003.
    ///
    /// # Errors
    /// When a server does not start.
    pub fn set_up(exe: &Path) -> Result<Self, Failure> {
        Self::open(exe, Merges::default(), &[(TOPIC, PARTITIONS)])
    }

    /// Starts both servers, ClickHouse with so many merges at once, and creates topics and the database.
    ///
    /// # Errors
    /// When a server does not start.
    pub fn open(exe: &Path, merges: Merges, topics: &[(&str, u32)]) -> Result<Self, Failure> {
        let (clickhouse, kafka) = std::thread::scope(|scope| {
            let clickhouse = scope.spawn(|| clickhouse::Launch::new(exe).merging(merges).start());
            let kafka = kafka::Launch::new(exe).start();
            (clickhouse.join().expect("starting ClickHouse does not panic"), kafka)
        });
        let folder = tempfile::Builder::new().prefix("pumphouse-incident-").tempdir()?;
        let stage = Self { clickhouse: clickhouse?, kafka: kafka?, exe: exe.to_owned(), folder };
        stage.create_topics(topics)?;
        stage.query(&format!("CREATE DATABASE {DATABASE}"))?;
        Ok(stage)
    }

    /// Asks ClickHouse.
    ///
    /// # Errors
    /// When it refuses.
    pub fn query(&self, sql: &str) -> Result<String, Failure> {
        Ok(self.clickhouse.query(sql)?)
    }

    /// Asks ClickHouse for one number.
    ///
    /// # Errors
    /// When it refuses.
    pub fn number(&self, sql: &str) -> Result<u64, Failure> {
        let answer = self.query(sql)?;
        answer.trim().parse().map_err(|_| Failure::Answer(answer))
    }

    /// ClickHouse's address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.clickhouse.url()
    }

    /// Kafka's address.
    #[must_use]
    pub fn brokers(&self) -> &str {
        self.kafka.brokers()
    }

    /// A client's configuration.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers()).set_log_level(RDKafkaLogLevel::Error);
        config
    }

    /// Where a group stands in the topic.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn standing(&self, group: &str) -> Result<Standing, Failure> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(TOPIC, 0, i32::try_from(PARTITIONS).unwrap_or(i32::MAX) - 1);
        let found = coordinator::wait_for(|| consumer.committed_offsets(asked.clone(), KAFKA_TIMEOUT))?;
        let mut standing = Standing { committed: Vec::new(), ends: Vec::new(), lag: 0, with_history: 0 };
        for element in found.elements() {
            let end = consumer.fetch_watermarks(TOPIC, element.partition(), KAFKA_TIMEOUT)?.1;
            let committed = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let metadata = Metadata::decode(element.metadata());
            standing.with_history += u32::from(metadata.is_some_and(|metadata| !metadata.history.is_empty()));
            standing.lag += end - committed.unwrap_or(0);
            standing.committed.push(committed);
            standing.ends.push(end);
        }
        Ok(standing)
    }

    /// Writes a file of the incident.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs a command of pumphouse with a configuration to its end; what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn pumphouse(&self, words: &[&str], config: &Path) -> Result<String, Failure> {
        let output = Command::new(&self.exe).args(words).arg("--config").arg(config).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure::Command { command: words.join(" "), status: output.status, said })
    }

    /// Runs a command of pumphouse that may have findings; what it printed.
    ///
    /// # Errors
    /// When it can't be started, or ends with another code than that of findings or of none.
    pub fn findings(&self, words: &[&str], config: &Path) -> Result<String, Failure> {
        let output = Command::new(&self.exe).args(words).arg("--config").arg(config).output()?;
        let allowed = [Exit::Fine, Exit::Findings].map(|exit| i32::from(exit.number()));
        if output.status.code().is_some_and(|code| allowed.contains(&code)) {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure::Command { command: words.join(" "), status: output.status, said })
    }

    /// `pumphouse run`, not started.
    #[must_use]
    pub fn worker(&self, config: &Path) -> Worker {
        Worker::new(self.exe.clone(), config.to_owned(), self.folder.path().join("worker.log"))
    }

    fn create_topics(&self, topics: &[(&str, u32)]) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let count = |partitions: u32| i32::try_from(partitions).unwrap_or(i32::MAX);
        let topics: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|(name, partitions)| NewTopic::new(name, count(*partitions), TopicReplication::Fixed(1)))
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(KAFKA_TIMEOUT));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answers = runtime.block_on(admin.create_topics(&topics, &options))?;
        match answers.into_iter().find_map(Result::err) {
            Some((_, code)) => Err(Failure::Kafka(rdkafka::error::KafkaError::AdminOp(code))),
            None => Ok(()),
        }
    }
}

/// Asks until there is an answer.
///
/// # Errors
/// When there is none in time, or asking fails; `seen` says what there was instead.
pub fn wait_for<T>(
    what: &'static str,
    within: Duration,
    mut ask: impl FnMut() -> Result<Option<T>, Failure>,
    seen: impl FnOnce() -> String,
) -> Result<T, Failure> {
    let started = Instant::now();
    while started.elapsed() < within {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        std::thread::sleep(POLL);
    }
    Err(Failure::Late { what, within, seen: seen() })
}
