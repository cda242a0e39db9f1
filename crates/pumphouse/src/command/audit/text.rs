//! An audit for a person: the verdict, a line for each partition, the exact offsets, what to do. Asks nothing.

use std::fmt::Write as _;

use pumphouse_core::audit::{Begin, Bounds, Counts, Finding, Trouble, Untold};

use super::code_of;
use crate::audit::report::{Part, Report};
use crate::audit::{Ground, Repaired};
use crate::command::counted::counted;
use crate::command::dead::aligned;

/// Places that are printed.
const PRINTED_MAX: usize = 50;
/// Places for which a statement is printed.
const STATEMENTS_MAX: usize = 20;

/// The whole report.
pub(super) fn report(report: &Report, ground: &Ground) -> String {
    let mut text = verdict(report);
    for (table, why) in &report.mute {
        let _ = writeln!(text, "PH-0062 table {table} can't be audited: {why}");
    }
    if !ground.can_tell() {
        return text;
    }
    text.push('\n');
    text += &partitions(report);
    if report.tables.len() > 1 {
        text.push('\n');
        text += &tables(report);
    }
    text += &notes(report);
    text += &places(report);
    text += &advice(report, ground);
    text
}

/// `lost 0, doubled 0`, or what is wrong.
fn verdict(report: &Report) -> String {
    let counts = report.counts();
    let mut line = format!("stream {}: lost {}, doubled {}", report.stream, counts.lost(), counts.doubled);
    if counts.untold_total() > 0 {
        let _ = write!(line, "; can't be told {}", counts.untold_total());
    }
    let _ = write!(line, "; {} audited", counted(report.offsets(), "offset"));
    if let Some(code) = code_of(report) {
        let _ = write!(line, "; see `pumphouse explain {code}`");
    }
    line.push('\n');
    line
}

fn partitions(report: &Report) -> String {
    let mut rows = vec![
        [
            "partition",
            "from",
            "to",
            "expected",
            "inserted",
            "dead",
            "filtered",
            "gap",
            "missing",
            "doubled",
            "untold",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for (partition, part) in &report.partitions {
        let counts = Part::counts(part);
        let Some(Bounds { range, .. }) = part.bounds else {
            let mut row = vec![partition.to_string(), "nothing settled".to_owned()];
            row.resize(rows[0].len(), String::new());
            rows.push(row);
            continue;
        };
        let numbers = [
            range.len() - counts.no_record.min(range.len()),
            counts.inserted,
            counts.dead + counts.unkept,
            counts.filtered,
            counts.gap,
            counts.lost(),
            counts.doubled,
            counts.untold_total(),
        ];
        let mut row = vec![partition.to_string(), range.from.to_string(), range.to.to_string()];
        row.extend(numbers.map(|number| number.to_string()));
        rows.push(row);
    }
    aligned(&rows)
}

fn tables(report: &Report) -> String {
    let mut rows = vec![["table", "rows", "missing", "doubled", "untold"].map(str::to_owned).to_vec()];
    for (number, name) in report.tables.iter().enumerate() {
        let mut counts = Counts::default();
        report
            .partitions
            .values()
            .filter_map(|part| part.by_table.get(&Some(number)))
            .for_each(|of| counts.add(of));
        let Counts { inserted, doubled, .. } = counts;
        let numbers = [inserted, counts.lost(), doubled, counts.untold_total()];
        let mut row = vec![name.clone()];
        row.extend(numbers.map(|number| number.to_string()));
        rows.push(row);
    }
    aligned(&rows)
}

/// Where the audit began and why, and what the figures leave open.
fn notes(report: &Report) -> String {
    let mut text = String::from("\n");
    for begin in [Begin::Said, Begin::Origin, Begin::LogStart, Begin::LowestFound] {
        let of = |part: &&Part| part.bounds.is_some_and(|bounds| bounds.begin == begin);
        let partitions = report.partitions.values().filter(of).count() as u64;
        if partitions > 0 {
            let _ = writeln!(text, "{} begin {}", counted(partitions, "partition"), begins(begin));
        }
    }
    if report.partitions.values().filter_map(|part| part.bounds).any(|bounds| bounds.is_cut) {
        text += "more was asked for than is settled: what comes after the committed offsets is not audited\n";
    }
    let counts = report.counts();
    if counts.no_record > 0 {
        let offsets = counted(counts.no_record, "offset");
        let _ = writeln!(text, "{offsets} hold no record: control records, aborted transactions");
    }
    if counts.unkept > 0 {
        let _ = writeln!(text, "{} kept nowhere, as configured", counted(counts.unkept, "dead letter"));
    }
    for (partition, range, reason) in &report.gaps {
        let _ = writeln!(text, "gap in partition {partition}: {range}, {reason}");
    }
    if report.read > 0 {
        let _ = writeln!(text, "{} read from the topic", counted(report.read, "message"));
    }
    text
}

fn begins(begin: Begin) -> &'static str {
    match begin {
        Begin::Said => "where it was asked for",
        Begin::Origin => "where the group began, as its history in Kafka says",
        Begin::LogStart => "at the oldest record that Kafka has (kafka.start_from: earliest)",
        Begin::LowestFound => {
            "at the lowest offset found in the tables; what may have been lost before it can't be told"
        }
    }
}

fn places(report: &Report) -> String {
    let mut text = String::new();
    for finding in report.findings.listed.iter().take(PRINTED_MAX) {
        let _ = writeln!(text, "{}", place(report, finding));
    }
    let more: u64 = report.findings.listed.iter().skip(PRINTED_MAX).map(|finding| finding.range.len()).sum();
    let more = more + report.findings.unlisted;
    if more > 0 {
        let _ = writeln!(text, "… and {} more; --json has more of them", counted(more, "record"));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn place(report: &Report, finding: &Finding) -> String {
    let Finding { trouble, table, partition, range, index } = finding;
    let what = match trouble {
        Trouble::Missing => "missing".to_owned(),
        Trouble::LetterMissing => "dead letter missing".to_owned(),
        Trouble::Doubled(more) => format!("there {} times", more + 1),
        Trouble::Untold(why) => format!("can't be told: {}", why_untold(*why)),
    };
    let mut text = format!("partition {partition}, ");
    let _ = match range.len() {
        1 => write!(text, "offset {}", range.from),
        offsets => write!(text, "offsets {} to {} ({offsets})", range.from, range.to.0 - 1),
    };
    if *index > 0 {
        let _ = write!(text, ", index {index}");
    }
    if let Some(table) = table.and_then(|table| report.tables.get(table)) {
        let _ = write!(text, ", {table}");
    }
    format!("{text}: {what}")
}

fn why_untold(why: Untold) -> &'static str {
    match why {
        Untold::Expired => "not there, and the table has a TTL that may have removed it",
        Untold::Retention => {
            "not there, and Kafka no longer has the record: it may have been one without a row"
        }
        Untold::Compacted => "not there, and the topic is compacted: there may have been a record",
        Untold::Elsewhere => "another table has it: the conditions were others when it came",
    }
}

fn advice(report: &Report, ground: &Ground) -> String {
    let counts = report.counts();
    let mut text = String::new();
    if counts.lost() > 0 {
        let _ = writeln!(
            text,
            "\nWhat to do: `pumphouse audit {} --repair` makes rows of what is missing. First find out who removed \
             it: system.mutations, DROP PARTITION, a restored backup.",
            report.stream
        );
    }
    if counts.doubled > 0 {
        let _ = writeln!(
            text,
            "\nWhat to do: each statement removes all rows of these offsets; `pumphouse audit {} --repair` then \
             inserts each once. Views that have counted them twice are not mended by it.",
            report.stream
        );
        let doubled = |finding: &&Finding| matches!(finding.trouble, Trouble::Doubled(_));
        for finding in report.findings.listed.iter().filter(doubled).take(STATEMENTS_MAX) {
            let table = finding.table.and_then(|table| ground.tables.get(table));
            if let Some(table) = table {
                let _ =
                    writeln!(text, "  {};", table.removal(finding.partition, finding.range, finding.index));
            }
        }
    }
    text
}

/// What a repair did.
pub(super) fn repaired(repaired: &Repaired) -> String {
    let Repaired { rows, letters, left } = repaired;
    let mut text = format!("\nrepaired: {} inserted", counted(*rows, "row"));
    if *letters > 0 {
        let _ = write!(text, ", {} written again", counted(*letters, "dead letter"));
    }
    let _ = writeln!(text, "; {left} missing still");
    text
}
