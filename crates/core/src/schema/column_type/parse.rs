//! From text to type: names, arguments, nesting. Refuses what ClickHouse would refuse.

use std::str::FromStr;

use super::{ColumnType, UnknownType};

impl FromStr for ColumnType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let text = text.trim();
        let (name, arguments) = split_arguments(text)?;
        match arguments {
            None => plain(name),
            Some(arguments) => parametric(name, &arguments),
        }
    }
}

/// Splits `Name(a, b)` into the name and its top-level arguments.
fn split_arguments(text: &str) -> Result<(&str, Option<Vec<&str>>), UnknownType> {
    let Some(open) = text.find('(') else { return Ok((text, None)) };
    let inner = text[open + 1..].strip_suffix(')').ok_or_else(|| UnknownType::Name(text.to_owned()))?;
    let arguments = split_list(inner).ok_or_else(|| UnknownType::Name(text.to_owned()))?;
    Ok((text[..open].trim(), Some(arguments)))
}

/// Splits at commas that stand in no parentheses and no quotes; none where those do not close.
fn split_list(inner: &str) -> Option<Vec<&str>> {
    let (mut depth, mut quote, mut escaped, mut from) = (0_usize, None, false, 0_usize);
    let mut arguments = Vec::new();
    for (at, byte) in inner.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), _) if open == byte => quote = None,
            (None, b'\'' | b'`') => quote = Some(byte),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.checked_sub(1)?,
            (None, b',') if depth == 0 => {
                arguments.push(inner[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    arguments.push(inner[from..].trim());
    (depth == 0 && quote.is_none()).then_some(arguments)
}

fn plain(name: &str) -> Result<ColumnType, UnknownType> {
    Ok(match name {
        "Bool" => ColumnType::Bool,
        "Int8" => ColumnType::Int8,
        "Int16" => ColumnType::Int16,
        "Int32" => ColumnType::Int32,
        "Int64" => ColumnType::Int64,
        "UInt8" => ColumnType::UInt8,
        "UInt16" => ColumnType::UInt16,
        "UInt32" => ColumnType::UInt32,
        "UInt64" => ColumnType::UInt64,
        "Int128" => ColumnType::Int128,
        "Int256" => ColumnType::Int256,
        "UInt128" => ColumnType::UInt128,
        "UInt256" => ColumnType::UInt256,
        "Float32" => ColumnType::Float32,
        "Float64" => ColumnType::Float64,
        "String" => ColumnType::String,
        "UUID" => ColumnType::Uuid,
        "IPv4" => ColumnType::Ipv4,
        "IPv6" => ColumnType::Ipv6,
        "Date32" => ColumnType::Date32,
        "JSON" => ColumnType::Json(None),
        "Date" => ColumnType::Date,
        "DateTime" => ColumnType::DateTime { zone: None },
        "DateTime64" => ColumnType::DateTime64 { precision: 3, zone: None },
        other => return Err(UnknownType::Name(other.to_owned())),
    })
}

fn parametric(name: &str, arguments: &[&str]) -> Result<ColumnType, UnknownType> {
    let wrong = |expected| UnknownType::Arguments { name: name.to_owned(), expected };
    match (name, arguments) {
        ("Decimal", [precision, scale]) => decimal(precision.parse().ok(), scale.parse().ok()),
        ("Decimal", [precision]) => decimal(precision.parse().ok(), Some(0)),
        ("Decimal32", [scale]) => decimal(Some(9), scale.parse().ok()),
        ("Decimal64", [scale]) => decimal(Some(18), scale.parse().ok()),
        ("Decimal128", [scale]) => decimal(Some(38), scale.parse().ok()),
        ("Decimal256", [scale]) => decimal(Some(76), scale.parse().ok()),
        ("DateTime", [zone]) => {
            Ok(ColumnType::DateTime { zone: Some(quoted(zone).ok_or_else(|| wrong("a quoted time zone"))?) })
        }
        ("DateTime64", [precision, rest @ ..]) if rest.len() <= 1 => {
            let precision = precision.parse().ok().filter(|p| *p <= 9);
            let precision = precision.ok_or_else(|| wrong("a precision of 0 to 9 and a quoted time zone"))?;
            let zone = rest
                .first()
                .map(|zone| quoted(zone).ok_or_else(|| wrong("a quoted time zone")))
                .transpose()?;
            Ok(ColumnType::DateTime64 { precision, zone })
        }
        ("LowCardinality", [inner]) => low_cardinality(inner.parse()?),
        ("Nullable", [inner]) => nullable(inner.parse()?),
        ("Array", [inner]) => Ok(ColumnType::Array(Box::new(inner.parse()?))),
        ("Map", [key, value]) => map(key.parse()?, value.parse()?),
        ("FixedString", [bytes]) => {
            let bytes = bytes.parse().ok().filter(|bytes| (1..=0x00FF_FFFF).contains(bytes));
            bytes.map(ColumnType::FixedString).ok_or_else(|| wrong("a number of bytes, 1 to 16777215"))
        }
        ("Enum" | "Enum8" | "Enum16", names) => enumeration(name, names).ok_or_else(|| {
            wrong("quoted names, each once, with numbers that fit, such as `'a' = 1, 'b' = 2`")
        }),
        ("Tuple", elements) => tuple(elements),
        ("Nested", elements) => nested(elements),
        ("JSON", arguments) => json(arguments),
        ("Decimal", _) => Err(wrong("a precision of 1 to 76 and a scale")),
        ("LowCardinality" | "Nullable" | "Array", _) => Err(wrong("one type")),
        ("Map", _) => Err(wrong("a key type and a value type")),
        _ => Err(UnknownType::Name(name.to_owned())),
    }
}

fn decimal(precision: Option<u8>, scale: Option<u8>) -> Result<ColumnType, UnknownType> {
    match (precision, scale) {
        (Some(precision @ 1..=76), Some(scale)) if scale <= precision => {
            Ok(ColumnType::Decimal { precision, scale })
        }
        _ => Err(UnknownType::Arguments {
            name: "Decimal".to_owned(),
            expected: "a precision of 1 to 76 and a scale of at most the precision",
        }),
    }
}

fn quoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    (!inner.is_empty()).then(|| inner.to_owned())
}

fn low_cardinality(inner: ColumnType) -> Result<ColumnType, UnknownType> {
    let dictionary = match &inner {
        ColumnType::Nullable(value) => value,
        value => value,
    };
    match dictionary {
        ColumnType::String | ColumnType::FixedString(_) | ColumnType::Uuid => {
            Ok(ColumnType::LowCardinality(Box::new(inner)))
        }
        other => Err(UnknownType::Nesting { outer: "LowCardinality", inner: other.to_string() }),
    }
}

fn nullable(inner: ColumnType) -> Result<ColumnType, UnknownType> {
    match inner {
        ColumnType::Nullable(_)
        | ColumnType::LowCardinality(_)
        | ColumnType::Array(_)
        | ColumnType::Map(..)
        | ColumnType::Tuple(_)
        | ColumnType::Nested(_) => Err(UnknownType::Nesting { outer: "Nullable", inner: inner.to_string() }),
        inner => Ok(ColumnType::Nullable(Box::new(inner))),
    }
}

fn map(key: ColumnType, value: ColumnType) -> Result<ColumnType, UnknownType> {
    let is_composite = matches!(
        key,
        ColumnType::Array(_)
            | ColumnType::Map(..)
            | ColumnType::Tuple(_)
            | ColumnType::Nested(_)
            | ColumnType::Json(_)
    );
    // ClickHouse takes composite keys, but a key of a JSON object can't be one.
    if key.is_nullable() || is_composite {
        return Err(UnknownType::Nesting { outer: "Map as a key", inner: key.to_string() });
    }
    Ok(ColumnType::Map(Box::new(key), Box::new(value)))
}

/// The names and numbers of an enum. A name without a number gets the one after the name before it, or 1.
fn enumeration(of: &str, arguments: &[&str]) -> Option<ColumnType> {
    let mut names: Vec<(String, i16)> = Vec::new();
    for argument in arguments {
        let (name, rest) = quoted_name(argument)?;
        let number = match rest.trim().strip_prefix('=') {
            Some(number) => number.trim().parse().ok()?,
            None if rest.trim().is_empty() => {
                names.last().map_or(Some(1), |(_, last)| last.checked_add(1))?
            }
            None => return None,
        };
        if names.iter().any(|(known, taken)| *known == name || *taken == number) {
            return None;
        }
        names.push((name, number));
    }
    names.sort_by_key(|(_, number)| *number);
    let small = |(name, number): &(String, i16)| Some((name.clone(), i8::try_from(*number).ok()?));
    match (of, names.iter().map(small).collect::<Option<Vec<_>>>()) {
        ("Enum16", _) | ("Enum", None) => Some(ColumnType::Enum16(names)),
        (_, small) => small.map(ColumnType::Enum8),
    }
}

/// The text in single quotes that stands first, and what follows it.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    quoted_by('\'', text)
}

fn quoted_by(quote: char, text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.strip_prefix(quote)?.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            end if end == quote => return Some((name, &text[at + 2..])),
            _ => name.push(character),
        }
    }
    None
}

fn tuple(elements: &[&str]) -> Result<ColumnType, UnknownType> {
    let wrong = || UnknownType::Arguments {
        name: "Tuple".to_owned(),
        expected: "types, or a name before each of them, no name twice, empty, `null` or with a point",
    };
    let elements = elements
        .iter()
        .map(|element| match named(element) {
            Some((name, of)) => Ok((Some(name), of.parse()?)),
            None => Ok((None, element.parse()?)),
        })
        .collect::<Result<Vec<(Option<String>, ColumnType)>, UnknownType>>()?;
    let names: Vec<&String> = elements.iter().filter_map(|(name, _)| name.as_ref()).collect();
    let all_or_none = names.is_empty() || names.len() == elements.len();
    if all_or_none && are_names(&names) { Ok(ColumnType::Tuple(elements)) } else { Err(wrong()) }
}

fn nested(elements: &[&str]) -> Result<ColumnType, UnknownType> {
    let wrong = || UnknownType::Arguments {
        name: "Nested".to_owned(),
        expected: "a name and a type each, no name twice, empty, `null` or with a point",
    };
    let elements = elements
        .iter()
        .map(|element| {
            let (name, of) = named(element).ok_or_else(wrong)?;
            Ok((name, of.parse()?))
        })
        .collect::<Result<Vec<(String, ColumnType)>, UnknownType>>()?;
    let names: Vec<&String> = elements.iter().map(|(name, _)| name).collect();
    if are_names(&names) { Ok(ColumnType::Nested(elements)) } else { Err(wrong()) }
}

/// Whether elements can have these names, each once. ClickHouse takes points, but a table whose elements `a.b` and
/// `b` of `a` fall together can't be read again (26.7); it reserves `null`.
fn are_names(names: &[&String]) -> bool {
    let is_name = |name: &str| !name.is_empty() && name != "null" && !name.contains('.');
    names.iter().enumerate().all(|(at, name)| is_name(name) && !names[..at].contains(name))
}

/// The limits of a JSON column. Typed paths and `SKIP` are not taken: values that ClickHouse could not convert
/// would refuse the whole block, and skipped ones would be lost.
fn json(arguments: &[&str]) -> Result<ColumnType, UnknownType> {
    let fits = |argument: &&str| {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        let value = value.trim().parse::<u32>().ok();
        value.is_some_and(|value| match name.trim() {
            "max_dynamic_paths" => value <= 10_000,
            "max_dynamic_types" => (32..=254).contains(&value),
            _ => false,
        })
    };
    let names: Vec<_> = arguments.iter().filter_map(|argument| argument.split('=').next()).collect();
    if !arguments.iter().all(fits)
        || (names.len() == 2 && names[0].trim() == names[1].trim())
        || names.len() > 2
    {
        return Err(UnknownType::Arguments {
            name: "JSON".to_owned(),
            expected: "`max_dynamic_paths=` (0 to 10000) and `max_dynamic_types=` (32 to 254), \
                       no typed paths and no SKIP",
        });
    }
    Ok(ColumnType::Json(Some(arguments.join(", "))))
}

/// Splits `name Type`; none where there is only a type.
fn named(element: &str) -> Option<(String, &str)> {
    if element.starts_with('`') {
        let (name, of) = quoted_by('`', element)?;
        return Some((name, of.trim()));
    }
    let (name, of) = element.split_once(char::is_whitespace)?;
    let is_name = super::is_bare(name);
    is_name.then(|| (name.to_owned(), of.trim()))
}
