//! UUID: 32 hexadecimal digits, with the four hyphens or with none.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray};
use arrow_buffer::{Buffer, NullBuffer};

use super::values::Kind;
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// Bytes of a UUID, in the order they are written.
const WIDTH: usize = 16;

/// UUIDs.
pub(super) struct Uuid;

impl Kind for Uuid {
    type Native = [u8; WIDTH];

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        if let Some(value) = reader.quoted().and_then(hyphenated) {
            reader.advance(1 + 36 + 1);
            return Ok(value);
        }
        let text = reader.text()?;
        uuid_in(text)
            .ok_or_else(|| Fault::new(Code::NotAUuid, format!("{} that is not one", text_found(text))))
    }

    fn placeholder(&self) -> Self::Native {
        [0; WIDTH]
    }

    fn order(left: Self::Native, right: Self::Native) -> Ordering {
        left.cmp(&right)
    }

    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(FixedSizeBinaryArray::new(16, Buffer::from(values.into_flattened()), nulls))
    }
}

fn uuid_in(text: &[u8]) -> Option<[u8; WIDTH]> {
    match <&[u8; 36]>::try_from(text) {
        Ok(text) => hyphenated(text),
        Err(_) => bytes_of(text.try_into().ok()?),
    }
}

fn hyphenated(text: &[u8; 36]) -> Option<[u8; WIDTH]> {
    if [text[8], text[13], text[18], text[23]] != *b"----" {
        return None;
    }
    let mut digits = [0; 2 * WIDTH];
    digits[..8].copy_from_slice(&text[..8]);
    digits[8..12].copy_from_slice(&text[9..13]);
    digits[12..16].copy_from_slice(&text[14..18]);
    digits[16..20].copy_from_slice(&text[19..23]);
    digits[20..].copy_from_slice(&text[24..]);
    bytes_of(&digits)
}

fn bytes_of(digits: &[u8; 2 * WIDTH]) -> Option<[u8; WIDTH]> {
    let mut value = [0; WIDTH];
    let mut doubt = 0;
    for (eight, four) in digits.as_chunks::<8>().0.iter().zip(value.as_chunks_mut::<4>().0) {
        let (bytes, strange) = four_bytes(u64::from_le_bytes(*eight));
        *four = bytes;
        doubt |= strange;
    }
    (doubt == 0).then_some(value)
}

/// The bytes that eight hexadecimal digits spell, all eight worked on at once; the second part is zero
/// if they are such digits.
#[inline]
fn four_bytes(digits: u64) -> ([u8; 4], u64) {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    // A letter has bit 6, and its low half is 9 less than its value.
    let letters = (digits >> 6) & ONES;
    let values = (digits & (ONES * 0x0F)) + letters * 9;
    // Spelled again in small letters, they must be what they were.
    let above_nine = ((values + ONES * 6) >> 4) & ONES;
    let spelled = values + ONES * u64::from(b'0') + above_nine * u64::from(b'a' - b'9' - 1);
    let small = digits | (letters << 5);
    let strange = (spelled ^ small) | (values & (ONES * 0xF0));
    let pairs = ((values << 4) | (values >> 8)) & 0x00FF_00FF_00FF_00FF;
    let quads = (pairs | (pairs >> 8)) & 0x0000_FFFF_0000_FFFF;
    let [first, second, third, fourth, ..] = (quads | (quads >> 16)).to_le_bytes();
    ([first, second, third, fourth], strange)
}

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
    fn each_digit_is_told_from_each_other_byte() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut digits = *b"00000000";
                digits[place] = byte;
                let (bytes, strange) = four_bytes(u64::from_le_bytes(digits));
                let value = char::from(byte).to_digit(16);
                assert_eq!(strange == 0, value.is_some(), "{byte:#04x} in place {place}");
                if let Some(value) = value {
                    assert_eq!(u32::from_be_bytes(bytes), value << (4 * (7 - place)));
                }
            }
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
