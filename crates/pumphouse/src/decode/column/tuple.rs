//! Tuple: a column for each element. With names it is read from an object, by name; without, from an array, by
//! place. Decides what is missing, given twice or too many; what a value means is its element's business.

use std::sync::Arc;

use arrow_array::{ArrayRef, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::Field;
use pumphouse_core::schema::ColumnType;

use super::{Column, Store};
use crate::config::settings::{EpochUnit, Numbers};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault};
use crate::decode::zone::UnknownZone;

/// Tuples of one type.
pub(super) struct Tuples {
    form: Form,
    elements: Vec<Column>,
}

/// How a tuple stands in JSON.
enum Form {
    /// As an object: the elements' names, and the last tuple that had each of them.
    ByName { names: Vec<Box<str>>, seen_in: Vec<u64>, tuple: u64 },
    /// As an array of as many elements.
    ByPlace,
}

impl Tuples {
    /// Tuples of these elements: all of them have names, or none has.
    pub(super) fn new(
        elements: &[(Option<String>, ColumnType)],
        epoch: Option<EpochUnit>,
        numbers: Numbers,
    ) -> Result<Self, UnknownZone> {
        let names: Vec<Box<str>> =
            elements.iter().filter_map(|(name, _)| Some(name.as_deref()?.into())).collect();
        let columns = elements.iter().map(|(_, of)| Column::new(of, epoch, numbers));
        Ok(Self {
            form: if names.is_empty() {
                Form::ByPlace
            } else {
                Form::ByName { seen_in: vec![0; names.len()], names, tuple: 0 }
            },
            elements: columns.collect::<Result<_, _>>()?,
        })
    }

    /// Reads the object that starts here. Fields that are no element are passed by, as in a record.
    fn by_name(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let Form::ByName { tuple, .. } = &mut self.form else { return Ok(()) };
        *tuple += 1;
        reader.enter()?;
        if reader.peek() == b'}' {
            reader.leave();
            return Ok(());
        }
        // Most objects have their fields in the order of the type.
        let mut next = 0;
        loop {
            if reader.peek() != b'"' {
                return Err(reader.unexpected("a key in quotes"));
            }
            let found = self.element(reader.text()?, next);
            reader.colon()?;
            match found {
                None => reader.skip_value()?,
                Some(element) => {
                    self.field(element, reader)?;
                    next = element + 1;
                }
            }
            if !reader.another(b'}')? {
                return Ok(());
            }
        }
    }

    /// The element of a name, looked for from `next` on.
    fn element(&self, name: &[u8], next: usize) -> Option<usize> {
        let Form::ByName { names, .. } = &self.form else { return None };
        let is_it = |at: &usize| names[*at].as_bytes() == name;
        (next..names.len()).find(is_it).or_else(|| (0..next).find(is_it))
    }

    fn field(&mut self, element: usize, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let Form::ByName { names, seen_in, tuple } = &mut self.form else { return Ok(()) };
        if std::mem::replace(&mut seen_in[element], *tuple) == *tuple {
            let fault = Fault::expecting(Code::KeyTwice, "each key once", "the same key again");
            return Err(fault.within(names[element].as_bytes()));
        }
        self.elements[element].decode(reader).map_err(|fault| fault.within(names[element].as_bytes()))
    }

    /// Gives the elements without a value null, where they take it.
    fn fill_missing(&mut self) -> Result<(), Fault> {
        let Form::ByName { names, seen_in, tuple } = &self.form else { return Ok(()) };
        for (at, element) in self.elements.iter_mut().enumerate() {
            if seen_in[at] == *tuple {
                continue;
            }
            if !element.is_nullable() {
                let fault = Fault::expecting(Code::FieldMissing, element.expectation(), "no such field");
                return Err(fault.within(names[at].as_bytes()));
            }
            element.push_null();
        }
        Ok(())
    }

    /// Reads the array that starts here.
    fn by_place(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let wanted = self.elements.len();
        let of_other_length = |found: String| Fault::expecting(Code::WrongType, array_of(wanted), found);
        reader.enter()?;
        if reader.peek() == b']' {
            reader.leave();
            return Err(of_other_length(array_of(0)));
        }
        for (index, element) in self.elements.iter_mut().enumerate() {
            element.decode(reader).map_err(|fault| fault.inside(index))?;
            let is_last = index + 1 == wanted;
            match (reader.another(b']')?, is_last) {
                (true, true) => return Err(of_other_length("a longer one".to_owned())),
                (false, false) => return Err(of_other_length(array_of(index + 1))),
                _ => {}
            }
        }
        Ok(())
    }
}

fn array_of(elements: usize) -> String {
    format!("an array of {elements} element{}", if elements == 1 { "" } else { "s" })
}

impl Store for Tuples {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        match (&self.form, reader.peek()) {
            (Form::ByName { .. }, b'{') => {
                self.by_name(reader)?;
                self.fill_missing()
            }
            (Form::ByPlace, b'[') => self.by_place(reader),
            _ => Err(reader.misfit()),
        }
    }

    fn push_placeholder(&mut self) {
        self.elements.iter_mut().for_each(Column::push_placeholder);
    }

    fn truncate(&mut self, rows: usize) {
        self.elements.iter_mut().for_each(|element| element.truncate(rows));
    }

    fn retain(&mut self, keep: &[bool]) {
        self.elements.iter_mut().for_each(|element| element.retain(keep));
    }

    fn bytes(&self) -> usize {
        self.elements.iter().map(Column::bytes).sum()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for (at, element) in self.elements.iter_mut().enumerate() {
            let array = element.take();
            let name = match &self.form {
                Form::ByName { names, .. } => names[at].to_string(),
                Form::ByPlace => (at + 1).to_string(),
            };
            fields.push(Field::new(name, array.data_type().clone(), element.is_nullable()));
            arrays.push(array);
        }
        Arc::new(StructArray::new(fields.into(), arrays, nulls))
    }
}
