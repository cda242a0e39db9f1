//! What an audit says when a server does not answer. It changes nothing, so it can be started again at any time.

use pumphouse_clickhouse::client::QueryError;
use pumphouse_core::verdict::Refusal;
use rdkafka::error::KafkaError;

use crate::fault::{Code, Fault};
use crate::sink::insert::refusal_of;
use crate::source::kafka::reader::ReadError;

const NEXT: &str = "the audit ends; it has changed nothing, so it can be started again";

/// ClickHouse did not answer a question about `on`.
pub(super) fn unanswered(on: &str, error: &QueryError) -> Fault {
    let code = match error {
        QueryError::NotSent(_) | QueryError::Lost(_) | QueryError::Answer(_) => Code::ClickHouseUnreachable,
        QueryError::Server(error) => match refusal_of(error.kind) {
            Refusal::Access => Code::AccessDenied,
            Refusal::Missing => Code::TableGone,
            Refusal::Overloaded => Code::ServerOutOfMemory,
            _ => Code::ClickHouseUnreachable,
        },
    };
    Fault::new(code, format!("a question to ClickHouse about {on}"), error.to_string()).then(NEXT)
}

/// Kafka did not answer.
pub(super) fn unread(topic: &str, error: &KafkaError) -> Fault {
    Fault::new(Code::KafkaUnreachable, format!("topic `{topic}`"), error.to_string()).then(NEXT)
}

/// The topic could not be read.
pub(super) fn unreadable(topic: &str, error: &ReadError) -> Fault {
    let on = format!("topic `{topic}`");
    match error {
        ReadError::Kafka(error) => unread(topic, error),
        ReadError::Damaged(partition, range) => Fault::new(
            Code::RecordsDamaged,
            on,
            format!("partition {partition}, offsets {range} can't be read"),
        )
        .then(NEXT),
        ReadError::Deleted(partition, offset) => Fault::new(
            Code::KafkaUnreachable,
            on,
            format!("partition {partition} was deleted up to {offset} meanwhile"),
        )
        .then(NEXT),
        ReadError::Cut(partition, range) => Fault::new(
            Code::KafkaUnreachable,
            on,
            format!("partition {partition} ends before offsets {range} do"),
        )
        .then(NEXT),
        ReadError::Cancelled => {
            Fault::new(Code::KafkaUnreachable, on, "the reading was called off").then(NEXT)
        }
    }
}
