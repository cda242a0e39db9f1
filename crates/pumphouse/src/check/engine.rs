//! Engines that fold rows: whether the columns they fold by are sent, whether rows that belong together can meet, and what
//! can't be told of such a table afterwards. Pure.

use pumphouse_clickhouse::key_time::elements;

use super::finding::{Finding, Severity};
use super::table::TableFacts;
use crate::fault::Code;

/// All that speaks against the engine.
pub(super) fn judge(table: &TableFacts) -> Vec<Finding> {
    let family = table.family();
    if !family.ends_with("MergeTree") || family == "MergeTree" {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = columns_not_sent(table);
    findings.extend(folds_apart(table));
    findings.push(mute(table));
    findings
}

fn finding(
    table: &TableFacts,
    (severity, code): (Severity, Code),
    (what, why, mend): (String, &str, String),
) -> Finding {
    let (stream, on) = (table.stream.clone(), table.name.clone());
    Finding { severity, code, stream, on, what, why: why.to_owned(), mend }
}

/// Sign and version are columns of the record, or the engine folds by zeros.
fn columns_not_sent(table: &TableFacts) -> Vec<Finding> {
    let roles: &[&str] = match table.family() {
        "CollapsingMergeTree" => &["sign"],
        "VersionedCollapsingMergeTree" => &["sign", "version"],
        "ReplacingMergeTree" => &["version", "is_deleted"],
        _ => &[],
    };
    let arguments = table.arguments();
    let missing = roles.iter().zip(&arguments).filter(|(_, column)| table.type_of(column).is_none());
    let told = missing.map(|(role, column)| {
        let why = if *role == "sign" {
            "a row without it has the sign 0, which the engine refuses or never folds"
        } else {
            "every row has its default, so which row is the latest is left to chance"
        };
        let what = format!("{role} column {column} of {} is not sent", table.engine);
        let mend = format!("streams.{}.columns: add {column}", table.stream);
        finding(table, (Severity::Error, Code::FoldingColumnNotSent), (what, why, mend))
    });
    told.collect()
}

/// Rows fold only within a table partition: what is in the partition key has to be the same for all of them.
fn folds_apart(table: &TableFacts) -> Option<Finding> {
    let sorting: Vec<&str> = elements(&table.sorting_key);
    let partition = table.partition_key.trim();
    if partition.is_empty() || partition == "tuple()" {
        return None;
    }
    let outside: Vec<&str> = columns_in(partition, table)
        .into_iter()
        .filter(|column| !sorting.iter().any(|part| part.trim_matches('`') == *column))
        .filter(|_| !sorting.contains(&partition))
        .collect();
    if outside.is_empty() {
        return None;
    }
    let what = format!(
        "PARTITION BY {partition} uses {}, which is not in ORDER BY ({})",
        outside.join(", "),
        table.sorting_key
    );
    let mend = format!(
        "partition by columns of the sorting key, such as a hash of the identity, or by nothing: `partition_by` of \
         stream {}, in a new table",
        table.stream
    );
    let why = "rows of one key with different values there lie in different table partitions and never fold, not even \
               by FINAL with do_not_merge_across_partitions_select_final";
    Some(finding(table, (Severity::Warning, Code::FoldsApart), (what, why, mend)))
}

/// The columns that an expression names.
fn columns_in<'a>(expression: &'a str, table: &TableFacts) -> Vec<&'a str> {
    let words = expression.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let mut columns: Vec<&str> =
        words.filter(|word| !word.is_empty() && table.type_of(word).is_some()).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn mute(table: &TableFacts) -> Finding {
    let what = format!("engine {} folds rows when it merges", table.family());
    let why = "what was inserted can't be counted afterwards: `audit` can't tell what is missing, and a batch whose \
               token is too old can't be decided (PH-0034)";
    let mend = format!(
        "a table of engine MergeTree beside it in `tables` of stream {} keeps every row, and a view folds them",
        table.stream
    );
    finding(table, (Severity::Advice, Code::FoldingMute), (what, why, mend))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(engine: &str, partition_key: &str, sorting_key: &str, sent: &[&str]) -> TableFacts {
        TableFacts {
            engine: engine.to_owned(),
            partition_key: partition_key.to_owned(),
            sorting_key: sorting_key.to_owned(),
            sent: sent.iter().map(|name| ((*name).to_owned(), "Int8".to_owned())).collect(),
            ..TableFacts::default()
        }
    }

    #[test]
    fn each_engine_is_judged_by_what_it_folds_by() {
        let versioned = "VersionedCollapsingMergeTree(sign, version)";
        let all = ["id", "ts", "sign", "version"];
        for (engine, partition, sorting, sent, codes) in [
            ("MergeTree", "toYYYYMM(ts)", "id", &all[..], vec![]),
            (versioned, "", "id", &all, vec!["PH-0221"]),
            (versioned, "", "id", &["id", "ts", "version"], vec!["PH-0219", "PH-0221"]),
            (versioned, "", "id", &["id", "ts"], vec!["PH-0219", "PH-0219", "PH-0221"]),
            (versioned, "toYYYYMM(ts)", "id", &all, vec!["PH-0220", "PH-0221"]),
            (versioned, "toYYYYMM(ts)", "id, ts", &all, vec!["PH-0221"]),
            (versioned, "toYYYYMM(ts)", "toYYYYMM(ts), id", &all, vec!["PH-0221"]),
            ("ReplacingMergeTree", "", "id", &["id"], vec!["PH-0221"]),
            ("ReplacingMergeTree(version)", "", "id", &["id"], vec!["PH-0219", "PH-0221"]),
            ("ReplicatedCollapsingMergeTree('/p', 'r', sign)", "", "id", &["id"], vec!["PH-0219", "PH-0221"]),
            ("SummingMergeTree", "id % 8", "id", &["id"], vec!["PH-0221"]),
            ("Distributed(c, d, t)", "", "", &["id"], vec![]),
        ] {
            let found = judge(&table(engine, partition, sorting, sent));
            let found: Vec<_> = found.iter().map(|finding| finding.code.number()).collect();
            assert_eq!(found, codes, "{engine} {partition} {sorting} {sent:?}");
        }
    }
}
