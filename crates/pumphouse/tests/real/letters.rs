//! Dead letters in a Kafka topic: beside the table, with all that is known of them, through kills, limits and refusals.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::story::{Plan, Story, number};
use crate::world::{Pair, Pump, World, block_on, told};

const KAFKA_TIMEOUT: Duration = Duration::from_secs(30);
const PARTITIONS: i32 = 3;

/// A letter as a consumer of the topic finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) value: Vec<u8>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Letter {
    /// The last header of this name.
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rfind(|(found, _)| found == name)?.1.as_deref()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.header(name).unwrap_or_default()).into_owned()
    }
}

pub(crate) fn letters_of(world: &World) -> String {
    format!("{}.dead", world.topic)
}

/// Creates the topic of the dead letters.
pub(crate) fn create(world: &World, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = told(world.client().create());
    let name = letters_of(world);
    let mut topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    for result in told(block_on(admin.create_topics(&[topic], &AdminOptions::new()))) {
        result.unwrap_or_else(|(topic, error)| panic!("creating topic {topic}: {error}"));
    }
}

fn set(world: &World, name: &str, value: &str) {
    let admin: AdminClient<DefaultClientContext> = told(world.client().create());
    let topic = letters_of(world);
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set(name, value);
    for result in told(block_on(admin.alter_configs(&[change], &AdminOptions::new()))) {
        result.unwrap_or_else(|(topic, error)| panic!("altering {topic:?}: {error}"));
    }
}

/// Has the stream send its dead letters there, too.
fn send_letters(world: &World, file: &Path) {
    let text = told(std::fs::read_to_string(file));
    let topic = format!("    dead_letters: {{ topic: {} }}", letters_of(world));
    told(std::fs::write(file, text.replacen("    dead_letters: { topic: null }", &topic, 1)));
}

/// Everything in the topic by key, in the order of each partition.
pub(crate) fn read(world: &World) -> BTreeMap<String, Vec<Letter>> {
    let topic = letters_of(world);
    let mut config = world.client();
    config.set("group.id", "reader").set("fetch.message.max.bytes", "8388608");
    let consumer: BaseConsumer = told(config.create());
    let mut assigned = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..PARTITIONS {
        told(assigned.add_partition_offset(&topic, partition, Offset::Beginning));
        left += told(consumer.fetch_watermarks(&topic, partition, KAFKA_TIMEOUT)).1;
    }
    told(consumer.assign(&assigned));
    let mut letters = BTreeMap::<String, Vec<Letter>>::new();
    while left > 0 {
        let message = told(consumer.poll(KAFKA_TIMEOUT).expect("what is below the end arrives"));
        let key = String::from_utf8(message.key().expect("each letter has a key").to_vec()).expect("a text");
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        let letter = Letter {
            value: message.payload().expect("never a tombstone").to_vec(),
            headers: headers.unwrap_or_default(),
        };
        letters.entry(key).or_default().push(letter);
        left -= 1;
    }
    letters
}

/// What the table has under each key: code, column, path, reason and the bytes in hexadecimal.
fn in_table(pair: &Pair, world: &World) -> BTreeMap<String, [String; 5]> {
    let sql = format!(
        "SELECT concat(topic, ':', toString(partition), ':', toString(offset)), code, column, path, reason, \
         lower(hex(payload)) FROM pumphouse.dead_letters WHERE topic = '{}' FORMAT TSVRaw",
        world.topic
    );
    let answer = told(pair.clickhouse.query(&sql));
    let line = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let key = fields.next().expect("a key");
        (key, std::array::from_fn(|_| fields.next().expect("five more")))
    };
    answer.lines().map(line).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Each letter of the table is in the topic, at least once, and nothing else is; how many are there.
fn assert_same(pair: &Pair, world: &World) -> usize {
    let (letters, rows) = (read(world), in_table(pair, world));
    assert_eq!(letters.keys().collect::<Vec<_>>(), rows.keys().collect::<Vec<_>>());
    for (key, row) in rows {
        for letter in &letters[&key] {
            let headers = ["code", "column", "path", "reason"];
            let headers = headers.map(|name| letter.text(&format!("pumphouse-{name}")));
            assert_eq!((headers.as_slice(), hex(&letter.value)), (&row[..4], row[4].clone()), "{key}");
        }
    }
    letters.values().map(Vec::len).sum()
}

/// Ends a process and sees that it ended well.
fn end(mut pump: Pump) {
    assert_eq!(pump.terminate(), Some(0), "{}", pump.log());
}

/// Produces one record with a key and headers, acknowledged when this returns.
fn produce(world: &World, partition: i32, payload: &[u8]) {
    let mut config = world.client();
    config.set("message.max.bytes", "20971520");
    let producer: BaseProducer = told(config.create());
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some(&[0xff_u8, 0, 1]) })
        .insert(Header { key: "nothing", value: None::<&[u8]> })
        .insert(Header { key: "pumphouse-code", value: Some("not ours") });
    let record = BaseRecord::to(&world.topic).partition(partition).timestamp(1_709_209_800_001);
    told(producer.send(record.key(b"k\xfe").payload(payload).headers(headers)).map_err(|(error, _)| error));
    told(producer.flush(KAFKA_TIMEOUT));
}

#[test]
fn every_bad_record_is_once_in_the_topic_and_once_in_the_table() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "letters", Plan { bad_per_mille: 50, ..Plan::default() });
    create(&story.world, &[]);
    send_letters(&story.world, &story.file);
    let pump = story.run_assigned();
    let tally = story.produce(20_000);
    assert_eq!(tally.bad_by_kind.len(), 14, "of every kind");
    story.ends_exactly(pair, &tally, vec![pump]);
    let letters = assert_same(pair, &story.world);
    assert_eq!(letters as u64, tally.bad());
}

#[test]
fn a_letter_has_the_records_key_headers_and_time_and_ours_behind_them() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "letter_headers", Plan { partitions: 2, ..Plan::default() });
    create(&story.world, &[]);
    send_letters(&story.world, &story.file);
    produce(&story.world, 1, b"\xff\x00 no text");
    let pump = story.run_assigned();
    story.wait_until_drained(&mut []);
    end(pump);
    let letters = read(&story.world);
    let key = format!("{}:1:0", story.world.topic);
    let [letter] = &letters[&key][..] else { panic!("one letter: {letters:?}") };
    assert_eq!(letter.value, b"\xff\x00 no text");
    let own: Vec<_> = letter.headers[..3].iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
    let not_ours = ("pumphouse-code", Some(&b"not ours"[..]));
    assert_eq!(own, [("trace", Some(&[0xff, 0, 1][..])), ("nothing", None), not_ours]);
    assert_eq!(letter.header("pumphouse-key"), Some(&b"k\xfe"[..]));
    for (name, value) in [
        ("stream", "requests"),
        ("topic", &story.world.topic),
        ("partition", "1"),
        ("offset", "0"),
        ("index", "0"),
        ("table", ""),
        ("code", "PH-0108"),
        ("kafka-time", "2024-02-29T12:30:00.001Z"),
    ] {
        assert_eq!(letter.text(&format!("pumphouse-{name}")), value, "{name}");
    }
    assert_same(pair, &story.world);
}

#[test]
fn a_topic_of_dead_letters_that_is_not_there_keeps_the_process_from_starting() {
    let clickhouse = "start_retries: 2, start_retry_every: 200ms";
    let story = Story::with_tables(Pair::shared(), "no_letters", Plan { clickhouse, ..Plan::default() });
    send_letters(&story.world, &story.file);
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(69), "{}", pump.log());
    pump.wait_for_line(&["PH-0012", &letters_of(&story.world), "dead letters"]);
}

#[test]
fn processes_that_are_killed_lose_no_letter() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "letters_killed", Plan { bad_per_mille: 200, ..Plan::default() });
    create(&story.world, &[]);
    send_letters(&story.world, &story.file);
    let mut random = fastrand::Rng::with_seed(20_261_122);
    let mut pumps = vec![story.run_assigned(), story.run()];
    let producing = story.keep_producing(40_000, 3_000);
    let mut kills = 0;
    while !producing.is_finished() {
        std::thread::sleep(Duration::from_millis(random.u64(300..2_500)));
        let victim = random.usize(0..pumps.len());
        pumps[victim].kill();
        kills += 1;
        pumps[victim] = story.run();
    }
    let tally = producing.join().expect("the producer does not panic");
    assert!(kills >= 4, "{kills} kills");
    story.ends_exactly(pair, &tally, pumps);
    let letters = assert_same(pair, &story.world) as u64;
    eprintln!("{kills} kills; {} bad records are {letters} letters in the topic", tally.bad());
    assert!(letters >= tally.bad());
}

#[test]
fn a_record_above_the_topics_limit_is_a_letter_without_its_value() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "letters_large", Plan { partitions: 1, ..Plan::default() });
    create(&story.world, &[("max.message.bytes", "1048576")]);
    send_letters(&story.world, &story.file);
    let mut random = fastrand::Rng::with_seed(7);
    let large: Vec<u8> = (0..2 << 20).map(|_| random.u8(..)).collect();
    let packs_well = vec![0xff; 3 << 20];
    for payload in [b"[]".as_slice(), &large, &packs_well, b"{"] {
        produce(&story.world, 0, payload);
    }
    let pump = story.run_assigned();
    story.wait_until_drained(&mut []);
    end(pump);
    let letters = read(&story.world);
    let letter = |offset| match &letters[&format!("{}:0:{offset}", story.world.topic)][..] {
        [letter] => letter,
        several => panic!("{} letters at {offset}", several.len()),
    };
    assert_eq!(
        (letters.len(), letter(0).value.as_slice(), letter(3).value.as_slice()),
        (4, &b"[]"[..], &b"{"[..])
    );
    assert!(letter(2).value == packs_well, "what packs to less than the limit goes whole");
    assert_eq!(letter(1).value, b"");
    assert_eq!(letter(1).text("pumphouse-left-out"), "value");
    assert_eq!(letter(1).text("pumphouse-value-bytes"), large.len().to_string());
    assert_eq!(letter(1).text("pumphouse-code"), "PH-0108");
    assert_eq!(letter(1).header("trace"), Some(&[0xff, 0, 1][..]));
    let sql = format!(
        "SELECT sum(length(payload)) FROM pumphouse.dead_letters WHERE topic = '{}'",
        story.world.topic
    );
    let bytes = (large.len() + packs_well.len() + 3) as u64;
    assert_eq!(number(pair, &sql), bytes, "the table has every byte");
}

#[test]
fn a_topic_that_takes_no_letter_at_all_halts_the_stream_and_one_that_does_finishes_the_batch() {
    let pair = Pair::shared();
    let story = Story::with_tables(pair, "letters_refused", Plan { bad_per_mille: 100, ..Plan::default() });
    create(&story.world, &[("max.message.bytes", "100")]);
    send_letters(&story.world, &story.file);
    let tally = story.produce(600);
    let mut pump = story.run();
    assert_eq!(pump.wait(), Some(70), "{}", pump.log());
    pump.wait_for_line(&["halted", "PH-0029", &letters_of(&story.world)]);
    assert!(read(&story.world).is_empty());
    set(&story.world, "max.message.bytes", "1048576");
    let next = story.run_assigned();
    story.ends_exactly(pair, &tally, vec![next]);
    // Two lanes may have built the claimed batch again, each for its own partitions.
    assert!(assert_same(pair, &story.world) as u64 >= tally.bad());
}
