//! `numbers: coerce`: a value of a neighbouring kind stands for the column's, where nothing is lost. Rewrites
//! the value into what the column's own store reads, and leaves everything else to that store, its refusals
//! too. Stands around a store only where it was asked for: strict streams never pass here.
//!
//! | column | takes besides |
//! |---|---|
//! | integers | `"12"`, `1.0`, `1e3`, `"1e3"`, `true`, `false` |
//! | floats, and times with a declared unit | `"1.5"` |
//! | `Bool` | `1`, `0`, `"true"`, `"false"` |
//! | `String`, `FixedString` | `1.50` as `"1.50"`, `true` as `"true"` |
//! | enums | the number of a name |
//!
//! Decimals take numbers in texts anyway. A map's keys are texts already: nothing stands for them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;
use pumphouse_core::schema::ColumnType;

use super::Store;
use crate::config::settings::EpochUnit;
use crate::decode::decimal;
use crate::decode::json::{Number, Reader};
use crate::decode::reject::{Code, Fault, number_found};

/// A store that also takes values of neighbouring kinds.
struct Coerced {
    takes: Takes,
    store: Box<dyn Store>,
}

/// What a column takes besides its own kind.
enum Takes {
    /// Whole numbers in other spellings, and booleans.
    Wholes,
    /// Numbers in texts.
    NumbersInTexts,
    /// Booleans in other spellings.
    Booleans,
    /// Numbers and booleans, as they are written.
    Spellings,
    /// The numbers of names; with each the name, as JSON.
    NumbersOfNames(BTreeMap<i128, Vec<u8>>),
}

/// The store of a type, made to take more where the type has neighbours.
pub(super) fn around(
    column_type: &ColumnType,
    epoch: Option<EpochUnit>,
    store: Box<dyn Store>,
) -> Box<dyn Store> {
    match takes(column_type, epoch) {
        Some(takes) => Box::new(Coerced { takes, store }),
        None => store,
    }
}

fn takes(column_type: &ColumnType, epoch: Option<EpochUnit>) -> Option<Takes> {
    match column_type {
        ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) => takes(inner, epoch),
        ColumnType::Bool => Some(Takes::Booleans),
        ColumnType::Int8
        | ColumnType::Int16
        | ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::UInt8
        | ColumnType::UInt16
        | ColumnType::UInt32
        | ColumnType::UInt64
        | ColumnType::Int128
        | ColumnType::Int256
        | ColumnType::UInt128
        | ColumnType::UInt256 => Some(Takes::Wholes),
        ColumnType::Float32 | ColumnType::Float64 => Some(Takes::NumbersInTexts),
        ColumnType::Date
        | ColumnType::Date32
        | ColumnType::DateTime { .. }
        | ColumnType::DateTime64 { .. } => epoch.map(|_| Takes::NumbersInTexts),
        ColumnType::String | ColumnType::FixedString(_) => Some(Takes::Spellings),
        ColumnType::Enum8(names) => Some(numbers_of(names)),
        ColumnType::Enum16(names) => Some(numbers_of(names)),
        ColumnType::Decimal { .. }
        | ColumnType::Uuid
        | ColumnType::Ipv4
        | ColumnType::Ipv6
        | ColumnType::Array(_)
        | ColumnType::Map(..)
        | ColumnType::Tuple(_)
        | ColumnType::Nested(_)
        | ColumnType::Json(_) => None,
    }
}

fn numbers_of<N: Copy + Into<i128>>(names: &[(String, N)]) -> Takes {
    let json = |name: &String| serde_json::Value::from(name.as_str()).to_string().into_bytes();
    Takes::NumbersOfNames(names.iter().map(|(name, number)| ((*number).into(), json(name))).collect())
}

impl Coerced {
    /// Reads a number that is whole though it may not look it.
    fn whole(&mut self, number: &[u8]) -> Result<(), Fault> {
        let digits =
            decimal::whole_digits(number).map_err(|unfit| Fault::new(unfit.code(), number_found(number)))?;
        self.instead(&digits)
    }

    /// Reads a boolean in the spelling that the column has for it.
    fn boolean(&mut self, reader: &mut Reader<'_>, spelled: [&str; 2]) -> Result<(), Fault> {
        if reader.peek() == b't' {
            reader.literal("true")?;
            return self.instead(spelled[1].as_bytes());
        }
        reader.literal("false")?;
        self.instead(spelled[0].as_bytes())
    }

    /// Reads other JSON in place of what the record has.
    fn instead(&mut self, json: &[u8]) -> Result<(), Fault> {
        self.store.decode(&mut Reader::new(json, Vec::new()))
    }
}

impl Store for Coerced {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let from = reader.position();
        match (&self.takes, reader.peek()) {
            (Takes::Wholes, b'"') => match number_in(reader.text()?) {
                Some(Number { text, .. }) => return self.whole(text),
                None => reader.rewind(from),
            },
            (Takes::Wholes, b'0'..=b'9' | b'-') => {
                let Number { text, is_whole } = reader.number()?;
                if !is_whole {
                    return self.whole(text);
                }
                reader.rewind(from);
            }
            (Takes::Wholes, b't' | b'f') => return self.boolean(reader, ["0", "1"]),
            (Takes::NumbersInTexts, b'"') => match number_in(reader.text()?) {
                Some(Number { text, .. }) => return self.instead(text),
                None => reader.rewind(from),
            },
            (Takes::Booleans, b'0'..=b'9' | b'-') => match reader.number()?.text {
                b"0" => return self.instead(b"false"),
                b"1" => return self.instead(b"true"),
                _ => reader.rewind(from),
            },
            (Takes::Booleans, b'"') => match reader.text()? {
                text @ (b"true" | b"false") => return self.instead(text),
                _ => reader.rewind(from),
            },
            (Takes::Spellings, b'0'..=b'9' | b'-') => {
                let number = reader.number()?.text;
                return self.instead(&[b"\"", number, b"\""].concat());
            }
            (Takes::Spellings, b't' | b'f') => return self.boolean(reader, ["\"false\"", "\"true\""]),
            (Takes::NumbersOfNames(names), b'0'..=b'9' | b'-') => {
                let number = reader.whole()?;
                return match names.get(&number) {
                    Some(name) => self.store.decode(&mut Reader::new(name, Vec::new())),
                    None => {
                        Err(Fault::new(Code::NotAName, format!("the number {number} that is none of theirs")))
                    }
                };
            }
            _ => {}
        }
        self.store.decode(reader)
    }

    fn push_placeholder(&mut self) {
        self.store.push_placeholder();
    }

    fn truncate(&mut self, rows: usize) {
        self.store.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        self.store.retain(keep);
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        self.store.order(left, right)
    }

    fn bytes(&self) -> usize {
        self.store.bytes()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        self.store.take(nulls)
    }
}

/// The number that a text holds, and nothing else.
fn number_in(text: &[u8]) -> Option<Number<'_>> {
    let mut inside = Reader::new(text, Vec::new());
    let number = inside.number().ok()?;
    inside.end_here().ok()?;
    Some(number)
}
