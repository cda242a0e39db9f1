//! One record into one row: walks the JSON once, left to right, and hands each wanted value to its
//! column. Decides what is missing, given twice or of the wrong shape; what a value means is the
//! column's business. Leaves the columns uneven when it rejects; the batch evens them out.

mod document;
mod number;
mod scan;
mod skip;
mod string;

pub(super) use document::DocumentRules;
pub(super) use number::Number;
pub(super) use scan::Reader;
pub(super) use string::BLOCK;

use super::column::Column;
use super::plan::{Found, Plan, ROOT, Target};
use super::reject::{Code, Fault};

/// One record on its way into the columns.
pub(super) struct Walk<'w, 'p> {
    pub(super) plan: &'w mut Plan,
    pub(super) columns: &'w mut [Column],
    pub(super) reader: Reader<'p>,
    /// This record's number, never used before and never 0: marks what it had.
    pub(super) record: u64,
    /// How many columns have got a value.
    filled: usize,
}

impl<'w, 'p> Walk<'w, 'p> {
    /// Starts at the first byte of a payload, which is valid UTF-8.
    pub(super) fn new(
        plan: &'w mut Plan,
        columns: &'w mut [Column],
        reader: Reader<'p>,
        record: u64,
    ) -> Self {
        Self { plan, columns, reader, record, filled: 0 }
    }

    /// Reads the record; each column has one more value afterwards.
    pub(super) fn read(&mut self) -> Result<(), Fault> {
        self.reader.skip_space();
        if self.reader.peek() != b'{' {
            return Err(self.misfit(ROOT, not_an_object));
        }
        if let Some(rest) = &mut self.plan.rest {
            rest.begin();
        }
        self.object(ROOT)?;
        self.reader.end().map_err(|fault| self.at_object(ROOT, fault))?;
        self.keep_rest()?;
        if self.filled == self.columns.len() { Ok(()) } else { self.fill_missing() }
    }

    /// Reads the object that starts here.
    fn object(&mut self, object: usize) -> Result<(), Fault> {
        self.reader.enter().map_err(|fault| self.at_object(object, fault))?;
        if self.reader.peek() == b'}' {
            self.reader.leave();
            return Ok(());
        }
        // Keys come in the order of the last record, or have to be looked up.
        let mut before = None;
        let mut guess = self.plan.objects[object].first;
        loop {
            let key = self.reader.position();
            let found = if let Some((found, next)) = self.guessed(guess) {
                before = Some(guess);
                guess = next;
                found
            } else {
                let known = self.looked_up(object, before).map_err(|fault| self.at_object(object, fault))?;
                before = known.or(before);
                known.map_or(Found::Now(Target::Skip), |key| {
                    let key = &mut self.plan.keys[key];
                    guess = key.next;
                    key.found(self.record)
                })
            };
            self.value(object, found, key)?;
            if !self.reader.another(b'}').map_err(|fault| self.at_object(object, fault))? {
                return Ok(());
            }
        }
    }

    /// Passes the key `guess` and its colon, if that is what comes; then tells the guess after it, too.
    #[inline]
    fn guessed(&mut self, guess: usize) -> Option<(Found, usize)> {
        let key = self.plan.keys.get_mut(guess)?;
        if !key.is_next(*self.reader.ahead()?, || self.reader.rest()) {
            return None;
        }
        self.reader.advance(key.len());
        self.reader.skip_space();
        Some((key.found(self.record), key.next))
    }

    /// Passes a key and its colon, and notes that it comes after the key `before`. None is a key that is
    /// neither wanted nor remembered.
    #[inline(never)]
    fn looked_up(&mut self, object: usize, before: Option<usize>) -> Result<Option<usize>, Fault> {
        if self.reader.peek() != b'"' {
            return Err(self.reader.unexpected("a key in quotes"));
        }
        let known = self.plan.find(object, self.reader.text()?);
        self.reader.colon()?;
        if let Some(key) = known {
            self.plan.learn_order(object, before, key);
        }
        Ok(known)
    }

    /// Reads the value of a key, which starts at `key`, to where it is wanted.
    #[inline]
    fn value(&mut self, object: usize, found: Found, key: usize) -> Result<(), Fault> {
        match found {
            Found::Now(Target::Column(column)) => self.column(column),
            Found::Now(Target::Skip) => {
                self.skip(object)?;
                if let Some(rest) = &mut self.plan.rest {
                    rest.keep(self.reader.passed(key));
                }
                Ok(())
            }
            Found::Now(Target::Object(inner)) => self.inner_of_rest(inner, key),
            Found::Now(Target::Fork(fork)) => self.fork(fork),
            Found::Again(target) => Err(self.twice(target)),
        }
    }

    /// Reads an object with columns in it; what they leave of it is kept under its key.
    fn inner_of_rest(&mut self, object: usize, key: usize) -> Result<(), Fault> {
        let Some(rest) = &mut self.plan.rest else { return self.inner(object) };
        let before = rest.open(self.reader.passed(key));
        self.inner(object)?;
        if let Some(rest) = &mut self.plan.rest {
            rest.close(before);
        }
        Ok(())
    }

    /// Gives what no column read to the column that keeps it.
    fn keep_rest(&mut self) -> Result<(), Fault> {
        let Some(rest) = &mut self.plan.rest else { return Ok(()) };
        let column = rest.column;
        let mut reader = Reader::new(rest.end(), std::mem::take(&mut self.reader.scratch));
        let kept = self.columns[column].decode(&mut reader);
        self.reader.scratch = reader.into_scratch();
        self.filled += 1;
        // The paths inside are the record's own.
        kept.map_err(|fault| fault.at(&self.plan.fields[column].name, ""))
    }

    #[inline]
    fn skip(&mut self, object: usize) -> Result<(), Fault> {
        self.reader.skip_value().map_err(|fault| self.at_object(object, fault))
    }

    #[inline]
    fn column(&mut self, column: usize) -> Result<(), Fault> {
        self.columns[column].decode(&mut self.reader).map_err(|fault| self.at_column(column, fault))?;
        self.filled += 1;
        Ok(())
    }

    /// Reads an object with columns in it. A null is as good as an object without keys.
    fn inner(&mut self, object: usize) -> Result<(), Fault> {
        match self.reader.peek() {
            b'{' => self.object(object),
            b'n' => self.skip(object),
            _ if self.plan.only_conditions => self.skip(object),
            _ => Err(self.misfit(object, |fault| fault.or_expecting(|| "an object".to_owned()))),
        }
    }

    /// Reads one value several times, for each of those who want it.
    fn fork(&mut self, fork: usize) -> Result<(), Fault> {
        let start = self.reader.position();
        for at in 0..self.plan.forks[fork].columns.len() {
            self.reader.rewind(start);
            self.column(self.plan.forks[fork].columns[at])?;
        }
        if let Some(object) = self.plan.forks[fork].object {
            self.reader.rewind(start);
            // A column has the whole of it, so nothing of it is left.
            let rest = self.plan.rest.take();
            let read = self.inner(object);
            self.plan.rest = rest;
            read?;
        }
        Ok(())
    }

    /// Gives the columns without a value their default, or null where they take it.
    fn fill_missing(&mut self) -> Result<(), Fault> {
        for (number, column) in self.columns.iter_mut().enumerate() {
            if self.plan.has(number, self.record) || self.plan.keeps_rest(number) {
                continue;
            }
            let field = &self.plan.fields[number];
            let filled = match &field.default {
                Some(default) => column.decode(&mut Reader::new(default, Vec::new())),
                None if column.is_nullable() => {
                    column.push_null();
                    Ok(())
                }
                None => Err(Fault::expecting(Code::FieldMissing, column.expectation(), "no such field")),
            };
            filled.map_err(|fault| fault.at(&field.name, &field.path))?;
        }
        Ok(())
    }

    #[cold]
    fn at_column(&self, column: usize, fault: Fault) -> Fault {
        let field = &self.plan.fields[column];
        fault.at(&field.name, &field.path)
    }

    /// Places a fault that is of no column: in an object's keys, or in a value that no column reads.
    #[cold]
    fn at_object(&self, object: usize, fault: Fault) -> Fault {
        fault.at("", &self.plan.objects[object].path)
    }

    /// Places a fault of the object itself, which a column in it suffers from.
    #[cold]
    fn of_object(&self, object: usize, fault: Fault) -> Fault {
        let object = &self.plan.objects[object];
        fault.at(&self.plan.fields[object.witness].name, &object.path)
    }

    /// The fault of a value that should have been an object.
    #[cold]
    fn misfit(&mut self, object: usize, explain: fn(Fault) -> Fault) -> Fault {
        let mut fault = self.reader.misfit();
        if object == ROOT && matches!(fault.code(), Code::WrongType | Code::Null) {
            fault = self.reader.end().err().unwrap_or(fault);
        }
        self.of_object(object, explain(fault))
    }

    #[cold]
    fn twice(&self, target: Target) -> Fault {
        let fault = Fault::expecting(Code::KeyTwice, "each key once", "the same key again");
        match target {
            Target::Column(column) => self.at_column(column, fault),
            Target::Object(object) => self.of_object(object, fault),
            Target::Fork(fork) => self.at_column(self.plan.forks[fork].first_column(), fault),
            Target::Skip => self.at_object(ROOT, fault),
        }
    }
}

/// Turns the fault of a payload that is no object into one about the payload, unless it is not even JSON.
fn not_an_object(fault: Fault) -> Fault {
    match fault.code() {
        Code::WrongType | Code::Null => fault.recoded(Code::NotAnObject, "a JSON object"),
        _ => fault,
    }
}
