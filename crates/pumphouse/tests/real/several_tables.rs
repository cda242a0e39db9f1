//! One stream into several tables: conditions route each record, one that is bad for a table is a dead letter for that
//! table only, and messages of several records are split. Every row is written down by hand or counted exactly.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::letters;
use crate::story::{SHORT_SESSION, number};
use crate::world::{Message, Pair, Pump, World, told, wait_until};

const STREAM: &str = "mixed";
const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream of clicks and orders; what is paid goes to a table of its own, too, where an amount is needed.
fn tables(values: &str, tombstones: &str) -> String {
    format!(
        "    values: {values}
    tombstones: {tombstones}
    columns:
      id: UInt64
    tables:
      clicks:
        when: {{ kind: click }}
        columns: {{ page: String }}
        order_by: [id]
      orders:
        when: {{ kind: order }}
        columns: {{ state: LowCardinality(String) }}
        order_by: [id]
      paid:
        when: {{ kind: order, state: [paid, refunded] }}
        columns: {{ amount: \"Decimal(10, 2)\" }}
        order_by: [id]
"
    )
}

const REST: &str = "      rest:
        when: otherwise
        columns: { kind: { type: \"Nullable(String)\" } }
        order_by: [id]
";

fn file(world: &World, keys: &str) -> PathBuf {
    let World { brokers, clickhouse_url, database, topic, group, .. } = world;
    let text = format!(
        "clickhouse: {{ url: \"{clickhouse_url}\", database: {database} }}
kafka: {{ brokers: \"{brokers}\", group: {group}, properties: {{ {SHORT_SESSION} }} }}
streams:
  {STREAM}:
    from: {{ topic: {topic}, format: json }}
    batch: {{ freshness: 300ms }}
{keys}"
    );
    let file = world.write("pumphouse.yaml", &text);
    let mut apply = world.command("apply", &file);
    assert_eq!(apply.wait(), Some(0), "{}", apply.log());
    file
}

/// Waits until the group stands at the end of every partition.
fn wait_until_drained(world: &World, partitions: i32) {
    let mut config = world.client();
    let group = format!("{}.{STREAM}", world.group);
    let consumer: BaseConsumer = told(config.set("group.id", group).create());
    wait_until(&format!("drained {}", world.topic), || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&world.topic, 0, partitions - 1);
        let found = consumer.committed_offsets(asked, KAFKA_TIMEOUT).ok()?;
        let at_end = |partition| {
            let end = consumer.fetch_watermarks(&world.topic, partition, KAFKA_TIMEOUT).ok()?.1;
            let committed = found.find_partition(&world.topic, partition)?.offset();
            (committed == Offset::Offset(end)).then_some(())
        };
        (0..partitions).all(|partition| at_end(partition).is_some()).then_some(())
    });
}

/// Takes everything in and ends.
fn run_through(world: &World, file: &std::path::Path, partitions: i32) {
    let mut pump = world.run(file);
    wait_until_drained(world, partitions);
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
}

fn produce(world: &World, payloads: &[Option<&str>]) {
    world.produce(payloads.iter().map(|payload| Message {
        partition: 0,
        key: Some(b"k"),
        payload: payload.map(str::as_bytes),
    }));
}

/// All rows of a table, sorted, a line each.
fn rows(pair: &Pair, world: &World, table: &str, columns: &str) -> String {
    told(pair.clickhouse.query(&format!("SELECT {columns} FROM {}.{table} ORDER BY ALL", world.database)))
}

/// All dead letters: offset, index, table without its database, code, column, bytes.
fn letters_in_table(pair: &Pair, world: &World) -> String {
    told(pair.clickhouse.query(&format!(
        "SELECT offset, index, substringIndex(table, '.', -1), code, column, payload FROM pumphouse.dead_letters \
         WHERE topic = '{}' ORDER BY offset, index, table FORMAT TSVRaw",
        world.topic
    )))
}

#[test]
fn each_record_goes_where_its_conditions_say_and_what_is_bad_for_one_table_is_a_row_in_the_other() {
    let pair = Pair::shared();
    let world = pair.world("several", 1);
    let file = file(&world, &format!("{}{REST}", tables("one", "dead_letter")));
    produce(
        &world,
        &[
            Some(r#"{"id":0,"kind":"click","page":"/"}"#),
            Some(r#"{"id":1,"kind":"order","state":"new"}"#),
            Some(r#"{"id":2,"kind":"order","state":"paid","amount":"12.50"}"#),
            // Bad for `paid` alone.
            Some(r#"{"id":3,"kind":"order","state":"paid","amount":"1.005"}"#),
            Some(r#"{"id":4,"kind":"order","state":"refunded"}"#),
            // Bad for both.
            Some(r#"{"id":-5,"kind":"order","state":"paid","amount":1}"#),
            Some(r#"{"id":6}"#),
            Some(r#"{"id":7,"kind":"view"}"#),
            // Bad as a whole.
            Some(r#"{"id":8,"kind":"click","page""#),
            None,
            Some(r#"{"kind":"view"}"#),
        ],
    );
    run_through(&world, &file, 1);
    assert_eq!(rows(pair, &world, "clicks", "id, page, _offset"), "0\t/\t0\n");
    assert_eq!(
        rows(pair, &world, "orders", "id, state, _offset"),
        "1\tnew\t1\n2\tpaid\t2\n3\tpaid\t3\n4\trefunded\t4\n"
    );
    assert_eq!(rows(pair, &world, "paid", "id, amount, _offset"), "2\t12.5\t2\n");
    assert_eq!(rows(pair, &world, "rest", "id, kind, _offset"), "6\t\\N\t6\n7\tview\t7\n");
    let expected = [
        "3\t0\tpaid\tPH-0105\tamount\t{\"id\":3,\"kind\":\"order\",\"state\":\"paid\",\"amount\":\"1.005\"}",
        "4\t0\tpaid\tPH-0101\tamount\t{\"id\":4,\"kind\":\"order\",\"state\":\"refunded\"}",
        "5\t0\torders\tPH-0104\tid\t{\"id\":-5,\"kind\":\"order\",\"state\":\"paid\",\"amount\":1}",
        "5\t0\tpaid\tPH-0104\tid\t{\"id\":-5,\"kind\":\"order\",\"state\":\"paid\",\"amount\":1}",
        "8\t0\t\tPH-0100\t\t{\"id\":8,\"kind\":\"click\",\"page\"",
        "9\t0\t\tPH-0115\t\t",
        "10\t0\trest\tPH-0101\tid\t{\"kind\":\"view\"}",
    ];
    assert_eq!(letters_in_table(pair, &world).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_record_that_no_table_takes_is_filtered() {
    let pair = Pair::shared();
    let world = pair.world("several_filtered", 1);
    let file = file(&world, &tables("one", "filter"));
    produce(
        &world,
        &[
            Some(r#"{"id":1,"kind":"view"}"#),
            None,
            Some(r#"{"id":"no"}"#),
            Some(r#"{"id":3,"kind":"click","page":""}"#),
        ],
    );
    run_through(&world, &file, 1);
    assert_eq!(rows(pair, &world, "clicks", "id, page, _offset"), "3\t\t3\n");
    assert_eq!(letters_in_table(pair, &world), "");
}

#[test]
fn the_lines_of_a_message_are_records_and_a_bad_one_in_the_middle_keeps_its_place() {
    let pair = Pair::shared();
    let world = pair.world("several_lines", 1);
    let file = file(&world, &tables("lines", "filter"));
    let lines = "{\"id\":1,\"kind\":\"click\",\"page\":\"a\"}\n{\"id\":2,\n\n{\"id\":3,\"kind\":\"order\",\"state\":\"paid\"}\r\n{\"id\":4,\"kind\":\"click\",\"page\":\"b\"}\n";
    produce(&world, &[Some(lines), Some("\n \n")]);
    run_through(&world, &file, 1);
    assert_eq!(rows(pair, &world, "clicks", "id, page, _offset, _index"), "1\ta\t0\t0\n4\tb\t0\t4\n");
    assert_eq!(rows(pair, &world, "orders", "id, state, _offset, _index"), "3\tpaid\t0\t3\n");
    let expected = [
        "0\t1\t\tPH-0100\t\t{\"id\":2,",
        "0\t3\tpaid\tPH-0101\tamount\t{\"id\":3,\"kind\":\"order\",\"state\":\"paid\"}",
    ];
    assert_eq!(letters_in_table(pair, &world).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_elements_of_an_array_are_records_and_what_is_no_array_is_one_letter() {
    let pair = Pair::shared();
    let world = pair.world("several_arrays", 1);
    let file = file(&world, &tables("array", "dead_letter"));
    let array = r#"[{"id":1,"kind":"click","page":"a"}, 7 ,{"id":true,"kind":"click","page":"b"},{"id":3,"kind":"order","state":"new"}]"#;
    produce(&world, &[Some(array), Some(r#"{"id":9,"kind":"click","page":"c"}"#), None, Some("[]")]);
    run_through(&world, &file, 1);
    assert_eq!(rows(pair, &world, "clicks", "id, page, _offset, _index"), "1\ta\t0\t0\n");
    assert_eq!(rows(pair, &world, "orders", "id, state, _offset, _index"), "3\tnew\t0\t3\n");
    let expected = [
        "0\t1\t\tPH-0111\t\t7",
        "0\t2\tclicks\tPH-0103\tid\t{\"id\":true,\"kind\":\"click\",\"page\":\"b\"}",
        "1\t0\t\tPH-0119\t\t{\"id\":9,\"kind\":\"click\",\"page\":\"c\"}",
        "2\t0\t\tPH-0115\t\t",
    ];
    assert_eq!(letters_in_table(pair, &world).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn letters_of_one_message_go_to_the_topic_alone_under_names_of_their_own() {
    let pair = Pair::shared();
    let world = pair.world("several_letters", 1);
    letters::create(&world, &[]);
    let topic = format!("    dead_letters: {{ table: false, topic: {} }}\n", letters::letters_of(&world));
    let file = file(&world, &format!("{topic}{}", tables("lines", "dead_letter")));
    let lines = "{\"id\":1,\"kind\":\"order\",\"state\":\"paid\"}\n{\n{\"id\":-1,\"kind\":\"order\",\"state\":\"paid\"}";
    produce(&world, &[Some(lines), None]);
    run_through(&world, &file, 1);
    assert_eq!(rows(pair, &world, "orders", "id, state, _offset, _index"), "1\tpaid\t0\t0\n");
    let (topic, database) = (&world.topic, &world.database);
    let expected = [
        (
            format!("{topic}:0:0:0:{database}.paid"),
            "PH-0101",
            "{\"id\":1,\"kind\":\"order\",\"state\":\"paid\"}",
        ),
        (format!("{topic}:0:0:1:"), "PH-0100", "{"),
        (
            format!("{topic}:0:0:2:{database}.orders"),
            "PH-0104",
            "{\"id\":-1,\"kind\":\"order\",\"state\":\"paid\"}",
        ),
        (
            format!("{topic}:0:0:2:{database}.paid"),
            "PH-0104",
            "{\"id\":-1,\"kind\":\"order\",\"state\":\"paid\"}",
        ),
        (format!("{topic}:0:1:0:"), "PH-0115", ""),
    ];
    let found = letters::read(&world);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.iter().map(|(key, ..)| key).collect::<Vec<_>>());
    for (key, code, value) in expected {
        let [letter] = &found[&key][..] else { panic!("{key}: {:?}", found[&key]) };
        assert_eq!(
            (letter.text("pumphouse-code").as_str(), &letter.value[..]),
            (code, value.as_bytes()),
            "{key}"
        );
    }
}

#[test]
fn two_processes_and_kills_leave_each_row_once_in_each_table() {
    const PARTITIONS: i32 = 4;
    const MESSAGES: u64 = 4_000;
    let pair = Pair::shared();
    let world = pair.world("several_killed", PARTITIONS);
    let file = file(&world, &tables("lines", "filter"));
    let mut random = fastrand::Rng::with_seed(20_261_123);
    let mut pumps: Vec<Pump> = vec![world.run(&file), world.run(&file)];
    let mut kills = 0;
    for portion in 0..8 {
        let payloads: Vec<String> =
            (0..MESSAGES / 8).map(|place| three_lines(portion * (MESSAGES / 8) + place)).collect();
        world.produce((0..).zip(&payloads).map(|(place, payload)| Message {
            partition: place % PARTITIONS,
            key: None,
            payload: Some(payload.as_bytes()),
        }));
        thread::sleep(Duration::from_millis(random.u64(200..1_500)));
        let victim = random.usize(0..pumps.len());
        pumps[victim].kill();
        kills += 1;
        pumps[victim] = world.run(&file);
    }
    wait_until_drained(&world, PARTITIONS);
    for pump in &mut pumps {
        assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
    }
    assert_eq!(kills, 8);
    // Of each message: a click; an order; an order that is paid, every fourth time without an amount.
    let sum = MESSAGES * (MESSAGES - 1) / 2;
    for (table, counts) in
        [("clicks", [MESSAGES, MESSAGES, sum]), ("orders", [2 * MESSAGES, 2 * MESSAGES, 2 * sum])]
    {
        assert_eq!(counted(pair, &world, table), counts, "{table}");
    }
    let unpaid: Vec<u64> = (0..MESSAGES).filter(|id| id % 4 == 0).collect();
    let (few, less) = (unpaid.len() as u64, unpaid.iter().sum::<u64>());
    assert_eq!(counted(pair, &world, "paid"), [MESSAGES - few, MESSAGES - few, sum - less]);
    let letters = format!("FROM pumphouse.dead_letters WHERE topic = '{}'", world.topic);
    let kind = "table LIKE '%.paid' AND code = 'PH-0101' AND index = 2";
    assert_eq!(number(pair, &format!("SELECT countIf({kind}) {letters}")), few);
    assert_eq!(number(pair, &format!("SELECT uniqExact(partition, offset, index, table) {letters}")), few);
    assert_eq!(number(pair, &format!("SELECT count() {letters}")), few);
}

/// A click, an order and a paid order of this number.
fn three_lines(id: u64) -> String {
    let mut lines = format!(
        "{{\"id\":{id},\"kind\":\"click\",\"page\":\"/\"}}\n{{\"id\":{id},\"kind\":\"order\",\"state\":\"new\"}}\n"
    );
    let amount = if id % 4 == 0 { "" } else { ",\"amount\":\"9.99\"" };
    let _ = write!(lines, "{{\"id\":{id},\"kind\":\"order\",\"state\":\"paid\"{amount}}}");
    lines
}

/// Rows, different places in Kafka among them, and the sum of their numbers.
fn counted(pair: &Pair, world: &World, table: &str) -> [u64; 3] {
    ["count()", "uniqExact(_partition, _offset, _index)", "sum(id)"]
        .map(|figure| number(pair, &format!("SELECT {figure} FROM {}.{table}", world.database)))
}
