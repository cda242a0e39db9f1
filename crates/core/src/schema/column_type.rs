//! ClickHouse column types, as ClickHouse writes them. Knows nothing of JSON, Arrow or the server.

mod parse;

use std::fmt;

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
    /// `Int128`
    Int128,
    /// `Int256`
    Int256,
    /// `UInt128`
    UInt128,
    /// `UInt256`
    UInt256,
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
    /// `FixedString(N)`: N bytes, filled up with zeros.
    FixedString(u32),
    /// `Enum8('a' = 1, …)`: names and numbers, in the order of the numbers.
    Enum8(Vec<(String, i8)>),
    /// `Enum16('a' = 1, …)`: names and numbers, in the order of the numbers.
    Enum16(Vec<(String, i16)>),
    /// `UUID`
    Uuid,
    /// `IPv4`
    Ipv4,
    /// `IPv6`
    Ipv6,
    /// `Date32`: days since 1970-01-01, from 1900 to 2299.
    Date32,
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
    /// `Tuple(A, B)` or `Tuple(a A, b B)`: all elements have names, or none has. Never empty.
    Tuple(Vec<(Option<String>, ColumnType)>),
    /// `Nested(a A, b B)`: arrays of equal length under one name. Never empty.
    Nested(Vec<(String, ColumnType)>),
    /// `JSON`, with its arguments as written where it has any.
    Json(Option<String>),
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
    pub const NAMES: [&'static str; 35] = [
        "Bool",
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "UInt8",
        "UInt16",
        "UInt32",
        "UInt64",
        "Int128",
        "Int256",
        "UInt128",
        "UInt256",
        "Float32",
        "Float64",
        "Decimal",
        "String",
        "FixedString",
        "Enum",
        "Enum8",
        "Enum16",
        "UUID",
        "IPv4",
        "IPv6",
        "Date32",
        "Date",
        "DateTime",
        "DateTime64",
        "LowCardinality",
        "Nullable",
        "Array",
        "Map",
        "Tuple",
        "Nested",
        "JSON",
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
            Self::Int128 => f.write_str("Int128"),
            Self::Int256 => f.write_str("Int256"),
            Self::UInt128 => f.write_str("UInt128"),
            Self::UInt256 => f.write_str("UInt256"),
            Self::Float32 => f.write_str("Float32"),
            Self::Float64 => f.write_str("Float64"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::String => f.write_str("String"),
            Self::FixedString(bytes) => write!(f, "FixedString({bytes})"),
            Self::Enum8(names) => write_enum(f, "Enum8", names),
            Self::Enum16(names) => write_enum(f, "Enum16", names),
            Self::Ipv4 => f.write_str("IPv4"),
            Self::Ipv6 => f.write_str("IPv6"),
            Self::Date32 => f.write_str("Date32"),
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
            Self::Tuple(elements) => {
                f.write_str("Tuple(")?;
                write_elements(f, elements.iter().map(|(name, of)| (name.as_deref(), of)))
            }
            Self::Nested(elements) => {
                f.write_str("Nested(")?;
                write_elements(f, elements.iter().map(|(name, of)| (Some(name.as_str()), of)))
            }
            Self::Json(None) => f.write_str("JSON"),
            Self::Json(Some(arguments)) => write!(f, "JSON({arguments})"),
        }
    }
}

fn write_enum<N: fmt::Display>(f: &mut fmt::Formatter<'_>, of: &str, names: &[(String, N)]) -> fmt::Result {
    write!(f, "{of}(")?;
    for (at, (name, number)) in names.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let name = name.replace('\\', "\\\\").replace('\'', "\\'");
        write!(f, "{comma}'{name}' = {number}")?;
    }
    f.write_str(")")
}

fn write_elements<'a>(
    f: &mut fmt::Formatter<'_>,
    elements: impl Iterator<Item = (Option<&'a str>, &'a ColumnType)>,
) -> fmt::Result {
    for (at, (name, of)) in elements.enumerate() {
        f.write_str(if at == 0 { "" } else { ", " })?;
        match name {
            Some(name) if is_bare(name) => write!(f, "{name} {of}")?,
            Some(name) => write!(f, "`{}` {of}", name.replace('\\', "\\\\").replace('`', "\\`"))?,
            None => write!(f, "{of}")?,
        }
    }
    f.write_str(")")
}

/// Whether a name needs no quotes.
fn is_bare(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
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
            "Enum8('a' = -1, 'it\\'s, (so)' = 2)",
            "Enum16('a' = 1000)",
            "FixedString(16)",
            "LowCardinality(Nullable(FixedString(2)))",
            "Tuple(UInt8, Array(String))",
            "Tuple(a UInt8, `b c` Tuple(String, IPv6))",
            "Nested(a UInt256, b Date32)",
            "JSON",
            "JSON(max_dynamic_paths=8)",
            "JSON(max_dynamic_paths=0, max_dynamic_types=254)",
            "Nullable(JSON)",
            "LowCardinality(UUID)",
            "LowCardinality(Nullable(UUID))",
            "Map(LowCardinality(String), Array(Tuple(a JSON, b Nested(c Array(Nullable(UInt8))))))",
            "Tuple(`it\\`s` UInt8, A UInt8, a UInt8)",
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
            "FixedString(0)",
            "Enum8('a' = 128)",
            "Enum8('a' = 1, 'b' = 1)",
            "Enum8('a' = 1, 'a' = 2)",
            "Enum8(a = 1)",
            "Enum8()",
            "Tuple()",
            "Tuple(a UInt8, String)",
            "Tuple(a UInt8, a String)",
            "Nested(UInt8)",
            "Nullable(Tuple(UInt8))",
            "Nullable(Nested(a UInt8))",
            "Tuple(null UInt8)",
            "Tuple(`` UInt8)",
            "Tuple(`a.b` UInt8, a Tuple(b UInt8))",
            "Nested(`a.b` UInt8)",
            "Nested()",
            "Map(Tuple(String), String)",
            "Map(JSON, String)",
            "LowCardinality(UInt64)",
            "LowCardinality(IPv6)",
            "LowCardinality(LowCardinality(String))",
            "JSON(a UInt8)",
            "JSON(SKIP a)",
            "JSON()",
            "JSON(max_dynamic_paths=10001)",
            "JSON(max_dynamic_types=31)",
            "JSON(max_dynamic_types=255)",
            "JSON(max_dynamic_paths=1, max_dynamic_paths=2)",
        ] {
            assert!(text.parse::<ColumnType>().is_err(), "{text}");
        }
    }
    #[test]
    fn an_enum_may_leave_its_numbers_to_be_counted() {
        let counted = "Enum8('b' = 5, 'c', 'a' = 1)".parse::<ColumnType>();
        assert_eq!(counted.expect("an enum").to_string(), "Enum8('a' = 1, 'b' = 5, 'c' = 6)");
        assert_eq!(
            "Enum('x', 'y')".parse::<ColumnType>().expect("an enum").to_string(),
            "Enum8('x' = 1, 'y' = 2)"
        );
        assert_eq!(
            "Enum('x' = 300)".parse::<ColumnType>().expect("an enum").to_string(),
            "Enum16('x' = 300)"
        );
    }
}
