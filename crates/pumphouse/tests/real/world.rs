//! What a test against real servers stands on: the shared pair, a place of its own in it, and a pumphouse to run.
//! Knows nothing of what is tested.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pumphouse::embedded::guard::{Guarded, Program};
use pumphouse::embedded::{clickhouse, kafka};
use pumphouse::source::kafka::coordinator;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;

/// How long a test waits for a state before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);
/// Lines of a process's log that a failed test shows.
const LOG_LINES: usize = 60;
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);

/// The binary under test.
pub(crate) fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_pumphouse"))
}

/// A ClickHouse and a Kafka.
pub(crate) struct Pair {
    pub(crate) clickhouse: clickhouse::Server,
    pub(crate) kafka: kafka::Server,
}

impl Pair {
    /// The one pair of this test binary, or what the environment names. For tests that leave servers alone.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Pair> = OnceLock::new();
        SHARED.get_or_init(|| {
            Self::of(clickhouse::Launch::start_unless_given, kafka::Launch::start_unless_given)
        })
    }

    /// A pair of its own, for a test that kills, pauses or restarts servers.
    pub(crate) fn own() -> Self {
        Self::of(clickhouse::Launch::start, kafka::Launch::start)
    }

    fn of(
        start_clickhouse: fn(clickhouse::Launch) -> Result<clickhouse::Server, pumphouse::embedded::Error>,
        start_kafka: fn(kafka::Launch) -> Result<kafka::Server, pumphouse::embedded::Error>,
    ) -> Self {
        thread::scope(|scope| {
            let kafka = scope.spawn(|| start_kafka(kafka::Launch::new(exe())));
            let clickhouse = start_clickhouse(clickhouse::Launch::new(exe()));
            let kafka = kafka.join().expect("starting Kafka does not panic");
            Self { clickhouse: told(clickhouse), kafka: told(kafka) }
        })
    }

    /// A fresh database, named after the test.
    pub(crate) fn database(&self, test: &str) -> String {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        // Given servers outlive this process, so the names must differ between runs too.
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("{test}_{}_{number}", std::process::id());
        told(self.clickhouse.query(&format!("CREATE DATABASE {name}")));
        name
    }

    /// A fresh database, topic and group, named after the test.
    pub(crate) fn world(&self, test: &str, partitions: i32) -> World {
        let name = self.database(test);
        let world = World {
            brokers: self.kafka.brokers().to_owned(),
            clickhouse_url: self.clickhouse.url().to_owned(),
            database: name.clone(),
            topic: name.clone(),
            group: name,
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        world.create_topic(&world.topic, partitions);
        world
    }
}

/// One test's own place in a pair of servers.
pub(crate) struct World {
    pub(crate) brokers: String,
    pub(crate) clickhouse_url: String,
    pub(crate) database: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    folder: tempfile::TempDir,
}

/// One message to produce.
pub(crate) struct Message<'a> {
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
}

impl World {
    /// Creates another topic.
    pub(crate) fn create_topic(&self, topic: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = told(self.client().create());
        let new = [NewTopic::new(topic, partitions, TopicReplication::Fixed(1))];
        let options = AdminOptions::new().operation_timeout(Some(KAFKA_TIMEOUT));
        for result in told(block_on(admin.create_topics(&new, &options))) {
            result.unwrap_or_else(|(topic, error)| panic!("creating topic {topic}: {error}"));
        }
        self.wait_for_leaders(topic, partitions);
    }

    /// Sets a property of the topic, and all others back.
    pub(crate) fn set_topic(&self, property: &str, value: &str) {
        self.set_topic_to(&[(property, value)]);
    }

    /// Sets these properties of the topic, and all others back.
    pub(crate) fn set_topic_to(&self, properties: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = told(self.client().create());
        let topic = AlterConfig::new(ResourceSpecifier::Topic(&self.topic));
        let change = properties.iter().fold(topic, |change, (property, value)| change.set(property, value));
        for result in told(block_on(admin.alter_configs(&[change], &AdminOptions::new()))) {
            result.unwrap_or_else(|(topic, error)| panic!("setting {properties:?} of {topic:?}: {error}"));
        }
    }

    /// Deletes a topic and waits until the broker says so.
    pub(crate) fn delete_topic(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> = told(self.client().create());
        let options = AdminOptions::new().operation_timeout(Some(KAFKA_TIMEOUT));
        for result in told(block_on(admin.delete_topics(&[topic], &options))) {
            result.unwrap_or_else(|(topic, error)| panic!("deleting topic {topic}: {error}"));
        }
    }

    fn wait_for_leaders(&self, topic: &str, partitions: i32) {
        let client: BaseConsumer = told(self.client().create());
        wait_until(&format!("leaders of {topic}"), || {
            let metadata = client.fetch_metadata(Some(topic), KAFKA_TIMEOUT).ok()?;
            let found = metadata.topics().first()?.partitions();
            let all = i32::try_from(found.len()) == Ok(partitions);
            (all && found.iter().all(|partition| partition.leader() >= 0)).then_some(())
        });
    }

    /// Produces all messages in order, acknowledged by the broker when this returns.
    pub(crate) fn produce<'a>(&self, messages: impl IntoIterator<Item = Message<'a>>) {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("message.max.bytes", "20971520");
        let producer: BaseProducer<Acknowledged> = told(config.create_with_context(Acknowledged::default()));
        let mut sent = 0;
        for message in messages {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).partition(message.partition);
            record.key = message.key;
            record.payload = message.payload;
            while let Err((error, unsent)) = producer.send(record) {
                let full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert!(full, "producing: {error}");
                producer.poll(POLL);
                record = unsent;
            }
            sent += 1;
        }
        told(producer.flush(DEADLINE));
        assert_eq!(producer.context().0.load(Ordering::Acquire), sent, "messages acknowledged");
    }

    /// What the group has committed for a partition: the offset and its metadata.
    pub(crate) fn committed(&self, partition: i32) -> (Offset, String) {
        let consumer: BaseConsumer = told(self.client().set("group.id", &self.group).create());
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, partition);
        let answer = told(coordinator::wait_for(|| consumer.committed_offsets(asked.clone(), KAFKA_TIMEOUT)));
        let found = answer.find_partition(&self.topic, partition).expect("the partition that was asked for");
        (found.offset(), found.metadata().to_owned())
    }

    /// A client configuration with the brokers set.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Writes a file in the test's own folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file in a temporary folder");
        path
    }

    /// Starts `pumphouse run -c FILE`.
    pub(crate) fn run(&self, config: &Path) -> Pump {
        self.command("run", config)
    }

    /// Starts `pumphouse run -c FILE` with `NAME=value` in its environment.
    pub(crate) fn run_with(&self, variable: &str, config: &Path) -> Pump {
        let exe = exe().to_string_lossy();
        self.start_program("/usr/bin/env", &[variable, &exe, "run", "-c", &config.to_string_lossy()])
    }

    /// Starts another command that takes a configuration.
    pub(crate) fn command(&self, name: &str, config: &Path) -> Pump {
        self.start(&[name, "-c", &config.to_string_lossy()])
    }

    /// Starts pumphouse with these arguments.
    pub(crate) fn start(&self, arguments: &[&str]) -> Pump {
        self.start_program(&exe().to_string_lossy(), arguments)
    }

    fn start_program(&self, program: &str, arguments: &[&str]) -> Pump {
        static PUMPS: AtomicU32 = AtomicU32::new(0);
        let log = format!("pumphouse-{}.log", PUMPS.fetch_add(1, Ordering::Relaxed));
        Pump::start(program, arguments, self.folder.path().join(log))
    }
}

/// Counts acknowledged messages and panics at a refused one.
#[derive(Default)]
struct Acknowledged(AtomicU32);

impl rdkafka::ClientContext for Acknowledged {}

impl rdkafka::producer::ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Release);
        }
    }
}

/// A running pumphouse. It dies with the test.
pub(crate) struct Pump {
    process: Guarded,
    log: PathBuf,
}

impl Pump {
    fn start(program: &str, arguments: &[&str], log: PathBuf) -> Self {
        let program = Program {
            path: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            log: log.clone(),
            scratch: None,
        };
        Self { process: told(Guarded::spawn(exe(), &program)), log }
    }

    /// SIGKILL: no chance to say good-bye.
    pub(crate) fn kill(&mut self) {
        told(self.process.kill());
    }

    /// SIGSTOP: as a virtual machine that is paused.
    pub(crate) fn pause(&mut self) {
        told(self.process.signal(Signal::STOP));
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) {
        told(self.process.signal(Signal::CONT));
    }

    /// SIGTERM, and the exit code it ends with.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        told(self.process.signal(Signal::TERM));
        self.wait()
    }

    /// SIGTERM, and another one as soon as it drains; the exit code it ends with.
    pub(crate) fn terminate_twice(&mut self) -> Option<i32> {
        told(self.process.signal(Signal::TERM));
        self.wait_for_line(&["draining"]);
        // What comes within half a second is taken for one signal.
        thread::sleep(Duration::from_millis(600));
        told(self.process.signal(Signal::TERM));
        self.wait()
    }

    /// Waits for its end; 128 + signal for one that a signal ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let ended = told(self.process.wait(DEADLINE));
        let ended = ended.unwrap_or_else(|| panic!("pumphouse still runs; its log:\n{}", self.log()));
        ExitStatus::code(&ended)
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        told(self.process.ended()).is_none()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// All it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log was created before it started")
    }

    /// Waits until it has said all of `words` in one line; the line.
    pub(crate) fn wait_for_line(&mut self, words: &[&str]) -> String {
        let says = |line: &&str| words.iter().all(|word| line.contains(word));
        wait_until(&format!("line with {words:?}"), || {
            let is_running = self.is_running();
            let line = self.log().lines().find(says).map(str::to_owned);
            assert!(is_running || line.is_some(), "it ended without a line with {words:?}:\n{}", self.log());
            line
        })
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            eprintln!("--- the end of what pumphouse {} said:\n{end}", self.process.pid());
        }
    }
}

/// Polls `state` until it is there; fails after [`DEADLINE`], naming `what`.
pub(crate) fn wait_until<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = state() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "no {what} within {DEADLINE:?}");
        thread::sleep(POLL);
    }
}

/// The value, or a failed test with the error's own words and its causes.
pub(crate) fn told<T, E: std::error::Error>(outcome: Result<T, E>) -> T {
    outcome.unwrap_or_else(|error| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        panic!("{text}")
    })
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    told(runtime).block_on(future)
}
