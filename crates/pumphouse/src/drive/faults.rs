//! The operator's sentence for each reason a lane halts. Decides nothing; the core already did.

use std::collections::BTreeMap;

use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::gap::LostPlace;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::verdict::{Halt, Refusal};
use rdkafka::error::KafkaError;

use super::lane::{FetchFailed, Shared};
use crate::config::settings::{Kafka, Stream};
use crate::decode::ColumnFault;
use crate::fault::{Code, Fault};
use crate::sink::gaps::Reported;
use crate::sink::insert;
use crate::sink::target::Target;
use crate::source::kafka::properties::group;

/// Ranges of a claim that a message names; the rest is counted.
const RANGES_SHOWN_MAX: usize = 8;

/// Why the stream's lane halted, for people. Targets from number `tables` on are no tables.
#[must_use]
pub(super) fn halted(shared: &Shared, reason: &Halt, said: Option<&str>) -> Fault {
    let (stream, tables) = (&shared.stream, shared.sink.targets.len());
    let on = format!("stream `{}`", stream.name);
    match reason {
        Halt::Refused(batch, target, _) if usize::from(target.0) >= tables => letters_refused(stream, batch),
        Halt::Refused(batch, _, refusal) => refused(stream, *refusal, &batch.to_string()),
        Halt::EveryRow(batch, table) | Halt::TooManyRows(batch, table) => {
            let table = shared.sink.targets.get(usize::from(table.0)).map(Target::name).unwrap_or_default();
            let every = matches!(reason, Halt::EveryRow(..));
            rows_refused(&table, *batch, every, said.unwrap_or("its answer is in the log above"))
        }
        Halt::OutOfRange { partition, missing } => Fault::new(
            Code::OffsetOutOfRange,
            format!("topic `{}`, partition {partition}", stream.topic),
            format!("the group's position {} is behind the log's end {}", missing.to, missing.from),
        )
        .advise(format!(
            "the topic was made anew, or its log was cut; to go on at its end: {}",
            set_offset(&shared.settings.kafka, stream, *partition, missing.from)
        )),
        Halt::RecordsGone { partition, missing } => Fault::new(
            Code::RecordsGone,
            format!("topic `{}`, partition {partition}", stream.topic),
            format!("offsets {missing} were never read and Kafka no longer holds them"),
        ),
        Halt::Shape(claim) => shape(claim, &into_table(stream)),
        Halt::TooOld(claim) => Fault::new(
            Code::ClaimTooOld,
            into_table(stream),
            format!(
                "{} can't be sent under its token any more, and a table can't tell which of its rows are there",
                told(claim)
            ),
        ),
        Halt::Undecidable(claim) => Fault::new(
            Code::ClaimUndecided,
            into_table(stream),
            format!("neither Kafka's metadata nor the table can tell whether {} landed", told(claim)),
        ),
        Halt::Gone { batch, partition, range } => Fault::new(
            Code::ClaimedRangeGone,
            format!("topic `{}`, partition {partition}, {}", stream.topic, into_table(stream)),
            format!("batch {batch} claims offsets {range}, which Kafka no longer holds"),
        ),
        Halt::MetadataTooLarge => {
            Fault::new(Code::MetadataTooLarge, on, "the broker takes less metadata than a claim needs")
                .advise("set offset.metadata.max.bytes to 4096 (the default) or more")
        }
        Halt::OffsetsLost(lost) => offsets_lost(&shared.settings.kafka, stream, lost),
        Halt::GapsRefused(refusal) => {
            let code = insert::code_of(*refusal).unwrap_or(Code::InsertUnknown);
            let what = "ClickHouse refused a gap and would refuse it again; its answer is in the log above";
            Fault::new(code, "table `pumphouse.gaps`", what)
                .advise("`pumphouse apply` creates the table; the user needs INSERT on it")
        }
    }
}

/// Offsets that are missing for good.
#[must_use]
pub(super) fn gap(stream: &Stream, gap: &Reported) -> Fault {
    let Reported { partition, missing, reason } = gap;
    let on = format!("topic `{}`, partition {partition}", stream.topic);
    let count = missing.len();
    Fault::new(
        Code::GapReported,
        on,
        format!("offsets {missing} ({count}) are not in Kafka any more: {reason}"),
    )
}

/// A start that would double or skip, with the command that goes on and the one that begins again.
fn offsets_lost(kafka: &Kafka, stream: &Stream, lost: &BTreeMap<Partition, LostPlace>) -> Fault {
    let shown = lost.iter().take(RANGES_SHOWN_MAX).map(|(partition, place)| {
        let highest = place.origin.highest.unwrap_or_default();
        format!(
            "partition {partition} would start at {}, the table holds offsets up to {highest}",
            place.start
        )
    });
    let more = lost.len().saturating_sub(RANGES_SHOWN_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let what = format!("{}{more}", shown.collect::<Vec<_>>().join(", "));
    let on = format!("topic `{}`, group `{}`", stream.topic, group(kafka, stream));
    let Some((partition, place)) = lost.first_key_value() else {
        return Fault::new(Code::OffsetsLost, on, what);
    };
    let again = set_offset(kafka, stream, *partition, place.start);
    if place.is_of_another_log() {
        let ends = format!("{what}; the log ends at {}, so the topic was made anew", place.origin.end);
        return Fault::new(Code::TopicRecreated, on, ends)
            .advise(format!("to take the new topic from its start, for each partition: {again}"));
    }
    let on_without = set_offset(kafka, stream, *partition, place.goes_on_at());
    Fault::new(Code::OffsetsLost, on, what).advise(format!(
        "to go on without doubling, for each partition: {on_without}; to take them again: {again}"
    ))
}

/// The command that sets the group's offset by hand.
fn set_offset(kafka: &Kafka, stream: &Stream, partition: Partition, to: Offset) -> String {
    format!(
        "`kafka-consumer-groups.sh --bootstrap-server {} --group {} --topic {}:{partition} --reset-offsets \
         --to-offset {to} --execute`",
        kafka.brokers,
        group(kafka, stream),
        stream.topic,
    )
}

fn refused(stream: &Stream, refusal: Refusal, batch: &str) -> Fault {
    let code = insert::code_of(refusal).unwrap_or(Code::InsertUnknown);
    let on = format!("insert into {}", tables(stream));
    Fault::new(
        code,
        on,
        format!("ClickHouse refused batch {batch} and would refuse it again; its answer is in the log above"),
    )
}

/// A table that refuses more than single rows.
fn rows_refused(table: &str, batch: BatchId, every: bool, said: &str) -> Fault {
    let (what, advice) = if every {
        (
            format!("it refuses every row of batch {batch}: {said}"),
            "correct the constraint, the default or what is sent, then start again: the batch is still claimed",
        )
    } else {
        (
            format!(
                "it refuses more rows of batch {batch} than one batch can leave out, and other tables may have the batch: {said}"
            ),
            "drop the constraint until the batch has landed, or correct it, then start again; lower batch.rows if \
             so many rows stay bad",
        )
    };
    Fault::new(Code::TableRefusesRows, format!("insert into `{table}`"), what).advise(advice)
}

fn letters_refused(stream: &Stream, batch: &BatchId) -> Fault {
    let topic = stream.dead_letters.topic.as_deref().unwrap_or_default();
    let what = format!("it takes no letters of batch {batch}; Kafka's answer is in the log above");
    Fault::new(Code::LettersRefused, format!("topic `{topic}` of stream `{}`", stream.name), what)
}

fn shape(claim: &Claim, on: &str) -> Fault {
    let (batch, revision) = (told(claim), &claim.revision);
    let what =
        format!("{batch} was claimed under revision {revision}, whose columns or tables differ from these");
    Fault::new(Code::ClaimShapeDiffers, on, what)
        .advise(format!("run revision {revision} until it has drained, then this one"))
}

fn into_table(stream: &Stream) -> String {
    format!("stream `{}` into {}", stream.name, tables(stream))
}

fn tables(stream: &Stream) -> String {
    let names = stream.tables.iter().map(|table| format!("`{}`", table.full_name()));
    names.collect::<Vec<_>>().join(", ")
}

/// The batch, and which offsets a person has to look for.
fn told(claim: &Claim) -> String {
    format!("batch {} ({})", claim.id, ranges(&claim.ranges))
}

fn ranges(ranges: &BTreeMap<Partition, Range>) -> String {
    let shown = ranges.iter().take(RANGES_SHOWN_MAX);
    let mut text: Vec<String> =
        shown.map(|(partition, range)| format!("partition {partition} {range}")).collect();
    let more = ranges.len().saturating_sub(RANGES_SHOWN_MAX);
    if more > 0 {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}

/// The columns can't be decoded into.
#[must_use]
/// Records that no look at them could read.
pub(super) fn unreadable(stream: &Stream, failed: &FetchFailed) -> Fault {
    let on = format!("topic `{}` partition {}", stream.topic, failed.partition);
    let what = format!("records from offset {} on can't be read: {}", failed.at, failed.text);
    Fault::new(Code::RecordsDamaged, on, what)
}

pub(super) fn columns(stream: &Stream, error: &ColumnFault) -> Fault {
    Fault::new(Code::ConfigurationMistakes, format!("stream `{}`", stream.name), error.to_string())
}

/// Kafka's client could not be made or was refused.
#[must_use]
pub(super) fn client(stream: &Stream, error: &KafkaError) -> Fault {
    Fault::new(Code::KafkaRefuses, format!("topic `{}`", stream.topic), error.to_string())
}

#[cfg(test)]
mod tests {
    use pumphouse_core::offset::Offset;

    use super::*;

    fn claimed(partitions: u32) -> BTreeMap<Partition, Range> {
        (0..partitions).map(|p| (Partition(p), Range::new(Offset(1200), Offset(1800)))).collect()
    }

    #[test]
    fn a_claim_is_told_with_its_partitions_and_ranges() {
        assert_eq!(ranges(&claimed(2)), "partition 0 [1200, 1800), partition 1 [1200, 1800)");
    }

    #[test]
    fn of_a_wide_claim_eight_ranges_are_told_and_the_rest_is_counted() {
        let text = ranges(&claimed(128));
        assert_eq!(text.matches("partition").count(), RANGES_SHOWN_MAX);
        assert!(text.ends_with("partition 7 [1200, 1800), and 120 more"), "{text}");
    }
}
