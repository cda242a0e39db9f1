//! The position in a payload: white space, single bytes, literals, nesting. The reader's other abilities
//! are in the files beside this one.

use crate::decode::reject::{Code, Fault};

/// How many arrays and objects may be open at once.
pub(in crate::decode) const DEPTH_MAX: u32 = 128;

/// Reads one JSON text from left to right. The bytes must be valid UTF-8; the reader never looks
/// inside a character.
pub(in crate::decode) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Arrays and objects open at `at`.
    pub(super) depth: u32,
    /// Where texts with escapes are spelled out.
    pub(super) scratch: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte; `scratch` lends its allocation.
    pub(in crate::decode) fn new(bytes: &'a [u8], scratch: Vec<u8>) -> Self {
        Self { bytes, at: 0, depth: 0, scratch }
    }

    /// Returns the lent allocation.
    pub(in crate::decode) fn into_scratch(self) -> Vec<u8> {
        self.scratch
    }

    /// The byte under the reader; 0 at the end, which no JSON has outside a string.
    #[inline]
    pub(in crate::decode) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// What is still to be read.
    #[inline]
    pub(in crate::decode) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The bytes from `position` to the reader.
    #[inline]
    pub(in crate::decode) fn passed(&self, position: usize) -> &'a [u8] {
        self.bytes.get(position..self.at).unwrap_or_default()
    }

    /// The next `N` bytes, if there are so many.
    #[inline]
    pub(in crate::decode) fn ahead<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    /// Moves on by bytes that were seen in [`Self::rest`].
    #[inline]
    pub(in crate::decode) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The position, for [`Self::rewind`].
    #[inline]
    pub(in crate::decode) fn position(&self) -> usize {
        self.at
    }

    /// Goes back to the start of a value just read, to read it once more.
    #[inline]
    pub(in crate::decode) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    /// Passes white space.
    #[inline]
    pub(in crate::decode) fn skip_space(&mut self) {
        if self.peek() <= b' ' {
            self.skip_more_space();
        }
    }

    #[inline(never)]
    fn skip_more_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Passes `byte` if it is next.
    #[inline]
    pub(in crate::decode) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes the opening bracket of an array or object, and the white space after it.
    #[inline]
    pub(in crate::decode) fn enter(&mut self) -> Result<(), Fault> {
        if self.depth == DEPTH_MAX {
            return Err(too_deep());
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Passes the closing bracket.
    #[inline]
    pub(in crate::decode) fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Passes the colon after a key, and the white space around it.
    #[inline]
    pub(in crate::decode) fn colon(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if !self.eat(b':') {
            return Err(self.unexpected("`:` after a key"));
        }
        self.skip_space();
        Ok(())
    }

    /// After an element: whether another one follows, standing at its start; passes `closing` if not.
    #[inline]
    pub(in crate::decode) fn another(&mut self, closing: u8) -> Result<bool, Fault> {
        if self.ahead() == Some(b",\"") {
            self.at += 1;
            return Ok(true);
        }
        let mut byte = self.peek();
        if byte <= b' ' {
            self.skip_more_space();
            byte = self.peek();
        }
        if byte == b',' {
            self.at += 1;
            self.skip_space();
            return Ok(true);
        }
        if byte == closing {
            self.leave();
            return Ok(false);
        }
        Err(self.unexpected(if closing == b'}' { "`,` or `}`" } else { "`,` or `]`" }))
    }

    /// Passes `true`, `false` or `null`, of which the first byte was seen.
    #[inline]
    pub(in crate::decode) fn literal(&mut self, text: &'static str) -> Result<(), Fault> {
        if self.rest().starts_with(text.as_bytes()) {
            self.at += text.len();
            return Ok(());
        }
        Err(self.unexpected(text))
    }

    /// Only white space may be left.
    pub(in crate::decode) fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.unexpected("the end of the message")) }
    }

    /// Nothing may be left.
    pub(in crate::decode) fn end_here(&self) -> Result<(), Fault> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    /// The payload is no JSON here.
    #[cold]
    pub(in crate::decode) fn unexpected(&self, expected: &'static str) -> Fault {
        let found = match self.bytes.get(self.at) {
            None => format!("the end of the message after {} bytes", self.bytes.len()),
            Some(_) if self.at == 0 && self.bytes.starts_with("\u{feff}".as_bytes()) => {
                "a byte order mark at byte 0".to_owned()
            }
            Some(byte) if byte.is_ascii_punctuation() => {
                format!("`{}` at byte {}", char::from(*byte), self.at)
            }
            Some(byte) => format!("0x{byte:02X} at byte {}", self.at),
        };
        Fault::expecting(Code::NotJson, expected, found)
    }
}

#[cold]
fn too_deep() -> Fault {
    Fault::expecting(
        Code::TooDeep,
        format!("at most {DEPTH_MAX} arrays and objects inside each other"),
        "one more",
    )
}
