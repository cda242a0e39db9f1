//! Damage on the way: a bit that flips in Kafka's log, and a small message that is large once it is unpacked.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use memchr::memmem;
use pumphouse::embedded::{clickhouse, kafka};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::world::{DEADLINE, Message, Pair, Pump, World, exe, told, wait_until};

fn run(world: &World, process: &str) -> Pump {
    let World { brokers, clickhouse_url, database, topic, group, .. } = world;
    let file = world.write(
        "pumphouse.yaml",
        &format!(
            "clickhouse: {{ url: \"{clickhouse_url}\", database: {database} }}\n\
             kafka: {{ brokers: \"{brokers}\", group: {group} }}\n\
             process: {process}\n\
             streams:\n  texts:\n    from: {{ topic: {topic} }}\n    columns: {{ id: UInt64, text: String }}\n    \
             table: {{ order_by: [id] }}\n    batch: {{ freshness: 200ms }}\n"
        ),
    );
    let mut apply = world.command("apply", &file);
    assert_eq!(apply.wait(), Some(0), "{}", apply.log());
    world.run(&file)
}

fn produce(world: &World, id: u64, text: &str) {
    let payload = format!("{{\"id\":{id},\"text\":\"{text}\"}}");
    world.produce([Message { partition: 0, key: None, payload: Some(payload.as_bytes()) }]);
}

#[test]
fn a_bit_that_flips_in_the_log_halts_the_stream_and_changes_no_value() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pair = Pair {
        clickhouse: told(clickhouse::Launch::new(exe()).start()),
        kafka: told(kafka::Launch::new(exe()).in_folder(folder.path()).start()),
    };
    let world = pair.world("flipped", 1);
    for id in 0..10 {
        produce(&world, id, &format!("marker-{id}"));
    }
    flip(folder.path(), &world.topic, b"marker-5");

    let mut pump = run(&world, "{ lanes: 1 }");
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    pump.wait_for_line(&["PH-0039", &world.topic, "partition 0", "offset 5"]);
    let texts =
        told(pair.clickhouse.query(&format!("SELECT text FROM {}.texts ORDER BY id", world.database)));
    assert_eq!(texts, "marker-0\nmarker-1\nmarker-2\nmarker-3\nmarker-4\n");
}

/// Changes one bit of these bytes where they stand in the topic's log. The broker sends what the file holds.
fn flip(folder: &Path, topic: &str, bytes: &[u8]) {
    let segment = folder.join("data").join(format!("{topic}-0")).join("00000000000000000000.log");
    let log = told(fs::read(&segment));
    let at = memmem::find(&log, bytes).expect("the record is in the log");
    let mut file = told(fs::OpenOptions::new().write(true).open(&segment));
    told(file.seek(SeekFrom::Start(at as u64)));
    told(file.write_all(&[log[at] ^ 1]));
}

#[test]
fn a_message_that_is_large_once_unpacked_is_a_row_or_a_dead_letter_like_any_other() {
    let pair = Pair::shared();
    let world = pair.world("unpacked", 1);
    let bytes = 60 << 20;
    let large = "x".repeat(bytes);
    let mut config = world.client();
    config.set("compression.codec", "gzip").set("message.max.bytes", "200000000").set("linger.ms", "0");
    let producer: BaseProducer = told(config.create());
    for payload in
        [format!("{{\"id\":0,\"text\":\"{large}\"}}"), format!("{{\"id\":-1,\"text\":\"{large}\"}}")]
    {
        let record = BaseRecord::<[u8], [u8]>::to(&world.topic).partition(0).payload(payload.as_bytes());
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    told(producer.flush(DEADLINE));
    produce(&world, 1, "after");

    let mut pump = run(&world, "{ lanes: 1 }");
    let table = format!("{}.texts", world.database);
    let rows = || told(pair.clickhouse.query(&format!("SELECT id, length(text) FROM {table} ORDER BY id")));
    wait_until("both rows", || (rows() == format!("0\t{bytes}\n1\t5\n")).then_some(()));
    let letters = || {
        told(pair.clickhouse.query(&format!(
            "SELECT code, length(payload) > {bytes} FROM pumphouse.dead_letters WHERE topic = '{}'",
            world.topic
        )))
    };
    wait_until("the letter", || (letters() == "PH-0104\t1\n").then_some(()));
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
}
