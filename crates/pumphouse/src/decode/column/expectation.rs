//! What each type takes, in the operator's words: the first half of every reason. Reads no values.

use pumphouse_core::schema::ColumnType;

/// Characters of a type's name that a reason shows.
const NAME_CHARS_MAX: usize = 100;

/// The type and what it takes.
pub(super) fn of(column_type: &ColumnType) -> String {
    let takes = match column_type {
        ColumnType::Bool => "true or false",
        ColumnType::Int8 => "a whole number from -128 to 127",
        ColumnType::Int16 => "a whole number from -32768 to 32767",
        ColumnType::Int32 => "a whole number from -2147483648 to 2147483647",
        ColumnType::Int64 => "a whole number from -9223372036854775808 to 9223372036854775807",
        ColumnType::UInt8 => "a whole number from 0 to 255",
        ColumnType::UInt16 => "a whole number from 0 to 65535",
        ColumnType::UInt32 => "a whole number from 0 to 4294967295",
        ColumnType::UInt64 => "a whole number from 0 to 18446744073709551615",
        ColumnType::Float32 | ColumnType::Float64 => "a number it can hold",
        ColumnType::Decimal { .. } => "a number it can hold exactly",
        ColumnType::String | ColumnType::LowCardinality(_) => "a string",
        ColumnType::Uuid => "32 hexadecimal digits, with the four hyphens or with none",
        ColumnType::Date => "YYYY-MM-DD from 1970-01-01 to 2149-06-06",
        ColumnType::DateTime { .. } => {
            "a time from 1970-01-01 to 2106-02-07 06:28:15 UTC, without a fraction"
        }
        ColumnType::DateTime64 { precision: 9, .. } => {
            "a time from 1900-01-01 to 2262-04-11 23:47:16.854775807 UTC"
        }
        ColumnType::DateTime64 { .. } => "a time from 1900-01-01 to 2299-12-31 UTC in its precision",
        ColumnType::Nullable(inner) => return format!("{} or null", of(inner)),
        ColumnType::Array(_) => "an array",
        ColumnType::Map(..) => "an object",
        ColumnType::Int128 => "a whole number from -2^127 to 2^127 - 1",
        ColumnType::Int256 => "a whole number from -2^255 to 2^255 - 1",
        ColumnType::UInt128 => "a whole number from 0 to 2^128 - 1",
        ColumnType::UInt256 => "a whole number from 0 to 2^256 - 1",
        ColumnType::FixedString(_) => "a string of at most that many bytes",
        ColumnType::Enum8(_) | ColumnType::Enum16(_) => "one of its names, to the letter",
        ColumnType::Ipv4 => "an address such as 192.0.2.1",
        ColumnType::Ipv6 => "an address such as 2001:db8::1 or 192.0.2.1",
        ColumnType::Date32 => "YYYY-MM-DD from 1900-01-01 to 2299-12-31",
        ColumnType::Tuple(elements) if elements.iter().all(|(name, _)| name.is_none()) => {
            "an array with a value for each element"
        }
        ColumnType::Tuple(_) => "an object with a field for each element",
        ColumnType::Nested(_) => "an array of objects",
        ColumnType::Json(_) => "an object",
    };
    let mut name = column_type.to_string();
    // An enum of a hundred names would leave no room for what was found.
    if let Some((end, _)) = name.char_indices().nth(NAME_CHARS_MAX) {
        name.truncate(end);
        name.push('…');
    }
    format!("{name} ({takes})")
}
