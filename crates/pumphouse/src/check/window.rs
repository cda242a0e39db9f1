//! The deduplication window against what is added to it while a batch may be in doubt. Pure; a table without a window, or
//! with next to none, is preflight's finding.

use pumphouse_clickhouse::preflight::WINDOW;

use super::finding::{Finding, Severity};
use super::load::{Load, figure, span};
use super::table::TableFacts;
use crate::fault::Code;

/// Below it preflight has told already.
const TOLD_BELOW: u64 = 1_000;

/// A window that a burst of inserts fills by half while one batch is in doubt.
#[expect(clippy::cast_precision_loss, reason = "entries are counted in thousands")]
pub(super) fn judge(table: &TableFacts, load: &Load) -> Option<Finding> {
    let window = table.window.filter(|entries| *entries >= TOLD_BELOW)?;
    let held = table.held.as_ref().and_then(|held| held.touched);
    let touched = held.or_else(|| load.touched(&table.partition_key)).unwrap_or(1.0);
    let added = load.inserts * touched * load.doubt.as_secs_f64();
    // Half of it, and four batches at once.
    let needed = (added * 2.0).max(touched * 4.0);
    if needed <= window as f64 {
        return None;
    }
    let setting = if table.is_replicated() {
        "replicated_deduplication_window"
    } else {
        "non_replicated_deduplication_window"
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^63"
    )]
    let enough = ((needed / 10_000.0).ceil() as u64 * 10_000).max(u64::from(WINDOW));
    Some(Finding {
        severity: Severity::Warning,
        code: Code::WindowShort,
        stream: table.stream.clone(),
        on: table.name.clone(),
        what: format!(
            "{setting} is {window}; {} inserts a second into {} table partition{} each add {} entries while a batch \
             may be in doubt ({})",
            figure(load.inserts),
            figure(touched),
            if touched > 1.0 { "s" } else { "" },
            figure(added),
            span(load.doubt)
        ),
        why: "lanes wait for a batch in doubt rather than push its token out (PH-0053), so one slow insert stops the \
              others; a token that may be forgotten has its rows looked for one by one"
            .to_owned(),
        mend: format!("ALTER TABLE {} MODIFY SETTING {setting} = {enough}; and so for the targets of its views", table.name),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::table::Held;
    use super::*;

    #[test]
    fn a_window_is_short_where_the_entries_of_a_doubt_fill_half_of_it() {
        for (window, inserts, touched, found) in [
            (Some(10_000), 2.0, 1.0, false),
            (Some(10_000), 20.0, 1.0, false),
            (Some(10_000), 40.0, 1.0, true),
            (Some(10_000), 2.0, 30.0, true),
            (Some(10_000), 0.001, 3_000.0, true),
            (Some(100_000), 40.0, 1.0, false),
            // Preflight's.
            (Some(100), 40.0, 1.0, false),
            (None, 40.0, 1.0, false),
        ] {
            let held = Some(Held { touched: Some(touched), ..Held::default() });
            let table = TableFacts { window, held, ..TableFacts::default() };
            let doubt = Duration::from_mins(3);
            let load = Load { rate: None, lanes: 2, inserts, rows: None, spread: None, doubt };
            assert_eq!(judge(&table, &load).is_some(), found, "{window:?} {inserts} {touched}");
        }
    }
}
