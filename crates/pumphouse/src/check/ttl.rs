//! How rows expire: part by part, or by merges that write all others anew. Pure.

use pumphouse_clickhouse::key_time::{expires_by_part, partition_span, retention};

use super::finding::{Finding, Severity};
use super::load::span;
use super::table::TableFacts;
use crate::fault::Code;

/// A TTL whose rows could expire as whole parts, and do not; or can't, by the partition key.
pub(super) fn judge(table: &TableFacts) -> Option<Finding> {
    let ttl = table.ttl.as_deref()?;
    let kept = retention(ttl)?;
    let whole = table.setting("ttl_only_drop_parts") == Some(1);
    let (what, mend) = match (expires_by_part(&table.partition_key, ttl), whole) {
        (true, true) => return None,
        (true, false) => (
            format!("TTL {ttl} without ttl_only_drop_parts"),
            format!("ALTER TABLE {} MODIFY SETTING ttl_only_drop_parts = 1", table.name),
        ),
        (false, true) => (
            format!(
                "ttl_only_drop_parts = 1, and a part holds {} while rows are to live {}",
                partition_span(&table.partition_key).map_or("all times".to_owned(), span),
                span(kept)
            ),
            format!(
                "ALTER TABLE {} MODIFY SETTING ttl_only_drop_parts = 0, or a finer partition key",
                table.name
            ),
        ),
        // A coarse key may be right for other reasons, and without the setting the TTL works.
        (false, false) => return None,
    };
    let why = if whole {
        "a part is dropped only when its last row has expired, so rows stay far longer than declared"
    } else {
        "parts are written anew to take single rows out, again and again; whole parts of one table partition expire \
         together and could be dropped at no cost"
    };
    Some(Finding {
        severity: if whole { Severity::Warning } else { Severity::Advice },
        code: Code::TtlRewrites,
        stream: table.stream.clone(),
        on: table.name.clone(),
        what,
        why: why.to_owned(),
        mend,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_could_expire_whole_should_and_others_should_not() {
        for (key, ttl, setting, found) in [
            ("toYYYYMM(ts)", Some("ts + INTERVAL 13 MONTH"), "0", Some(Severity::Advice)),
            ("toYYYYMM(ts)", Some("ts + INTERVAL 13 MONTH"), "1", None),
            ("toYYYYMM(ts)", Some("ts + INTERVAL 3 DAY"), "1", Some(Severity::Warning)),
            ("toYYYYMM(ts)", Some("ts + INTERVAL 3 DAY"), "0", None),
            ("", Some("ts + INTERVAL 3 DAY"), "1", Some(Severity::Warning)),
            ("", None, "0", None),
        ] {
            let table = TableFacts {
                partition_key: key.to_owned(),
                ttl: ttl.map(str::to_owned),
                settings: [("ttl_only_drop_parts".to_owned(), setting.to_owned())].into(),
                ..TableFacts::default()
            };
            assert_eq!(judge(&table).map(|finding| finding.severity), found, "{key} {ttl:?} {setting}");
        }
    }
}
