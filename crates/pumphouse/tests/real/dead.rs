//! Dead letters after a fix: listed, shown, exported, replayed, purged. A replay is killed, runs twice, is finished by
//! another configuration; at the end every letter that is fit is a row exactly once.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{Message, Pair, Pump, World, exe, told, wait_until};

const PARTITIONS: i32 = 3;
/// The columns that take all but the bad ones.
const WIDE: &str = "id: UInt64, n: UInt16";

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
        let wide = file("wide.yaml", WIDE);
        let other = file("other.yaml", "id: UInt64, n: UInt16, extra: Nullable(UInt8)");
        Self { pair, world, narrow, wide, other }
    }

    /// Tables, a view that sums, and letters: `run` with the narrow column, then the table is widened.
    fn with_letters(test: &str, counts: Counts) -> Self {
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

    /// Entries that were claimed under one revision and settled under another.
    fn taken_over(&self) -> u64 {
        let stream = &self.world.database;
        self.number(&format!(
            "SELECT uniqExact(number) FROM pumphouse.replays AS r JOIN pumphouse.dead_letters_resolved AS o \
             ON r.stream = o.stream AND r.number = o.number WHERE stream = '{stream}' AND r.revision != o.revision"
        ))
    }

    /// Makes every insert take a while, by a view that sleeps.
    fn slow_down(&self) {
        let database = &self.world.database;
        self.sql(&format!("CREATE TABLE {database}.nowhere (n UInt8) ENGINE = Null"));
        self.sql(&format!(
            "CREATE MATERIALIZED VIEW {database}.slow TO {database}.nowhere AS SELECT sleep(0.25) AS n \
             FROM {database}.events LIMIT 1 SETTINGS function_sleep_max_microseconds_per_block = 100000000"
        ));
    }

    /// Letters of which this became.
    fn outcomes(&self, how: &str) -> u64 {
        let stream = &self.world.database;
        self.number(&format!(
            "SELECT count() FROM pumphouse.dead_letters_resolved WHERE stream = '{stream}' AND how = '{how}'"
        ))
    }

    /// Lets a table refuse what does not fulfil a condition.
    fn refuse(&self, unless: &str, table: &str) {
        let name = &self.world.database;
        self.sql(&format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK {unless}"));
    }

    fn allow(&self, table: &str) {
        self.sql(&format!("ALTER TABLE {table} DROP CONSTRAINT {}", self.world.database));
    }

    /// Runs pumphouse to its end.
    fn output(arguments: &[&str]) -> Output {
        told(Command::new(exe()).args(arguments).output())
    }

    /// The same where it has to go well; what it said.
    fn ok(arguments: &[&str]) -> String {
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
    fn replay(file: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
        let file = path(file);
        let mut arguments = vec!["dead", "replay", "-c", &file, "--json"];
        arguments.extend(more);
        let output = Self::output(&arguments);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), report, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn start_replay(&self, file: &Path, letters_max: &str) -> Pump {
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
        let listed = Self::ok(&["dead", "list", "-c", &path(&self.wide), "--summary", "--json"]);
        let listed: Value = told(serde_json::from_str(&listed));
        let ours = listed["summary"].as_array().expect("a list").iter();
        let ours = ours.filter(|count| count["stream"] == database.as_str());
        let open: u64 = ours.map(|count| count["letters"].as_u64().expect("a number")).sum();
        assert_eq!(open, bad, "open letters: {listed}");
    }
}

/// Good events that keep coming; `next` is the number of the next one.
struct Flow<'a> {
    letters: &'a Letters,
    next: u64,
}

impl Flow<'_> {
    const FIRST: u64 = 1_000_000;

    /// A few more events, and a moment.
    fn go_on(&mut self) {
        let events: Vec<String> =
            (self.next..self.next + 30).map(|id| format!(r#"{{"id":{id},"n":9}}"#)).collect();
        self.next += 30;
        let partitions = (0..PARTITIONS).cycle();
        self.letters.world.produce(events.iter().zip(partitions).map(|(event, partition)| Message {
            partition,
            key: None,
            payload: Some(event.as_bytes()),
        }));
        thread::sleep(Duration::from_millis(20));
    }

    fn events(&self) -> u64 {
        self.next - Self::FIRST
    }
}

#[test]
fn ten_thousand_letters_become_rows_through_kills_while_the_stream_flows() {
    const KILLS: u32 = 20;
    let counts = Counts { good: 300, wide: 9_900, bad: 100 };
    let letters = Letters::with_letters("dead_flow", counts);
    letters.slow_down();
    let seed = 20_261_121;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut flow = Flow { letters: &letters, next: Flow::FIRST };
    let mut pump = letters.world.run(&letters.wide);
    let (mut replay_kills, mut run_kills, mut ends) = (0, 0, 0);
    let begun = Instant::now();
    while ends == 0 || replay_kills < KILLS {
        // The other one has to wait until nothing of the last entry can land any more.
        let (file, life) = match random.u8(..6) {
            0 => (&letters.other, 6_500),
            _ => (&letters.wide, random.u64(150..900)),
        };
        let mut replay = letters.start_replay(file, "150");
        let mortal = replay_kills < KILLS;
        let until = Instant::now() + Duration::from_millis(life);
        while replay.is_running() && !(mortal && Instant::now() > until) {
            flow.go_on();
        }
        if replay.is_running() {
            replay.kill();
            replay_kills += 1;
        } else {
            assert_eq!(replay.wait(), Some(2), "some letters stay:\n{}", replay.log());
            ends += 1;
        }
        if run_kills < 5 && random.u8(..3) == 0 {
            pump.kill();
            run_kills += 1;
            pump = letters.world.run(&letters.wide);
        }
        if ends > 0 && replay_kills < KILLS {
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rows = u64::from(counts.good + counts.wide) + flow.events();
    letters.wait_for_rows(rows);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    letters.assert_exact(rows, 100);
    println!(
        "10,000 dead letters: 9,900 replayed, 100 stay; {} entries, {} of them finished by another configuration, {} letters \
         missed and replayed again; {replay_kills} kills of the replay, {run_kills} of the run, {} events meanwhile, \
         {seconds:.1} s, seed {seed}",
        letters.entries(),
        letters.taken_over(),
        letters.outcomes("missed"),
        flow.events(),
    );
    assert!(replay_kills >= 5, "{replay_kills} kills");
}

#[test]
fn two_replays_at_once_make_each_letter_a_row_once() {
    let letters = Letters::with_letters("dead_two", Counts { good: 30, wide: 3_000, bad: 0 });
    let mut both = [letters.start_replay(&letters.wide, "100"), letters.start_replay(&letters.wide, "100")];
    for replay in &mut both {
        assert_eq!(replay.wait(), Some(0), "{}", replay.log());
    }
    letters.assert_exact(3_030, 0);
    println!("two replays of 3,000 letters: {} entries", letters.entries());
}

#[test]
fn a_row_that_is_there_already_is_found() {
    let letters = Letters::with_letters("dead_found", Counts { good: 30, wide: 300, bad: 6 });
    // Another group reads it all again, with the wide column: what were letters are rows now, and the good ones too.
    let database = &letters.world.database;
    letters.sql(&format!("TRUNCATE TABLE {database}.events"));
    letters.sql(&format!("TRUNCATE TABLE {database}.totals"));
    let again = letters
        .world
        .write("again.yaml", &yaml(&letters.world, WIDE, "").replace("group: ", "group: again_"));
    let mut pump = letters.world.run(&again);
    letters.wait_for_rows(330);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    let (code, report, said) = Letters::replay(&letters.wide, &[]);
    assert_eq!(code, Some(2), "{said}");
    let report = &report["streams"][0];
    assert_eq!(
        (&report["found"], &report["replayed"], &report["entries"]),
        (&300.into(), &0.into(), &0.into())
    );
    assert_eq!(letters.outcomes("found"), 300);
    letters.assert_exact(330, 6);
}

#[test]
fn rows_that_landed_are_told_by_the_table_under_another_configuration() {
    let letters = Letters::with_letters("dead_landed", Counts { good: 30, wide: 300, bad: 0 });
    let stream = &letters.world.database;
    letters.refuse(&format!("stream != '{stream}'"), "pumphouse.dead_letters_resolved");
    let (code, _, said) = Letters::replay(&letters.wide, &["--safe-age", "4"]);
    letters.allow("pumphouse.dead_letters_resolved");
    assert_eq!(code, Some(70), "the rows are there, their entry is not settled: {said}");
    assert_eq!((letters.rows(), letters.outcomes("replayed")), (330, 0));
    let (code, report, said) = Letters::replay(&letters.other, &[]);
    assert_eq!(code, Some(0), "{said}");
    let report = &report["streams"][0];
    assert_eq!(
        (&report["finished"], &report["replayed"], &report["missed"]),
        (&1.into(), &300.into(), &0.into())
    );
    letters.assert_exact(330, 0);
}

#[test]
fn an_entry_without_its_rows_is_settled_as_missed_and_its_letters_go_again() {
    let letters = Letters::with_letters("dead_missed", Counts { good: 30, wide: 300, bad: 0 });
    let table = format!("{}.events", letters.world.database);
    letters.refuse("id < 0", &table);
    let mut replay = letters.start_replay(&letters.wide, "1000");
    wait_until("claimed entry", || (letters.entries() == 1).then_some(()));
    replay.kill();
    letters.allow(&table);
    // Under another shape only the table decides, once nothing of the entry can land any more.
    let (code, report, said) = Letters::replay(&letters.other, &[]);
    assert_eq!(code, Some(2), "what was missed is told: {said}");
    let report = &report["streams"][0];
    assert_eq!((&report["missed"], &report["replayed"]), (&300.into(), &300.into()));
    letters.assert_exact(330, 0);
}

#[test]
fn an_entry_within_its_safe_age_is_sent_again_with_the_same_tokens() {
    let letters = Letters::with_letters("dead_again", Counts { good: 30, wide: 300, bad: 0 });
    let stream = &letters.world.database;
    letters.refuse(&format!("stream != '{stream}'"), "pumphouse.dead_letters_resolved");
    let (code, _, said) = Letters::replay(&letters.wide, &[]);
    letters.allow("pumphouse.dead_letters_resolved");
    assert_eq!(code, Some(70), "{said}");
    let begun = Instant::now();
    let (code, report, said) = Letters::replay(&letters.wide, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(40), "nobody waited for the safe age to end");
    assert_eq!((&report["streams"][0]["finished"], letters.entries()), (&1.into(), 1));
    letters.assert_exact(330, 0);
}

#[test]
fn without_lineage_an_old_entry_stops_for_a_person() {
    let letters = Letters::with_letters("dead_stops", Counts { good: 30, wide: 300, bad: 0 });
    let blind = letters.world.write("blind.yaml", &yaml(&letters.world, WIDE, "    lineage: false\n"));
    let stream = &letters.world.database;
    letters.refuse(&format!("stream != '{stream}'"), "pumphouse.dead_letters_resolved");
    let (code, _, said) = Letters::replay(&blind, &["--safe-age", "4"]);
    letters.allow("pumphouse.dead_letters_resolved");
    assert_eq!(code, Some(70), "{said}");
    thread::sleep(Duration::from_secs(4));
    let (code, _, said) = Letters::replay(&blind, &[]);
    assert_eq!(code, Some(70), "{said}");
    assert!(said.contains("PH-0050"), "{said}");
    assert_eq!(letters.rows(), 330, "nothing was sent on a guess");
}

#[test]
fn a_message_that_holds_several_records_is_taken_apart_once_the_stream_says_so() {
    let letters = Letters::new("dead_parts");
    Letters::ok(&["apply", "-c", &path(&letters.narrow)]);
    let messages = (0..40).map(|m| {
        let (a, b, c) = (3 * m, 3 * m + 1, 3 * m + 2);
        format!(r#"[{{"id":{a},"n":1}},{{"id":{b},"n":70000}},{{"id":{c},"n":2}}]"#)
    });
    let messages: Vec<String> = messages.collect();
    letters.world.produce(messages.iter().zip((0..PARTITIONS).cycle()).map(|(message, partition)| Message {
        partition,
        key: None,
        payload: Some(message.as_bytes()),
    }));
    let mut pump = letters.world.run(&letters.narrow);
    wait_until("letters", || (letters.open() == 40).then_some(()));
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    let table = format!("{}.events", letters.world.database);
    letters.sql(&format!("ALTER TABLE {table} ADD COLUMN _index UInt32 AFTER _offset"));
    let array = |name, columns: &str| {
        letters.world.write(name, &yaml(&letters.world, columns, "    values: array\n"))
    };
    let (code, report, said) = Letters::replay(&array("array.yaml", "id: UInt64, n: UInt8"), &[]);
    assert_eq!(code, Some(2), "{said}");
    let report = &report["streams"][0];
    assert_eq!(
        (&report["replayed"], &report["anew"]),
        (&40.into(), &40.into()),
        "of each message a part is bad"
    );
    let places =
        format!("SELECT count(), uniqExact(id), uniqExact(_partition, _offset, _index) FROM {table}");
    assert_eq!(letters.sql(&places), "80\t80\t80");
    letters.sql(&format!("ALTER TABLE {table} MODIFY COLUMN n UInt32"));
    let (code, report, said) = Letters::replay(&array("wider.yaml", "id: UInt64, n: UInt32"), &[]);
    assert_eq!((code, &report["streams"][0]["replayed"]), (Some(0), &40.into()), "{said}");
    assert_eq!(letters.sql(&places), "120\t120\t120");
    assert_eq!(letters.sql(&format!("SELECT countIf(_index = id % 3) FROM {table}")), "120");
}

#[test]
fn of_many_inserts_with_one_token_the_first_stays() {
    let letters = Letters::new("dead_tokens");
    let table = format!("{}.log", letters.world.database);
    letters.sql(&format!(
        "CREATE TABLE {table} (number UInt64, who UInt64) ENGINE = MergeTree ORDER BY number \
         SETTINGS non_replicated_deduplication_window = 10000"
    ));
    let (numbers, contenders) = (40, 6);
    thread::scope(|scope| {
        for who in 0..contenders {
            let (letters, table) = (&letters, &table);
            scope.spawn(move || {
                for number in 0..numbers {
                    letters.sql(&format!(
                        "INSERT INTO {table} SETTINGS insert_deduplication_token = 'log/{number}', async_insert = 0 \
                         VALUES ({number}, {who})"
                    ));
                }
            });
        }
    });
    let counts = letters.sql(&format!("SELECT count(), uniqExact(number) FROM {table}"));
    assert_eq!(counts, format!("{numbers}\t{numbers}"));
}

#[test]
fn letters_are_listed_shown_exported_and_purged() {
    let letters = Letters::with_letters("dead_list", Counts { good: 3, wide: 30, bad: 3 });
    let (file, stream) = (path(&letters.wide), letters.world.database.clone());
    let json = |arguments: &[&str]| -> Value {
        let mut all = vec!["dead", "list", "-c", &file, "--json", "--stream", &stream];
        all.extend(arguments);
        told(serde_json::from_str(&Letters::ok(&all)))
    };
    for (arguments, count) in [
        (&[][..], 33),
        (&["--code", "104"], 33),
        (&["--code", "PH-0100"], 0),
        (&["--partition", "1"], 11),
        (&["--partition", "1", "--offset", "5"], 1),
        (&["--offsets", "2..4"], 6),
        (&["--since", "1h"], 33),
        (&["--until", "1h"], 0),
        (&["--table", "nowhere.events"], 0),
        (&["--resolved"], 0),
    ] {
        assert_eq!(json(arguments)["count"], count, "{arguments:?}");
    }
    assert_eq!(json(&["--limit", "5"])["letters"].as_array().map(Vec::len), Some(5));
    let listed = Letters::ok(&[
        "dead",
        "list",
        "-c",
        &file,
        "--stream",
        &stream,
        "--partition",
        "0",
        "--offset",
        "11",
    ]);
    insta::assert_snapshot!(stable(&listed, &stream), @"
    time stream partition offset index code table column reason
    TIME STREAM 0 11 0 PH-0104 STREAM.events n expected UInt8 (a whole number from 0 to 255), found the number 70000

    stream code letters first last what
    STREAM PH-0104 1 TIME TIME out of range

    1 open dead letters
    ");
    let shown = Letters::ok(&["dead", "show", "-c", &file, &stream, "0", "11"]);
    assert!(shown.contains(r#"{"id":33,"n":70000}"#) && shown.contains("What you can do"), "{shown}");
    assert_eq!(Letters::output(&["dead", "show", "-c", &file, &stream, "0", "999"]).status.code(), Some(1));
    let raw =
        Letters::ok(&["dead", "export", "-c", &file, "--stream", &stream, "--format", "raw", "--to", "-"]);
    assert_eq!((raw.lines().count(), raw.lines().next()), (33, Some(r#"{"id":3,"n":1000}"#)));
    let lines =
        Letters::ok(&["dead", "export", "-c", &file, "--stream", &stream, "--offset", "1", "--to", "-"]);
    let first: Value = told(serde_json::from_str(lines.lines().next().unwrap_or_default()));
    assert_eq!((&first["payload"], &first["key"]), (&r#"{"id":3,"n":1000}"#.into(), &"key".into()));
    let (code, report, _) = Letters::replay(&letters.wide, &["--dry-run", "--stream", &stream]);
    assert_eq!((code, &report["streams"][0]["replayed"]), (Some(2), &30.into()));
    assert_eq!((letters.rows(), letters.entries()), (3, 0), "a dry run changes nothing");
    assert_eq!(Letters::replay(&letters.wide, &["--stream", &stream]).0, Some(2));
    letters.assert_exact(33, 3);
    assert_eq!(json(&["--resolved"])["count"], 30);
    assert_eq!(json(&["--all"])["count"], 33);
    let purge = ["dead", "purge", "-c", &file, "--stream", &stream, "--json"];
    assert_eq!(Letters::output(&purge).status.code(), Some(1), "nobody can be asked");
    let purged: Value = told(serde_json::from_str(&Letters::ok(&[&purge[..], &["--yes"]].concat())));
    assert_eq!(purged["purged"], serde_json::json!({ "resolved": 30, "open": 0 }));
    let purged: Value =
        told(serde_json::from_str(&Letters::ok(&[&purge[..], &["--yes", "--open"]].concat())));
    assert_eq!(purged["purged"], serde_json::json!({ "resolved": 0, "open": 3 }));
    assert_eq!((letters.open(), letters.outcomes("purged")), (0, 3), "what is given up is noted");
}

/// What was said, without what differs from run to run.
fn stable(text: &str, stream: &str) -> String {
    let year = format!("{}-", jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year());
    let mut told = String::new();
    for line in text.lines() {
        let words = line.split_whitespace().map(|word| match word {
            word if word.starts_with(&year) => "TIME".to_owned(),
            word => word.replace(stream, "STREAM"),
        });
        told += words.collect::<Vec<_>>().join(" ").trim_end();
        told.push('\n');
    }
    told
}

fn path(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

/// A stream named like the test, since all tests share one log.
fn yaml(world: &World, columns: &str, more: &str) -> String {
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
