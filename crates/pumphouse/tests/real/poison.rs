//! Bad records of every kind among good ones: alone, first, last, all of a batch, one in a hundred. Neighbours arrive,
//! each bad record is a dead letter with its code, and nothing stops.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::world::{Message, Pair, Pump, World, told, wait_until};

const COLUMNS: [(&str, &str, &str); 18] = [
    ("id", "UInt64", "7"),
    ("n", "UInt8", "200"),
    ("i", "Int32", "-5"),
    ("f", "Float64", "0.5"),
    ("d", "Decimal(9, 2)", "12.34"),
    ("day", "Date", "\"2026-11-21\""),
    ("day32", "Date32", "\"1931-01-01\""),
    ("t", "DateTime", "\"2026-11-21T10:00:00Z\""),
    ("t64", "DateTime64(3)", "\"2026-11-21T10:00:00.123Z\""),
    ("u", "UUID", "\"61f0c404-5cb3-11e7-907b-a6006ad3dba0\""),
    ("ip4", "IPv4", "\"10.0.0.1\""),
    ("ip6", "IPv6", "\"::1\""),
    ("e", "Enum8('a' = 1, 'b' = 2)", "\"a\""),
    ("fs", "FixedString(4)", "\"abcd\""),
    ("s", "String", "\"text\""),
    ("lc", "LowCardinality(String)", "\"few\""),
    ("list", "Array(UInt8)", "[1,2]"),
    ("pairs", "Map(String, UInt8)", "{\"a\":1}"),
];

/// A bad record and the code of its dead letter.
struct Poison {
    payload: Vec<u8>,
    code: &'static str,
}

/// A good record with one field's value replaced.
fn with(field: &str, value: &str) -> String {
    let fields = COLUMNS.map(|(name, _, good)| {
        assert!(COLUMNS.iter().any(|(known, ..)| *known == field), "{field}");
        format!("\"{name}\":{}", if name == field { value } else { good })
    });
    format!("{{{}}}", fields.join(","))
}

fn good() -> String {
    with("id", "7")
}

/// A value in place of a field's, and the code it is refused under.
const VALUES: [(&str, &str, &str); 36] = [
    ("s", "\"a\u{0}b\"", "PH-0100"),
    ("s", "NaN", "PH-0100"),
    ("f", "Infinity", "PH-0100"),
    ("f", "-NaN", "PH-0100"),
    ("n", "01", "PH-0100"),
    ("s", "\"\\ud83d\"", "PH-0112"),
    ("n", "1,\"n\":2", "PH-0109"),
    ("n", "null", "PH-0102"),
    ("n", "\"1\"", "PH-0103"),
    ("n", "1.0", "PH-0103"),
    ("n", "256", "PH-0104"),
    ("n", "-1", "PH-0104"),
    ("i", "2147483648", "PH-0104"),
    ("id", "18446744073709551616", "PH-0104"),
    ("f", "1e400", "PH-0104"),
    ("d", "1e9", "PH-0104"),
    ("d", "0.001", "PH-0105"),
    ("day", "\"0000-00-00\"", "PH-0106"),
    ("day", "\"2299-01-01\"", "PH-0104"),
    ("day", "\"2026-02-30\"", "PH-0106"),
    ("day32", "\"9999-12-31\"", "PH-0104"),
    ("t", "\"1969-12-31T23:59:59Z\"", "PH-0104"),
    ("t", "\"yesterday\"", "PH-0106"),
    ("t64", "\"9999-12-31T00:00:00Z\"", "PH-0104"),
    ("t64", "1790000000", "PH-0113"),
    ("u", "\"61f0c404\"", "PH-0107"),
    ("ip4", "\"10.0.0.256\"", "PH-0117"),
    ("ip6", "\"1:2:3\"", "PH-0117"),
    ("e", "\"c\"", "PH-0116"),
    ("e", "1", "PH-0103"),
    ("fs", "\"abcde\"", "PH-0118"),
    ("s", "5", "PH-0103"),
    ("lc", "{}", "PH-0103"),
    ("list", "[1,256]", "PH-0104"),
    ("pairs", "{\"a\":1,\"a\":2}", "PH-0109"),
    ("pairs", "[]", "PH-0103"),
];

fn poisons() -> Vec<Poison> {
    let whole = |payload: Vec<u8>, code| Poison { payload, code };
    let mut poisons: Vec<Poison> =
        VALUES.into_iter().map(|(field, value, code)| whole(with(field, value).into_bytes(), code)).collect();
    let truncated = good().as_bytes()[..90].to_vec();
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let without = good().replace("\"id\":7,", "");
    let long = format!("{{\"s\":\"{}\"}}", "x".repeat(10 << 20));
    poisons.extend([
        whole(b"GET /index.html 200".to_vec(), "PH-0100"),
        whole(truncated, "PH-0100"),
        whole(b"\0".to_vec(), "PH-0100"),
        whole([b"\xef\xbb\xbf", good().as_bytes()].concat(), "PH-0100"),
        whole(with("s", "\"@\"").replace('@', "\u{1}").into_bytes(), "PH-0100"),
        whole([b"{\"s\":\"\xff\"}".as_slice()].concat(), "PH-0108"),
        whole(deep.into_bytes(), "PH-0110"),
        whole(b"[]".to_vec(), "PH-0111"),
        whole(b"null".to_vec(), "PH-0111"),
        whole(Vec::new(), "PH-0114"),
        whole(without.into_bytes(), "PH-0101"),
        whole(b"{}".to_vec(), "PH-0101"),
        whole(long.into_bytes(), "PH-0101"),
        whole(b"{\"test\":\"connection_test\"}".to_vec(), "PH-0101"),
    ]);
    poisons
}

/// The offsets of a partition that hold good records, and those that hold bad ones.
#[derive(Clone, Default)]
struct Written {
    good: Vec<u64>,
    bad: Vec<u64>,
}

struct Scene<'p> {
    pair: &'p Pair,
    world: World,
    poisons: Vec<Poison>,
    good: String,
    written: Vec<Written>,
}

impl<'p> Scene<'p> {
    /// A partition for each kind of poison.
    fn new(pair: &'p Pair, name: &str) -> Self {
        let poisons = poisons();
        let world = pair.world(name, i32::try_from(poisons.len()).expect("few"));
        world.set_topic("max.message.bytes", "20971520");
        let written = vec![Written::default(); poisons.len()];
        Self { pair, world, poisons, good: good(), written }
    }

    fn run(&self) -> Pump {
        let columns = COLUMNS.map(|(name, of, _)| format!("      {name}: \"{of}\"\n")).concat();
        let World { brokers, clickhouse_url, database, topic, group, .. } = &self.world;
        let file = self.world.write(
            "pumphouse.yaml",
            &format!(
                "clickhouse: {{ url: \"{clickhouse_url}\", database: {database} }}\n\
                 kafka: {{ brokers: \"{brokers}\", group: {group} }}\n\
                 streams:\n  poison:\n    from: {{ topic: {topic} }}\n    columns:\n{columns}    \
                 table: {{ order_by: [id] }}\n    batch: {{ freshness: 200ms }}\n"
            ),
        );
        let mut apply = self.world.command("apply", &file);
        assert_eq!(apply.wait(), Some(0), "{}", apply.log());
        let mut pump = self.world.run(&file);
        pump.wait_for_line(&["partitions assigned", "partitions=[Partition("]);
        pump
    }

    /// Writes to each partition what `pattern` says, `true` for its poison, and waits until all of it is accounted
    /// for; how long that took after the last one was acknowledged.
    fn play(&mut self, pattern: &[bool]) -> Duration {
        let mut messages = Vec::new();
        for (partition, (poison, written)) in (0..).zip(self.poisons.iter().zip(&mut self.written)) {
            for is_poison in pattern {
                let offset = (written.good.len() + written.bad.len()) as u64;
                let kind = if *is_poison { &mut written.bad } else { &mut written.good };
                kind.push(offset);
                let payload = if *is_poison { poison.payload.as_slice() } else { self.good.as_bytes() };
                messages.push(Message { partition, key: None, payload: Some(payload) });
            }
        }
        self.world.produce(messages);
        let begun = Instant::now();
        let (rows, letters) = self.expected();
        wait_until("every record accounted for", || (self.rows() == rows).then_some(()));
        let neighbours = begun.elapsed();
        wait_until("every dead letter", || (self.letters() == letters).then_some(()));
        neighbours
    }

    fn expected(&self) -> (String, String) {
        let (mut rows, mut letters) = (String::new(), String::new());
        for (partition, (poison, written)) in self.poisons.iter().zip(&self.written).enumerate() {
            let sum = |offsets: &[u64]| offsets.iter().sum::<u64>();
            if !written.good.is_empty() {
                let (count, sum) = (written.good.len(), sum(&written.good));
                // Infallible: writing to a `String`.
                let _ = writeln!(rows, "{partition}\t{count}\t{count}\t{sum}");
            }
            if !written.bad.is_empty() {
                let (count, sum) = (written.bad.len(), sum(&written.bad));
                let _ = writeln!(letters, "{partition}\t{}\t{count}\t{count}\t{sum}", poison.code);
            }
        }
        (rows, letters)
    }

    fn rows(&self) -> String {
        let table = format!("{}.poison", self.world.database);
        told(self.pair.clickhouse.query(&format!(
            "SELECT _partition, count(), uniqExact(_offset), sum(_offset) FROM {table} GROUP BY ALL ORDER BY ALL"
        )))
    }

    fn letters(&self) -> String {
        told(self.pair.clickhouse.query(&format!(
            "SELECT partition, code, count(), uniqExact(offset), sum(offset) FROM pumphouse.dead_letters \
             WHERE topic = '{}' GROUP BY ALL ORDER BY ALL",
            self.world.topic
        )))
    }
}

#[test]
fn poison_of_every_kind_leaves_its_neighbours_alone() {
    let mut scene = Scene::new(Pair::shared(), "poison");
    let mut pump = scene.run();
    let hundred: Vec<bool> = (0..200).map(|at| at % 100 == 50).collect();
    let good = [false; 9];
    let first = [[true].as_slice(), &good].concat();
    let last = [good.as_slice(), &[true]].concat();
    let patterns: BTreeMap<&str, &[bool]> = [
        ("alone", [true].as_slice()),
        ("first", first.as_slice()),
        ("last", last.as_slice()),
        ("all of a batch", &[true; 10]),
        ("one in a hundred", &hundred),
    ]
    .into();
    for (name, pattern) in patterns {
        let neighbours = scene.play(pattern);
        println!("{name}: {} kinds, all good records there after {neighbours:?}", scene.poisons.len());
    }
    assert!(pump.is_running(), "{}", pump.log());
    assert!(!pump.log().contains("halted") && !pump.log().contains("panicked"), "{}", pump.log());
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
}
