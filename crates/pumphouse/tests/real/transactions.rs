//! What a topic holds beside records of events: markers of transactions, aborted records, tombstones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use pumphouse::demo::events::{Generator, Place};
use rdkafka::ClientContext;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::story::{Plan, Story, number};
use crate::world::{DEADLINE, Message, Pair, told};

const PARTITIONS: u32 = 3;
const ROUNDS: u32 = 12;
const PER_ROUND: u64 = 300;

#[test]
fn only_records_of_committed_transactions_become_rows_and_the_lag_is_zero_at_the_end() {
    let pair = Pair::shared();
    let plan = Plan { partitions: PARTITIONS, bad_per_mille: 0, ..Plan::default() };
    let story = Story::with_tables(pair, "transactions", plan);
    let pump = story.run_assigned();
    let mut config = story.world.client();
    config.set("transactional.id", &story.world.group).set("linger.ms", "5");
    let producer: BaseProducer<Offsets> = told(config.create_with_context(Offsets::default()));
    told(producer.init_transactions(DEADLINE));
    let mut rows = String::new();
    // The last one is aborted: the log ends with what is no row.
    for round in 0..ROUNDS {
        told(producer.begin_transaction());
        let sent = send_round(&producer, &story, u64::from(round));
        if round % 2 == 0 {
            told(producer.commit_transaction(DEADLINE));
            rows += &sent;
        } else {
            told(producer.abort_transaction(DEADLINE));
        }
    }
    let mut pumps = [pump];
    story.wait_until_drained(&mut pumps);
    let found = told(
        pair.clickhouse
            .query(&format!("SELECT _partition, _offset, event_id FROM {} ORDER BY ALL", story.table())),
    );
    let mut rows: Vec<&str> = rows.lines().collect();
    let mut found: Vec<&str> = found.lines().collect();
    rows.sort_unstable();
    found.sort_unstable();
    assert_eq!(rows.len() as u64, u64::from(ROUNDS) / 2 * PER_ROUND);
    assert!(rows == found, "{} rows expected, {} found", rows.len(), found.len());
    assert_eq!(pumps[0].terminate(), Some(0), "{}", pumps[0].log());
}

#[test]
fn a_tombstone_is_neither_row_nor_dead_letter_and_an_empty_record_is_a_dead_letter() {
    let pair = Pair::shared();
    let plan = Plan { partitions: 1, process: "{ lanes: 1 }", ..Plan::default() };
    let story = Story::with_tables(pair, "tombstone", plan);
    let mut event = Vec::new();
    Generator::new(1, 0).write(Place { partition: 0, sequence: 0 }, 1_790_000_000_000, &mut event);
    let message = |payload| Message { partition: 0, key: Some(&b"key"[..]), payload };
    story.world.produce([message(None), message(Some(&event)), message(Some(&b""[..])), message(None)]);
    let mut pumps = [story.run()];
    story.wait_until_drained(&mut pumps);
    let offsets = format!("SELECT groupArray(_offset) FROM {}", story.table());
    assert_eq!(told(pair.clickhouse.query(&offsets)), "[1]\n");
    let letters =
        format!("SELECT offset, code FROM pumphouse.dead_letters WHERE topic = '{}'", story.world.topic);
    assert_eq!(told(pair.clickhouse.query(&letters)), "2\tPH-0114\n");
    assert_eq!(number(pair, &format!("SELECT sum(rows) FROM {}.totals", story.world.database)), 1);
}

/// Sends one transaction's events; the rows they become if it is committed.
fn send_round(producer: &BaseProducer<Offsets>, story: &Story, round: u64) -> String {
    let generator = Generator::new(7, 0);
    let mut event = Vec::new();
    let mut ids = BTreeMap::<i32, Vec<String>>::new();
    for number in 0..PER_ROUND {
        let partition = u32::try_from(number).expect("few") % PARTITIONS;
        let place = Place { partition, sequence: round * PER_ROUND + number };
        generator.write(place, 1_790_000_000_000, &mut event);
        let json: serde_json::Value = serde_json::from_slice(&event).expect("a good event is JSON");
        let partition = i32::try_from(partition).expect("few");
        ids.entry(partition).or_default().push(json["event_id"].as_str().expect("a text").to_owned());
        let record = BaseRecord::<(), [u8]>::to(&story.world.topic).partition(partition).payload(&event);
        told(producer.send(record).map_err(|(error, _)| error));
    }
    told(producer.flush(DEADLINE));
    let offsets = std::mem::take(&mut *producer.context().0.lock().unwrap_or_else(PoisonError::into_inner));
    let mut rows = String::new();
    for (partition, ids) in ids {
        assert_eq!(offsets[&partition].len(), ids.len(), "acknowledged in partition {partition}");
        for (offset, id) in offsets[&partition].iter().zip(ids) {
            let _ = writeln!(rows, "{partition}\t{offset}\t{id}");
        }
    }
    rows
}

/// Offsets of acknowledged records by partition, in the order sent.
#[derive(Default)]
struct Offsets(Mutex<BTreeMap<i32, Vec<i64>>>);

impl ClientContext for Offsets {}

impl ProducerContext for Offsets {
    type DeliveryOpaque = ();

    fn delivery(&self, answer: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = answer {
            let mut offsets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            offsets.entry(message.partition()).or_default().push(message.offset());
        }
    }
}
