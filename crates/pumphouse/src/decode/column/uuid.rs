//! UUID: 32 hexadecimal digits, with the four hyphens or with none.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray};
use arrow::buffer::{Buffer, NullBuffer};

use super::{Store, retain_rows, take_values};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// Bytes of a UUID, in the order they are written.
const WIDTH: usize = 16;

/// UUIDs.
#[derive(Default)]
pub(super) struct Uuids {
    values: Vec<[u8; WIDTH]>,
}

impl Store for Uuids {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let text = reader.text()?;
        let Some(value) = uuid_in(text) else {
            return Err(Fault::new(Code::NotAUuid, format!("{} that is not one", text_found(text))));
        };
        self.values.push(value);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.values.push([0; WIDTH]);
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        retain_rows(&mut self.values, keep);
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        self.values[left].cmp(&self.values[right])
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let bytes = Buffer::from(take_values(&mut self.values).into_flattened());
        Arc::new(FixedSizeBinaryArray::new(16, bytes, nulls))
    }
}

/// Where each byte's two digits are in the form with hyphens.
const HYPHENATED: [usize; WIDTH] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

fn uuid_in(text: &[u8]) -> Option<[u8; WIDTH]> {
    let mut value = [0; WIDTH];
    // Any digit that is none leaves its mark here: one test for all 32.
    let mut marks = 0;
    let mut byte_at = |text: &[u8], at: usize| {
        let (high, low) = (HEX[usize::from(text[at])], HEX[usize::from(text[at + 1])]);
        marks |= high | low;
        high << 4 | low & 0x0F
    };
    if let Ok(text) = <&[u8; 36]>::try_from(text) {
        if [text[8], text[13], text[18], text[23]] != *b"----" {
            return None;
        }
        for (byte, at) in value.iter_mut().zip(HYPHENATED) {
            *byte = byte_at(text, at);
        }
    } else {
        let text: &[u8; 32] = text.try_into().ok()?;
        for (byte, at) in value.iter_mut().zip((0..32).step_by(2)) {
            *byte = byte_at(text, at);
        }
    }
    (marks & NO_DIGIT == 0).then_some(value)
}

/// Set in the table for characters that are no hexadecimal digit.
const NO_DIGIT: u8 = 0x80;

/// The value of each character as a hexadecimal digit.
const HEX: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut digit: u8 = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_written_forms_are_the_same_bytes() {
        let value =
            [0x61, 0xf0, 0xc4, 0x04, 0x5c, 0xb3, 0x11, 0xe7, 0x90, 0x7b, 0xa6, 0x00, 0x6a, 0xd3, 0xdb, 0xa0];
        for text in [
            "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
            "61F0C404-5CB3-11E7-907B-A6006AD3DBA0",
            "61f0c4045cb311e7907ba6006ad3dba0",
        ] {
            assert_eq!(uuid_in(text.as_bytes()), Some(value), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_uuid() {
        for text in [
            "",
            "61f0c404-5cb3-11e7-907b-a6006ad3dba",
            "61f0c404-5cb3-11e7-907b-a6006ad3dbag",
            "61f0c404-5cb3-11e7-907ba-6006ad3dba0",
            "{61f0c404-5cb3-11e7-907b-a6006ad3dba}",
            "61f0c4045cb311e7907ba6006ad3dbaé",
            "61f0c404-5cb3-11e7-907b-a6006ad3dba0 ",
        ] {
            assert_eq!(uuid_in(text.as_bytes()), None, "{text}");
        }
    }
}
