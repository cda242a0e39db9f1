//! Rows that the table refuses: by a constraint, a default, a computed column, an index. Each is a dead letter, once; its
//! neighbours arrive, once, in the table and in its rollup; and a table that refuses everything stops the stream.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::story::SHORT_SESSION;
use crate::world::{Message, Pair, Pump, World, told, wait_until};

/// Refused by the constraint, and by what divides by `a`.
const REFUSED: i64 = 4_711;
const DIVIDES: i64 = 0;
const CONSTRAINT: &str = "ADD CONSTRAINT small CHECK a < 1000";
const TABLE: &str = "    table: { order_by: [id] }\n";
const ROLLUP: &str = "    table: { order_by: [id], partition_by: toYYYYMM(ts) }
    rollups:
      per_minute: { every: 1 minute of ts, dimensions: [kind], metrics: { requests: count() } }
";

/// One stream with a strict table, and what was written to its topic.
struct Scene<'p> {
    pair: &'p Pair,
    world: World,
    file: PathBuf,
    partitions: i32,
    /// The values of `a` by partition, in the order of the offsets.
    written: BTreeMap<i32, Vec<i64>>,
    refused: i64,
}

impl<'p> Scene<'p> {
    fn new(pair: &'p Pair, name: &str, partitions: i32, table: &str, rule: &str) -> Self {
        let world = pair.world(name, partitions);
        let World { brokers, clickhouse_url, database, topic, group, .. } = &world;
        let text = format!(
            "clickhouse: {{ url: \"{clickhouse_url}\", database: {database}, insert_timeout: 20s }}
kafka: {{ brokers: \"{brokers}\", group: {group}, properties: {{ {SHORT_SESSION} }} }}
process: {{ lanes: 2 }}
streams:
  strict:
    from: {{ topic: {topic}, format: json }}
    batch: {{ freshness: 300ms }}
    columns: {{ id: UInt64, a: Int64, kind: LowCardinality(String), ts: DateTime }}
{table}"
        );
        let file = world.write("pumphouse.yaml", &text);
        let mut apply = world.command("apply", &file);
        assert_eq!(apply.wait(), Some(0), "{}", apply.log());
        let scene = Self { pair, world, file, partitions, written: BTreeMap::new(), refused: REFUSED };
        if !rule.is_empty() {
            scene.alter(rule);
        }
        scene
    }

    fn alter(&self, rule: &str) {
        told(self.pair.clickhouse.query(&format!("ALTER TABLE {}.strict {rule}", self.world.database)));
    }

    fn run(&self) -> Pump {
        self.world.run(&self.file)
    }

    /// Writes one message for each value, the same to every partition.
    fn produce(&mut self, values: &[i64]) {
        let mut messages = Vec::new();
        for partition in 0..self.partitions {
            let written = self.written.entry(partition).or_default();
            for a in values {
                let id = written.len();
                written.push(*a);
                messages.push((
                    partition,
                    format!(
                        "{{\"id\":{id},\"a\":{a},\"kind\":\"k{}\",\"ts\":\"2026-11-21T10:00:00Z\"}}",
                        id % 3
                    ),
                ));
            }
        }
        self.world.produce(messages.iter().map(|(partition, text)| Message {
            partition: *partition,
            key: None,
            payload: Some(text.as_bytes()),
        }));
    }

    /// What must be there: by partition how many, how many different, and the sum of their offsets.
    fn expected(&self, is_refused: bool) -> String {
        let mut text = String::new();
        for (partition, values) in &self.written {
            let offsets = (0_u64..).zip(values).filter(|(_, a)| (**a == self.refused) == is_refused);
            let (count, sum) = offsets.fold((0, 0), |(count, sum), (offset, _)| (count + 1, sum + offset));
            if count > 0 {
                // Infallible: writing to a `String`.
                let _ = writeln!(text, "{partition}\t{count}\t{count}\t{sum}");
            }
        }
        text
    }

    fn rows(&self) -> String {
        told(self.pair.clickhouse.query(&format!(
            "SELECT _partition, count(), uniqExact(_offset), sum(_offset) FROM {}.strict GROUP BY ALL ORDER BY ALL",
            self.world.database
        )))
    }

    fn letters(&self) -> String {
        told(self.pair.clickhouse.query(&format!(
            "SELECT partition, count(), uniqExact(offset), sum(offset) FROM pumphouse.dead_letters \
             WHERE topic = '{}' AND code = 'PH-0121' GROUP BY ALL ORDER BY ALL",
            self.world.topic
        )))
    }

    /// Waits until every message is accounted for, and looks again: nothing may come twice.
    fn is_exact(&self) -> Duration {
        let begun = Instant::now();
        wait_until("every row", || (self.rows() == self.expected(false)).then_some(()));
        wait_until("every dead letter", || (self.letters() == self.expected(true)).then_some(()));
        let took = begun.elapsed();
        thread::sleep(Duration::from_millis(600));
        assert_eq!((self.rows(), self.letters()), (self.expected(false), self.expected(true)));
        took
    }

    fn ends_exactly(&self, mut pumps: Vec<Pump>) {
        self.is_exact();
        for pump in &mut pumps {
            assert!(!pump.log().contains("panicked"), "{}", pump.log());
            assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
        }
        self.is_exact();
    }
}

/// So many good values with refused ones at these places.
fn values(count: usize, refused: impl Fn(usize) -> bool) -> Vec<i64> {
    (0..count).map(|at| if refused(at) { REFUSED } else { 7 }).collect()
}

#[test]
fn a_refused_row_is_a_dead_letter_and_its_neighbours_arrive() {
    let mut scene = Scene::new(Pair::shared(), "refused_row", 1, TABLE, CONSTRAINT);
    let pump = scene.run();
    let patterns: [(&str, Vec<i64>); 6] = [
        ("alone", vec![REFUSED]),
        ("in the middle", values(101, |at| at == 50)),
        ("first", values(10, |at| at == 0)),
        ("last", values(10, |at| at == 9)),
        ("one in a hundred", values(5_000, |at| at % 100 == 50)),
        ("none", values(100, |_| false)),
    ];
    for (name, pattern) in patterns {
        scene.produce(&pattern);
        println!("{name}: {} rows accounted for after {:?}", pattern.len(), scene.is_exact());
    }
    let log = pump.log();
    assert!(log.contains("rows refused") && log.contains("PH-0121") && log.contains("`small`"), "{log}");
    assert!(!log.contains(&REFUSED.to_string()), "no value of a row in the log:\n{log}");
    let reason = told(scene.pair.clickhouse.query(&format!(
        "SELECT DISTINCT table, reason LIKE '%VIOLATED_CONSTRAINT%small%', position(reason, '4711') \
         FROM pumphouse.dead_letters WHERE topic = '{}'",
        scene.world.topic
    )));
    assert_eq!(reason, format!("{}.strict\t1\t0\n", scene.world.database));
    scene.ends_exactly(vec![pump]);
}

#[test]
fn more_refused_rows_than_a_claim_names_arrive_in_smaller_batches() {
    let mut scene = Scene::new(Pair::shared(), "refused_many", 1, TABLE, CONSTRAINT);
    scene.produce(&values(3_000, |at| at % 10 == 3));
    let pump = scene.run();
    println!("300 of 3,000 rows refused: accounted for after {:?}", scene.is_exact());
    scene.ends_exactly(vec![pump]);
}

#[test]
fn a_table_with_a_rollup_and_its_rollup_get_the_neighbours_once() {
    let mut scene = Scene::new(Pair::shared(), "refused_rollup", 2, ROLLUP, CONSTRAINT);
    scene.produce(&values(500, |at| at % 100 == 50));
    let pump = scene.run();
    scene.is_exact();
    let counted = told(
        scene
            .pair
            .clickhouse
            .query(&format!("SELECT countMerge(requests) FROM {}.strict_per_minute", scene.world.database)),
    );
    assert_eq!(counted, "990\n");
    scene.ends_exactly(vec![pump]);
}

#[test]
fn expressions_that_throw_refuse_single_rows() {
    for (name, rule) in [
        ("refused_materialized", "ADD COLUMN part Int64 MATERIALIZED intDiv(100, a)"),
        ("refused_default", "ADD COLUMN part Int64 DEFAULT intDiv(100, a)"),
        ("refused_index", "ADD INDEX part intDiv(100, a) TYPE minmax GRANULARITY 1"),
    ] {
        let mut scene = Scene::new(Pair::shared(), name, 1, TABLE, rule);
        scene.refused = DIVIDES;
        // An error that proves nothing is believed only where the rule is older than the claim, in whole seconds.
        thread::sleep(Duration::from_millis(1_100));
        scene.produce(&(0..100).map(|at| if at % 33 == 5 { DIVIDES } else { 7 }).collect::<Vec<i64>>());
        let pump = scene.run();
        scene.ends_exactly(vec![pump]);
    }
}

#[test]
fn a_table_that_refuses_every_row_halts_the_stream_and_goes_on_once_it_is_mended() {
    let mut scene = Scene::new(Pair::shared(), "refused_all", 1, TABLE, CONSTRAINT);
    scene.produce(&values(300, |_| true));
    let mut pump = scene.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    let line = pump.wait_for_line(&["halted", "PH-0059"]);
    assert!(line.contains(&format!("{}.strict", scene.world.database)) && line.contains("`small`"), "{line}");
    assert_eq!((scene.rows(), scene.letters()), (String::new(), String::new()));
    scene.alter("DROP CONSTRAINT small");
    scene.refused = i64::MIN;
    let pump = scene.run();
    scene.ends_exactly(vec![pump]);
}

#[test]
fn processes_killed_while_they_search_leave_each_row_once() {
    let mut scene = Scene::new(Pair::shared(), "refused_kill", 2, ROLLUP, CONSTRAINT);
    thread::sleep(Duration::from_millis(1_100));
    let mut left = scene.run();
    for round in 0..6 {
        let right = scene.run();
        scene.produce(&values(400, |at| at % 100 == round * 10));
        wait_until("a refusal", || {
            (left.log().contains("insert retried") || right.log().contains("insert retried")).then_some(())
        });
        // At another moment of the search each time.
        thread::sleep(Duration::from_millis(40 * u64::try_from(round).expect("few")));
        left.kill();
        left = right;
    }
    scene.ends_exactly(vec![left]);
}

#[test]
fn of_two_tables_the_one_that_refuses_a_row_goes_without_it() {
    let pair = Pair::shared();
    let tables = "    tables:
      strict: { when: { kind: [k0, k1, k2] }, order_by: [id] }
      loose: { when: { kind: [k0, k1, k2] }, order_by: [id] }
";
    let mut scene = Scene::new(pair, "refused_two", 1, tables, CONSTRAINT);
    scene.produce(&values(400, |at| at % 40 == 7));
    let pump = scene.run();
    scene.is_exact();
    let loose = told(
        pair.clickhouse
            .query(&format!("SELECT count(), uniqExact(_offset) FROM {}.loose", scene.world.database)),
    );
    assert_eq!(loose, "400\t400\n");
    scene.ends_exactly(vec![pump]);
}

#[test]
fn a_block_over_more_partitions_than_a_profile_allows_is_inserted_whole() {
    let table = "    table: { order_by: [id], partition_by: id % 300 }\n";
    let mut scene = Scene::new(Pair::shared(), "refused_partitions", 1, table, CONSTRAINT);
    scene.produce(&values(600, |at| at == 123));
    let pump = scene.run();
    scene.ends_exactly(vec![pump]);
}

#[test]
fn letters_of_refused_rows_become_rows_once_the_constraint_is_gone() {
    let mut scene = Scene::new(Pair::shared(), "refused_replay", 1, TABLE, CONSTRAINT);
    scene.produce(&values(200, |at| at % 50 == 5));
    let pump = scene.run();
    scene.ends_exactly(vec![pump]);
    // Two of the four are still refused.
    scene.alter("DROP CONSTRAINT small");
    scene.alter("ADD CONSTRAINT few CHECK id < 100 OR a < 1000");
    let replay = ["dead", "replay", "--stream", "strict", "-c"];
    let file = scene.file.to_string_lossy().into_owned();
    let arguments: Vec<&str> = replay.into_iter().chain([file.as_str()]).collect();
    for _ in 0..2 {
        let mut replay = scene.world.start(&arguments);
        let ended = replay.wait();
        assert!(matches!(ended, Some(0 | 2)), "{ended:?} {}", replay.log());
        let rows = told(
            scene
                .pair
                .clickhouse
                .query(&format!("SELECT count(), uniqExact(_offset) FROM {}.strict", scene.world.database)),
        );
        assert_eq!(rows, "198\t198\n", "{}", replay.log());
    }
}
