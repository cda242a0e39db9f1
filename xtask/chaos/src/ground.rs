//! Where a run takes place: a Kafka and a ClickHouse of its own, a proxy before each, a topic, two tables with a
//! rollup and a view, and a configuration for each process. Breaks nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use pumphouse::embedded::{clickhouse, kafka};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::event::SECOND_TABLE;
use crate::http::ClickHouse;
use crate::oracle::GROUP;
use crate::proxy::{Protocol, Proxy};

pub(crate) const TOPIC: &str = "chaos";
pub(crate) const DATABASE: &str = "chaos";
pub(crate) const PARTITIONS: u32 = 6;
/// Places for processes.
pub(crate) const SLOTS: usize = 4;
/// How long an insert may take, and so how late ClickHouse still takes it.
pub(crate) const INSERT_TIMEOUT: Duration = Duration::from_secs(5);
/// The members' session.
pub(crate) const SESSION: Duration = Duration::from_secs(3);
/// The tables whose limits are changed: of rows, and what hangs on them.
pub(crate) const TABLES: [&str; 4] = ["events", SECOND_TABLE, "events_per_minute", "totals"];
/// ClickHouse's disk.
const DISK: &str = "size=3g";
const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);

/// Servers, proxies, files.
pub(crate) struct Ground {
    pub(crate) exe: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) clickhouse_proxies: Vec<Arc<Proxy>>,
    pub(crate) kafka_proxy: Arc<Proxy>,
    pub(crate) configurations: Vec<PathBuf>,
    pub(crate) tight: Vec<PathBuf>,
    pub(crate) address: ClickHouse,
    pub(crate) brokers: String,
    /// The folder of ClickHouse's disk, where it is a small one that may be filled.
    pub(crate) disk: Option<PathBuf>,
}

/// The two servers, apart from the ground: each belongs to the hand that breaks it.
pub(crate) struct Servers {
    pub(crate) clickhouse: clickhouse::Server,
    pub(crate) kafka: kafka::Server,
}

impl Ground {
    /// Starts and creates everything in `folder`.
    pub(crate) fn prepare(exe: PathBuf, folder: PathBuf) -> anyhow::Result<(Self, Servers)> {
        let kafka_proxy = Arc::new(Proxy::start(Protocol::Kafka)?);
        let home = folder.join("clickhouse");
        fs::create_dir_all(&home)?;
        let disk = mount(&home).then(|| home.clone());
        let (clickhouse, kafka) = thread::scope(|scope| {
            let launch = kafka::Launch::new(&exe).in_folder(&folder.join("kafka")).behind(kafka_proxy.port());
            let kafka = scope.spawn(|| launch.start());
            let clickhouse = clickhouse::Launch::new(&exe).in_folder(&home).start();
            (clickhouse, kafka.join().expect("starting Kafka does not panic"))
        });
        let (clickhouse, kafka) = (clickhouse?, kafka?);
        kafka_proxy.lead_to(SocketAddr::from((
            [127, 0, 0, 1],
            kafka.proxied_port().context("a listener for the proxy was asked for")?,
        )));
        let address: SocketAddr = clickhouse.url().trim_start_matches("http://").parse()?;
        let mut clickhouse_proxies = Vec::new();
        for _ in 0..SLOTS {
            let proxy = Proxy::start(Protocol::ClickHouse)?;
            proxy.lead_to(address);
            clickhouse_proxies.push(Arc::new(proxy));
        }
        let mut ground = Self {
            exe,
            clickhouse_proxies,
            kafka_proxy,
            configurations: Vec::new(),
            tight: Vec::new(),
            address: ClickHouse(address),
            brokers: kafka.brokers().to_owned(),
            disk,
            folder,
        };
        ground.create()?;
        Ok((ground, Servers { clickhouse, kafka }))
    }

    fn create(&mut self) -> anyhow::Result<()> {
        self.create_topic()?;
        for number in 0..SLOTS {
            let port = self.clickhouse_proxies[number].port();
            let plain = self.configuration(port, "{}");
            // Inserts of such a process have little of ClickHouse's memory, and fail at a random place for want of it.
            let tight = self.configuration(
                port,
                "{ max_memory_usage: 12000000, max_untracked_memory: 1, memory_tracker_fault_probability: 0.0005 }",
            );
            for (name, text, files) in
                [("process", plain, &mut self.configurations), ("tight", tight, &mut self.tight)]
            {
                let path = self.folder.join(format!("{name}-{number}.yaml"));
                fs::write(&path, text)?;
                files.push(path);
            }
        }
        let applied = Command::new(&self.exe).args(["apply", "-c"]).arg(&self.configurations[0]).output()?;
        ensure!(applied.status.success(), "apply: {}", String::from_utf8_lossy(&applied.stderr));
        for statement in [
            format!(
                "CREATE TABLE {DATABASE}.totals (partition UInt32, group UInt64, rows UInt64, amounts Int64) \
                 ENGINE = SummingMergeTree ORDER BY (partition, group) \
                 SETTINGS non_replicated_deduplication_window = 10000"
            ),
            format!(
                "CREATE MATERIALIZED VIEW {DATABASE}.totals_view TO {DATABASE}.totals AS SELECT _partition AS \
                 partition, intDiv(_offset, {GROUP}) AS group, count() AS rows, sum(amount) AS amounts \
                 FROM {DATABASE}.events GROUP BY partition, group"
            ),
        ] {
            self.address.ask(&statement)?;
        }
        Ok(())
    }

    fn create_topic(&self) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?;
        let topic = [NewTopic::new(TOPIC, i32::try_from(PARTITIONS)?, TopicReplication::Fixed(1))];
        let options = AdminOptions::new().operation_timeout(Some(KAFKA_TIMEOUT));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for answer in runtime.block_on(admin.create_topics(&topic, &options))? {
            if let Err((topic, error)) = answer {
                bail!("topic {topic} can't be created: {error}");
            }
        }
        Ok(())
    }

    fn configuration(&self, port: u16, settings: &str) -> String {
        let (kafka, session) = (self.kafka_proxy.port(), SESSION.as_millis());
        let insert = INSERT_TIMEOUT.as_secs();
        format!(
            r#"
clickhouse: {{ url: "http://127.0.0.1:{port}", database: {DATABASE}, connect_timeout: 2s, insert_timeout: {insert}s, query_timeout: 5s, start_retries: 10, start_retry_every: 1s, settings: {settings} }}
kafka: {{ brokers: "127.0.0.1:{kafka}", group: chaos, start_from: earliest, properties: {{ session.timeout.ms: "{session}", heartbeat.interval.ms: "300", socket.timeout.ms: "10000", reconnect.backoff.max.ms: "1000" }} }}
process: {{ lanes: 2, drain_timeout: 15s }}
streams:
  events:
    from: {{ topic: {TOPIC}, format: json }}
    batch: {{ freshness: 300ms }}
    columns:
      id: UInt64
      service: LowCardinality(String)
      amount: Int64
    tables:
      events:
        columns: {{ at: {{ type: DateTime64(3), epoch: milliseconds }}, status: UInt16, note: String }}
        order_by: [service, id]
        partition_by: toYYYYMM(at)
        rollups:
          per_minute:
            every: 1 minute of at
            dimensions: [service]
            metrics: {{ events: count(), amounts: sum(amount) }}
      {SECOND_TABLE}:
        when: {{ service: {SECOND_TABLE} }}
        order_by: [id]
"#
        )
    }

    /// Records behind the group's offsets; none while a partition has none, or Kafka does not answer.
    pub(crate) fn lag(&self) -> Option<u64> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "chaos.events")
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
            .create()
            .ok()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(TOPIC, 0, i32::try_from(PARTITIONS).ok()? - 1);
        let mut lag = 0;
        for element in consumer.committed_offsets(asked, KAFKA_TIMEOUT).ok()?.elements() {
            let Offset::Offset(offset) = element.offset() else { return None };
            let end = consumer.fetch_watermarks(TOPIC, element.partition(), KAFKA_TIMEOUT).ok()?.1;
            lag += u64::try_from(end - offset).ok()?;
        }
        Some(lag)
    }

    /// What the coordinator, asked past the proxy, says of the group.
    fn group(&self) -> String {
        let consumer: Result<BaseConsumer, _> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create();
        let asked =
            consumer.and_then(|consumer| consumer.fetch_group_list(Some("chaos.events"), KAFKA_TIMEOUT));
        match asked {
            Ok(groups) => groups.groups().iter().fold("its group:".to_owned(), |text, group| {
                format!("{text} {}, {} members", group.state(), group.members().len())
            }),
            Err(error) => format!("its group can't be asked for: {error}"),
        }
    }

    /// Waits until the group stands at the end of every partition.
    pub(crate) fn wait_until_drained(&self, within: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            match self.lag() {
                Some(0) => return Ok(()),
                lag if begun.elapsed() > within => {
                    bail!("the lag is {lag:?} and not 0 after {within:?}; {}", self.group())
                }
                _ => thread::sleep(Duration::from_millis(500)),
            }
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            // The servers are gone by then; what is left of the folder is removed by whoever made it.
            let _ = Command::new("umount").arg("--lazy").arg(disk).status();
        }
    }
}

/// Makes `folder` a small disk of its own; `false` where this user may not.
fn mount(folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", DISK, "pumphouse-chaos"]).arg(folder);
    command.output().is_ok_and(|output| output.status.success())
}
