//! One column type against what a JSON Schema says of its values. A table of types: what each takes is in
//! docs/guide/types.md.

use pumphouse_core::schema::ColumnType;
use serde_json::Value;

use super::schema_fit::{Finding, Place, Severity};
use super::schema_ways::{ARRAY, BOOLEAN, FRACTION, Kinds, NULL, OBJECT, TEXT, WHOLE, Way, Ways, in_words};
use super::settings::Numbers;

/// Adds what is different between a type and the values at a place `inside` the column's own.
pub(super) fn compare(
    column_type: &ColumnType,
    ways: &Ways<'_>,
    inside: &str,
    place: &Place<'_>,
    findings: &mut Vec<Finding>,
) {
    let there: Vec<&Way<'_>> = ways.all.iter().filter(|way| !way.is_forbidden).collect();
    let plain = innermost(column_type);
    let mut tell = |severity, what: String, suggestion: &str| {
        let finding = place.finding(severity, inside, what, suggestion);
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    };
    if there.iter().any(|way| !way.says_kind()) {
        let what = format!(
            "the schema does not say its type, and a `{plain}` takes {}",
            in_words(taken(plain, place))
        );
        tell(Severity::Note, what, "say its `type`");
    }
    for way in there.iter().filter(|way| way.says_kind()) {
        of_kinds(column_type, way.kinds(), place, &mut tell);
        of_values(plain, way, place, &mut tell);
    }
    let there = ways.only(there.into_iter().cloned().collect());
    inner(plain, &there, inside, place, findings);
}

type Tell<'t> = dyn FnMut(Severity, String, &str) + 't;

/// The type without what says that it may be null or is stored as a dictionary.
fn innermost(column_type: &ColumnType) -> &ColumnType {
    match column_type {
        ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) => innermost(inner),
        other => other,
    }
}

/// The kinds of value that a type takes.
fn taken(plain: &ColumnType, place: &Place<'_>) -> Kinds {
    let is_coerced = place.stream.numbers == Numbers::Coerce;
    let coerced = |kinds| if is_coerced { kinds } else { 0 };
    match plain {
        ColumnType::Bool => BOOLEAN | coerced(WHOLE | TEXT),
        ColumnType::Int64
        | ColumnType::UInt64
        | ColumnType::Int128
        | ColumnType::UInt128
        | ColumnType::Int256
        | ColumnType::UInt256 => WHOLE | TEXT | coerced(BOOLEAN),
        ColumnType::Float32 | ColumnType::Float64 => WHOLE | FRACTION | coerced(TEXT),
        ColumnType::Decimal { .. } => WHOLE | FRACTION | TEXT,
        ColumnType::String | ColumnType::FixedString(_) => TEXT | coerced(WHOLE | FRACTION | BOOLEAN),
        ColumnType::Enum8(_) | ColumnType::Enum16(_) => TEXT | coerced(WHOLE),
        ColumnType::Uuid | ColumnType::Ipv4 | ColumnType::Ipv6 => TEXT,
        ColumnType::Date
        | ColumnType::Date32
        | ColumnType::DateTime { .. }
        | ColumnType::DateTime64 { .. } => {
            if place.column.epoch.is_some() {
                TEXT | WHOLE | FRACTION
            } else {
                TEXT
            }
        }
        ColumnType::Array(_) | ColumnType::Nested(_) => ARRAY,
        ColumnType::Map(..) | ColumnType::Json(_) => OBJECT,
        ColumnType::Tuple(elements) if elements.iter().any(|(name, _)| name.is_none()) => ARRAY,
        ColumnType::Tuple(_) => OBJECT,
        _ => WHOLE | coerced(TEXT | BOOLEAN),
    }
}

fn of_kinds(column_type: &ColumnType, kinds: Kinds, place: &Place<'_>, tell: &mut Tell<'_>) {
    if kinds & NULL != 0 && !column_type.is_nullable() {
        let what = format!("the schema allows null, and the column is `{column_type}`");
        tell(Severity::Disagree, what, "make the column's type Nullable, or forbid null in the schema");
    }
    let (kinds, taken) = (kinds & !NULL, taken(innermost(column_type), place));
    let other = kinds & !taken;
    if other == 0 {
        return;
    }
    let what = if kinds & taken == 0 {
        format!("the schema says {}, which is never a `{column_type}`", in_words(kinds))
    } else {
        format!("the schema allows {} as well, which a `{column_type}` does not take", in_words(other))
    };
    let suggestion = if place.column.epoch.is_none() && is_time(innermost(column_type)) && other & WHOLE != 0
    {
        "say by `epoch` what a number means, or correct the type"
    } else {
        "correct the column's type, or the schema's"
    };
    tell(Severity::Disagree, what, suggestion);
}

fn is_time(plain: &ColumnType) -> bool {
    matches!(
        plain,
        ColumnType::Date | ColumnType::Date32 | ColumnType::DateTime { .. } | ColumnType::DateTime64 { .. }
    )
}

fn of_values(plain: &ColumnType, way: &Way<'_>, place: &Place<'_>, tell: &mut Tell<'_>) {
    let kinds = way.kinds() & taken(plain, place);
    match plain {
        ColumnType::Enum8(names) if kinds & TEXT != 0 => {
            of_names(way, |name| names.iter().any(|(known, _)| known == name), tell);
        }
        ColumnType::Enum16(names) if kinds & TEXT != 0 => {
            of_names(way, |name| names.iter().any(|(known, _)| known == name), tell);
        }
        ColumnType::FixedString(bytes) if kinds & TEXT != 0 => of_length(way, u64::from(*bytes), tell),
        ColumnType::Uuid => of_form(way, &["uuid"], "a UUID", tell),
        ColumnType::Ipv4 => of_form(way, &["ipv4"], "an IPv4 address", tell),
        ColumnType::Ipv6 => of_form(way, &["ipv6", "ipv4"], "an IP address", tell),
        ColumnType::Date | ColumnType::Date32 if kinds & TEXT != 0 => of_form(way, &["date"], "a date", tell),
        ColumnType::DateTime { .. } | ColumnType::DateTime64 { .. } if kinds & TEXT != 0 => {
            of_form(way, &["date-time"], "a date with a time", tell);
        }
        plain if is_whole(plain) && kinds & TEXT != 0 => {
            of_form(way, &[], "the digits of a whole number", tell);
        }
        _ => {}
    }
    if let (Some(range), true) = (range(plain), kinds & WHOLE != 0) {
        of_range(way, plain, range, tell);
    }
}

fn of_names(way: &Way<'_>, knows: impl Fn(&str) -> bool, tell: &mut Tell<'_>) {
    let Some(values) = way.values() else {
        let what = "the schema allows any text, and the column takes the names of its enum".to_owned();
        return tell(Severity::Note, what, "list the names in the schema's `enum`");
    };
    let other: Vec<&str> = values.into_iter().filter_map(Value::as_str).filter(|name| !knows(name)).collect();
    if !other.is_empty() {
        let what = format!("the schema allows `{}`, no name of the column's enum", other.join("`, `"));
        tell(Severity::Disagree, what, "add it to the type, or take it from the schema");
    }
}

fn of_length(way: &Way<'_>, bytes: u64, tell: &mut Tell<'_>) {
    let too_long = |value: &&Value| value.as_str().is_some_and(|text| text.len() as u64 > bytes);
    let longest = way.said("maxLength").filter_map(Value::as_u64).min();
    match (way.values(), longest) {
        (Some(values), _) if values.iter().any(too_long) => {
            tell(
                Severity::Disagree,
                format!("the schema allows texts of more than {bytes} bytes"),
                "make the column wider",
            );
        }
        (Some(_), _) => {}
        (None, Some(longest)) if longest > bytes => {
            let what = format!("the schema allows {longest} characters, and the column holds {bytes} bytes");
            tell(Severity::Disagree, what, "make the column wider, or lower `maxLength`");
        }
        (None, Some(longest)) if longest.saturating_mul(4) > bytes => {
            let what = format!("the schema counts {longest} characters, and the column {bytes} bytes");
            tell(Severity::Note, what, "leave room for characters of several bytes, or allow ASCII alone");
        }
        (None, Some(_)) => {}
        (None, None) => {
            let what = format!("the schema allows texts of any length, and the column holds {bytes} bytes");
            tell(Severity::Note, what, "say a `maxLength`");
        }
    }
}

fn of_form(way: &Way<'_>, formats: &[&str], noun: &str, tell: &mut Tell<'_>) {
    let named: Vec<&str> = way.said("format").filter_map(Value::as_str).collect();
    if named.iter().any(|name| formats.contains(name)) || way.values().is_some() {
        return;
    }
    if let Some(other) = named.first() {
        let what = format!("the schema says `format: {other}`, and the column takes {noun}");
        tell(Severity::Disagree, what, "correct the column's type, or the schema's `format`");
    } else if way.said("pattern").next().is_none() {
        let what = format!("the schema allows any text, and the column takes {noun}");
        let suggestion =
            formats.first().map_or("say a `pattern`".to_owned(), |name| format!("say `format: {name}`"));
        tell(Severity::Note, what, &suggestion);
    }
}

fn is_whole(plain: &ColumnType) -> bool {
    use ColumnType::{Int128, Int256, UInt128, UInt256};
    range(plain).is_some() || matches!(plain, Int128 | Int256 | UInt128 | UInt256)
}

/// The whole numbers of a type of up to 64 bits.
fn range(plain: &ColumnType) -> Option<(i128, i128)> {
    Some(match plain {
        ColumnType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        ColumnType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        ColumnType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        ColumnType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        ColumnType::UInt8 => (0, u8::MAX.into()),
        ColumnType::UInt16 => (0, u16::MAX.into()),
        ColumnType::UInt32 => (0, u32::MAX.into()),
        ColumnType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

fn of_range(way: &Way<'_>, plain: &ColumnType, (least, most): (i128, i128), tell: &mut Tell<'_>) {
    let suggestion = "take a wider type, or say `minimum` and `maximum`";
    if let Some(values) = way.values() {
        let outside = |value: &&&Value| whole(value).is_some_and(|value| !(least..=most).contains(&value));
        if let Some(value) = values.iter().find(outside) {
            tell(
                Severity::Disagree,
                format!("the schema allows {value}, and a `{plain}` ends at {least} and {most}"),
                suggestion,
            );
        }
        return;
    }
    let bound = |plain: &str, exclusive: &str, step: i128| {
        let excluded = way.said(exclusive).filter_map(whole).map(move |value| value + step);
        way.said(plain).filter_map(whole).chain(excluded).collect::<Vec<i128>>()
    };
    let lower = bound("minimum", "exclusiveMinimum", 1).into_iter().max();
    let upper = bound("maximum", "exclusiveMaximum", -1).into_iter().min();
    if lower.is_some_and(|lower| lower < least) || upper.is_some_and(|upper| upper > most) {
        let shown = |bound: Option<i128>| bound.map_or("any".to_owned(), |bound| bound.to_string());
        let what = format!(
            "the schema allows {} to {}, and a `{plain}` {least} to {most}",
            shown(lower),
            shown(upper)
        );
        tell(Severity::Disagree, what, suggestion);
    } else if (lower.is_none() && least == 0) || (upper.is_none() && most <= i128::from(u32::MAX)) {
        let what = format!("the schema does not bound it, and a `{plain}` holds {least} to {most}");
        tell(Severity::Note, what, suggestion);
    }
}

/// A bound of whole numbers; one with a fraction is rounded towards zero.
fn whole(value: &Value) -> Option<i128> {
    let exactly = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    exactly.or_else(|| {
        let value = value.as_f64().filter(|value| value.abs() < 1e30)?;
        #[expect(clippy::cast_possible_truncation, reason = "it fits, and the fraction decides nothing")]
        Some(value as i128)
    })
}

/// What is inside arrays, maps and tuples.
fn inner(plain: &ColumnType, ways: &Ways<'_>, inside: &str, place: &Place<'_>, findings: &mut Vec<Finding>) {
    let mut fields = |ways: &Ways<'_>, inside: &str, elements: Vec<(&str, &ColumnType)>| {
        for (name, of) in elements {
            let (ways, inside) = (ways.field(name), format!("{inside}.{name}"));
            let is_missing = ways.all.iter().any(|way| way.may_be_missing) && !of.is_nullable();
            if is_missing {
                let what = "the schema does not require it, and the element takes no NULL".to_owned();
                let suggestion = "require it in the schema, or make the element's type Nullable";
                findings.push(place.finding(Severity::Disagree, &inside, what, suggestion));
            }
            compare(of, &ways, &inside, place, findings);
        }
    };
    match plain {
        ColumnType::Tuple(elements) => {
            let named = elements.iter().filter_map(|(name, of)| Some((name.as_deref()?, of))).collect();
            fields(ways, inside, named);
        }
        ColumnType::Nested(elements) => {
            let named = elements.iter().map(|(name, of)| (name.as_str(), of)).collect();
            fields(&ways.inside("items"), &format!("{inside}[]"), named);
        }
        ColumnType::Array(of) => {
            compare(of, &ways.inside("items"), &format!("{inside}[]"), place, findings);
        }
        ColumnType::Map(_, of) => {
            compare(of, &ways.inside("additionalProperties"), &format!("{inside}{{}}"), place, findings);
        }
        _ => {}
    }
}
