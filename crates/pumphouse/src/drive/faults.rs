//! The operator's sentence for each reason a lane halts. Decides nothing; the core already did.

use pumphouse_core::verdict::{Halt, Refusal};
use rdkafka::error::KafkaError;

use crate::config::settings::Stream;
use crate::fault::{Code, Fault};

/// Why the stream's lane halted, for people.
#[must_use]
pub(super) fn halted(stream: &Stream, reason: &Halt) -> Fault {
    let on = format!("stream `{}`", stream.name);
    match reason {
        Halt::Refused(batch, refusal) => refused(stream, *refusal, &batch.to_string()),
        Halt::OutOfRange { partition, missing } => Fault::new(
            Code::OffsetOutOfRange,
            format!("topic `{}`, partition {partition}", stream.topic),
            format!("the group's position {} is outside the log: offsets {missing} are not there", missing.from),
        ),
        Halt::Shape { batch, revision } => Fault::new(
            Code::ClaimShapeDiffers,
            on,
            format!("batch {batch} was claimed under revision {revision}, whose columns or tables differ from these"),
        )
        .advise(format!("run revision {revision} until it has drained, then this one")),
        Halt::TooOld(batch) => Fault::new(
            Code::ClaimTooOld,
            on,
            format!("batch {batch} is in doubt for longer than ClickHouse surely remembers its token"),
        ),
        Halt::Undecidable(batch) => Fault::new(
            Code::ClaimUndecided,
            on,
            format!("neither Kafka's metadata nor the table can tell whether batch {batch} landed"),
        ),
        Halt::Gone { batch, partition, range } => Fault::new(
            Code::ClaimedRangeGone,
            format!("topic `{}`, partition {partition}", stream.topic),
            format!("batch {batch} claims offsets {range}, which Kafka no longer holds"),
        ),
        Halt::MetadataTooLarge => Fault::new(
            Code::MetadataTooLarge,
            on,
            "the broker takes less metadata than a claim needs",
        )
        .advise("set offset.metadata.max.bytes to 4096 (the default) or more"),
    }
}

fn refused(stream: &Stream, refusal: Refusal, batch: &str) -> Fault {
    let code = match refusal {
        Refusal::Access => Code::AccessDenied,
        Refusal::Missing => Code::TableGone,
        Refusal::Block => Code::BlockRefused,
        Refusal::TooManyParts => Code::TooManyParts,
        Refusal::ReadOnly => Code::TableReadOnly,
        Refusal::Overloaded => Code::ServerOutOfMemory,
        Refusal::Deadline => Code::DeadlinePassed,
        Refusal::NotSent | Refusal::Other => Code::InsertUnknown,
    };
    let on = format!("insert into `{}.{}`", stream.table.database, stream.table.name);
    Fault::new(
        code,
        on,
        format!("ClickHouse refused batch {batch} and would refuse it again; its answer is in the log above"),
    )
}

/// Kafka's client could not be made or was refused.
#[must_use]
pub(super) fn client(stream: &Stream, error: &KafkaError) -> Fault {
    Fault::new(Code::KafkaRefuses, format!("topic `{}`", stream.topic), error.to_string())
}
