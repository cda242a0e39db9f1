//! The settings of the user and of the table that stand against inserts. Pure; those that pumphouse sends with each insert
//! are preflight's.

use std::collections::BTreeMap;

use super::finding::{Finding, Severity};
use super::table::TableFacts;
use crate::fault::Code;

/// Times that the columns of a block are in the server's memory while it is sorted and written.
const COPIES_IN_MEMORY: u64 = 3;
/// The memory that the server needs for an insert, whatever its size.
const MEMORY_LEAST: u64 = 64 << 20;

/// The settings of the user that are looked at.
pub(super) const LOOKED_AT: [&str; 2] = ["readonly", "max_memory_usage"];

/// What the user's settings forbid. `batch_bytes` is the largest batch of all streams.
pub(super) fn of_user(user: &str, settings: &BTreeMap<String, String>, batch_bytes: u64) -> Vec<Finding> {
    let value =
        |name: &str| settings.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
    let finding = |severity, (what, why, mend): (String, &str, String)| Finding {
        severity,
        code: Code::UserLimited,
        stream: String::new(),
        on: format!("user {user}"),
        what,
        why: why.to_owned(),
        mend,
    };
    let mut findings = Vec::new();
    if value("readonly") != 0 {
        let what = format!("readonly is {}", value("readonly"));
        let mend = format!("ALTER USER {user} SETTINGS readonly = 0");
        findings.push(finding(Severity::Error, (what, "every insert is refused", mend)));
    }
    let (memory, needed) = (value("max_memory_usage"), (batch_bytes * COPIES_IN_MEMORY).max(MEMORY_LEAST));
    if (1..needed).contains(&memory) {
        let what =
            format!("max_memory_usage is {memory}; a batch of {batch_bytes} bytes takes about {needed}");
        let mend = format!(
            "ALTER USER {user} SETTINGS max_memory_usage = {needed}, or batch.bytes: {}",
            memory / COPIES_IN_MEMORY
        );
        let why =
            "a batch is one block, held whole; a large one is refused and tried again in vain (PH-0022)";
        findings.push(finding(Severity::Warning, (what, why, mend)));
    }
    findings
}

/// A table that refuses inserts without slowing them down before.
pub(super) fn of_table(table: &TableFacts) -> Option<Finding> {
    let delay_at = table.setting("parts_to_delay_insert")?;
    let refuse_at = table.setting("parts_to_throw_insert").filter(|limit| *limit > 0)?;
    if (1..refuse_at).contains(&delay_at) {
        return None;
    }
    Some(Finding {
        severity: Severity::Warning,
        code: Code::NoDelayBeforeRefusal,
        stream: table.stream.clone(),
        on: table.name.clone(),
        what: format!("parts_to_delay_insert is {delay_at}, parts_to_throw_insert {refuse_at}"),
        why: "inserts go on at full speed until they are refused, which is when merges are furthest behind"
            .to_owned(),
        mend: format!(
            "ALTER TABLE {} MODIFY SETTING parts_to_delay_insert = {}",
            table.name,
            refuse_at.div_ceil(3)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_user_who_may_only_read_or_has_no_memory_is_told() {
        for (readonly, memory, severities) in [
            ("0", "0", vec![]),
            ("2", "0", vec![Severity::Error]),
            ("0", "10000000000", vec![]),
            ("0", "100000000", vec![Severity::Warning]),
            ("1", "1000", vec![Severity::Error, Severity::Warning]),
        ] {
            let found =
                of_user("u", &settings(&[("readonly", readonly), ("max_memory_usage", memory)]), 128 << 20);
            assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), severities);
        }
    }

    #[test]
    fn inserts_have_to_be_delayed_before_they_are_refused() {
        for (delay, refuse, found) in
            [("1000", "3000", false), ("0", "3000", true), ("3000", "3000", true), ("0", "0", false)]
        {
            let settings = settings(&[("parts_to_delay_insert", delay), ("parts_to_throw_insert", refuse)]);
            let table = TableFacts { settings, ..TableFacts::default() };
            assert_eq!(of_table(&table).is_some(), found, "{delay} {refuse}");
        }
    }
}
