//! One column of the open batch: values as they are decoded, nulls beside them, Arrow at the end. Which
//! type is kept how is decided here; the files below each know one way of keeping.

mod boolean;
mod coerce;
mod decimal;
mod dictionary;
mod document;
mod enumeration;
mod expectation;
mod fixed;
mod float;
mod ip;
mod list;
mod map;
mod matching;
mod moment;
mod nested;
mod text;
mod tuple;
mod uuid;
mod values;
mod whole;
mod wide;

use std::cmp::Ordering;
use std::net::{Ipv4Addr, Ipv6Addr};

use arrow_array::ArrayRef;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_buffer::NullBuffer;
use pumphouse_core::schema::ColumnType;

use self::values::Values;
use super::json::Reader;
use super::reject::Fault;
use super::zone::{UnknownZone, Zone};
use crate::config::settings::{EpochUnit, Numbers};

/// A way of keeping the values of one type, without nulls.
trait Store: Send {
    /// Reads the value that starts at the reader and appends it. After a fault there may be parts of a
    /// value behind the last row, until [`Store::truncate`].
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault>;
    /// Appends whatever is cheapest, to stand under a null.
    fn push_placeholder(&mut self);
    /// Drops everything from row `rows` on, parts of a value included.
    fn truncate(&mut self, rows: usize);
    /// Keeps the rows whose flag is set; one flag a row.
    fn retain(&mut self, keep: &[bool]);
    /// The order of two rows, for finding a map's key given twice. Types that are never keys have none.
    fn order(&self, _left: usize, _right: usize) -> Ordering {
        Ordering::Less
    }
    /// The conditions that the last record fulfils; only a column of conditions has any.
    fn last_bits(&self) -> u64 {
        0
    }
    /// Bytes held.
    fn bytes(&self) -> usize;
    /// Hands the rows over as an Arrow array and starts anew.
    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef;
}

/// One column of the open batch.
pub(super) struct Column {
    of: ColumnType,
    /// Whether each row has a value; only for types that take null.
    validity: Option<Vec<bool>>,
    store: Box<dyn Store>,
    rows: usize,
}

impl Column {
    /// An empty column. `epoch` is what a bare number means in it, if it holds dates or times; `numbers`
    /// says whether values of neighbouring kinds may stand for its own.
    pub(super) fn new(
        column_type: &ColumnType,
        epoch: Option<EpochUnit>,
        numbers: Numbers,
    ) -> Result<Self, UnknownZone> {
        let store = store_for(column_type, epoch, numbers)?;
        Ok(Self {
            of: column_type.clone(),
            validity: column_type.is_nullable().then(Vec::new),
            store: match numbers {
                Numbers::Strict => store,
                Numbers::Coerce => coerce::around(column_type, epoch, store),
            },
            rows: 0,
        })
    }

    /// Rows held.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the column takes null.
    pub(super) fn is_nullable(&self) -> bool {
        self.validity.is_some()
    }

    /// Reads the value that starts at the reader into a new row.
    #[inline]
    pub(super) fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if let Some(validity) = &mut self.validity {
            if reader.peek() == b'n' {
                reader.literal("null")?;
                self.push_null();
                return Ok(());
            }
            validity.push(true);
        }
        match self.store.decode(reader) {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err(fault) => Err(fault.or_expecting(|| self.expectation())),
        }
    }

    /// What the column takes, for the operator.
    pub(super) fn expectation(&self) -> String {
        expectation::of(&self.of)
    }

    /// Appends a null; only for columns that take it.
    pub(super) fn push_null(&mut self) {
        debug_assert!(self.is_nullable());
        self.validity.iter_mut().for_each(|validity| validity.push(false));
        self.store.push_placeholder();
        self.rows += 1;
    }

    /// Appends whatever is cheapest, to stand where nobody looks.
    fn push_placeholder(&mut self) {
        if self.is_nullable() {
            return self.push_null();
        }
        self.store.push_placeholder();
        self.rows += 1;
    }

    /// Drops everything from row `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        if let Some(validity) = &mut self.validity {
            validity.truncate(rows);
        }
        self.store.truncate(rows);
        self.rows = rows;
    }

    /// Keeps the rows whose flag is set.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        if let Some(validity) = &mut self.validity {
            retain_rows(validity, keep);
        }
        self.store.retain(keep);
        self.rows = keep.iter().filter(|keep| **keep).count();
    }

    /// The order of two rows, for finding a map's key given twice.
    fn order(&self, left: usize, right: usize) -> Ordering {
        self.store.order(left, right)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.store.bytes() + self.validity.as_ref().map_or(0, Vec::len)
    }

    /// Hands the rows over as an Arrow array and starts anew.
    pub(super) fn take(&mut self) -> ArrayRef {
        self.rows = 0;
        let nulls = self.validity.as_mut().map(take_values).map(NullBuffer::from);
        self.store.take(nulls)
    }

    /// As [`Self::take`], as the table's columns: name, rows, and whether they take null. A Nested is several.
    pub(super) fn take_named(&mut self, name: &str) -> Vec<(String, ArrayRef, bool)> {
        let rows = self.take();
        if matches!(self.of, ColumnType::Nested(_)) {
            let parts = nested::parts(&rows).into_iter();
            return parts.map(|(part, rows)| (nested::column_name(name, &part), rows, false)).collect();
        }
        vec![(name.to_owned(), rows, self.is_nullable())]
    }
}

/// Name and type of the table's columns that a declared column fills.
pub(super) fn table_columns_of(name: &str, column_type: &ColumnType) -> Vec<(String, String)> {
    let ColumnType::Nested(elements) = column_type else {
        return vec![(name.to_owned(), column_type.to_string())];
    };
    let parts = elements.iter();
    parts.map(|(part, of)| (nested::column_name(name, part), format!("Array({of})"))).collect()
}

/// The way each type is kept.
fn store_for(
    column_type: &ColumnType,
    epoch: Option<EpochUnit>,
    numbers: Numbers,
) -> Result<Box<dyn Store>, UnknownZone> {
    Ok(match column_type {
        ColumnType::Bool => Box::new(Values::of(boolean::Boolean)),
        ColumnType::Int8 => Box::new(Values::of(whole::Whole::<Int8Type>::new(whole::Texts::Refused))),
        ColumnType::Int16 => Box::new(Values::of(whole::Whole::<Int16Type>::new(whole::Texts::Refused))),
        ColumnType::Int32 => Box::new(Values::of(whole::Whole::<Int32Type>::new(whole::Texts::Refused))),
        ColumnType::Int64 => Box::new(Values::of(whole::Whole::<Int64Type>::new(whole::Texts::OfDigits))),
        ColumnType::UInt8 => Box::new(Values::of(whole::Whole::<UInt8Type>::new(whole::Texts::Refused))),
        ColumnType::UInt16 => Box::new(Values::of(whole::Whole::<UInt16Type>::new(whole::Texts::Refused))),
        ColumnType::UInt32 => Box::new(Values::of(whole::Whole::<UInt32Type>::new(whole::Texts::Refused))),
        ColumnType::UInt64 => Box::new(Values::of(whole::Whole::<UInt64Type>::new(whole::Texts::OfDigits))),
        ColumnType::Float32 => Box::new(Values::of(float::Float::<Float32Type>::default())),
        ColumnType::Float64 => Box::new(Values::of(float::Float::<Float64Type>::default())),
        ColumnType::Decimal { precision, scale } => decimal::store(*precision, *scale),
        ColumnType::String => Box::new(text::Texts::default()),
        ColumnType::Uuid => Box::new(Values::of(uuid::Uuid)),
        ColumnType::Date => Box::new(Values::of(moment::Moment::date(epoch))),
        ColumnType::DateTime { zone } => {
            Box::new(Values::of(moment::Moment::date_time(Zone::named(zone.as_deref())?, epoch)))
        }
        ColumnType::DateTime64 { precision, zone } => Box::new(Values::of(moment::Moment::date_time_64(
            *precision,
            Zone::named(zone.as_deref())?,
            epoch,
        ))),
        ColumnType::LowCardinality(inner) => dictionary_for(inner),
        ColumnType::Nullable(inner) => return store_for(inner, epoch, numbers),
        ColumnType::Array(inner) => Box::new(list::Lists::new(Column::new(inner, epoch, numbers)?)),
        ColumnType::Map(key, value) => {
            let form = if has_text_form(key) { map::Keys::Texts } else { map::Keys::InsideTexts };
            let keys = Column::new(key, epoch, Numbers::Strict)?;
            Box::new(map::Maps::new(form, keys, Column::new(value, epoch, numbers)?))
        }
        ColumnType::Int128 => Box::new(Values::of(wide::Wide::<16>(wide::Sign::Signed))),
        ColumnType::Int256 => Box::new(Values::of(wide::Wide::<32>(wide::Sign::Signed))),
        ColumnType::UInt128 => Box::new(Values::of(wide::Wide::<16>(wide::Sign::Unsigned))),
        ColumnType::UInt256 => Box::new(Values::of(wide::Wide::<32>(wide::Sign::Unsigned))),
        ColumnType::FixedString(width) => Box::new(fixed::Fixed::<text::Texts>::new(*width)),
        ColumnType::Enum8(names) => Box::new(Values::of(enumeration::Names::<Int8Type>::new(names))),
        ColumnType::Enum16(names) => Box::new(Values::of(enumeration::Names::<Int16Type>::new(names))),
        ColumnType::Ipv4 => Box::new(Values::of(ip::AddressOf::<Ipv4Addr>::default())),
        ColumnType::Ipv6 => Box::new(Values::of(ip::AddressOf::<Ipv6Addr>::default())),
        ColumnType::Date32 => Box::new(Values::of(moment::Moment::date32(epoch))),
        ColumnType::Tuple(elements) => Box::new(tuple::Tuples::new(elements, epoch, numbers)?),
        ColumnType::Nested(elements) => {
            Box::new(list::Lists::new(Column::new(&nested::element(elements), epoch, numbers)?))
        }
        ColumnType::Json(_) => Box::new(document::Documents::default()),
    })
}

fn dictionary_for(column_type: &ColumnType) -> Box<dyn Store> {
    match column_type {
        ColumnType::Nullable(inner) => dictionary_for(inner),
        ColumnType::FixedString(width) => Box::new(fixed::Fixed::<dictionary::Dictionary>::new(*width)),
        // The server makes the dictionary: ids seldom repeat within a batch.
        ColumnType::Uuid => Box::new(Values::of(uuid::Uuid)),
        _ => Box::new(dictionary::Dictionary::default()),
    }
}

/// Whether JSON holds values of this type as strings, so that a key can be read like a value.
fn has_text_form(column_type: &ColumnType) -> bool {
    matches!(
        column_type,
        ColumnType::String
            | ColumnType::FixedString(_)
            | ColumnType::Enum8(_)
            | ColumnType::Enum16(_)
            | ColumnType::Uuid
            | ColumnType::Ipv4
            | ColumnType::Ipv6
            | ColumnType::Date
            | ColumnType::Date32
            | ColumnType::DateTime { .. }
            | ColumnType::DateTime64 { .. }
            | ColumnType::LowCardinality(_)
    )
}

fn retain_rows<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    values.retain(|_| flags.next().copied().unwrap_or(false));
}

/// Takes the values and leaves room for as many: a batch is much like the one before.
fn take_values<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}
