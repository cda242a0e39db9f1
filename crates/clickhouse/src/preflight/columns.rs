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
        let (what, mend) = difference(table, (name, wanted), &live)?;
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
fn difference(table: &TableName, wanted: (&str, &str), live: &[LiveColumn]) -> Option<(String, String)> {
    let (name, wanted_type) = wanted;
    let Some(found) = live.iter().find(|column| column.name == name) else {
        if let Some(whole) = unflattened(name, live) {
            let what = format!(
                "column {} of {table} is one column, not one for each element",
                quote::name(&whole.name)
            );
            return Some((what, format!("declare it as {}", without_nested(&whole.column_type))));
        }
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
    let plain = |column_type: &str| without_zone(&without_dictionaries(&without_nested(column_type)));
    let (live, wanted) = (plain(live), plain(wanted));
    let inner = live.strip_prefix("Nullable(").and_then(|live| live.strip_suffix(')'));
    live == wanted || inner == Some(wanted.as_str())
}

/// The column of a table made with `flatten_nested = 0` that holds what `n.a` would.
fn unflattened<'a>(name: &str, live: &'a [LiveColumn]) -> Option<&'a LiveColumn> {
    let (nested, _) = name.split_once('.')?;
    live.iter().find(|column| column.name == nested)
}

fn without_dictionaries(text: &str) -> String {
    replaced(text, ("LowCardinality(", ""), "")
}

/// `Nested(…)` as what it is inside other types: `Array(Tuple(…))`.
fn without_nested(text: &str) -> String {
    replaced(text, ("Nested(", "Array(Tuple("), "))")
}

/// A type with what opens with the first text, and its parenthesis, in the form of the other two.
fn replaced(text: &str, (opening, open): (&str, &str), closed: &str) -> String {
    let Some(start) = text.find(opening) else { return text.to_owned() };
    let inside = &text[start + opening.len()..];
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
    let rest = format!("{}{closed}{}", &inside[..close], &inside[close + 1..]);
    format!("{}{open}{}", &text[..start], replaced(&rest, (opening, open), closed))
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
    fn a_nested_that_is_one_column_is_told_apart_from_a_missing_one() {
        let table = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let column = |name: &str, column_type: &str| LiveColumn {
            name: name.to_owned(),
            column_type: column_type.to_owned(),
            default_kind: String::new(),
            default_expression: String::new(),
        };
        let wanted = ("n.a", "Array(UInt8)");
        let of = |live: &[LiveColumn]| difference(&table, wanted, live);
        assert_eq!(of(&[column("n.a", "Array(UInt8)")]), None);
        let (what, mend) = of(&[column("n", "Nested(a UInt8, b String)")]).expect("a difference");
        assert_eq!(what, "column n of d.t is one column, not one for each element");
        assert_eq!(mend, "declare it as Array(Tuple(a UInt8, b String))");
        let (what, mend) = of(&[column("n.b", "Array(String)")]).expect("a difference");
        assert_eq!(what, "column `n.a` of d.t is missing");
        assert_eq!(mend, "ALTER TABLE d.t ADD COLUMN `n.a` Array(UInt8)");
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
            ("Array(LowCardinality(String))", "Array(LowCardinality(String))", true),
            ("Nested(a UInt8, b Nested(c String))", "Array(Tuple(a UInt8, b Array(Tuple(c String))))", true),
            (
                "Tuple(a LowCardinality(String), b Nested(c UInt8))",
                "Tuple(a String, b Array(Tuple(c UInt8)))",
                true,
            ),
            ("Tuple(a UInt8)", "Tuple(b UInt8)", false),
            ("Nullable(JSON)", "JSON", true),
            ("JSON(a UInt8)", "JSON", false),
            ("String", "JSON", false),
        ] {
            assert_eq!(takes(live, wanted), takes_it, "{live} for {wanted}");
        }
    }
}
