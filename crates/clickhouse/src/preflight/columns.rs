//! Whether a live table's columns take what inserts send. Types are compared as the server writes them.

use super::live::{Catalogue, LiveColumn, TableName};
use super::{Finding, Severity};
use crate::client::QueryError;
use crate::{ddl, quote};

/// A finding for each column that is missing, computed, or of another type.
pub(super) async fn differences(
    catalogue: &Catalogue<'_>,
    table: &TableName,
    expected: &[(String, String)],
) -> Result<Vec<Finding>, QueryError> {
    let live = catalogue.columns(table).await?;
    let spelled = catalogue.spelled(expected).await?;
    let findings = expected.iter().filter_map(|(name, written)| {
        let wanted = &on_one_line(spelled.get(name).unwrap_or(written));
        let found = live.iter().find(|column| column.name == *name);
        let (what, mend) = difference(table, (name, wanted), found)?;
        let why = "rows as declared can't go into it".to_owned();
        Some(Finding { code: "PH-0044", severity: Severity::Refuse, what, why, mend })
    });
    Ok(findings.collect())
}

/// `DESCRIBE` spreads named tuples over lines, the catalogue does not.
fn on_one_line(column_type: &str) -> String {
    // Not inside a line: an enum's names may hold any spaces.
    column_type.lines().map(str::trim).fold(String::new(), |line, part| {
        let gap = if line.is_empty() || line.ends_with('(') { "" } else { " " };
        line + gap + part
    })
}

/// What is wrong with one column, and what mends it.
fn difference(
    table: &TableName,
    wanted: (&str, &str),
    found: Option<&LiveColumn>,
) -> Option<(String, String)> {
    let (name, wanted_type) = wanted;
    let Some(found) = found else {
        let mend = ddl::add_column(&table.database, &table.table, wanted);
        return Some((format!("column {} of {table} is missing", quote::name(name)), mend));
    };
    if matches!(found.default_kind.as_str(), "MATERIALIZED" | "ALIAS") {
        let what = format!("column {} of {table} is {}", quote::name(name), found.default_kind);
        return Some((what, "remove it from the stream's columns: the server computes it".to_owned()));
    }
    (!takes(&found.column_type, wanted_type)).then(|| {
        let what = format!(
            "column {} of {table} is {}, declared as {wanted_type}",
            quote::name(name),
            found.column_type
        );
        let alter = format!("ALTER TABLE {table} MODIFY COLUMN {} {wanted_type}", quote::name(name));
        (what, format!("declare it as {}, or {alter}", found.column_type))
    })
}

/// Whether a live column holds every value of the declared type unchanged: the same type, also with
/// `LowCardinality` or `Nullable` around it, or another time zone to show it in.
fn takes(live: &str, wanted: &str) -> bool {
    let (live, wanted) =
        (without_zone(&without_dictionaries(live)), without_zone(&without_dictionaries(wanted)));
    let inner = live.strip_prefix("Nullable(").and_then(|live| live.strip_suffix(')'));
    live == wanted || inner == Some(wanted.as_str())
}

fn without_dictionaries(text: &str) -> String {
    const OPENING: &str = "LowCardinality(";
    let Some(start) = text.find(OPENING) else { return text.to_owned() };
    let inside = &text[start + OPENING.len()..];
    let mut depth = 1_usize;
    let close = inside.find(|letter| {
        depth = match letter {
            '(' => depth + 1,
            ')' => depth - 1,
            _ => depth,
        };
        depth == 0
    });
    let Some(close) = close else { return text.to_owned() };
    without_dictionaries(&format!("{}{}{}", &text[..start], &inside[..close], &inside[close + 1..]))
}

/// `DateTime64(3, 'UTC')` and `DateTime('UTC')` without their zones.
fn without_zone(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some((start, length)) = span(&out, "DateTime('", "')") {
        out.replace_range(start + "DateTime".len()..start + length, "");
    }
    let mut from = 0;
    while let Some((start, length)) = span(&out[from..], "DateTime64(", ")") {
        let arguments = from + start..from + start + length - 1;
        if let Some(comma) = out[arguments.clone()].find(", '") {
            out.replace_range(arguments.start + comma..arguments.end, "");
        }
        from = arguments.start + 1;
    }
    out
}

/// Where a piece of text starts that begins and ends so, and its length.
fn span(text: &str, begins: &str, ends: &str) -> Option<(usize, usize)> {
    let start = text.find(begins)?;
    let end = text[start + begins.len()..].find(ends)?;
    Some((start, begins.len() + end + ends.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_spread_over_lines_is_the_same_type() {
        let spread = "Array(Tuple(\n    name String,\n    value Nullable(String)))";
        assert_eq!(on_one_line(spread), "Array(Tuple(name String, value Nullable(String)))");
        assert_eq!(on_one_line("Enum8('a  b( c' = 1)"), "Enum8('a  b( c' = 1)");
    }

    #[test]
    fn a_column_takes_its_own_type_and_looser_ones_only() {
        for (live, wanted, takes_it) in [
            ("String", "String", true),
            ("LowCardinality(String)", "String", true),
            ("String", "LowCardinality(String)", true),
            ("Nullable(UInt8)", "UInt8", true),
            ("LowCardinality(Nullable(String))", "Nullable(String)", true),
            ("LowCardinality(Nullable(String))", "String", true),
            ("Map(LowCardinality(String), String)", "Map(String, String)", true),
            ("Array(LowCardinality(String))", "Array(String)", true),
            ("DateTime('UTC')", "DateTime", true),
            ("DateTime64(3, 'Europe/Berlin')", "DateTime64(3)", true),
            ("Nullable(DateTime64(3, 'UTC'))", "DateTime64(3, 'Asia/Tokyo')", true),
            ("Map(String, DateTime64(3, 'UTC'))", "Map(String, DateTime64(3))", true),
            ("Tuple(DateTime('UTC'), DateTime('UTC'))", "Tuple(DateTime, DateTime)", true),
            ("DateTime64(3)", "DateTime64(6)", false),
            ("DateTime", "DateTime64(3)", false),
            ("UInt8", "Nullable(UInt8)", false),
            ("UInt8", "UInt16", false),
            ("UInt16", "UInt8", false),
            ("Decimal(9, 2)", "Decimal(9, 3)", false),
            ("Enum8('a' = 1)", "String", false),
            ("Array(Nullable(String))", "Array(String)", false),
        ] {
            assert_eq!(takes(live, wanted), takes_it, "{live} for {wanted}");
        }
    }
}
