//! Strings: found sixteen bytes at a time, taken as they stand where plain, spelled out where escaped.

use super::scan::Reader;
use crate::decode::reject::{Code, Fault};

impl Reader<'_> {
    /// The text of the string that starts here.
    #[inline]
    pub(in crate::decode) fn text(&mut self) -> Result<&[u8], Fault> {
        let from = self.at + 1;
        let end = plain_end(self.bytes, from);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(&self.bytes[from..end]);
        }
        self.escaped_text()
    }

    /// Passes the string that starts here if it is plain and shorter than [`BLOCK`]; stays where it is if
    /// not. The block holds its text and what comes behind it; the number is the text's length.
    #[inline]
    pub(in crate::decode) fn short_text(&mut self) -> Option<(&[u8; BLOCK], usize)> {
        let block = self.bytes.get(self.at + 1..)?.first_chunk()?;
        let len = first_special(block)?;
        if block[len] != b'"' {
            return None;
        }
        self.at += len + 2;
        Some((block, len))
    }

    /// The next `N` bytes inside the string that starts here, if a quote follows them. Whether they are
    /// the whole string is for the caller to see: one that takes no quotes or escapes can tell.
    #[inline]
    pub(in crate::decode) fn quoted<const N: usize>(&self) -> Option<&[u8; N]> {
        let (inside, after) = self.bytes.get(self.at + 1..)?.split_first_chunk::<N>()?;
        (after.first() == Some(&b'"')).then_some(inside)
    }

    #[cold]
    fn escaped_text(&mut self) -> Result<&[u8], Fault> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let read = self.spell_out(|bytes| scratch.extend_from_slice(bytes));
        self.scratch = scratch;
        read.map(|()| self.scratch.as_slice())
    }

    /// Appends the text of the string that starts here; after a fault, a part of it may be there.
    #[inline]
    pub(in crate::decode) fn text_into(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some((block, len)) = self.short_text() {
            // A copy of known size takes no call; what is too much of it goes away again.
            let end = out.len() + len;
            out.extend_from_slice(block);
            out.truncate(end);
            return Ok(());
        }
        self.long_text_into(out)
    }

    #[inline(never)]
    fn long_text_into(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.spell_out(|bytes| out.extend_from_slice(bytes))
    }

    /// Passes the string that starts here.
    #[inline]
    pub(super) fn skip_text(&mut self) -> Result<(), Fault> {
        let end = plain_end(self.bytes, self.at + 1);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(());
        }
        self.spell_out(|_| {})
    }

    /// Walks the string that starts here and hands its text over in pieces.
    fn spell_out(&mut self, mut put: impl FnMut(&[u8])) -> Result<(), Fault> {
        self.at += 1;
        loop {
            let end = plain_end(self.bytes, self.at);
            put(&self.bytes[self.at..end]);
            self.at = end;
            match self.bytes.get(end) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(&mut put)?,
                _ => return Err(self.unexpected("the rest of a string")),
            }
        }
    }

    fn escape(&mut self, put: &mut impl FnMut(&[u8])) -> Result<(), Fault> {
        self.at += 1;
        let plain = match self.peek() {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                let character = self.escaped_character()?;
                put(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.unexpected("an escape")),
        };
        self.at += 1;
        put(&[plain]);
        Ok(())
    }

    /// The character of `\uXXXX` or of a pair of them; the reader stands after the first `u`.
    fn escaped_character(&mut self) -> Result<char, Fault> {
        let first = self.four_hex_digits()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        if (0xD800..0xDC00).contains(&first) && self.rest().starts_with(b"\\u") {
            self.at += 2;
            let second = self.four_hex_digits()?;
            if (0xDC00..0xE000).contains(&second) {
                let scalar = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(scalar).expect("a surrogate pair names a scalar value"));
            }
        }
        Err(Fault::expecting(
            Code::LoneSurrogate,
            "escapes that spell characters",
            format!("half of a surrogate pair before byte {}", self.at),
        ))
    }

    fn four_hex_digits(&mut self) -> Result<u32, Fault> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else {
                return Err(self.unexpected("four hexadecimal digits"));
            };
            value = value << 4 | digit;
            self.at += 1;
        }
        Ok(value)
    }
}

/// The first index at or after `from` with a quote, a backslash or a control character; the length
/// where there is none.
#[inline]
fn plain_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(block) = bytes.get(at..at + BLOCK).and_then(<[u8]>::first_chunk) {
        if let Some(special) = first_special(block) {
            return at + special;
        }
        at += BLOCK;
    }
    last_plain_end(bytes, at)
}

/// As [`plain_end`], for the few bytes at the end of a payload.
fn last_plain_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let special = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
    special.map_or(bytes.len(), |special| from + special)
}

/// Bytes looked at together: as many as the smallest vector registers hold.
pub(in crate::decode) const BLOCK: usize = 16;

/// The index of the first quote, backslash or control character. Plain arithmetic on eight bytes at a
/// time: as quick on short strings as vector instructions, which have farther to go back to an index.
#[inline]
fn first_special(block: &[u8; BLOCK]) -> Option<usize> {
    let [low, high] = *block.as_chunks().0 else { return None };
    let (low, high) = (special_bytes(u64::from_le_bytes(low)), special_bytes(u64::from_le_bytes(high)));
    let (word, before) = if low == 0 { (high, BLOCK / 2) } else { (low, 0) };
    (word != 0).then(|| before + word.trailing_zeros() as usize / 8)
}

/// Sets the high bit of each byte that is special. Exact in the lowest one set; above it a borrow may set
/// others, which nobody looks at.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let quotes = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslashes = (word ^ (ONES * 0x5C)).wrapping_sub(ONES);
    let controls = word.wrapping_sub(ONES * 0x20);
    // Quote and backslash have no high bit, so a byte with one is never special.
    (quotes | backslashes | controls) & !word & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(json: &str) -> Result<Vec<u8>, Code> {
        let mut reader = Reader::new(json.as_bytes(), Vec::new());
        let text = reader.text().map(<[u8]>::to_vec).map_err(|fault| fault.code())?;
        reader.end().map_err(|fault| fault.code())?;
        Ok(text)
    }

    #[test]
    fn escapes_spell_what_json_says() {
        let all = r#""a\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\ude00\u0000z""#;
        let spelled = "a\"\\/\u{8}\u{c}\n\r\tAé€😀\0z";
        assert_eq!(text_of(all), Ok(spelled.as_bytes().to_vec()));
    }

    #[test]
    fn half_a_pair_is_told_from_broken_json() {
        for json in [r#""\ud800""#, r#""\udc00""#, r#""\ud800x""#, r#""\ud800\ud800""#, r#""\ud800\n""#] {
            assert_eq!(text_of(json), Err(Code::LoneSurrogate), "{json}");
        }
        for json in
            [r#""\ud8""#, r#""\x""#, "\"a\nb\"", "\"a\0b\"", "\"abc", "\"\\", r#""\u00g0""#, "\"\x1f\""]
        {
            assert_eq!(text_of(json), Err(Code::NotJson), "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_run_ends_where_a_plain_search_says(bytes in prop::collection::vec(
            prop_oneof![8 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 1 => Just(0x1F), 1 => Just(0x20)], 0..64),
            from in 0..20_usize)
        {
            let from = from.min(bytes.len());
            let slow = bytes[from..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1F));
            prop_assert_eq!(plain_end(&bytes, from), slow.map_or(bytes.len(), |at| from + at));
        }
    }
}
