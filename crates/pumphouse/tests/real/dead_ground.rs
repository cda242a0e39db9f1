//! The ground of a story of dead letters: a stream whose column is too narrow, then wide enough, and the comparison at
//! the end: each record that is fit is one row, the others are open letters.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::world::{Message, Pair, Pump, World, exe, told, wait_until};

pub(crate) const PARTITIONS: i32 = 3;
/// The columns that take all but the bad ones.
pub(crate) const WIDE: &str = "id: UInt64, n: UInt16";

/// A stream whose column `n` is too narrow in one file and wide enough in the others.
pub(crate) struct Letters {
    pub(crate) pair: &'static Pair,
    pub(crate) world: World,
    pub(crate) narrow: PathBuf,
    pub(crate) wide: PathBuf,
    /// As wide, with another shape.
    pub(crate) other: PathBuf,
}

/// How many messages of what kind.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    /// Fit for all files.
    pub(crate) good: u32,
    /// Fit for the wide ones.
    pub(crate) wide: u32,
    /// Fit for none.
    pub(crate) bad: u32,
}

impl Letters {
    pub(crate) fn new(test: &str) -> Self {
        let pair = Pair::shared();
        let world = pair.world(test, PARTITIONS);
        let file = |name, columns: &str| world.write(name, &yaml(&world, columns, ""));
        let narrow = file("narrow.yaml", "id: UInt64, n: UInt8");
        let wide = file("wide.yaml", WIDE);
        let other = file("other.yaml", "id: UInt64, n: UInt16, extra: Nullable(UInt8)");
        Self { pair, world, narrow, wide, other }
    }

    /// Tables, a view that sums, and letters: `run` with the narrow column, then the table is widened.
    pub(crate) fn with_letters(test: &str, counts: Counts) -> Self {
        let letters = Self::new(test);
        Letters::ok(&["apply", "-c", &path(&letters.narrow)]);
        let database = &letters.world.database;
        for statement in [
            format!(
                "CREATE TABLE {database}.totals (p UInt32, rows UInt64, ids UInt64) \
                 ENGINE = SummingMergeTree ORDER BY p SETTINGS non_replicated_deduplication_window = 10000"
            ),
            format!(
                "CREATE MATERIALIZED VIEW {database}.totals_view TO {database}.totals AS \
                 SELECT _partition AS p, count() AS rows, sum(id) AS ids FROM {database}.events GROUP BY p"
            ),
        ] {
            letters.sql(&statement);
        }
        letters.produce(counts);
        let mut pump = letters.world.run(&letters.narrow);
        let expected = u64::from(counts.wide + counts.bad);
        wait_until("letters", || (letters.open() >= expected).then_some(()));
        letters.wait_for_rows(u64::from(counts.good));
        assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
        letters.sql(&format!("ALTER TABLE {database}.events MODIFY COLUMN n UInt16"));
        letters.sql(&format!("ALTER TABLE {database}.events ADD COLUMN extra Nullable(UInt8)"));
        letters
    }

    pub(crate) fn produce(&self, counts: Counts) {
        let Counts { good, wide, bad } = counts;
        let payloads: Vec<String> = (0..good + wide + bad)
            .map(|id| {
                let n = match id {
                    id if id < good => 7,
                    id if id < good + wide => 1_000,
                    _ => 70_000,
                };
                format!(r#"{{"id":{id},"n":{n}}}"#)
            })
            .collect();
        let partitions = (0..PARTITIONS).cycle();
        self.world.produce(payloads.iter().zip(partitions).map(|(payload, partition)| Message {
            partition,
            key: Some(b"key"),
            payload: Some(payload.as_bytes()),
        }));
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        told(self.pair.clickhouse.query(sql)).trim().to_owned()
    }

    pub(crate) fn number(&self, sql: &str) -> u64 {
        told(self.sql(sql).parse())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.number(&format!("SELECT count() FROM {}.events", self.world.database))
    }

    pub(crate) fn wait_for_rows(&self, rows: u64) {
        wait_until(&format!("{rows} rows"), || (self.rows() >= rows).then_some(()));
    }

    pub(crate) fn open(&self) -> u64 {
        self.number(&format!(
            "SELECT count() FROM pumphouse.dead_letters WHERE topic = '{}'",
            self.world.topic
        ))
    }

    pub(crate) fn entries(&self) -> u64 {
        let stream = &self.world.database;
        self.number(&format!("SELECT uniqExact(number) FROM pumphouse.replays WHERE stream = '{stream}'"))
    }

    /// Entries that were claimed under one revision and settled under another.
    pub(crate) fn taken_over(&self) -> u64 {
        let stream = &self.world.database;
        self.number(&format!(
            "SELECT uniqExact(number) FROM pumphouse.replays AS r JOIN pumphouse.dead_letters_resolved AS o \
             ON r.stream = o.stream AND r.number = o.number WHERE stream = '{stream}' AND r.revision != o.revision"
        ))
    }

    /// Makes every insert take a while, by a view that sleeps.
    pub(crate) fn slow_down(&self) {
        let database = &self.world.database;
        self.sql(&format!("CREATE TABLE {database}.nowhere (n UInt8) ENGINE = Null"));
        self.sql(&format!(
            "CREATE MATERIALIZED VIEW {database}.slow TO {database}.nowhere AS SELECT sleep(0.25) AS n \
             FROM {database}.events LIMIT 1 SETTINGS function_sleep_max_microseconds_per_block = 100000000"
        ));
    }

    /// Letters of which this became.
    pub(crate) fn outcomes(&self, how: &str) -> u64 {
        let stream = &self.world.database;
        self.number(&format!(
            "SELECT count() FROM pumphouse.dead_letters_resolved WHERE stream = '{stream}' AND how = '{how}'"
        ))
    }

    /// Lets a table refuse what does not fulfil a condition.
    pub(crate) fn refuse(&self, unless: &str, table: &str) {
        let name = &self.world.database;
        self.sql(&format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK {unless}"));
    }

    pub(crate) fn allow(&self, table: &str) {
        self.sql(&format!("ALTER TABLE {table} DROP CONSTRAINT {}", self.world.database));
    }

    /// Runs pumphouse to its end.
    pub(crate) fn output(arguments: &[&str]) -> Output {
        told(Command::new(exe()).args(arguments).output())
    }

    /// The same where it has to go well; what it said.
    pub(crate) fn ok(arguments: &[&str]) -> String {
        let output = Self::output(arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}\n{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// `dead replay`, with its exit code and its report.
    pub(crate) fn replay(file: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
        let file = path(file);
        let mut arguments = vec!["dead", "replay", "-c", &file, "--json"];
        arguments.extend(more);
        let output = Self::output(&arguments);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), report, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(crate) fn start_replay(&self, file: &Path, letters_max: &str) -> Pump {
        let file = path(file);
        self.world.start(&["dead", "replay", "-c", &file, "--safe-age", "4", "--letters-max", letters_max])
    }

    /// Every record below `ids` but `bad` is one row, also in the view; `bad` letters are open.
    pub(crate) fn assert_exact(&self, rows: u64, bad: u64) {
        let database = &self.world.database;
        let counted = |table: &str| {
            self.sql(&format!(
                "SELECT count(), uniqExact(id), uniqExact(_partition, _offset), sum(id) FROM {database}.{table}"
            ))
        };
        let sums = self.sql(&format!("SELECT sum(rows), sum(ids) FROM {database}.totals"));
        let counts = counted("events");
        let cells: Vec<&str> = counts.split('\t').collect();
        let expected = rows.to_string();
        assert_eq!(cells[..3], [expected.as_str(); 3], "rows, distinct ids, distinct places");
        assert_eq!(sums, format!("{rows}\t{}", cells[3]), "the view's sums");
        let listed = Self::ok(&["dead", "list", "-c", &path(&self.wide), "--summary", "--json"]);
        let listed: Value = told(serde_json::from_str(&listed));
        let ours = listed["summary"].as_array().expect("a list").iter();
        let ours = ours.filter(|count| count["stream"] == database.as_str());
        let open: u64 = ours.map(|count| count["letters"].as_u64().expect("a number")).sum();
        assert_eq!(open, bad, "open letters: {listed}");
    }
}

pub(crate) fn path(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

/// A stream named like the test, since all tests share one log.
pub(crate) fn yaml(world: &World, columns: &str, more: &str) -> String {
    let World { brokers, clickhouse_url, database, topic, group, .. } = world;
    let properties = crate::story::SHORT_SESSION;
    format!(
        r#"
clickhouse: {{ url: "{clickhouse_url}", database: {database}, insert_timeout: 20s }}
kafka: {{ brokers: "{brokers}", group: {group}, start_from: earliest, properties: {{ {properties} }} }}
process: {{ lanes: 1 }}
streams:
  {database}:
    from: {{ topic: {topic}, format: json }}
    batch: {{ freshness: 200ms }}
    columns: {{ {columns} }}
    table: {{ name: events, order_by: [id] }}
{more}"#
    )
}
