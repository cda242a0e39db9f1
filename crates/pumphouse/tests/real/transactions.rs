//! What a topic holds beside records of events: markers of transactions, aborted records, tombstones.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pumphouse::demo::events::{Generator, Place};
use rdkafka::ClientContext;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::story::{Plan, Story, number};
use crate::world::{DEADLINE, Message, Pair, told};

const PARTITIONS: u32 = 3;

#[test]
fn only_records_of_committed_transactions_become_rows_and_the_lag_is_zero_at_the_end() {
    let pair = Pair::shared();
    let plan = Plan { partitions: PARTITIONS, bad_per_mille: 0, ..Plan::default() };
    let story = Story::with_tables(pair, "transactions", plan);
    let mut pumps = [story.run_assigned()];
    // The last one is aborted: the log ends with what is no row.
    let rows = transactions(&story, 12, 300);
    story.wait_until_drained(&mut pumps);
    assert_rows(pair, &story, &rows);
    assert_eq!(pumps[0].terminate(), Some(0), "{}", pumps[0].log());
}

#[test]
fn markers_that_wait_in_a_queue_while_members_come_and_go_hide_no_record() {
    let pair = Pair::shared();
    let batch = "{ freshness: 300ms, rows: 2000 }";
    let plan = Plan { partitions: PARTITIONS, bad_per_mille: 0, batch, ..Plan::default() };
    let story = Story::with_tables(pair, "markers", plan);
    let rows = transactions(&story, 200, 600);
    // The backlog lasts for as long as members come and go.
    story.slow_down(pair, 1);
    let mut pumps = vec![story.run_assigned()];
    for _ in 0..2 {
        let mut second = story.run_assigned();
        let from = story.rows(pair);
        story.wait_for_rows(pair, from + 4_000);
        assert_eq!(second.terminate(), Some(0), "{}", second.log());
    }
    assert!(story.rows(pair) < rows.len() as u64, "there is still a backlog");
    story.speed_up(pair);
    story.wait_until_drained(&mut pumps);
    assert_rows(pair, &story, &rows);
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

/// Writes transactions, every other one aborted, and tells the rows of the committed ones.
fn transactions(story: &Story, rounds: u32, per_round: u64) -> Vec<String> {
    let mut config = story.world.client();
    config.set("transactional.id", &story.world.group).set("linger.ms", "5");
    let producer: BaseProducer<Offsets> = told(config.create_with_context(Offsets::default()));
    told(producer.init_transactions(DEADLINE));
    let mut rows = Vec::new();
    for round in 0..rounds {
        told(producer.begin_transaction());
        let sent = send_round(&producer, story, u64::from(round), per_round);
        if round % 2 == 0 {
            told(producer.commit_transaction(DEADLINE));
            rows.extend(sent);
        } else {
            told(producer.abort_transaction(DEADLINE));
        }
    }
    rows.sort_unstable();
    rows
}

/// The table holds these rows and no other.
fn assert_rows(pair: &Pair, story: &Story, rows: &[String]) {
    let sql = format!("SELECT _partition, _offset, event_id FROM {}", story.table());
    let found = told(pair.clickhouse.query(&sql));
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    let (expected, all) = (rows.len(), found.len());
    found.dedup();
    assert!(rows == found, "{expected} rows expected, {all} found, {} of them different", found.len());
    assert_eq!(all, expected, "rows in all");
}

/// Sends one transaction's events; the rows they become if it is committed.
fn send_round(producer: &BaseProducer<Offsets>, story: &Story, round: u64, events: u64) -> Vec<String> {
    let generator = Generator::new(7, 0);
    let mut event = Vec::new();
    let mut ids = BTreeMap::<i32, Vec<String>>::new();
    for number in 0..events {
        let partition = u32::try_from(number).expect("few") % PARTITIONS;
        let place = Place { partition, sequence: round * events + number };
        generator.write(place, 1_790_000_000_000, &mut event);
        let json: serde_json::Value = serde_json::from_slice(&event).expect("a good event is JSON");
        let partition = i32::try_from(partition).expect("few");
        ids.entry(partition).or_default().push(json["event_id"].as_str().expect("a text").to_owned());
        let record = BaseRecord::<(), [u8]>::to(&story.world.topic).partition(partition).payload(&event);
        told(producer.send(record).map_err(|(error, _)| error));
    }
    told(producer.flush(DEADLINE));
    let offsets = std::mem::take(&mut *producer.context().0.lock().unwrap_or_else(PoisonError::into_inner));
    let mut rows = Vec::new();
    for (partition, ids) in ids {
        assert_eq!(offsets[&partition].len(), ids.len(), "acknowledged in partition {partition}");
        for (offset, id) in offsets[&partition].iter().zip(ids) {
            rows.push(format!("{partition}\t{offset}\t{id}"));
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
