//! `when` of a table as written: which records it takes. Knows neither the columns nor the other tables; what must
//! hold among the conditions of a stream is decided in `tables`.

use serde_json::{Number, Value};

use super::declared_stream::ASKED;
use super::said::{Entry, Node, Place, Said, Scalar};
use super::scalar::{self, Wrong};
use super::settings::{Condition, Matches, When};
use super::walk::{Section, Told, Walk};

/// The word for the records that no table with conditions takes.
pub(super) const OTHERWISE: &str = "otherwise";

/// Reads `when` of a table: none where every record is taken.
pub(super) fn read(table: &Section<'_>) -> Result<Option<When>, Told> {
    let Some(node) = table.node("when") else { return Ok(None) };
    let (place, path) = (table.place_of("when"), table.key_path("when"));
    match &node.said {
        Said::Text(text) if text.text.trim() == OTHERWISE => return Ok(Some(When::Otherwise)),
        Said::Text(text) => {
            let suggestion = "write `otherwise`, or a map such as `{ kind: click }`";
            table.walk.wrong_value(node.place, &path, text, Wrong::new("is no condition", suggestion));
        }
        Said::Map(entries) if !entries.is_empty() => {
            // All are read before the first failure ends it: every mistake is told.
            let conditions: Vec<_> = entries.iter().map(|entry| asked_of(entry, &path, table.walk)).collect();
            let conditions: Option<Vec<_>> = conditions.into_iter().collect();
            return Ok(Some(When::All(conditions.ok_or(Told)?.into_iter().flatten().collect())));
        }
        Said::Broken => {}
        Said::List(_) => {
            let suggestion = "write a map such as `{ kind: click }`";
            table.walk.mistake(place, &path, "expected a map, found a list", suggestion);
        }
        Said::Nothing | Said::Map(_) => {
            let suggestion = "name a field, or remove `when` to take every record";
            table.walk.mistake(place, &path, "no condition", suggestion);
        }
    }
    Err(Told)
}

/// The conditions on one field: two where it has to be there and to be none of some values.
fn asked_of(entry: &Entry, above: &str, walk: &Walk<'_>) -> Option<Vec<Condition>> {
    let path = Walk::join(above, &entry.name);
    let field: Vec<String> = entry.name.split('.').map(str::to_owned).collect();
    if field.iter().any(|part| part.trim().is_empty()) {
        let suggestion = "write the names of the fields with a dot between, such as `geo.country`";
        walk.mistake(entry.place, &path, "a part of the path is empty", suggestion);
        return None;
    }
    let asked = match &entry.node.said {
        Said::Map(_) => by_map(entry, &path, walk)?,
        _ => vec![Matches::AnyOf(literals(&entry.node, entry.place, &path, walk)?)],
    };
    Some(asked.into_iter().map(|is| Condition { field: field.clone(), is }).collect())
}

/// `{ not: … }`, `{ exists: … }`, or both.
fn by_map(entry: &Entry, path: &str, walk: &Walk<'_>) -> Option<Vec<Matches>> {
    let section = Section::open(walk, path.to_owned(), entry.place, Some(&entry.node), ASKED)?;
    let none_of = match section.node("not") {
        Some(node) => Some(literals(node, section.place_of("not"), &section.key_path("not"), walk)?),
        None => None,
    };
    let exists = if section.is_set("exists") { Some(section.flag("exists")?) } else { None };
    let there = exists.map(|exists| if exists { Matches::Present } else { Matches::Absent });
    let asked: Vec<Matches> = none_of.map(Matches::NoneOf).into_iter().chain(there).collect();
    if asked.is_empty() && !section.is_mistyped("not") && !section.is_mistyped("exists") {
        let suggestion = "write a value, `{ not: value }` or `{ exists: true }`";
        walk.mistake(entry.place, path, "asks nothing of the field", suggestion);
    }
    (!asked.is_empty()).then_some(asked)
}

/// One value or a list of them; never empty.
fn literals(node: &Node, key: Place, path: &str, walk: &Walk<'_>) -> Option<Vec<Value>> {
    let nodes = match &node.said {
        Said::List(nodes) if nodes.is_empty() => {
            walk.mistake(key, path, "an empty list, which nothing is in", "name at least one value");
            return None;
        }
        Said::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let values: Vec<_> = nodes.iter().map(|node| literal(node, key, path, walk)).collect();
    values.into_iter().collect()
}

fn literal(node: &Node, key: Place, path: &str, walk: &Walk<'_>) -> Option<Value> {
    let (what, suggestion) = match &node.said {
        Said::Text(text) => match value_of(text) {
            Ok(value) => return Some(value),
            Err(wrong) => {
                walk.wrong_value(node.place, path, text, wrong);
                return None;
            }
        },
        Said::Broken => return None,
        Said::Nothing => {
            ("null is equal to nothing", "write `{ exists: false }` for a field that is missing or null")
        }
        Said::List(_) | Said::Map(_) => {
            ("a list or a map is equal to nothing", "compare with texts, numbers, `true` or `false`")
        }
    };
    walk.mistake(key, path, what, suggestion);
    None
}

/// What a scalar is in JSON: without quotes a number or a boolean where it looks like one.
fn value_of(text: &Scalar) -> Result<Value, Wrong> {
    let written = text.text.as_str();
    if !text.plain {
        return Ok(Value::from(written));
    }
    if let Ok(flag @ (true | false)) = scalar::flag(written, &super::keys::Kind::Flag) {
        return Ok(Value::Bool(flag));
    }
    if !looks_like_a_number(written) {
        return Ok(Value::from(written));
    }
    let number = serde_json::from_str::<Number>(written).map_err(|_| {
        Wrong::new("is not a number as JSON writes it", "put it in quotes if it is meant as a text")
    })?;
    let is_whole = !written.contains(['.', 'e', 'E']);
    if is_whole && !number.is_i64() && !number.is_u64() {
        let suggestion = "compare with a number of at most 64 bits, or with a text in quotes";
        return Err(Wrong::new("is too large to be compared digit for digit", suggestion));
    }
    Ok(Value::Number(number))
}

/// Whether YAML would take it for a number.
fn looks_like_a_number(written: &str) -> bool {
    let unsigned = written.strip_prefix(['+', '-']).unwrap_or(written);
    let other_base = |digits: Option<&str>, radix| {
        digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    let is_decimal = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && written.parse::<f64>().is_ok();
    is_decimal
        || other_base(written.strip_prefix("0x"), 16)
        || other_base(written.strip_prefix("0o"), 8)
        || matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, plain: bool) -> Result<Value, String> {
        let scalar = Scalar { text: text.to_owned(), plain, expanded: false };
        value_of(&scalar).map_err(|wrong| wrong.what)
    }

    #[test]
    fn a_value_is_what_json_would_hold() {
        for (text, json) in [
            ("click", "\"click\""),
            ("5", "5"),
            ("-5", "-5"),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("18446744073709551615", "18446744073709551615"),
            ("true", "true"),
            ("yes", "\"yes\""),
            ("1.2.3", "\"1.2.3\""),
            ("2026-11-01", "\"2026-11-01\""),
            ("10.0.0.1", "\"10.0.0.1\""),
            ("infinity", "\"infinity\""),
            ("-", "\"-\""),
        ] {
            assert_eq!(value(text, true).map(|value| value.to_string()), Ok(json.to_owned()), "{text}");
        }
        assert_eq!(value("5", false), Ok(Value::from("5")));
        assert_eq!(value("true", false), Ok(Value::from("true")));
    }

    #[test]
    fn what_yaml_alone_takes_for_a_number_is_no_guess() {
        for text in ["007", "+5", ".5", "5.", "0x10", "0o7", ".inf", "-.INF", ".nan", "1e999"] {
            assert!(value(text, true).is_err(), "{text}");
            assert!(value(text, false).is_ok(), "{text}");
        }
        assert!(value("18446744073709551616", true).is_err_and(|what| what.contains("too large")));
    }
}
