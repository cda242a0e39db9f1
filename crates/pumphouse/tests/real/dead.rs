//! Dead letters after a fix: listed, shown, exported, replayed, purged. A replay is killed, runs twice, is finished by
//! another configuration; at the end every letter that is fit is a row exactly once.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Message, Pair, Pump, World, exe, told, wait_until};

const PARTITIONS: i32 = 3;

/// A stream whose column `n` is too narrow in one file and wide enough in the others.
struct Letters {
    pair: &'static Pair,
    world: World,
    narrow: PathBuf,
    wide: PathBuf,
    /// As wide, with another shape.
    other: PathBuf,
}

/// How many messages of what kind.
#[derive(Clone, Copy)]
struct Counts {
    /// Fit for all files.
    good: u32,
    /// Fit for the wide ones.
    wide: u32,
    /// Fit for none.
    bad: u32,
}

impl Letters {
    fn new(test: &str) -> Self {
        let pair = Pair::shared();
        let world = pair.world(test, PARTITIONS);
        let file = |name, columns: &str| world.write(name, &yaml(&world, columns, ""));
        let narrow = file("narrow.yaml", "id: UInt64, n: UInt8");
        let wide = file("wide.yaml", "id: UInt64, n: UInt16");
        let other = file("other.yaml", "id: UInt64, n: UInt16, extra: Nullable(UInt8)");
        Self { pair, world, narrow, wide, other }
    }

    /// Tables, a view that sums, and letters: `run` with the narrow column, then the table is widened.
    fn with_letters(test: &str, counts: Counts) -> Self {
        let letters = Self::new(test);
        letters.ok(&["apply", "-c", &path(&letters.narrow)]);
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

    fn produce(&self, counts: Counts) {
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

    fn sql(&self, sql: &str) -> String {
        told(self.pair.clickhouse.query(sql)).trim().to_owned()
    }

    fn number(&self, sql: &str) -> u64 {
        told(self.sql(sql).parse())
    }

    fn rows(&self) -> u64 {
        self.number(&format!("SELECT count() FROM {}.events", self.world.database))
    }

    fn wait_for_rows(&self, rows: u64) {
        wait_until(&format!("{rows} rows"), || (self.rows() >= rows).then_some(()));
    }

    fn open(&self) -> u64 {
        self.number(&format!(
            "SELECT count() FROM pumphouse.dead_letters WHERE topic = '{}'",
            self.world.topic
        ))
    }

    fn entries(&self) -> u64 {
        let stream = &self.world.database;
        self.number(&format!("SELECT uniqExact(number) FROM pumphouse.replays WHERE stream = '{stream}'"))
    }

    /// Runs pumphouse to its end.
    fn output(&self, arguments: &[&str]) -> Output {
        told(Command::new(exe()).args(arguments).output())
    }

    /// The same where it has to go well; what it said.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}\n{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// `dead replay`, with its exit code and its report.
    fn replay(&self, file: &PathBuf, more: &[&str]) -> (Option<i32>, Value, String) {
        let file = path(file);
        let mut arguments = vec!["dead", "replay", "-c", &file, "--json"];
        arguments.extend(more);
        let output = self.output(&arguments);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), report, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn start_replay(&self, file: &PathBuf, letters_max: &str) -> Pump {
        let file = path(file);
        self.world.start(&["dead", "replay", "-c", &file, "--safe-age", "4", "--letters-max", letters_max])
    }

    /// Every record below `ids` but `bad` is one row, also in the view; `bad` letters are open.
    fn assert_exact(&self, rows: u64, bad: u64) {
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
        let listed = self.ok(&["dead", "list", "-c", &path(&self.wide), "--summary", "--json"]);
        let listed: Value = told(serde_json::from_str(&listed));
        let ours = listed["summary"].as_array().expect("a list").iter();
        let ours = ours.filter(|count| count["stream"] == database.as_str());
        let open: u64 = ours.map(|count| count["letters"].as_u64().expect("a number")).sum();
        assert_eq!(open, bad, "open letters: {listed}");
    }
}

#[test]
fn ten_thousand_letters_become_rows_through_kills_while_the_stream_flows() {
    let counts = Counts { good: 300, wide: 9_900, bad: 100 };
    let letters = Letters::with_letters("dead_flow", counts);
    let seed = 20_261_121;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut pump = letters.world.run(&letters.wide);
    let (mut replay_kills, mut run_kills, mut finished, mut more) = (0, 0, 0, 0);
    let begun = Instant::now();
    while finished < 2 {
        let file = if random.u8(..4) == 0 { &letters.other } else { &letters.wide };
        let mut replay = letters.start_replay(file, "400");
        let until = Instant::now() + Duration::from_millis(random.u64(100..1_500));
        if replay_kills < 25 {
            while Instant::now() < until && replay.is_running() {
                letters.world.produce((0..20).map(|_| {
                    more += 1;
                    Message { partition: more % PARTITIONS, key: None, payload: None }
                }));
                thread::sleep(Duration::from_millis(20));
            }
        }
        if replay_kills < 25 && replay.is_running() {
            replay.kill();
            replay_kills += 1;
        } else {
            assert_eq!(replay.wait(), Some(2), "some letters stay:\n{}", replay.log());
            finished += 1;
        }
        if run_kills < 6 && random.u8(..3) == 0 {
            pump.kill();
            run_kills += 1;
            pump = letters.world.run(&letters.wide);
        }
        // Events keep coming, too.
        flow(&letters, &mut more);
    }
    let replayed_in = begun.elapsed();
    let rows = u64::from(counts.good + counts.wide)
        + u64::try_from(FLOWS.load(std::sync::atomic::Ordering::Relaxed)).expect("small");
    letters.wait_for_rows(rows);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    letters.assert_exact(rows, 100);
    println!(
        "10,000 dead letters: 9,900 replayed, 100 stay; {} entries, {replay_kills} kills of the replay, {run_kills} of \
         the run, {:.1} s, seed {seed}",
        letters.entries(),
        replayed_in.as_secs_f64()
    );
    assert!(replay_kills >= 5, "{replay_kills} kills");
}
