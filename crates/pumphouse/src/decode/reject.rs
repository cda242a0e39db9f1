//! Why a record can't become a row: a code, a place and a sentence. It describes values by kind and
//! size, since a reason may reach a log; it does not know what happens to the record afterwards.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters a reason has at most.
const REASON_CHARS_MAX: usize = 300;
/// Characters that a path shows of a field's name.
const NAME_CHARS_MAX: usize = 120;
/// Numbers longer than this are described by their length.
const NUMBER_BYTES_MAX: usize = 45;

/// The kinds of reject, each with a page in `docs/errors/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// PH-0060: a record that should be there and is not, set aside by an audit to be replayed.
    Missing,
    /// PH-0100: the payload is not JSON.
    NotJson,
    /// PH-0101: a field without a default is missing.
    FieldMissing,
    /// PH-0102: null where the column takes none.
    Null,
    /// PH-0103: a value of another kind than the column's.
    WrongType,
    /// PH-0104: outside the column's range.
    OutOfRange,
    /// PH-0105: the column would hold another value than the record does.
    PrecisionLost,
    /// PH-0106: not a valid date or time.
    NotATime,
    /// PH-0107: not a valid UUID.
    NotAUuid,
    /// PH-0108: not valid UTF-8.
    NotUtf8,
    /// PH-0109: a wanted key given twice.
    KeyTwice,
    /// PH-0110: nested too deep.
    TooDeep,
    /// PH-0111: JSON, but not an object.
    NotAnObject,
    /// PH-0112: an escaped half of a surrogate pair.
    LoneSurrogate,
    /// PH-0113: a number for a time, without a declared unit.
    UnitUndeclared,
    /// PH-0114: an empty message.
    Empty,
    /// PH-0115: a message without a value, where such messages are declared dead letters.
    Tombstone,
    /// PH-0116: not a name of the enum.
    NotAName,
    /// PH-0117: not a valid IP address.
    NotAnAddress,
    /// PH-0118: too large for the column.
    TooLarge,
    /// PH-0119: a message that should hold several records and can't be taken apart.
    NotAnArray,
    /// PH-0120: fails the stream's JSON Schema.
    SchemaFailed,
    /// PH-0121: ClickHouse refuses the row.
    RowRefused,
}

impl Code {
    /// The code as an operator sees it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "PH-0060",
            Self::NotJson => "PH-0100",
            Self::FieldMissing => "PH-0101",
            Self::Null => "PH-0102",
            Self::WrongType => "PH-0103",
            Self::OutOfRange => "PH-0104",
            Self::PrecisionLost => "PH-0105",
            Self::NotATime => "PH-0106",
            Self::NotAUuid => "PH-0107",
            Self::NotUtf8 => "PH-0108",
            Self::KeyTwice => "PH-0109",
            Self::TooDeep => "PH-0110",
            Self::NotAnObject => "PH-0111",
            Self::LoneSurrogate => "PH-0112",
            Self::UnitUndeclared => "PH-0113",
            Self::Empty => "PH-0114",
            Self::Tombstone => "PH-0115",
            Self::NotAName => "PH-0116",
            Self::NotAnAddress => "PH-0117",
            Self::TooLarge => "PH-0118",
            Self::NotAnArray => "PH-0119",
            Self::SchemaFailed => "PH-0120",
            Self::RowRefused => "PH-0121",
        }
    }

    /// Whether the whole payload is at fault, and no place in it.
    pub(super) const fn is_of_the_payload(self) -> bool {
        matches!(
            self,
            Self::NotJson
                | Self::NotUtf8
                | Self::NotAnObject
                | Self::Empty
                | Self::Tombstone
                | Self::NotAnArray
        )
    }
}

/// The verdict on a record that can't become a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The kind.
    pub code: Code,
    /// The column; empty where the whole payload is at fault.
    pub column: String,
    /// The path into the record; empty where the whole payload is at fault.
    pub path: String,
    /// What was expected and what was found, in at most 300 characters and without contents of texts.
    pub reason: String,
}

/// What is wrong with a value, and where as far as is known yet. One pointer wide, because it is the
/// error of every function on the hot path.
#[derive(Debug)]
pub(super) struct Fault(Box<Detail>);

/// A step from a value to one inside it.
#[derive(Debug)]
enum Step {
    /// To an element of an array, or of a map by its place.
    Index(usize),
    /// To a field of an object.
    Name(String),
}

#[derive(Debug)]
struct Detail {
    code: Code,
    expected: Option<Cow<'static, str>>,
    found: Cow<'static, str>,
    /// The way from the column's value to what is wrong inside it, innermost first.
    steps: Vec<Step>,
    column: String,
    path: String,
}

impl Fault {
    /// A fault that leaves the expectation to the column.
    #[cold]
    pub(super) fn new(code: Code, found: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Detail {
            code,
            expected: None,
            found: found.into(),
            steps: Vec::new(),
            column: String::new(),
            path: String::new(),
        }))
    }

    /// A fault that knows better than the column what was expected.
    #[cold]
    pub(super) fn expecting(
        code: Code,
        expected: impl Into<Cow<'static, str>>,
        found: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut fault = Self::new(code, found);
        fault.0.expected = Some(expected.into());
        fault
    }

    pub(super) fn code(&self) -> Code {
        self.0.code
    }

    /// Adds what was expected, unless something further inside said so.
    #[cold]
    pub(super) fn or_expecting(mut self, expected: impl FnOnce() -> String) -> Self {
        self.0.expected.get_or_insert_with(|| Cow::Owned(expected()));
        self
    }

    /// The same finding as a fault of another kind.
    #[cold]
    pub(super) fn recoded(mut self, code: Code, expected: &'static str) -> Self {
        self.0.code = code;
        self.0.expected = Some(expected.into());
        self
    }

    /// Notes that the value is the element at `index` of the array or map around it.
    #[cold]
    pub(super) fn inside(mut self, index: usize) -> Self {
        self.0.steps.push(Step::Index(index));
        self
    }

    /// Notes that the value is the field `name` of the object around it.
    #[cold]
    pub(super) fn within(mut self, name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        self.0.steps.push(Step::Name(name.chars().take(NAME_CHARS_MAX).collect()));
        self
    }

    /// Names the place: a column, and the path to the value it is read from.
    #[cold]
    pub(super) fn at(mut self, column: &str, path: &str) -> Self {
        column.clone_into(&mut self.0.column);
        path.clone_into(&mut self.0.path);
        self
    }

    /// The verdict on the record.
    #[cold]
    pub(super) fn into_reject(self) -> Reject {
        let Detail { code, expected, found, steps, column, mut path } = *self.0;
        let mut reason = match expected {
            Some(expected) => format!("expected {expected}, found {found}"),
            None => found.into_owned(),
        };
        if let Some((end, _)) = reason.char_indices().nth(REASON_CHARS_MAX) {
            reason.truncate(end);
        }
        if code.is_of_the_payload() {
            return Reject { code, column: String::new(), path: String::new(), reason };
        }
        for step in steps.iter().rev() {
            let point = if path.is_empty() { "" } else { "." };
            // Infallible: writing to a `String`.
            let _ = match step {
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Name(name) => write!(path, "{point}{name}"),
            };
        }
        Reject { code, column, path, reason }
    }
}

/// Describes a number: by its digits unless they are many.
pub(super) fn number_found(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(text) if text.len() <= NUMBER_BYTES_MAX => format!("the number {text}"),
        _ => format!("a number of {} characters", text.len()),
    }
}

/// Describes a text by its size.
pub(super) fn text_found(text: &[u8]) -> String {
    match text.len() {
        1 => "a string of 1 byte".to_owned(),
        len => format!("a string of {len} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_300_characters_and_not_inside_one() {
        let fault = Fault::expecting(Code::WrongType, "é".repeat(400), "nothing");
        let reject = fault.inside(2).inside(7).at("tags", "meta.tags").into_reject();
        assert_eq!(reject.reason.chars().count(), REASON_CHARS_MAX);
        assert_eq!(reject.path, "meta.tags[7][2]");
    }

    #[test]
    fn a_path_goes_on_inside_the_column() {
        let fault =
            || Fault::new(Code::Null, "null").within(b"lat").inside(3).within("ä".repeat(200).as_bytes());
        let long = "ä".repeat(NAME_CHARS_MAX);
        assert_eq!(fault().at("geo", "meta.geo").into_reject().path, format!("meta.geo.{long}[3].lat"));
        assert_eq!(fault().at("extra", "").into_reject().path, format!("{long}[3].lat"));
    }

    #[test]
    fn what_is_wrong_with_the_payload_names_no_column() {
        let reject = Fault::new(Code::NotJson, "byte 3").at("tags", "meta.tags").into_reject();
        assert_eq!((reject.column.as_str(), reject.path.as_str()), ("", ""));
    }

    #[test]
    fn a_long_number_is_described_by_its_length() {
        assert_eq!(number_found(b"300"), "the number 300");
        assert_eq!(number_found("9".repeat(60).as_bytes()), "a number of 60 characters");
    }
}
