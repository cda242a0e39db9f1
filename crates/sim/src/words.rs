//! Facts, orders and inserts in a few words each, for the trace.

use std::collections::{BTreeMap, BTreeSet};

use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::lane::Stored;
use pumphouse_core::offset::{Partition, Range};
use pumphouse_core::pump::{Effect, Input};

use crate::clickhouse::{Insert, Landed, Target};
use crate::group::Entries;

/// Partitions, as they are counted.
pub(crate) fn partitions(partitions: &BTreeSet<Partition>) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(",") }
}

fn batch(id: BatchId) -> String {
    format!("{:06x}", id.0 >> 104)
}

fn ranges(ranges: &BTreeMap<Partition, Range>) -> String {
    let each: Vec<String> = ranges.iter().map(|(partition, range)| format!("{partition}{range}")).collect();
    each.join(" ")
}

fn claim(claim: &Claim) -> String {
    let mut text = format!("{} {}", batch(claim.id), ranges(&claim.ranges));
    for old in &claim.supersedes {
        text.extend([" instead of ", &batch(old.id)]);
    }
    for row in &claim.excluded {
        text.extend([format!(" without {}:{} in {}", row.partition, row.offset, row.table.0)]);
    }
    text
}

fn entries(entries: &Entries) -> String {
    let each = entries.iter().map(|(partition, (offset, metadata))| {
        let carried = metadata.claim.as_ref().map(|c| format!(" claim {}", batch(c.id))).unwrap_or_default();
        format!("{partition}@{offset}{carried}")
    });
    each.collect::<Vec<_>>().join(", ")
}

fn stored(stored: &BTreeMap<Partition, Stored>) -> String {
    let each = stored.iter().map(|(partition, stored)| match &stored.metadata {
        None => format!("{partition}@{} nothing of ours", stored.offset),
        Some(metadata) => {
            let carried =
                metadata.claim.as_ref().map(|c| format!(" claim {}", batch(c.id))).unwrap_or_default();
            let landed: Vec<String> =
                metadata.history.iter().map(|s| format!("{}:{}", batch(s.id), s.to)).collect();
            format!("{partition}@{}{carried} after [{}]", stored.offset, landed.join(" "))
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A fact.
pub(crate) fn fact(input: &Input) -> String {
    match input {
        Input::Assigned(found) => format!("assigned {}", stored(found)),
        Input::Revoking { partitions: back, until } => {
            format!("asked to give back {} until {} ms", partitions(back), until.0)
        }
        Input::Fetched { partition, range, filled } => {
            format!("fetched {partition}{range}, {} rows", filled.rows)
        }
        Input::Committed(id) => format!("commit {} is stored", id.0),
        Input::CommitFailed(id, failure) => format!("commit {} failed: {failure:?}", id.0),
        Input::StoredRead(id, found) => format!("for {} Kafka holds {}", batch(*id), stored(found)),
        Input::Rebuilt { claim, filled, deleted } => {
            let without =
                if deleted.is_empty() { String::new() } else { format!(" without {}", ranges(deleted)) };
            format!("{} is built again, {} rows{without}", batch(claim.id), filled.rows)
        }
        Input::Inserted(id, table) => format!("{} is in table {}", batch(*id), table.0),
        Input::InsertUnknown(id, table) => format!("{} may be in table {}", batch(*id), table.0),
        Input::TokenForgotten(id, table) => {
            format!("the token of {} may be forgotten in table {}", batch(*id), table.0)
        }
        Input::Strained(refusal) => format!("a server fails an insert: {refusal:?}"),
        Input::InsertRefused(id, table, refusal) => {
            format!("{} is not in table {}: {refusal:?}", batch(*id), table.0)
        }
        other => format!("{other:?}"),
    }
}

/// An order.
pub(crate) fn order(effect: &Effect) -> String {
    match effect {
        Effect::Commit(id, what) => format!("commit {}: {}", id.0, entries(what)),
        Effect::Seal(what, reason) => format!("seal {} ({reason:?})", claim(what)),
        Effect::DropRows(gone) => format!("drop the open rows of {}", partitions(gone)),
        Effect::Insert { claim: what, table, deadline, attempt } => {
            format!(
                "insert {} into table {}, attempt {attempt}, until {}",
                batch(what.id),
                table.0,
                deadline.0
            )
        }
        Effect::Forget(id, outcome) => format!("forget {}: {outcome:?}", batch(*id)),
        Effect::ReadStored(what) => format!("read what is stored for {}", claim(what)),
        Effect::Rebuild(what) => format!("build {} again", claim(what)),
        Effect::Probe(what) => format!("ask the tables for {}", claim(what)),
        Effect::Isolate(what, table) => {
            format!("find the rows of {} that table {} refuses", claim(what), table.0)
        }
        Effect::Survey { claim: what, over_at } => {
            format!("find out whether {} can be superseded, after {}", claim(what), over_at.0)
        }
        Effect::Release(back) => format!("give back {}", partitions(back)),
        other => format!("{other:?}"),
    }
}

/// An insert.
pub(crate) fn insert(insert: &Insert) -> String {
    format!("{} into table {}", batch(insert.payload.id), insert.table)
}

/// A store of a table.
pub(crate) fn target(target: Target, table: u8) -> String {
    match target {
        Target::Table => format!("table {table}"),
        Target::View => format!("the view of table {table}"),
    }
}

/// What a part did.
pub(crate) fn landed((into, slot): (Target, u8), landed: &Landed) -> String {
    let of = if into == Target::View { " of the view" } else { "" };
    match landed {
        Landed::Known => format!("part {slot}{of}: known"),
        Landed::Rows(rows) => format!("part {slot}{of}: {rows} rows"),
        Landed::Doubled(partition, offset) => format!("part {slot}{of}: {partition}:{offset} is there twice"),
    }
}
