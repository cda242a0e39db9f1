//! Which ClickHouse settings may be sent with inserts by hand. Refuses by name the ones that pumphouse sets
//! itself or that would break exactly-once delivery. Does not know whether the server has a setting of a name.

use std::collections::BTreeMap;

use super::said::{Entry, Said};
use super::scalar::Wrong;
use super::walk::Walk;

const PATH: &str = "clickhouse.settings";

const TOKEN: &str = "each insert carries a token of its own, by which a retry is recognised";
const JSON: &str = "columns of type JSON keep what a record says only under pumphouse's own";
const ONE_BLOCK: &str = "an insert has to stay one block, or a retry would not be recognised whole";

/// Settings that are refused: name or `prefix*`, and why.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("insert_deduplication_token", TOKEN),
    ("insert_deduplicate", TOKEN),
    ("deduplicate_insert", TOKEN),
    ("deduplicate_insert_select", TOKEN),
    (
        "deduplicate_blocks_in_dependent_materialized_views",
        "views have to recognise a retry as their table does",
    ),
    (
        "update_insert_deduplication_token_in_dependent_materialized_views",
        "views have to recognise a retry as their table does",
    ),
    ("materialized_views_ignore_errors", "a view that failed would miss rows that its table has"),
    ("async_insert", "an answer has to mean that the rows are written, so inserts are synchronous"),
    ("async_insert_deduplicate", "inserts are synchronous"),
    ("wait_for_async_insert", "inserts are synchronous"),
    ("max_insert_block_size", ONE_BLOCK),
    ("max_insert_block_size_", ONE_BLOCK),
    ("min_insert_block_size_", ONE_BLOCK),
    ("max_block_size", ONE_BLOCK),
    ("max_insert_threads", ONE_BLOCK),
    ("max_insert_delayed_streams_for_parallel_write", ONE_BLOCK),
    ("max_execution_time", "each insert carries its deadline"),
    ("timeout_overflow_mode", "an insert past its deadline has to fail, not to stop half way"),
    ("throw_on_max_partitions_per_insert_block", "an insert over the limit has to fail whole"),
    ("input_format_allow_errors_num", "rows would be dropped without a trace"),
    ("input_format_allow_errors_ratio", "rows would be dropped without a trace"),
    ("input_format_null_as_default", "a missing value would silently become a default"),
    ("input_format_json_", JSON),
    ("input_format_try_infer_", JSON),
    ("json_type_escape_dots_in_keys", JSON),
    ("schema_inference_make_columns_nullable", JSON),
    ("type_json_", JSON),
    ("query_id", "pumphouse names its queries, to find them again"),
    ("readonly", "inserts have to write"),
];

/// Reads the map of settings.
pub(super) fn read(entries: &[Entry], walk: &Walk<'_>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for entry in entries {
        let path = Walk::join(PATH, &entry.name);
        let is_name =
            !entry.name.is_empty() && entry.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match &entry.node.said {
            _ if !is_name => walk.mistake(entry.place, &path, "is not the name of a setting", ""),
            _ if refusal(&entry.name).is_some() => {
                let why = refusal(&entry.name).unwrap_or_default();
                walk.mistake(entry.place, &path, format!("refused: {why}"), "remove it");
            }
            Said::Text(text) => {
                settings.insert(entry.name.clone(), as_sent(&text.text, text.plain).to_owned());
            }
            Said::Broken => {}
            other => {
                let what = format!("expected a single value, found {}", other.noun());
                walk.mistake_unseen(
                    super::mistake::MISTAKE,
                    entry.place,
                    &path,
                    Wrong::new(what, "write the value as a text"),
                );
            }
        }
    }
    settings
}

/// The form ClickHouse takes for a truth value: a number.
fn as_sent(text: &str, plain: bool) -> &str {
    match text {
        "true" if plain => "1",
        "false" if plain => "0",
        other => other,
    }
}

fn refusal(name: &str) -> Option<&'static str> {
    let fits = |pattern: &str| name == pattern || (pattern.ends_with('_') && name.starts_with(pattern));
    REFUSED.iter().find(|(pattern, _)| fits(pattern)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_delivery_depends_on_are_refused() {
        for name in [
            "insert_deduplication_token",
            "insert_deduplicate",
            "deduplicate_insert",
            "async_insert",
            "wait_for_async_insert",
            "deduplicate_blocks_in_dependent_materialized_views",
            "max_insert_block_size",
            "max_insert_block_size_bytes",
            "min_insert_block_size_rows",
            "min_insert_block_size_bytes_for_materialized_views",
            "max_insert_threads",
            "materialized_views_ignore_errors",
        ] {
            assert!(refusal(name).is_some(), "{name}");
        }
        for name in ["insert_quorum", "max_partitions_per_insert_block", "log_comment", "optimize_on_insert"]
        {
            assert_eq!(refusal(name), None, "{name}");
        }
    }
}
