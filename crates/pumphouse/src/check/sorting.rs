//! The sorting key against the values in it: a first column that differs on each row leaves nothing to skip and little to
//! compress. Pure.

use super::finding::{Finding, Severity};
use super::table::TableFacts;
use crate::fault::Code;

/// Of so many rows of a sample, at least.
const SAMPLE_MIN: u64 = 1_000;
/// Rows for each value of a first key column, at least.
const ROWS_PER_VALUE_MIN: u64 = 4;

/// A first key column that is unique, or nearly so. By its values where there are rows, else by its type.
pub(super) fn judge(table: &TableFacts) -> Option<Finding> {
    let first = pumphouse_clickhouse::key_time::elements(&table.sorting_key).first().copied()?;
    let is_only = pumphouse_clickhouse::key_time::elements(&table.sorting_key).len() == 1;
    let measured = table.held.as_ref().and_then(|held| {
        let key = held.keys.iter().find(|key| key.expression == first)?;
        (key.of >= SAMPLE_MIN).then_some(key)
    });
    let (is_fine_grained, what) = match measured {
        Some(key) => (
            key.distinct * ROWS_PER_VALUE_MIN > key.of,
            format!("ORDER BY begins with {first}: {} values in {} rows", key.distinct, key.of),
        ),
        None => by_type(table, first)?,
    };
    // A key of one column is what queries look for, or nothing better was known.
    if !is_fine_grained || is_only {
        return None;
    }
    Some(Finding {
        severity: Severity::Advice,
        code: Code::SortingKeyFine,
        stream: table.stream.clone(),
        on: table.name.clone(),
        what,
        why: "what follows in the key sorts nothing any more: queries by it read every row, and like values do not \
              lie together to be compressed"
            .to_owned(),
        mend: format!(
            "`order_by` of stream {}: columns with few values first, {first} last; a table that exists has to be \
             created anew and copied",
            table.stream
        ),
    })
}

/// What the type alone tells: an identity, or a time with fractions of a second.
fn by_type(table: &TableFacts, first: &str) -> Option<(bool, String)> {
    let column_type = table.type_of(first)?;
    let is_fine = column_type == "UUID" || column_type.starts_with("DateTime64");
    Some((is_fine, format!("ORDER BY begins with {first}, a {column_type}")))
}

#[cfg(test)]
mod tests {
    use super::super::table::{Held, KeyColumn};
    use super::*;

    fn table(sorting_key: &str, keys: &[(&str, u64, u64)]) -> TableFacts {
        let key = |(expression, distinct, of): &(&str, u64, u64)| KeyColumn {
            expression: (*expression).to_owned(),
            distinct: *distinct,
            of: *of,
        };
        let sent =
            [("id", "UUID"), ("ts", "DateTime64(3)"), ("service", "LowCardinality(String)"), ("n", "UInt64")];
        TableFacts {
            sorting_key: sorting_key.to_owned(),
            sent: sent.map(|(name, column_type)| (name.to_owned(), column_type.to_owned())).into(),
            held: Some(Held { keys: keys.iter().map(key).collect(), ..Held::default() }),
            ..TableFacts::default()
        }
    }

    #[test]
    fn a_unique_first_column_is_told_by_its_values_or_its_type() {
        for (key, values, found) in [
            ("service, ts", vec![], false),
            ("ts, service", vec![], true),
            ("id, ts", vec![], true),
            ("id", vec![], false),
            ("n, ts", vec![], false),
            ("n, ts", vec![("n", 9_000, 10_000)], true),
            ("n, ts", vec![("n", 90, 100)], false),
            ("id, ts", vec![("id", 12, 10_000)], false),
            ("toStartOfHour(ts), service", vec![], false),
            ("", vec![], false),
        ] {
            assert_eq!(judge(&table(key, &values)).is_some(), found, "{key} {values:?}");
        }
    }
}
