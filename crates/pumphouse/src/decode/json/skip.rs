//! Values that no column wants: passed by, but valid to the last byte. Also names the kind of a value
//! that a column could not take.

use super::scan::Reader;
use crate::decode::reject::{Code, Fault, number_found, text_found};

/// The kinds of open brackets, the innermost in the lowest bit: 1 for an object. As many as
/// [`super::scan::DEPTH_MAX`].
type Open = u128;

impl Reader<'_> {
    /// Passes the value that starts here.
    #[inline]
    pub(in crate::decode) fn skip_value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b'{' | b'[' => self.skip_nested(),
            _ => self.skip_scalar(),
        }
    }

    #[inline]
    fn skip_scalar(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b'"' => self.skip_text(),
            b'-' | b'0'..=b'9' => match self.short_number() {
                Some(_) => Ok(()),
                None => self.number().map(|_| ()),
            },
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Passes the array or object that starts here, without recursion: its depth is the sender's choice.
    fn skip_nested(&mut self) -> Result<(), Fault> {
        let outside = self.depth;
        let mut open: Open = 0;
        loop {
            // Here a value starts.
            match self.peek() {
                bracket @ (b'{' | b'[') => {
                    self.enter()?;
                    open = open << 1 | Open::from(bracket == b'{');
                    if !self.eat_empty(bracket)? {
                        continue;
                    }
                    open >>= 1;
                }
                _ => self.skip_scalar()?,
            }
            // Here a value ended.
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let is_object = open & 1 == 1;
                if self.another(if is_object { b'}' } else { b']' })? {
                    if is_object {
                        self.skip_key()?;
                    }
                    break;
                }
                open >>= 1;
            }
        }
    }

    /// Just inside `bracket`: passes the closing one if it follows, otherwise the first key of an object.
    fn eat_empty(&mut self, bracket: u8) -> Result<bool, Fault> {
        let closing = if bracket == b'{' { b'}' } else { b']' };
        if self.peek() == closing {
            self.leave();
            return Ok(true);
        }
        if bracket == b'{' {
            self.skip_key()?;
        }
        Ok(false)
    }

    fn skip_key(&mut self) -> Result<(), Fault> {
        if self.peek() != b'"' {
            return Err(self.unexpected("a key in quotes"));
        }
        self.skip_text()?;
        self.colon()
    }

    /// The fault of a value that starts here and is of a kind the column does not take.
    #[cold]
    pub(in crate::decode) fn misfit(&mut self) -> Fault {
        let from = self.at;
        let kind = self.peek();
        if let Err(fault) = self.skip_value() {
            return fault;
        }
        let read = &self.bytes[from..self.at];
        match kind {
            b'n' => Fault::new(Code::Null, "null"),
            b't' | b'f' => Fault::new(Code::WrongType, "a Boolean"),
            b'"' => Fault::new(Code::WrongType, text_found(&read[1..read.len() - 1])),
            b'{' => Fault::new(Code::WrongType, "an object"),
            b'[' => Fault::new(Code::WrongType, "an array"),
            _ => Fault::new(Code::WrongType, number_found(read)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(json: &str) -> Result<(), Code> {
        let mut reader = Reader::new(json.as_bytes(), Vec::new());
        reader.skip_value().and_then(|()| reader.end()).map_err(|fault| fault.code())
    }

    #[test]
    fn valid_values_are_passed_whole() {
        for json in [
            "null",
            "[]",
            "{}",
            "[[],{},[{}]]",
            r#"{"a":[1,-2.5e+3,{"b":"\ud83d\ude00"}],"c":{"d":null},"a":true}"#,
            " [ 1 , 2 ] ",
            "{ \"a\" : \t1\r\n}",
        ] {
            assert_eq!(skip(json.trim_start()), Ok(()), "{json}");
        }
    }

    #[test]
    fn broken_values_are_not_passed() {
        for json in [
            "",
            "[1,]",
            "[1",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "[1 2]",
            "[}",
            "{]",
            "tru",
            "nul",
            "[\"\\q\"]",
            "[01]",
            "[,1]",
            "{,}",
            "]",
            "[1]]",
            "{\"a\":1 \"b\":2}",
        ] {
            assert_eq!(skip(json), Err(Code::NotJson), "{json}");
        }
        assert_eq!(skip(r#"["\ud800"]"#), Err(Code::LoneSurrogate));
    }

    #[test]
    fn nesting_ends_at_128() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(skip(&nested(128)), Ok(()));
            assert_eq!(skip(&nested(129)), Err(Code::TooDeep));
        }
    }
}
