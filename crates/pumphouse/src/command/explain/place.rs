//! `explain STREAM PARTITION OFFSET`: what is known of one record, and what to do where it is not there.

use std::fmt::Write as _;
use std::sync::Arc;

use pumphouse_core::audit::{Fate, Untold};
use pumphouse_core::claim::BatchId;
use pumphouse_core::offset::{Offset, Partition};
use pumphouse_core::token::token;
use serde_json::{Value, json};

use crate::audit::Ground;
use crate::audit::place::{self, Judged, JudgedRecord, Place, RowAt, Standing};
use crate::command::configuration::{ConfigurationFile, read_or_say};
use crate::command::dead::shown_time;
use crate::drive::ready;
use crate::fault::Exit;
use crate::telemetry;

/// Asks, and prints.
pub(super) fn explain(
    file: &ConfigurationFile,
    (name, partition, offset): (&str, u32, u64),
    as_json: bool,
) -> anyhow::Result<Exit> {
    let settings = match read_or_say(&file.config) {
        Ok(settings) => Arc::new(settings),
        Err(exit) => return Ok(exit),
    };
    let Some(stream) = settings.streams.get(name) else {
        eprintln!("no stream `{name}` in {}", file.config.display());
        return Ok(Exit::Usage);
    };
    telemetry::init(settings.process.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = ready::reach_now(&settings.clickhouse).await?;
        let ground = Ground::of(&settings, &client, stream).await?;
        let found = place::place(&ground, Partition(partition), Offset(offset)).await?;
        let Some(place) = found else {
            eprintln!("topic `{}` has no partition {partition}", stream.topic);
            return Ok(Exit::Usage);
        };
        let of = format!("stream {name}, topic {}, partition {partition}, offset {offset}", stream.topic);
        if as_json {
            println!("{}", in_json(&place));
        } else {
            print!("{}", page(&of, name, &place));
        }
        let is_wrong = matches!(place.fate, Some(Fate::Missing | Fate::LetterMissing | Fate::Doubled(_)));
        Ok(if is_wrong && place.standing == Standing::Settled { Exit::Findings } else { Exit::Fine })
    })
}

fn page(of: &str, stream: &str, place: &Place) -> String {
    let mut text = format!("{of}: {}\n", verdict(place));
    let mut line = |name: &str, what: String| {
        // Infallible: writing to a `String`.
        let _ = writeln!(text, "  {name:<9} {what}");
    };
    line("settled", settled(place));
    for row in &place.rows {
        let RowAt { table, part, ingested_at_ms, index, .. } = row;
        line(
            "row",
            format!("{table}, part {part}, index {index}, _ingested_at {}", shown_time(*ingested_at_ms)),
        );
        line("batch", batch_of(row, place.settled_by));
    }
    for letter in &place.letters {
        let table = if letter.name.table.is_empty() { "all tables" } else { &letter.name.table };
        let became = if letter.how.is_empty() { "open" } else { &letter.how };
        let column =
            if letter.column.is_empty() { String::new() } else { format!(", column {}", letter.column) };
        line("letter", format!("{} for {table}{column}, {became}: {}", letter.code, letter.reason));
    }
    if let Some((range, reason)) = &place.gap {
        line("gap", format!("offsets {range}, {reason}"));
    }
    if let Some(judged) = &place.judged {
        for what in shown(judged) {
            line("record", what);
        }
    } else {
        line("record", format!("Kafka does not have it: the log holds {}", place.log));
    }
    for (table, why) in &place.mute {
        line("unknown", format!("{table}: {why}"));
    }
    text + &advice(stream, place)
}

fn verdict(place: &Place) -> &'static str {
    match (place.standing, place.fate) {
        (Standing::NotWritten, _) => "not written to Kafka yet",
        (_, Some(Fate::Doubled(_))) => "DOUBLED, there are several rows",
        (Standing::NotSettled, Some(Fate::Inserted)) => "a row, in a batch that is not settled yet",
        (Standing::NotSettled, _) if place.claimed_by.is_some() => {
            "claimed by a batch that is not settled yet"
        }
        (Standing::NotSettled, _) => "waiting in Kafka, not settled yet",
        (_, Some(Fate::Inserted)) => "a row",
        (_, Some(Fate::Dead)) => "a dead letter",
        (_, Some(Fate::Unkept)) => "bad, and kept nowhere, as configured",
        (_, Some(Fate::Filtered)) => "filtered: it stands for no row",
        (_, Some(Fate::NoRecord)) => "no record: a control record, or one of an aborted transaction",
        (_, Some(Fate::Gap)) => "in a reported gap",
        (_, Some(Fate::Missing)) => "MISSING, it should be a row and is not",
        (_, Some(Fate::LetterMissing)) => "MISSING, it should be a dead letter and is not",
        (_, Some(Fate::Untold(Untold::Expired))) => "not there; the table's TTL may have removed it",
        (_, Some(Fate::Untold(Untold::Retention))) => {
            "not there, and Kafka no longer has the record to tell why"
        }
        (_, Some(Fate::Untold(Untold::Compacted))) => {
            "no record; the topic is compacted, so there may have been one"
        }
        (_, Some(Fate::Untold(Untold::Elsewhere))) => "a row of another table than today's conditions say",
        (_, None) => "it can't be told",
    }
}

fn settled(place: &Place) -> String {
    match (place.committed, place.claimed_by) {
        (None, _) => "no, the group has not begun with this partition".to_owned(),
        (Some(at), _) if place.standing == Standing::Settled => format!("yes, the group stands at {at}"),
        (Some(at), Some((batch, when))) => {
            format!("no, the group stands at {at}; batch {batch} claimed it at {}", shown_time(when.0))
        }
        (Some(at), None) => format!("no, the group stands at {at}; no batch has claimed it"),
    }
}

fn batch_of(row: &RowAt, settled_by: Option<BatchId>) -> String {
    let told = |id: &str, by: &str| format!("{id}, token ph1:{id}/{}, as {by} says", row.table);
    match (&row.batch, settled_by) {
        (Some(id), _) => told(id, "system.part_log"),
        (None, Some(id)) => format!("{id}, token {}, as the history in Kafka says", token(id, &row.table)),
        (None, None) => {
            "its id is no longer known: Kafka's history has the last 8, and the part was merged since"
                .to_owned()
        }
    }
}

fn shown(judged: &Judged) -> Vec<String> {
    match judged {
        Judged::NoRecord => vec!["the log has none at this offset".to_owned()],
        Judged::Tombstone => vec!["a tombstone: a message without a value".to_owned()],
        Judged::Nothing => vec!["no table takes it, or the message holds no record".to_owned()],
        Judged::Records(records) => {
            let one = |JudgedRecord { table, index, reject }: &JudgedRecord| match reject {
                None => format!("index {index} is a row of {table} by this configuration"),
                Some((code, reason)) if table.is_empty() => format!("index {index} is bad: {code}, {reason}"),
                Some((code, reason)) => format!("index {index} is bad for {table}: {code}, {reason}"),
            };
            let mut lines: Vec<String> = records.iter().take(LINES_MAX).map(one).collect();
            let more = records.len().saturating_sub(LINES_MAX);
            lines.extend((more > 0).then(|| format!("… and {more} more")));
            lines
        }
    }
}

/// Records of one message that are shown.
const LINES_MAX: usize = 20;

fn advice(stream: &str, place: &Place) -> String {
    match (place.standing, place.fate) {
        (Standing::Settled, Some(Fate::Missing | Fate::LetterMissing)) => format!(
            "\nWhat to do: `pumphouse audit {stream}` says what else is missing, `--repair` makes rows of it; \
             see `pumphouse explain PH-0060`\n"
        ),
        (_, Some(Fate::Doubled(_))) => {
            "\nWhat to do: `pumphouse audit` prints the statement that mends it; see `pumphouse explain PH-0061`\n"
                .to_owned()
        }
        (_, Some(Fate::Dead)) => {
            "\nWhat to do: `pumphouse dead show` has all of it; correct the configuration, then `pumphouse dead replay`\n"
                .to_owned()
        }
        _ => String::new(),
    }
}

fn in_json(place: &Place) -> Value {
    let rows = place.rows.iter().map(|row| {
        let batch = row.batch.clone().or_else(|| place.settled_by.map(|id| id.to_string()));
        json!({
            "table": row.table, "part": row.part, "index": row.index, "ingested_at_ms": row.ingested_at_ms,
            "token": batch.as_ref().map(|id| format!("ph1:{id}/{}", row.table)), "batch": batch,
        })
    });
    json!({
        "verdict": verdict(place), "fate": place.fate.map(|fate| format!("{fate:?}")),
        "is_settled": place.standing == Standing::Settled, "committed": place.committed.map(|offset| offset.0),
        "log": { "from": place.log.from.0, "to": place.log.to.0 },
        "claimed_by": place.claimed_by.map(|(batch, _)| batch.to_string()),
        "rows": rows.collect::<Vec<_>>(), "letters": place.letters,
        "gap": place.gap.as_ref().map(|(range, reason)| json!({ "from": range.from.0, "to": range.to.0, "reason": reason })),
        "record": place.judged.as_ref().map(shown),
    })
}
