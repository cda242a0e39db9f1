//! Map: an object's keys and values, in the order given. A key given twice is rejected: readers would
//! disagree on which of its values counts.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, MapArray, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};

use super::list::{kept_ends, spread};
use super::text::{arrow_offsets, start_of};
use super::{Column, Store};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// Keys up to this number are compared each with each; more are sorted.
const KEYS_COMPARED_MAX: usize = 32;

/// How keys, which JSON has only as strings, become values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// The type is written as a string anyway.
    Texts,
    /// The string holds what would stand without quotes: `{"404": 3}`.
    InsideTexts,
}

/// Maps of one type of keys and one of values.
pub(super) struct Maps {
    form: Keys,
    ends: Vec<usize>,
    keys: Column,
    values: Column,
}

impl Maps {
    pub(super) fn new(form: Keys, keys: Column, values: Column) -> Self {
        Self { form, ends: Vec::new(), keys, values }
    }

    fn key(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.unexpected("a key in quotes"));
        }
        if self.form == Keys::Texts {
            return self.keys.decode(reader);
        }
        let text = reader.text()?;
        let mut inside = Reader::new(text, Vec::new());
        let is_bare = !matches!(inside.peek(), b'"' | b'n');
        let read = if is_bare {
            self.keys.decode(&mut inside).and_then(|()| inside.end_here())
        } else {
            Err(inside.unexpected("a bare value"))
        };
        read.map_err(|fault| match fault.code() {
            // The key is a text, whatever stands in it: nothing of it is broken, deep or half a character.
            Code::NotJson | Code::TooDeep | Code::LoneSurrogate => {
                Fault::new(Code::WrongType, format!("a key, {}", text_found(text)))
                    .or_expecting(|| self.keys.expectation())
            }
            _ => fault,
        })
    }

    /// The index of a key that the row from `first` on has twice.
    fn twice_given(&self, first: usize) -> Option<usize> {
        let last = self.keys.rows();
        if last - first <= KEYS_COMPARED_MAX {
            let given_before = |row: usize| (first..row).any(|other| self.keys.order(other, row).is_eq());
            return (first + 1..last).find(|row| given_before(*row)).map(|row| row - first);
        }
        let mut rows: Vec<usize> = (first..last).collect();
        rows.sort_unstable_by(|left, right| self.keys.order(*left, *right).then(left.cmp(right)));
        let twins = rows.windows(2).filter(|pair| self.keys.order(pair[0], pair[1]) == Ordering::Equal);
        twins.map(|pair| pair[1] - first).min()
    }
}

impl Store for Maps {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'{' {
            return Err(reader.misfit());
        }
        let first = self.keys.rows();
        reader.enter()?;
        if reader.peek() == b'}' {
            reader.leave();
        } else {
            loop {
                let index = self.values.rows() - first;
                self.key(reader).map_err(|fault| fault.inside(index))?;
                reader.colon()?;
                self.values.decode(reader).map_err(|fault| fault.inside(index))?;
                if !reader.another(b'}')? {
                    break;
                }
            }
        }
        if let Some(index) = self.twice_given(first) {
            let fault = Fault::expecting(Code::KeyTwice, "each key once", "a key that was there before");
            return Err(fault.inside(index));
        }
        self.ends.push(self.keys.rows());
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.ends.push(self.keys.rows());
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.keys.truncate(start_of(&self.ends, rows));
        self.values.truncate(start_of(&self.ends, rows));
    }

    fn retain(&mut self, keep: &[bool]) {
        let flags = spread(&self.ends, keep);
        self.keys.retain(&flags);
        self.values.retain(&flags);
        self.ends = kept_ends(&self.ends, keep);
    }

    fn bytes(&self) -> usize {
        size_of_val(self.ends.as_slice()) + self.keys.bytes() + self.values.bytes()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let (keys, values) = (self.keys.take(), self.values.take());
        let fields = vec![
            Field::new("key", keys.data_type().clone(), false),
            Field::new("value", values.data_type().clone(), self.values.is_nullable()),
        ];
        let entries = StructArray::new(fields.into(), vec![keys, values], None);
        let field = Field::new("entries", DataType::Struct(entries.fields().clone()), false);
        // Arrow has no maps with 64-bit offsets.
        let offsets =
            arrow_offsets(&self.ends).expect("2^31 entries of 16 bytes are past every memory budget");
        self.ends.clear();
        Arc::new(MapArray::new(Arc::new(field), offsets, entries, nulls, false))
    }
}
