//! `settings_by_rate` as written: for each setting a map of events per second to values. Which settings of a MergeTree table
//! may follow the rate is a list here; whether the server has one of a name, it does not know.

use std::collections::BTreeMap;

use pumphouse_core::curve::{Curve, NotACurve};

use super::keys;
use super::said::{Entry, Node, Said};
use super::scalar::{self, Wrong};
use super::walk::{Section, Walk};

/// The key.
const KEY: &str = "settings_by_rate";

/// Settings that may follow the rate: whole numbers that a server takes on a live table, and that decide when it delays or
/// refuses inserts, or how it merges. Never what delivery depends on, and never how parts are written.
pub const ALLOWED: &[&str] = &[
    "inactive_parts_to_delay_insert",
    "inactive_parts_to_throw_insert",
    "max_avg_part_size_for_too_many_parts",
    "max_bytes_to_merge_at_max_space_in_pool",
    "max_bytes_to_merge_at_min_space_in_pool",
    "max_delay_to_insert",
    "max_merge_selecting_sleep_ms",
    "max_number_of_merges_with_ttl_in_pool",
    "max_parts_in_total",
    "max_parts_to_merge_at_once",
    "max_replicated_merges_in_queue",
    "merge_max_block_size",
    "merge_max_block_size_bytes",
    "merge_selecting_sleep_ms",
    "min_age_to_force_merge_seconds",
    "min_delay_to_insert_ms",
    "number_of_free_entries_in_pool_to_lower_max_size_of_merge",
    "old_parts_lifetime",
    "parts_to_delay_insert",
    "parts_to_throw_insert",
];

/// Settings that are asked for and refused: name or `prefix*`, and why.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("non_replicated_deduplication_window", "retries are recognised by it: it is set once, large enough"),
    ("replicated_deduplication_window", "retries are recognised by it: it is set once, large enough"),
    ("index_granularity", "it holds for a table from its creation on"),
    ("enable_mixed_granularity_parts", "it holds for a table from its creation on"),
    ("storage_policy", "it says where parts lie, which no rate decides"),
    ("disk", "it says where parts lie, which no rate decides"),
    ("background_pool_size", "it is a setting of the server, not of a table"),
    ("background_", "it is a setting of the server, not of a table"),
    ("async_insert", "inserts of pumphouse are synchronous"),
];

/// Pairs of settings of which the first has to stay below the second, or it never comes to it.
const BELOW: [(&str, &str); 2] = [
    ("parts_to_delay_insert", "parts_to_throw_insert"),
    ("inactive_parts_to_delay_insert", "inactive_parts_to_throw_insert"),
];

/// What `parts_to_throw_insert` is where nobody set it.
const REFUSED_FROM: u64 = 3000;

/// Reads the curves of a table. `None` after a mistake was told.
pub(super) fn read(table: &Section<'_>) -> Option<BTreeMap<String, Curve>> {
    let entries = table.entries(KEY)?;
    let path = table.key_path(KEY);
    let curves: Vec<Option<(String, Curve)>> =
        entries.iter().map(|entry| setting(entry, &path, table.walk)).collect();
    let curves: BTreeMap<String, Curve> = curves.into_iter().collect::<Option<_>>()?;
    for (lower, upper) in BELOW {
        let (Some(first), Some(second)) = (curves.get(lower), curves.get(upper)) else { continue };
        let rates = first.points().iter().chain(second.points()).map(|(rate, _)| *rate);
        // Both are straight between these, so nowhere else is one above the other.
        let at = rates.into_iter().find(|rate| first.value_at(*rate) >= second.value_at(*rate));
        if let Some(rate) = at {
            let what = format!("at {rate} events/s `{lower}` is not below `{upper}`");
            let suggestion = "inserts are refused before they are delayed: raise the one or lower the other";
            table.walk.mistake(table.place_of(KEY), &path, what, suggestion);
            return None;
        }
    }
    if let Some((rate, value)) = reaches_the_default(&curves) {
        let what = format!(
            "at {rate} events/s `parts_to_delay_insert` is {value}, and `parts_to_throw_insert` is {REFUSED_FROM} unless it has a \
             curve"
        );
        let suggestion = "inserts are refused before they are delayed: stay below it, or give `parts_to_throw_insert` a curve \
                          above, such as `{ 0: 6000 }`";
        table.walk.mistake(table.place_of(KEY), &path, what, suggestion);
        return None;
    }
    Some(curves)
}

/// Where a curve alone comes to the default of the setting it has to stay below. It is highest at one of its points.
fn reaches_the_default(curves: &BTreeMap<String, Curve>) -> Option<(u64, u64)> {
    let (lower, upper) = BELOW[0];
    let alone = curves.get(lower).filter(|_| !curves.contains_key(upper))?;
    let mut points = alone.points().iter().map(|(rate, value)| (*rate, *value));
    points.find(|(_, value)| *value >= REFUSED_FROM)
}

fn setting(entry: &Entry, above: &str, walk: &Walk<'_>) -> Option<(String, Curve)> {
    let path = Walk::join(above, &entry.name);
    if let Some(wrong) = no_setting(&entry.name) {
        walk.mistake(entry.place, &path, wrong.what, wrong.suggestion);
        return None;
    }
    let Said::Map(points) = &entry.node.said else {
        if !matches!(entry.node.said, Said::Broken) {
            let what =
                format!("expected a map of events per second to values, found {}", entry.node.said.noun());
            walk.mistake(entry.place, &path, what, "write `{ 1000000: 20, 4000000: 50 }`");
        }
        return None;
    };
    let points: Vec<Option<(u64, u64)>> = points.iter().map(|point| read_point(point, &path, walk)).collect();
    let points = points.into_iter().collect::<Option<Vec<_>>>()?;
    match Curve::new(points) {
        Ok(curve) => Some((entry.name.clone(), curve)),
        Err(wrong) => {
            let suggestion = match wrong {
                NotACurve::Empty => "add one, such as `1000000: 20`",
                NotACurve::Twice(_) => "leave one of them",
            };
            walk.mistake(entry.place, &path, wrong.to_string(), suggestion);
            None
        }
    }
}

/// Why a name is not that of a setting that may follow the rate.
fn no_setting(name: &str) -> Option<Wrong> {
    if ALLOWED.contains(&name) {
        return None;
    }
    let fits = |pattern: &str| name == pattern || (pattern.ends_with('_') && name.starts_with(pattern));
    if let Some((_, why)) = REFUSED.iter().find(|(pattern, _)| fits(pattern)) {
        return Some(Wrong::new(format!("can't follow the rate: {why}"), "remove it"));
    }
    let suggestion = keys::nearest(name, ALLOWED.iter().copied()).map_or_else(
        || format!("these can: {}", ALLOWED.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Some(Wrong::new("is no setting of a table that can follow the rate", suggestion))
}

fn read_point(point: &Entry, above: &str, walk: &Walk<'_>) -> Option<(u64, u64)> {
    let path = Walk::join(above, &point.name);
    let rate = scalar::digits(&point.name);
    if rate.is_none() {
        let suggestion = "write events per second and the value there, such as `1000000: 20`";
        walk.mistake(point.place, &path, "is not a whole number of events per second", suggestion);
    }
    let value = value(&point.node, &path, walk)?;
    Some((rate?, value))
}

fn value(node: &Node, path: &str, walk: &Walk<'_>) -> Option<u64> {
    match &node.said {
        Said::Text(text) => {
            let value = scalar::digits(&text.text);
            if value.is_none() {
                walk.wrong_value(node.place, path, text, Wrong::new("is not a whole number", ""));
            }
            value
        }
        Said::Broken => None,
        other => {
            let what = format!("expected a whole number, found {}", other.noun());
            walk.mistake(node.place, path, what, "");
            None
        }
    }
}
