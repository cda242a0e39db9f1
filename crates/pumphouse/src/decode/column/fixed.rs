//! `FixedString(N)`: a string of at most N bytes. The server fills it up with zeros, so zeros at the end
//! say nothing: they are left off, and two strings that differ in them are the same key of a map.

use std::cmp::Ordering;

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;

use super::Store;
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// A store that takes texts.
pub(super) trait Append: Store + Default {
    /// Appends a row with this text.
    fn append(&mut self, text: &[u8]);
}

/// Texts of limited size, kept in the way that `T` keeps them: at their own length, since a wide column
/// of short texts would fill the memory with zeros.
pub(super) struct Fixed<T> {
    width: usize,
    texts: T,
}

impl<T: Append> Fixed<T> {
    pub(super) fn new(width: u32) -> Self {
        Self { width: usize::try_from(width).unwrap_or(usize::MAX), texts: T::default() }
    }
}

impl<T: Append> Store for Fixed<T> {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let text = reader.text()?;
        if text.len() > self.width {
            return Err(Fault::new(Code::TooLarge, text_found(text)));
        }
        let len = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.texts.append(&text[..len]);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.texts.push_placeholder();
    }

    fn truncate(&mut self, rows: usize) {
        self.texts.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        self.texts.retain(keep);
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        self.texts.order(left, right)
    }

    fn bytes(&self) -> usize {
        self.texts.bytes()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        self.texts.take(nulls)
    }
}
