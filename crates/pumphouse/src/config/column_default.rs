//! The default of a column: what was written becomes the JSON value a record would have held, or is told to be
//! no value of the column's type. Does not decode; the decoder gives the default the same treatment as a field.

use std::net::{Ipv4Addr, Ipv6Addr};

use pumphouse_core::schema::ColumnType;
use serde_json::{Number, Value};

use super::said::{Entry, Node, Said, Scalar};
use super::scalar::Wrong;
use super::settings::EpochUnit;
use super::walk::Section;

/// Reads `default:` of a column. `None` after a mistake was told.
pub(super) fn read(
    node: &Node,
    column_type: &ColumnType,
    epoch: Option<EpochUnit>,
    section: &Section<'_>,
) -> Option<Value> {
    let path = section.key_path("default");
    match value_of(node, column_type, epoch) {
        Ok(value) => Some(value),
        Err(NoValue::Told) => None,
        Err(NoValue::Wrong(wrong)) => {
            let what = format!("is no `{column_type}`: {}", wrong.what);
            let wrong = Wrong { what, ..wrong };
            match &node.said {
                Said::Text(text) => section.walk.wrong_value(node.place, &path, text, wrong),
                _ => section.walk.mistake(
                    section.place_of("default"),
                    &path,
                    format!("the default {}", wrong.what),
                    wrong.suggestion,
                ),
            }
            None
        }
    }
}

enum NoValue {
    Told,
    Wrong(Wrong),
}

fn wrong<T>(what: impl Into<String>, suggestion: &str) -> Result<T, NoValue> {
    Err(NoValue::Wrong(Wrong::new(what, suggestion)))
}

fn value_of(node: &Node, column_type: &ColumnType, epoch: Option<EpochUnit>) -> Result<Value, NoValue> {
    match (&node.said, column_type) {
        (Said::Broken, _) => Err(NoValue::Told),
        (Said::Nothing, column_type) if column_type.is_nullable() => Ok(Value::Null),
        (Said::Nothing, _) => wrong("it can't be null", "make the type `Nullable(…)` or write a value"),
        (_, ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner)) => value_of(node, inner, epoch),
        (Said::List(nodes), ColumnType::Array(inner)) => {
            nodes.iter().map(|node| value_of(node, inner, epoch)).collect::<Result<_, _>>().map(Value::Array)
        }
        (Said::Map(entries), ColumnType::Map(_, inner)) => entries
            .iter()
            .map(|entry| Ok((entry.name.clone(), value_of(&entry.node, inner, epoch)?)))
            .collect::<Result<_, _>>()
            .map(Value::Object),
        (Said::Map(entries), ColumnType::Tuple(elements)) if is_named(elements) => {
            by_name(entries, elements, epoch)
        }
        (Said::List(nodes), ColumnType::Tuple(elements)) if !is_named(elements) => {
            by_place(nodes, elements, epoch)
        }
        (Said::List(nodes), ColumnType::Nested(elements)) => {
            let elements: Vec<_> =
                elements.iter().map(|(name, of)| (Some(name.clone()), of.clone())).collect();
            let object = ColumnType::Tuple(elements);
            nodes
                .iter()
                .map(|node| value_of(node, &object, epoch))
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
        (Said::Map(_), ColumnType::Json(_)) => any(node),
        (_, ColumnType::Array(_) | ColumnType::Nested(_)) => {
            wrong("it has to be a list", "for example `default: []`")
        }
        (_, ColumnType::Tuple(elements)) if is_named(elements) => {
            wrong("it has to be a map", "write a map with the elements' names")
        }
        (_, ColumnType::Tuple(_)) => {
            wrong("it has to be a list", "write a list with a value for each element")
        }
        (_, ColumnType::Json(_)) => wrong("it has to be a map", "for example `default: {}`"),
        (_, ColumnType::Map(..)) => wrong("it has to be a map", "for example `default: {}`"),
        (Said::Text(text), column_type) => scalar(text, column_type, epoch),
        (other, _) => wrong(format!("found {}", other.noun()), "write a single value"),
    }
}

/// The elements of a tuple: names, where all of them have one, and types.
type Elements = [(Option<String>, ColumnType)];

fn is_named(elements: &Elements) -> bool {
    elements.iter().all(|(name, _)| name.is_some())
}

fn by_name(entries: &[Entry], elements: &Elements, epoch: Option<EpochUnit>) -> Result<Value, NoValue> {
    let missing = elements.iter().find(|(name, of)| {
        !of.is_nullable() && !entries.iter().any(|entry| Some(&entry.name) == name.as_ref())
    });
    if let Some((Some(name), _)) = missing {
        return wrong(format!("the element `{name}` is missing"), "write it, or make it `Nullable(…)`");
    }
    let fields = entries.iter().map(|entry| {
        let element = elements.iter().find(|(name, _)| name.as_ref() == Some(&entry.name));
        match element {
            Some((_, of)) => Ok((entry.name.clone(), value_of(&entry.node, of, epoch)?)),
            None => wrong(format!("`{}` is no element of it", entry.name), "remove it"),
        }
    });
    fields.collect::<Result<_, _>>().map(Value::Object)
}

fn by_place(nodes: &[Node], elements: &Elements, epoch: Option<EpochUnit>) -> Result<Value, NoValue> {
    if nodes.len() != elements.len() {
        return wrong(format!("it has to have {} values", elements.len()), "write a value for each element");
    }
    let values = nodes.iter().zip(elements).map(|(node, (_, of))| value_of(node, of, epoch));
    values.collect::<Result<_, _>>().map(Value::Array)
}

/// A value of any shape, as for JSON: a plain text that is a JSON number or truth value is one.
fn any(node: &Node) -> Result<Value, NoValue> {
    match &node.said {
        Said::Broken => Err(NoValue::Told),
        Said::Nothing => Ok(Value::Null),
        Said::List(nodes) => nodes.iter().map(any).collect::<Result<_, _>>().map(Value::Array),
        Said::Map(entries) => {
            let fields = entries.iter().map(|entry| Ok((entry.name.clone(), any(&entry.node)?)));
            fields.collect::<Result<_, _>>().map(Value::Object)
        }
        Said::Text(text) if text.plain && !text.expanded && is_bool(&text.text) => {
            Ok(Value::Bool(text.text == "true"))
        }
        Said::Text(text) => {
            let number = json_number(&text.text).filter(|_| text.plain && !text.expanded);
            Ok(number.map_or_else(|| Value::from(text.text.as_str()), Value::Number))
        }
    }
}

fn scalar(text: &Scalar, column_type: &ColumnType, epoch: Option<EpochUnit>) -> Result<Value, NoValue> {
    let written = text.text.as_str();
    match column_type {
        ColumnType::Bool => match written {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => wrong("it is neither `true` nor `false`", ""),
        },
        ColumnType::String | ColumnType::FixedString(_) => {
            let is_other =
                text.plain && !text.expanded && (json_number(written).is_some() || is_bool(written));
            if is_other { wrong("it is not a text", "put it in quotes") } else { words(written, column_type) }
        }
        ColumnType::Enum8(_) | ColumnType::Enum16(_) => words(written, column_type),
        ColumnType::Ipv4 | ColumnType::Ipv6 => address(written, column_type),
        ColumnType::Uuid if is_uuid(written) => Ok(Value::from(written)),
        ColumnType::Uuid => wrong("it has not the form 8-4-4-4-12", ""),
        ColumnType::Date
        | ColumnType::Date32
        | ColumnType::DateTime { .. }
        | ColumnType::DateTime64 { .. } => time(text, column_type, epoch),
        ColumnType::Decimal { precision, scale } => decimal(text, *precision, *scale),
        _ if !text.plain => wrong("a text is not a number", "remove the quotes"),
        ColumnType::Float32 | ColumnType::Float64 => float(written, column_type),
        ColumnType::Int128 | ColumnType::Int256 | ColumnType::UInt128 | ColumnType::UInt256 => {
            wide(written, column_type)
        }
        integer => whole(written, integer),
    }
}

fn json_number(text: &str) -> Option<Number> {
    serde_json::from_str(text.trim()).ok()
}

fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "false")
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn float(written: &str, column_type: &ColumnType) -> Result<Value, NoValue> {
    let number = json_number(written).filter(|number| number.as_f64().is_some_and(f64::is_finite));
    let Some(number) = number else { return wrong("it is not a number", "") };
    let too_large = number.as_f64().is_some_and(|value| value.abs() > f64::from(f32::MAX));
    if *column_type == ColumnType::Float32 && too_large {
        return wrong("it is out of range", "");
    }
    Ok(Value::Number(number))
}

fn whole(written: &str, column_type: &ColumnType) -> Result<Value, NoValue> {
    let Ok(value) = written.parse::<i128>() else { return wrong("it is not a whole number", "") };
    let (least, most) = match column_type {
        ColumnType::Int8 => (i128::from(i8::MIN), i128::from(i8::MAX)),
        ColumnType::Int16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        ColumnType::Int32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        ColumnType::Int64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        ColumnType::UInt8 => (0, i128::from(u8::MAX)),
        ColumnType::UInt16 => (0, i128::from(u16::MAX)),
        ColumnType::UInt32 => (0, i128::from(u32::MAX)),
        _ => (0, i128::from(u64::MAX)),
    };
    let number = Number::from_i128(value).filter(|_| (least..=most).contains(&value));
    number.map_or_else(
        || wrong(format!("it is out of range, {least} to {most}"), ""),
        |number| Ok(Value::Number(number)),
    )
}

/// Kept as a text: JSON numbers would lose digits on the way.
fn wide(written: &str, column_type: &ColumnType) -> Result<Value, NoValue> {
    let (negative, digits) = written.strip_prefix('-').map_or((false, written), |digits| (true, digits));
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty();
    if !is_whole || (digits.starts_with('0') && digits != "0") {
        return wrong("it is not a whole number", "");
    }
    let (most, least) = match column_type {
        ColumnType::Int128 => (INT_128_MAX, Some(INT_128_MIN)),
        ColumnType::Int256 => (INT_256_MAX, Some(INT_256_MIN)),
        ColumnType::UInt128 => (UINT_128_MAX, None),
        _ => (UINT_256_MAX, None),
    };
    let limit = if negative { least.unwrap_or("0") } else { most };
    if (digits.len(), digits) > (limit.len(), limit) {
        return wrong("it is out of range", "");
    }
    Ok(Value::from(written))
}

const INT_128_MAX: &str = "170141183460469231731687303715884105727";
const INT_128_MIN: &str = "170141183460469231731687303715884105728";
const UINT_128_MAX: &str = "340282366920938463463374607431768211455";
const INT_256_MAX: &str = "57896044618658097711785492504343953926634992332820282019728792003956564819967";
const INT_256_MIN: &str = "57896044618658097711785492504343953926634992332820282019728792003956564819968";
const UINT_256_MAX: &str = "115792089237316195423570985008687907853269984665640564039457584007913129639935";

/// A text of which the type takes only some.
fn words(written: &str, column_type: &ColumnType) -> Result<Value, NoValue> {
    let is_name = match column_type {
        ColumnType::Enum8(names) => names.iter().any(|(name, _)| name == written),
        ColumnType::Enum16(names) => names.iter().any(|(name, _)| name == written),
        ColumnType::FixedString(bytes) if written.len() > usize::try_from(*bytes).unwrap_or(usize::MAX) => {
            return wrong(format!("it has more than {bytes} bytes"), "");
        }
        _ => true,
    };
    if is_name { Ok(Value::from(written)) } else { wrong("it is none of its names", "write one of them") }
}

fn address(written: &str, column_type: &ColumnType) -> Result<Value, NoValue> {
    let is_short = written.parse::<Ipv4Addr>().is_ok();
    let is_long = *column_type == ColumnType::Ipv6 && written.parse::<Ipv6Addr>().is_ok();
    if is_short || is_long { Ok(Value::from(written)) } else { wrong("it is not an IP address", "") }
}

/// Kept as a text: JSON numbers would lose digits on the way.
fn decimal(text: &Scalar, precision: u8, scale: u8) -> Result<Value, NoValue> {
    let digits = text.text.strip_prefix('-').unwrap_or(&text.text);
    let (before, after) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(before) || !all_digits(after) {
        return wrong("it is not a decimal number", "");
    }
    if after.trim_end_matches('0').len() > usize::from(scale) {
        return wrong(format!("it has more than {scale} digits after the point"), "");
    }
    if before.trim_start_matches('0').len() > usize::from(precision - scale) {
        return wrong("it is out of range", "");
    }
    Ok(Value::from(text.text.as_str()))
}

fn time(text: &Scalar, column_type: &ColumnType, epoch: Option<EpochUnit>) -> Result<Value, NoValue> {
    let written = text.text.as_str();
    if let (true, Some(number)) = (text.plain, json_number(written)) {
        let suggestion = "add `epoch`, or write the date as a text";
        return if epoch.is_some() {
            Ok(Value::Number(number))
        } else {
            wrong("a bare number has no unit", suggestion)
        };
    }
    let date = match column_type {
        ColumnType::Date | ColumnType::Date32 => {
            written.parse::<jiff::civil::Date>().ok().filter(|_| written.len() == 10)
        }
        _ => date_of_time(written),
    };
    let Some(date) = date else {
        return wrong(
            "it is not a date or time",
            "write `2026-11-01` for a date, `2026-11-01T12:00:00Z` for a time",
        );
    };
    let years = match column_type {
        ColumnType::Date => 1970..=2149,
        ColumnType::DateTime { .. } => 1970..=2106,
        _ => 1900..=2299,
    };
    if !years.contains(&date.year()) {
        return wrong(format!("it is out of range, {} to {}", years.start(), years.end()), "");
    }
    Ok(Value::from(written))
}

fn date_of_time(written: &str) -> Option<jiff::civil::Date> {
    // A date alone, or one with a zone in brackets, is no form a record may have either.
    let has_time = matches!(written.as_bytes().get(10), Some(b'T' | b' ')) && !written.contains('[');
    let stamp = written.parse::<jiff::Timestamp>().ok().filter(|_| has_time);
    let stamped = stamp.map(|stamp| jiff::tz::Offset::UTC.to_datetime(stamp).date());
    stamped.or_else(|| {
        written.parse::<jiff::civil::DateTime>().ok().filter(|_| has_time).map(jiff::civil::DateTime::date)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::said;

    fn value(yaml: &str, column_type: &str) -> Result<Value, String> {
        let Ok(node) = said::read(yaml) else { return Err("not YAML".to_owned()) };
        let column_type = column_type.parse().map_err(|error| format!("{error}"))?;
        value_of(&node, &column_type, None).map_err(|error| match error {
            NoValue::Told => "told".to_owned(),
            NoValue::Wrong(wrong) => wrong.what,
        })
    }

    #[test]
    fn a_default_that_fits_becomes_the_json_a_record_would_hold() {
        for (yaml, column_type, json) in [
            ("unknown", "LowCardinality(String)", "\"unknown\""),
            ("\"5\"", "String", "\"5\""),
            ("null", "Nullable(UInt8)", "null"),
            ("18446744073709551615", "UInt64", "18446744073709551615"),
            ("-128", "Int8", "-128"),
            ("1.50", "Decimal(10, 2)", "\"1.50\""),
            ("1e3", "Float64", "1000.0"),
            ("[1, 2]", "Array(UInt8)", "[1,2]"),
            ("{ a: b }", "Map(String, String)", "{\"a\":\"b\"}"),
            ("2026-11-01", "Date", "\"2026-11-01\""),
            ("2026-11-01 12:00:00", "DateTime", "\"2026-11-01 12:00:00\""),
            ("false", "Bool", "false"),
            ("{ a: 1 }", "Tuple(a UInt8, b Nullable(String))", "{\"a\":1}"),
            ("[1, x]", "Tuple(UInt8, String)", "[1,\"x\"]"),
            ("[]", "Nested(a UInt8)", "[]"),
            ("[{ a: 1, b: [] }]", "Nested(a UInt8, b Array(String))", "[{\"a\":1,\"b\":[]}]"),
            (
                "{ a: [{ b: [x] }] }",
                "Map(String, Array(Tuple(b Tuple(String))))",
                "{\"a\":[{\"b\":[\"x\"]}]}",
            ),
            ("{}", "JSON", "{}"),
            (
                "{ a: 1, b: [x, true, null, \"1\"], c: { d: 0.5 } }",
                "JSON",
                "{\"a\":1,\"b\":[\"x\",true,null,\"1\"],\"c\":{\"d\":0.5}}",
            ),
            ("2299-12-31", "Date32", "\"2299-12-31\""),
            (INT_128_MAX, "Int128", "\"170141183460469231731687303715884105727\""),
            (
                "-170141183460469231731687303715884105728",
                "Int128",
                "\"-170141183460469231731687303715884105728\"",
            ),
            ("-0", "UInt256", "\"-0\""),
            ("b", "Enum8('a' = 1, 'b' = 2)", "\"b\""),
            ("5", "Enum16('5' = 1)", "\"5\""),
            ("EUR", "LowCardinality(FixedString(3))", "\"EUR\""),
            ("0.0.0.0", "IPv4", "\"0.0.0.0\""),
            ("\"::1\"", "IPv6", "\"::1\""),
            ("192.0.2.1", "Nullable(IPv6)", "\"192.0.2.1\""),
        ] {
            assert_eq!(
                value(yaml, column_type).map(|value| value.to_string()),
                Ok(json.to_owned()),
                "{yaml} {column_type}"
            );
        }
    }

    #[test]
    fn a_default_of_another_type_is_a_mistake() {
        for (yaml, column_type) in [
            ("5", "String"),
            ("true", "LowCardinality(String)"),
            ("null", "String"),
            ("256", "UInt8"),
            ("-1", "UInt64"),
            ("18446744073709551616", "UInt64"),
            ("\"5\"", "UInt8"),
            ("0x10", "UInt8"),
            ("1.5", "Int32"),
            (".inf", "Float64"),
            ("1e300", "Float32"),
            ("1.234", "Decimal(10, 2)"),
            ("123456789", "Decimal(10, 2)"),
            ("yes", "Bool"),
            ("1700000000", "DateTime"),
            ("1969-12-31", "Date"),
            ("2026-13-01", "Date"),
            ("2026-11-01", "DateTime"),
            ("x", "Array(String)"),
            ("[a]", "Map(String, String)"),
            ("[a, null]", "Array(String)"),
            ("{ a: b }", "String"),
            ("1234", "UUID"),
            ("{}", "Tuple(a UInt8)"),
            ("{ a: 1, c: 2 }", "Tuple(a UInt8, b Nullable(String))"),
            ("{ a: x }", "Tuple(a UInt8)"),
            ("[1]", "Tuple(a UInt8)"),
            ("[1]", "Tuple(UInt8, UInt8)"),
            ("{ a: 1 }", "Tuple(UInt8)"),
            ("{}", "Nested(a UInt8)"),
            ("[{}]", "Nested(a UInt8)"),
            ("[]", "JSON"),
            ("x", "JSON"),
            ("null", "JSON"),
            ("2300-01-01", "Date32"),
            ("1899-12-31", "Date32"),
            ("170141183460469231731687303715884105728", "Int128"),
            ("-170141183460469231731687303715884105729", "Int128"),
            ("-1", "UInt128"),
            ("007", "UInt256"),
            ("1.0", "Int256"),
            ("115792089237316195423570985008687907853269984665640564039457584007913129639936", "UInt256"),
            ("c", "Enum8('a' = 1, 'b' = 2)"),
            ("1", "Enum8('a' = 1, 'b' = 2)"),
            ("EURO", "FixedString(3)"),
            ("192.168.010.001", "IPv4"),
            ("\"::1\"", "IPv4"),
            ("localhost", "IPv6"),
        ] {
            assert!(value(yaml, column_type).is_err(), "{yaml} for {column_type}");
        }
    }
}
