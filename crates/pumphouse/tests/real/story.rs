//! The ground of a story: a stream of generated events, its file and tables, and the comparison at the end, which
//! leaves no room: each event is one row or one dead letter, once, and the group stands at the end of the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pumphouse::demo::events::{COLUMNS, Expected, Generator, Place};
use pumphouse::demo::producer::{EventProducer, Tally};
use pumphouse::source::kafka::coordinator;
use pumphouse_core::claim::Metadata;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::world::{DEADLINE, Pair, Pump, World, block_on, told, wait_until};

const STREAM: &str = "requests";
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
/// Every so many offsets, a row's identity is compared with the event's.
const SAMPLE: u64 = 61;
/// A pace for events that keep coming: they are handed over this often.
const BEAT: Duration = Duration::from_millis(20);
/// Group members that are gone are missed after this time, where a story does not say otherwise.
pub(crate) const SHORT_SESSION: &str = r#"session.timeout.ms: "2000", heartbeat.interval.ms: "300""#;

/// What differs between stories.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) partitions: u32,
    pub(crate) bad_per_mille: u16,
    /// Properties of Kafka's client, as a YAML map without its braces.
    pub(crate) properties: &'static str,
    /// Where a new group starts.
    pub(crate) start_from: &'static str,
    /// Further keys under `clickhouse:`, as a YAML map without its braces.
    pub(crate) clickhouse: &'static str,
    /// The value of `process:`.
    pub(crate) process: &'static str,
    /// The value of the stream's `batch:`.
    pub(crate) batch: &'static str,
    /// Whether dead letters go to a topic, too, beside the table.
    pub(crate) letter_topic: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            partitions: 6,
            bad_per_mille: 10,
            properties: SHORT_SESSION,
            start_from: "earliest",
            clickhouse: "insert_timeout: 20s",
            process: "{ lanes: 2 }",
            batch: "{ freshness: 300ms }",
            letter_topic: false,
        }
    }
}

/// One stream in a place of its own.
pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) file: PathBuf,
    partitions: u32,
    generator: Generator,
}

/// What a table has of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    rows: u64,
    distinct: u64,
    sum_of_offsets: u64,
}

type HeldByPartition = BTreeMap<u32, Held>;

impl Story {
    /// A topic, a database and a file; no table yet.
    pub(crate) fn new(pair: &Pair, name: &str, plan: Plan) -> Self {
        let partitions = i32::try_from(plan.partitions).expect("few partitions");
        let world = pair.world(name, partitions);
        if plan.letter_topic {
            world.create_topic(&letter_topic(&world), 1);
        }
        let file = world.write("pumphouse.yaml", &yaml(&world, plan));
        let seed = name.bytes().fold(1, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        Self { world, file, partitions: plan.partitions, generator: Generator::new(seed, plan.bad_per_mille) }
    }

    /// The same with its tables, and a view that sums rows and offsets by partition.
    pub(crate) fn with_tables(pair: &Pair, name: &str, plan: Plan) -> Self {
        let story = Self::new(pair, name, plan);
        story.apply();
        let database = &story.world.database;
        for statement in [
            format!(
                "CREATE TABLE {database}.totals (partition UInt32, rows UInt64, offsets UInt64) \
                 ENGINE = SummingMergeTree ORDER BY partition SETTINGS non_replicated_deduplication_window = 10000"
            ),
            format!(
                "CREATE MATERIALIZED VIEW {database}.totals_view TO {database}.totals AS SELECT _partition AS \
                 partition, count() AS rows, sum(_offset) AS offsets FROM {database}.{STREAM} GROUP BY partition"
            ),
        ] {
            told(pair.clickhouse.query(&statement));
        }
        story
    }

    /// `pumphouse apply`.
    pub(crate) fn apply(&self) {
        let mut apply = self.world.command("apply", &self.file);
        assert_eq!(apply.wait(), Some(0), "{}", apply.log());
    }

    /// `pumphouse run`.
    pub(crate) fn run(&self) -> Pump {
        self.world.run(&self.file)
    }

    /// `pumphouse run`, with partitions.
    pub(crate) fn run_assigned(&self) -> Pump {
        let mut pump = self.run();
        pump.wait_for_line(&["partitions assigned", "partitions=[Partition("]);
        pump
    }

    /// Gives the topic more partitions.
    pub(crate) fn grow(&mut self, partitions: u32) {
        let admin: AdminClient<DefaultClientContext> = told(self.world.client().create());
        let options = AdminOptions::new().operation_timeout(Some(KAFKA_TIMEOUT));
        let more = [NewPartitions::new(&self.world.topic, partitions as usize)];
        for result in told(block_on(admin.create_partitions(&more, &options))) {
            result.unwrap_or_else(|(topic, error)| panic!("more partitions for {topic}: {error}"));
        }
        self.partitions = partitions;
    }

    /// Writes events as fast as it goes.
    pub(crate) fn produce(&self, events: u64) -> Tally {
        produce(self.producer(), self.partitions, events, None)
    }

    /// Writes so many events a second on a thread of its own.
    pub(crate) fn keep_producing(&self, events: u64, rate: u64) -> JoinHandle<Tally> {
        let (producer, partitions) = (self.producer(), self.partitions);
        thread::spawn(move || produce(producer, partitions, events, Some(rate)))
    }

    /// Writes events in portions.
    pub(crate) fn feed(&self) -> Feed {
        Feed { producer: self.producer(), partitions: self.partitions }
    }

    fn producer(&self) -> EventProducer {
        told(EventProducer::new(&self.world.brokers, &self.world.topic, self.partitions, self.generator))
    }

    /// The name of the stream's group.
    pub(crate) fn group(&self) -> String {
        format!("{}.{STREAM}", self.world.group)
    }

    /// The name of the stream's table, with its database.
    pub(crate) fn table(&self) -> String {
        format!("{}.{STREAM}", self.world.database)
    }

    /// Rows in the table so far.
    pub(crate) fn rows(&self, pair: &Pair) -> u64 {
        number(pair, &format!("SELECT count() FROM {}", self.table()))
    }

    /// Rows of one partition in the table so far.
    pub(crate) fn rows_of(&self, pair: &Pair, partition: i32) -> u64 {
        number(pair, &format!("SELECT count() FROM {} WHERE _partition = {partition}", self.table()))
    }

    /// Makes every insert take so many seconds, by a view that sleeps.
    pub(crate) fn slow_down(&self, pair: &Pair, seconds: u32) {
        let World { database, .. } = &self.world;
        for statement in [
            format!("CREATE TABLE {database}.nowhere (n UInt8) ENGINE = Null"),
            format!(
                "CREATE MATERIALIZED VIEW {database}.slow TO {database}.nowhere AS SELECT sleep({seconds}) AS n \
                 FROM {database}.{STREAM} LIMIT 1 \
                 SETTINGS function_sleep_max_microseconds_per_block = 100000000"
            ),
        ] {
            told(pair.clickhouse.query(&statement));
        }
    }

    /// Takes the view away again.
    pub(crate) fn speed_up(&self, pair: &Pair) {
        told(pair.clickhouse.query(&format!("DROP VIEW {}.slow", self.world.database)));
    }

    /// Waits until a claim is written down.
    pub(crate) fn wait_for_claims(&self) {
        let mut config = self.world.client();
        let consumer: BaseConsumer = told(config.set("group.id", self.group()).create());
        wait_until("claim", || {
            let committed = self.ask_committed(&consumer)?;
            let metadata = committed.elements().iter().find_map(|found| Metadata::decode(found.metadata()));
            metadata?.claim.map(drop)
        });
    }

    /// Where the group stands in a partition.
    pub(crate) fn committed(&self, partition: i32) -> Offset {
        let mut config = self.world.client();
        let consumer: BaseConsumer = told(config.set("group.id", self.group()).create());
        let committed = wait_until("committed offsets", || self.ask_committed(&consumer));
        committed.find_partition(&self.world.topic, partition).expect("it was asked for").offset()
    }

    /// Sets the group's offset by hand, with somebody's metadata.
    pub(crate) fn commit(&self, partition: i32, offset: i64, metadata: &str) {
        let mut config = self.world.client();
        let consumer: BaseConsumer = told(config.set("group.id", self.group()).create());
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.world.topic, partition);
        told(element.set_offset(Offset::Offset(offset)));
        element.set_metadata(metadata);
        told(coordinator::wait_for(|| consumer.commit(&list, CommitMode::Sync)));
    }

    /// Waits until the table holds at least so many rows.
    pub(crate) fn wait_for_rows(&self, pair: &Pair, least: u64) {
        wait_until(&format!("{least} rows in {}", self.table()), || (self.rows(pair) >= least).then_some(()));
    }

    /// Waits until the group's offset is the end of every partition.
    pub(crate) fn wait_until_drained(&self, pumps: &mut [Pump]) {
        let mut config = self.world.client();
        let consumer: BaseConsumer = told(config.set("group.id", self.group()).create());
        let started = Instant::now();
        loop {
            for pump in &mut *pumps {
                assert!(pump.is_running(), "pumphouse {} ended by itself:\n{}", pump.pid(), pump.log());
            }
            thread::sleep(Duration::from_millis(100));
            let lag = self.lag(&consumer);
            if lag == Some(0) {
                return;
            }
            if started.elapsed() > DEADLINE {
                let logs: Vec<_> =
                    pumps.iter().map(|pump| format!("{}:\n{}", pump.pid(), pump.log())).collect();
                panic!("not drained within {DEADLINE:?}, {lag:?} records left\n{}", logs.join("\n"));
            }
        }
    }

    /// Records behind the group's offsets; nothing while a partition has none.
    fn lag(&self, consumer: &BaseConsumer) -> Option<i64> {
        let committed = self.ask_committed(consumer)?;
        let mut lag = 0;
        for element in committed.elements() {
            let Offset::Offset(offset) = element.offset() else { return None };
            let end =
                consumer.fetch_watermarks(&self.world.topic, element.partition(), KAFKA_TIMEOUT).ok()?.1;
            assert!(
                offset <= end,
                "partition {} committed at {offset}, past its end {end}",
                element.partition()
            );
            lag += end - offset;
        }
        Some(lag)
    }

    fn ask_committed(&self, consumer: &BaseConsumer) -> Option<TopicPartitionList> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.world.topic, 0, i32::try_from(self.partitions).expect("few") - 1);
        consumer.committed_offsets(asked, KAFKA_TIMEOUT).ok()
    }

    /// Waits until all is drained, then compares, ends the processes with SIGTERM and compares again.
    pub(crate) fn ends_exactly(&self, pair: &Pair, tally: &Tally, mut pumps: Vec<Pump>) {
        self.wait_until_drained(&mut pumps);
        self.assert_exact(pair, tally);
        for pump in &mut pumps {
            assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
        }
        self.wait_until_drained(&mut []);
        self.assert_exact(pair, tally);
    }

    /// Every event is one row, or one dead letter with its code, once; both views have counted each row once.
    pub(crate) fn assert_exact(&self, pair: &Pair, tally: &Tally) {
        let (expected, letters) = self.expected(tally);
        let database = &self.world.database;
        let rows = format!(
            "SELECT _partition, count(), uniqExact(_partition, _offset), sum(_offset) FROM {database}.{STREAM} \
             GROUP BY _partition"
        );
        assert_eq!(held(pair, &rows), expected, "rows by partition");
        let totals = format!(
            "SELECT partition, sum(rows), sum(rows), sum(offsets) FROM {database}.totals GROUP BY partition"
        );
        assert_eq!(held(pair, &totals), expected, "the view's sums by partition");
        let all: u64 = expected.values().map(|held| held.rows).sum();
        let rollup = format!("SELECT countMerge(requests) FROM {database}.{STREAM}_per_minute");
        assert_eq!(number(pair, &rollup), all, "the rollup's count");
        let found = format!(
            "SELECT partition, offset, code FROM pumphouse.dead_letters WHERE topic = '{}' ORDER BY ALL",
            self.world.topic
        );
        let found = told(pair.clickhouse.query(&found));
        assert!(found == letters, "dead letters expected:\n{letters}\nfound:\n{found}");
        self.assert_identities(pair, tally);
    }

    /// Rows of the table that are missing, and rows that are there beside the first of their offset.
    pub(crate) fn lost_and_doubled(&self, pair: &Pair, tally: &Tally) -> (u64, u64) {
        let expected: u64 = self.expected(tally).0.values().map(|held| held.rows).sum();
        let distinct = format!("SELECT uniqExact(_partition, _offset) FROM {}", self.table());
        let distinct = number(pair, &distinct);
        (expected.saturating_sub(distinct), self.rows(pair).saturating_sub(distinct))
    }

    /// Rows have the identity of the event at their offset.
    fn assert_identities(&self, pair: &Pair, tally: &Tally) {
        let mut expected = String::new();
        self.each_event(tally, |place, kind| {
            if kind == Expected::Good && place.sequence % SAMPLE == 0 {
                let mut event = Vec::new();
                self.generator.write(place, 0, &mut event);
                let event: serde_json::Value = serde_json::from_slice(&event).expect("a good event is JSON");
                let id = event["event_id"].as_str().expect("a text");
                let _ = writeln!(expected, "{}\t{}\t{id}", place.partition, place.sequence);
            }
        });
        let sql = format!(
            "SELECT _partition, _offset, event_id FROM {} WHERE _offset % {SAMPLE} = 0 ORDER BY ALL",
            self.table()
        );
        assert!(told(pair.clickhouse.query(&sql)) == expected, "rows are not the events of their offsets");
    }

    /// What the table must hold of each partition, and the dead letters as ClickHouse must show them.
    fn expected(&self, tally: &Tally) -> (HeldByPartition, String) {
        let (mut held, mut letters) = (HeldByPartition::new(), String::new());
        self.each_event(tally, |place, expected| match expected {
            Expected::Good => {
                let held = held.entry(place.partition).or_default();
                held.rows += 1;
                held.distinct += 1;
                held.sum_of_offsets += place.sequence;
            }
            Expected::Bad(kind) => {
                let _ = writeln!(letters, "{}\t{}\t{}", place.partition, place.sequence, kind.code());
            }
        });
        (held, letters)
    }

    /// Every event that was written; the topic held nothing before, so its number is its offset.
    fn each_event(&self, tally: &Tally, mut visit: impl FnMut(Place, Expected)) {
        for (partition, sent) in &tally.by_partition {
            assert_eq!(sent.acknowledged, sent.events, "acknowledged in partition {partition}");
            assert_eq!(sent.last_offset, i64::try_from(sent.events).ok().map(|events| events - 1));
            for sequence in 0..sent.events {
                let place = Place { partition: *partition, sequence };
                visit(place, self.generator.expected(place));
            }
        }
    }
}

/// Events in portions, in one sequence.
pub(crate) struct Feed {
    producer: EventProducer,
    partitions: u32,
}

impl Feed {
    /// Writes the next events, and waits until Kafka has them.
    pub(crate) fn send(&mut self, events: u64) {
        for (_, partition) in (0..events).zip((0..self.partitions).cycle()) {
            told(self.producer.send_next(partition, now_milliseconds()));
        }
        wait_until("acknowledgements", || {
            self.producer.poll(BEAT);
            (self.producer.acknowledged() == self.producer.events()).then_some(())
        });
    }

    /// What was written.
    pub(crate) fn finish(self) -> Tally {
        told(self.producer.finish())
    }
}

/// One number from ClickHouse.
pub(crate) fn number(pair: &Pair, sql: &str) -> u64 {
    let answer = told(pair.clickhouse.query(sql));
    answer.trim().parse().unwrap_or_else(|_| panic!("{sql}: {answer}"))
}

fn held(pair: &Pair, sql: &str) -> HeldByPartition {
    let answer = told(pair.clickhouse.query(sql));
    let line = |line: &str| {
        let mut numbers = line.split('\t').map(|number| number.parse::<u64>().expect("a number"));
        let mut next = || numbers.next().expect("four columns");
        let partition = u32::try_from(next()).expect("a partition");
        (partition, Held { rows: next(), distinct: next(), sum_of_offsets: next() })
    };
    answer.lines().map(line).collect()
}

fn produce(mut producer: EventProducer, partitions: u32, events: u64, rate: Option<u64>) -> Tally {
    let begun = Instant::now();
    for (number, partition) in (0..events).zip((0..partitions).cycle()) {
        if let Some(rate) = rate {
            let due = begun + Duration::from_micros(number * 1_000_000 / rate);
            // Waits in beats: a wait for each event would be a system call for each.
            while due > Instant::now() + BEAT {
                producer.poll(BEAT);
            }
        } else if number % 512 == 0 {
            producer.poll(Duration::ZERO);
        }
        told(producer.send_next(partition, now_milliseconds()));
    }
    told(producer.finish())
}

fn now_milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

fn letter_topic(world: &World) -> String {
    format!("{}_letters", world.topic)
}

fn yaml(world: &World, plan: Plan) -> String {
    let columns = COLUMNS.map(|(name, column_type)| format!("      {name}: {column_type}\n")).concat();
    let World { brokers, clickhouse_url, database, topic, group, .. } = world;
    let Plan { properties, start_from, clickhouse, process, batch, .. } = plan;
    let letters = if plan.letter_topic { letter_topic(world) } else { "null".to_owned() };
    format!(
        r#"
clickhouse: {{ url: "{clickhouse_url}", database: {database}, {clickhouse} }}
kafka: {{ brokers: "{brokers}", group: {group}, start_from: {start_from}, properties: {{ {properties} }} }}
process: {process}
streams:
  {STREAM}:
    from: {{ topic: {topic}, format: json }}
    batch: {batch}
    dead_letters: {{ topic: {letters} }}
    columns:
{columns}    table: {{ order_by: [service, endpoint, ts], partition_by: toYYYYMM(ts) }}
    rollups:
      per_minute:
        every: 1 minute of ts
        dimensions: [service, endpoint]
        metrics: {{ requests: count(), errors: "countIf(status >= 500)", p99_ms: "quantile(0.99)(duration_ms)" }}
"#
    )
}
