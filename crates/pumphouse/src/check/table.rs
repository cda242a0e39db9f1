//! One table as the rules see it: what the file declares, or what the server says. Holds facts, judges nothing.

use std::collections::BTreeMap;

use pumphouse_clickhouse::key_time::elements;

/// One table that a stream fills.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TableFacts {
    /// The stream.
    pub(super) stream: String,
    /// `database.table`, quoted for a statement.
    pub(super) name: String,
    /// The engine with its arguments: `VersionedCollapsingMergeTree(sign, version)`.
    pub(super) engine: String,
    /// The partition key; empty where there is none.
    pub(super) partition_key: String,
    /// The sorting key, as a list.
    pub(super) sorting_key: String,
    /// The TTL of rows.
    pub(super) ttl: Option<String>,
    /// The table's settings as they are in force.
    pub(super) settings: BTreeMap<String, String>,
    /// Name and type of the columns that inserts send.
    pub(super) sent: Vec<(String, String)>,
    /// Entries of the smallest window of the table and of the targets of its views.
    pub(super) window: Option<u64>,
    /// What it holds now; `None` where no server was asked.
    pub(super) held: Option<Held>,
}

/// What a live table holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Held {
    /// Active parts of the fullest table partition.
    pub(super) parts: u64,
    /// Active parts of all.
    pub(super) parts_total: u64,
    /// Table partitions with parts.
    pub(super) partitions: u64,
    /// Table partitions that late batches touched, on average; `None` where no batch came lately.
    pub(super) touched: Option<f64>,
    /// The first key columns, on a sample of rows.
    pub(super) keys: Vec<KeyColumn>,
}

/// How many values an expression of the sorting key has in a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyColumn {
    /// The expression.
    pub(super) expression: String,
    /// Different values.
    pub(super) distinct: u64,
    /// Rows of the sample.
    pub(super) of: u64,
}

impl TableFacts {
    /// The engine's name without arguments, `Replicated` or `Shared`.
    pub(super) fn family(&self) -> &str {
        let name = self.engine.split('(').next().unwrap_or_default().trim();
        name.strip_prefix("Replicated").or_else(|| name.strip_prefix("Shared")).unwrap_or(name)
    }

    /// Whether its engine is one of replicas.
    pub(super) fn is_replicated(&self) -> bool {
        self.engine.starts_with("Replicated") || self.engine.starts_with("Shared")
    }

    /// The engine's arguments, without the path and the name of a replica.
    pub(super) fn arguments(&self) -> Vec<&str> {
        let Some((_, list)) = self.engine.split_once('(') else { return Vec::new() };
        let mut arguments = elements(list.trim_end().strip_suffix(')').unwrap_or(list));
        arguments.retain(|argument| !argument.starts_with('\''));
        arguments
    }

    /// A setting as a number.
    pub(super) fn setting(&self, name: &str) -> Option<u64> {
        self.settings.get(name)?.parse().ok()
    }

    /// The type of a column that is sent.
    pub(super) fn type_of(&self, column: &str) -> Option<&str> {
        let column = column.trim_matches('`');
        self.sent.iter().find(|(name, _)| name == column).map(|(_, column_type)| column_type.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_taken_apart() {
        let of = |engine: &str| TableFacts { engine: engine.to_owned(), ..TableFacts::default() };
        let replicated =
            of("ReplicatedVersionedCollapsingMergeTree('/t/{shard}', '{replica}', sign, version)");
        assert_eq!(replicated.family(), "VersionedCollapsingMergeTree");
        assert_eq!(replicated.arguments(), ["sign", "version"]);
        assert!(replicated.is_replicated());
        let plain = of("MergeTree");
        assert_eq!((plain.family(), plain.arguments(), plain.is_replicated()), ("MergeTree", vec![], false));
        assert_eq!(of("SummingMergeTree((a, b))").arguments(), ["(a, b)"]);
    }
}
