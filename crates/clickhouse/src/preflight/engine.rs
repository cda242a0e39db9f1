//! What an engine can promise, and how many tokens a table remembers. Reads texts of the catalogue only.

use std::collections::BTreeMap;

use super::live::{Catalogue, LiveTable};

/// An engine, by its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Engine<'a> {
    /// The name without `Replicated` or `Shared`.
    family: &'a str,
    replicated: bool,
}

impl<'a> Engine<'a> {
    pub(crate) fn of(name: &'a str) -> Self {
        match name.strip_prefix("Replicated").or_else(|| name.strip_prefix("Shared")) {
            Some(family) => Self { family, replicated: true },
            None => Self { family: name, replicated: false },
        }
    }

    /// Whether inserts into it can be deduplicated.
    pub(super) fn deduplicates(self) -> bool {
        self.family.ends_with("MergeTree")
    }

    /// Whether its tokens live in Keeper.
    pub(crate) fn is_replicated(self) -> bool {
        self.replicated
    }

    /// Whether merges leave every row as it is.
    pub(super) fn keeps_every_row(self) -> bool {
        self.family == "MergeTree"
    }
}

/// How long a table remembers tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Entries: one for each table partition that an insert touches.
    pub(super) entries: u64,
    /// Seconds, where time counts too.
    pub(super) seconds: Option<u64>,
}

impl Window {
    pub(super) fn of(table: &LiveTable, catalogue: &Catalogue<'_>) -> Self {
        let setting = |name: &str| {
            effective_setting(&table.engine_full, &catalogue.table_settings, name).unwrap_or_default()
        };
        if Engine::of(&table.engine).is_replicated() {
            let seconds = setting("replicated_deduplication_window_seconds");
            Self { entries: setting("replicated_deduplication_window"), seconds: Some(seconds) }
        } else {
            Self { entries: setting("non_replicated_deduplication_window"), seconds: None }
        }
    }
}

/// A whole number that holds for a table: what it was given itself, else the server's default.
pub(crate) fn effective_setting(
    engine_full: &str,
    defaults: &BTreeMap<String, String>,
    name: &str,
) -> Option<u64> {
    let value = own_setting(engine_full, name).or_else(|| defaults.get(name).map(String::as_str));
    value.and_then(|value| value.parse().ok())
}

/// A setting that the table itself was given, as `engine_full` ends with them.
fn own_setting<'a>(engine_full: &'a str, name: &str) -> Option<&'a str> {
    let (_, settings) = engine_full.rsplit_once(" SETTINGS ")?;
    settings
        .split(", ")
        .filter_map(|setting| setting.split_once(" = "))
        .find(|(setting, _)| *setting == name)
        .map(|(_, value)| value.trim_matches('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mergetree_family_deduplicates_and_only_its_plain_members_keep_every_row() {
        for (name, deduplicates, replicated, keeps) in [
            ("MergeTree", true, false, true),
            ("ReplicatedMergeTree", true, true, true),
            ("SharedMergeTree", true, true, true),
            ("SummingMergeTree", true, false, false),
            ("ReplicatedReplacingMergeTree", true, true, false),
            ("VersionedCollapsingMergeTree", true, false, false),
            ("AggregatingMergeTree", true, false, false),
            ("Distributed", false, false, false),
            ("Buffer", false, false, false),
            ("Null", false, false, false),
            ("MaterializedView", false, false, false),
            ("Memory", false, false, false),
        ] {
            let engine = Engine::of(name);
            let found = (engine.deduplicates(), engine.is_replicated(), engine.keeps_every_row());
            assert_eq!(found, (deduplicates, replicated, keeps), "{name}");
        }
    }

    #[test]
    fn a_setting_is_found_by_its_whole_name() {
        let full = "ReplicatedMergeTree('/x', '1') PARTITION BY d ORDER BY a TTL d + toIntervalMonth(1) SETTINGS \
                    non_replicated_deduplication_window = 5, replicated_deduplication_window = 77, \
                    replicated_deduplication_window_seconds = 600, index_granularity = 8192";
        assert_eq!(own_setting(full, "replicated_deduplication_window"), Some("77"));
        assert_eq!(own_setting(full, "non_replicated_deduplication_window"), Some("5"));
        assert_eq!(own_setting(full, "deduplication_window"), None);
        assert_eq!(own_setting("MergeTree ORDER BY a", "replicated_deduplication_window"), None);
    }
}
