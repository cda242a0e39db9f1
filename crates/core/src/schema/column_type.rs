//! ClickHouse column types, as ClickHouse writes them. Knows nothing of JSON, Arrow or the server.

use std::fmt;
use std::str::FromStr;

/// A ClickHouse column type that pumphouse can write without loss.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ColumnType {
    /// `Bool`
    Bool,
    /// `Int8`
    Int8,
    /// `Int16`
    Int16,
    /// `Int32`
    Int32,
    /// `Int64`
    Int64,
    /// `UInt8`
    UInt8,
    /// `UInt16`
    UInt16,
    /// `UInt32`
    UInt32,
    /// `UInt64`
    UInt64,
    /// `Float32`
    Float32,
    /// `Float64`
    Float64,
    /// `Decimal(precision, scale)`, precision 1–76, scale at most precision.
    Decimal {
        /// Decimal digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `String`
    String,
    /// `UUID`
    Uuid,
    /// `Date`: days since 1970-01-01 in 16 bits, up to 2149-06-06.
    Date,
    /// `DateTime` or `DateTime('zone')`: seconds since 1970-01-01 UTC in 32 bits.
    DateTime {
        /// The IANA zone that texts without an offset are read in; UTC when absent.
        zone: Option<String>,
    },
    /// `DateTime64(precision[, 'zone'])`: ticks of 10^-precision seconds, 1900 to 2299.
    DateTime64 {
        /// Digits of the second's fraction, 0–9.
        precision: u8,
        /// The IANA zone that texts without an offset are read in; UTC when absent.
        zone: Option<String>,
    },
    /// `LowCardinality(T)`
    LowCardinality(Box<ColumnType>),
    /// `Nullable(T)`
    Nullable(Box<ColumnType>),
    /// `Array(T)`
    Array(Box<ColumnType>),
    /// `Map(K, V)`
    Map(Box<ColumnType>, Box<ColumnType>),
}

/// Why a text is not a type that can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownType {
    /// The text names no type of ClickHouse, or one that pumphouse does not write yet.
    #[error("`{0}` is not a type that pumphouse writes")]
    Name(String),
    /// The arguments in parentheses do not fit the type.
    #[error("`{name}` takes {expected}")]
    Arguments {
        /// The type's name.
        name: String,
        /// What belongs in the parentheses.
        expected: &'static str,
    },
    /// The type can't stand inside the one around it.
    #[error("`{outer}` can't hold `{inner}`")]
    Nesting {
        /// The wrapping type.
        outer: &'static str,
        /// The type inside.
        inner: String,
    },
}

impl ColumnType {
    /// Every type name without its arguments, for suggestions.
    pub const NAMES: [&'static str; 21] = [
        "Bool",
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "UInt8",
        "UInt16",
        "UInt32",
        "UInt64",
        "Float32",
        "Float64",
        "Decimal",
        "String",
        "UUID",
        "Date",
        "DateTime",
        "DateTime64",
        "LowCardinality",
        "Nullable",
        "Array",
        "Map",
    ];

    /// Whether a value of this type may be absent.
    #[must_use]
    pub fn is_nullable(&self) -> bool {
        match self {
            Self::Nullable(_) => true,
            Self::LowCardinality(inner) => inner.is_nullable(),
            _ => false,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("Bool"),
            Self::Int8 => f.write_str("Int8"),
            Self::Int16 => f.write_str("Int16"),
            Self::Int32 => f.write_str("Int32"),
            Self::Int64 => f.write_str("Int64"),
            Self::UInt8 => f.write_str("UInt8"),
            Self::UInt16 => f.write_str("UInt16"),
            Self::UInt32 => f.write_str("UInt32"),
            Self::UInt64 => f.write_str("UInt64"),
            Self::Float32 => f.write_str("Float32"),
            Self::Float64 => f.write_str("Float64"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::String => f.write_str("String"),
            Self::Uuid => f.write_str("UUID"),
            Self::Date => f.write_str("Date"),
            Self::DateTime { zone: None } => f.write_str("DateTime"),
            Self::DateTime { zone: Some(zone) } => write!(f, "DateTime('{zone}')"),
            Self::DateTime64 { precision, zone: None } => write!(f, "DateTime64({precision})"),
            Self::DateTime64 { precision, zone: Some(zone) } => {
                write!(f, "DateTime64({precision}, '{zone}')")
            }
            Self::LowCardinality(inner) => write!(f, "LowCardinality({inner})"),
            Self::Nullable(inner) => write!(f, "Nullable({inner})"),
            Self::Array(inner) => write!(f, "Array({inner})"),
            Self::Map(key, value) => write!(f, "Map({key}, {value})"),
        }
    }
}

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
    let (mut depth, mut quoted, mut from) = (0_usize, false, 0_usize);
    let mut arguments = Vec::new();
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'\'' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => {
                depth = depth.checked_sub(1).ok_or_else(|| UnknownType::Name(text.to_owned()))?;
            }
            b',' if !quoted && depth == 0 => {
                arguments.push(inner[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    if depth != 0 || quoted {
        return Err(UnknownType::Name(text.to_owned()));
    }
    arguments.push(inner[from..].trim());
    Ok((text[..open].trim(), Some(arguments)))
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
        "Float32" => ColumnType::Float32,
        "Float64" => ColumnType::Float64,
        "String" => ColumnType::String,
        "UUID" => ColumnType::Uuid,
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
        ColumnType::String => Ok(ColumnType::LowCardinality(Box::new(inner))),
        other => Err(UnknownType::Nesting { outer: "LowCardinality", inner: other.to_string() }),
    }
}

fn nullable(inner: ColumnType) -> Result<ColumnType, UnknownType> {
    match inner {
        ColumnType::Nullable(_)
        | ColumnType::LowCardinality(_)
        | ColumnType::Array(_)
        | ColumnType::Map(..) => Err(UnknownType::Nesting { outer: "Nullable", inner: inner.to_string() }),
        inner => Ok(ColumnType::Nullable(Box::new(inner))),
    }
}

fn map(key: ColumnType, value: ColumnType) -> Result<ColumnType, UnknownType> {
    if key.is_nullable() || matches!(key, ColumnType::Array(_) | ColumnType::Map(..)) {
        return Err(UnknownType::Nesting { outer: "Map as a key", inner: key.to_string() });
    }
    Ok(ColumnType::Map(Box::new(key), Box::new(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_prints_as_it_is_written() {
        for text in [
            "UInt64",
            "Decimal(38, 10)",
            "DateTime64(3, 'Europe/Berlin')",
            "LowCardinality(Nullable(String))",
            "Map(String, Array(Nullable(Int32)))",
        ] {
            assert_eq!(text.parse::<ColumnType>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_clickhouse_would_refuse_is_refused() {
        for text in [
            "Nullable(Array(String))",
            "Decimal(77, 1)",
            "DateTime64(10)",
            "Map(Nullable(String), String)",
            "Uint8",
            "Array(String",
            "Decimal(3,4)",
        ] {
            assert!(text.parse::<ColumnType>().is_err(), "{text}");
        }
    }
}
