//! An audit for machines.

use pumphouse_core::audit::{Begin, Counts, Finding, Trouble, Untold};
use serde_json::{Value, json};

use super::code_of;
use crate::audit::Repaired;
use crate::audit::report::{Part, Report};
use crate::fault::Code;

/// All that was found.
pub(super) fn report(report: &Report) -> Value {
    let parts = report.partitions.iter().map(|(partition, part)| {
        let bounds = part.bounds.map(|bounds| {
            json!({
                "from": bounds.range.from.0, "to": bounds.range.to.0, "begin": begin(bounds.begin),
                "is_cut": bounds.is_cut,
            })
        });
        let tables = part.by_table.iter().filter_map(|(table, of)| {
            let table = report.tables.get((*table)?)?;
            Some((table.clone(), counts(of)))
        });
        json!({
            "partition": partition.0, "audited": bounds, "log_start": part.log_start.0,
            "counts": counts(&Part::counts(part)), "tables": tables.collect::<serde_json::Map<_, _>>(),
        })
    });
    let gaps = report.gaps.iter().map(|(partition, range, reason)| {
        json!({ "partition": partition.0, "from": range.from.0, "to": range.to.0, "reason": reason })
    });
    let mute = report.mute.iter().map(|(table, why)| json!({ "table": table, "why": why }));
    let all = report.counts();
    json!({
        "stream": report.stream, "topic": report.topic, "code": code_of(report).map(Code::number),
        "lost": all.lost(), "doubled": all.doubled, "untold": all.untold_total(), "offsets": report.offsets(),
        "counts": counts(&all), "messages_read": report.read,
        "partitions": parts.collect::<Vec<_>>(), "gaps": gaps.collect::<Vec<_>>(), "mute": mute.collect::<Vec<_>>(),
        "findings": report.findings.listed.iter().map(|of| finding(report, of)).collect::<Vec<_>>(),
        "findings_not_listed": report.findings.unlisted,
    })
}

/// What a repair did.
pub(super) fn repaired(repaired: &Repaired) -> Value {
    json!({ "rows": repaired.rows, "letters": repaired.letters, "left": repaired.left })
}

fn counts(counts: &Counts) -> Value {
    let untold = counts.untold.iter().map(|(why, records)| (untold(*why).to_owned(), json!(records)));
    json!({
        "inserted": counts.inserted, "dead": counts.dead, "dead_not_kept": counts.unkept,
        "filtered": counts.filtered, "no_record": counts.no_record, "gap": counts.gap,
        "missing": counts.missing, "letters_missing": counts.letters_missing, "doubled": counts.doubled,
        "untold": untold.collect::<serde_json::Map<_, _>>(),
    })
}

fn finding(report: &Report, finding: &Finding) -> Value {
    let Finding { trouble, table, partition, range, index } = finding;
    let (what, rows, why) = match trouble {
        Trouble::Missing => ("missing", 0, None),
        Trouble::LetterMissing => ("letter missing", 0, None),
        Trouble::Doubled(more) => ("doubled", more + 1, None),
        Trouble::Untold(why) => ("untold", 0, Some(untold(*why))),
    };
    json!({
        "what": what, "table": table.and_then(|table| report.tables.get(table)), "partition": partition.0,
        "from": range.from.0, "to": range.to.0, "index": index, "rows": rows, "why": why,
    })
}

fn begin(begin: Begin) -> &'static str {
    match begin {
        Begin::Said => "said",
        Begin::Origin => "origin",
        Begin::LogStart => "log_start",
        Begin::LowestFound => "lowest_found",
    }
}

fn untold(why: Untold) -> &'static str {
    match why {
        Untold::Expired => "ttl",
        Untold::Retention => "retention",
        Untold::Compacted => "compacted",
        Untold::Elsewhere => "elsewhere",
    }
}
