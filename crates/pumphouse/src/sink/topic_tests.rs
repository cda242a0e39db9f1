//! The topic's three answers, from a mock broker that answers as it is told.

use std::collections::{BTreeMap, BTreeSet};

use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::moment::ServerTime;
use pumphouse_core::pump::TableId;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys::types::RDKafkaApiKey;

use super::super::letter::tests::column;
use super::*;
use crate::config::settings::{DeadLetters, StartFrom, Table};
use crate::decode::{NoHeaders, OpenBatch, Record};

const TOPIC: &str = "in.dead";
const TIMEOUT: Duration = Duration::from_secs(2);

struct World {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topic: Arc<LetterTopic>,
}

impl World {
    fn new() -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic(TOPIC, 1, 1).expect("a topic");
        let kafka = Kafka {
            brokers: cluster.bootstrap_servers(),
            group: "g".to_owned(),
            start_from: StartFrom::Earliest,
            properties: BTreeMap::new(),
        };
        let topic = LetterTopic::of(&kafka, &stream(), TIMEOUT).expect("it is declared");
        Self { cluster, topic: Arc::new(topic) }
    }

    fn answers(&self, error: RDKafkaRespErr, times: usize) {
        self.cluster.request_errors(RDKafkaApiKey::Produce, &vec![error; times]);
    }

    fn deliver(&self, letters: &Arc<Letters>) -> Input {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let order = Order {
            claim: Claim {
                id: BatchId(7),
                claimed_at: ServerTime(0),
                shape: 0,
                revision: "0123456789ab".to_owned(),
                ranges: BTreeMap::new(),
                sent_until: ServerTime(0),
                supersedes: Vec::new(),
                excluded: BTreeSet::new(),
            },
            table: TableId(2),
            deadline: ServerTime(0),
            attempt: 1,
        };
        runtime.block_on(Arc::clone(&self.topic).deliver(&order, Arc::clone(letters)))
    }

    /// Keys in the topic, in order.
    fn keys(&self) -> Vec<String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.bootstrap_servers()).set("group.id", "reader");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let (_, high) = consumer.fetch_watermarks(TOPIC, 0, TIMEOUT).expect("the ends of the topic");
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("an offset");
        consumer.assign(&assigned).expect("an assignment");
        let key = |_| {
            let message = consumer.poll(Duration::from_mins(1)).expect("below the end").expect("a message");
            String::from_utf8(message.key().expect("a key").to_vec()).expect("a text")
        };
        (0..high).map(key).collect()
    }
}

fn stream() -> Stream {
    let table = Table::of_columns("db", "t", vec![column()]);
    let dead_letters = DeadLetters { table: true, topic: Some(TOPIC.to_owned()) };
    Stream { dead_letters, ..Stream::into_tables("in", vec![table]) }
}

fn letters(count: u64) -> Arc<Letters> {
    let mut open = OpenBatch::new(&stream(), "0123456789ab").expect("a column of text");
    for offset in 0..count {
        let (payload, headers) = (Some(&b"[]"[..]), &NoHeaders);
        open.push(&Record { partition: 0, offset, timestamp_ms: None, key: None, payload, headers });
    }
    Arc::new(Letters::new(open.seal(0).dead_letters.expect("all are bad")))
}

const DONE: Input = Input::Inserted(BatchId(7), TableId(2));
const UNKNOWN: Input = Input::InsertUnknown(BatchId(7), TableId(2));

#[test]
fn letters_are_there_once_and_a_repeated_order_sends_none_again() {
    let (world, letters) = (World::new(), letters(3));
    assert_eq!(world.deliver(&letters), DONE);
    assert_eq!(world.deliver(&letters), DONE);
    assert_eq!(world.keys(), ["in:0:0", "in:0:1", "in:0:2"]);
}

#[test]
fn replicas_that_are_away_leave_it_in_doubt_and_the_next_attempt_delivers() {
    let (world, letters) = (World::new(), letters(2));
    world.answers(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 1_000);
    assert_eq!(world.deliver(&letters), UNKNOWN);
    world.cluster.clear_request_errors(RDKafkaApiKey::Produce);
    assert_eq!(world.deliver(&letters), DONE);
    assert_eq!(world.keys(), ["in:0:0", "in:0:1"]);
}

#[test]
fn brokers_that_are_away_leave_it_in_doubt() {
    let (world, letters) = (World::new(), letters(1));
    world.cluster.broker_down(1).expect("it can be taken down");
    assert_eq!(world.deliver(&letters), UNKNOWN);
}

#[test]
fn a_user_who_may_not_write_is_a_refusal() {
    let (world, letters) = (World::new(), letters(2));
    world.answers(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 10);
    let refused = Input::InsertRefused(BatchId(7), TableId(2), Refusal::Access);
    assert_eq!(world.deliver(&letters), refused);
    assert_eq!(world.keys(), [""; 0]);
}

#[test]
fn a_user_who_may_not_be_an_idempotent_producer_is_a_refusal() {
    let (world, letters) = (World::new(), letters(1));
    let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    world.cluster.request_errors(RDKafkaApiKey::InitProducerId, &[denied; 10]);
    let refused = Input::InsertRefused(BatchId(7), TableId(2), Refusal::Access);
    assert_eq!(world.deliver(&letters), refused);
    world.cluster.clear_request_errors(RDKafkaApiKey::InitProducerId);
    assert_eq!(world.deliver(&letters), DONE);
}

#[test]
fn a_batch_that_is_too_large_is_sent_again_letter_by_letter() {
    let (world, letters) = (World::new(), letters(3));
    world.answers(RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    assert_eq!(world.deliver(&letters), DONE);
    assert_eq!(world.keys(), ["in:0:0", "in:0:1", "in:0:2"]);
}

fn judged(code: RDKafkaErrorCode) -> Option<Refusal> {
    match judge(&KafkaError::MessageProduction(code)) {
        Failure::Unknown(_) => None,
        Failure::Refused(refusal, _) => Some(refusal),
    }
}

#[test]
fn brokers_that_are_away_are_waited_for_and_what_nobody_knows_is_a_stop() {
    use RDKafkaErrorCode as E;
    for code in [E::MessageTimedOut, E::AllBrokersDown, E::NotEnoughReplicas, E::PurgeInflight, E::Fatal] {
        assert_eq!(judged(code), None, "{code}");
    }
    assert_eq!(judged(E::UnknownTopic), Some(Refusal::Missing));
    assert_eq!(judged(E::TopicAuthorizationFailed), Some(Refusal::Access));
    assert_eq!(judged(E::PolicyViolation), Some(Refusal::Block));
    assert_eq!(judged(E::InconsistentGroupProtocol), Some(Refusal::Other));
}

#[test]
fn a_refusal_is_told_before_a_doubt() {
    let doubt = || Failure::Unknown(String::new());
    let refusal = || Failure::Refused(Refusal::Access, String::new());
    assert!(matches!(worse(Some(refusal()), doubt()), Failure::Refused(..)));
    assert!(matches!(worse(Some(doubt()), refusal()), Failure::Refused(..)));
    assert!(matches!(worse(None, doubt()), Failure::Unknown(_)));
}
