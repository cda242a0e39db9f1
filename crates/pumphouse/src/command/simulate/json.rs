//! The report for machines: the same figures, by name and unit.

use pumphouse_core::moment::Time;
use pumphouse_sim::merges::outcome::{Sample, Times, Trouble};
use pumphouse_sim::merges::search::BreakingPoint;
use serde_json::{Value, json};

use super::{Findings, MEASURED_UP_TO};

/// The whole report.
pub(super) fn report(findings: &Findings) -> Value {
    let (scenario, outcome) = (&findings.design.scenario, &findings.outcome);
    let tables = scenario.tables.iter().map(|table| {
        let limits = table.limits;
        json!({
            "table": table.name,
            "table_partitions": table.spread.partitions,
            "parts_to_delay_insert": limits.delay_at,
            "parts_to_throw_insert": limits.refuse_at,
            "max_parts_in_total": limits.refuse_total_at,
        })
    });
    json!({
        "stream": findings.design.stream,
        "rate": scenario.rate,
        "seconds": scenario.span.as_secs_f64(),
        "holds": outcome.trouble().is_none(),
        "trouble": outcome.trouble().map(name),
        "tables": tables.collect::<Vec<_>>(),
        "lanes": scenario.lanes(),
        "inserts": outcome.inserts,
        "parts_made_per_second": findings.parts_per_second(),
        "measured_up_to_parts_per_second": MEASURED_UP_TO,
        "is_beyond_measured": findings.is_beyond_measured(),
        "parts_most": outcome.parts_most.0,
        "parts_total_most": outcome.parts_most.1,
        "parts_total_mean": outcome.parts_mean,
        "merges": outcome.merges,
        "bytes_inserted": outcome.bytes.0,
        "bytes_merged": outcome.bytes.1,
        "merged_per_inserted": outcome.written_again(),
        "freshness_p50_ms": outcome.freshness.percentile(50).as_millis(),
        "freshness_p99_ms": outcome.freshness.percentile(99).as_millis(),
        "delayed": times(outcome.delayed),
        "refused": times(outcome.refused),
        "shut": times(outcome.shut),
        "reversals": outcome.reversals,
        "rows_arrived": outcome.rows.arrived,
        "rows_landed": outcome.rows.landed,
        "breaks_at": { "with_valve": point(&findings.with_valve), "without_valve": point(&findings.without_valve) },
        "assumed": findings.design.assumed,
        "machine": {
            "merge_bytes_per_second": scenario.machine.merge_bytes_per_second,
            "merges_at_once": scenario.machine.merges_at_once,
            "pool": scenario.machine.threads,
        },
        "samples": outcome.samples.iter().map(sample).collect::<Vec<_>>(),
    })
}

fn times(times: Times) -> Value {
    let first = times.first.map(|first| first.since(Time(0)).as_secs_f64());
    json!({ "count": times.count, "first_seconds": first })
}

fn point(point: &BreakingPoint) -> Value {
    json!({ "rate": point.rate, "trouble": point.trouble.map(name) })
}

fn sample(sample: &Sample) -> Value {
    json!({
        "seconds": sample.at.since(Time(0)).as_secs_f64(),
        "parts": sample.parts,
        "parts_total": sample.parts_total,
        "merges": sample.merges,
        "level": sample.level,
        "shut": sample.shut,
        "rows_waiting": sample.waiting,
    })
}

fn name(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Refused => "refused",
        Trouble::Delayed => "delayed",
        Trouble::FallsBehind => "falls_behind",
    }
}
