//! The kinds of bad records: what each one breaks in a good record, and the code its dead letter carries.
//! Does not know how a good record is made, nor which records turn out bad.

use memchr::memmem;

/// One way in which a record can't become a row. Each kind breaks exactly one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BadKind {
    /// A line of a text log instead of JSON.
    NotJson,
    /// JSON that ends in the middle.
    Truncated,
    /// No `service`.
    FieldMissing,
    /// `service` is null.
    Null,
    /// `status` is a text.
    WrongType,
    /// `status` does not fit 16 bits.
    OutOfRange,
    /// `ts` names February 30.
    InvalidTime,
    /// `event_id` is too short.
    InvalidUuid,
    /// `host` holds a byte that is never part of UTF-8.
    InvalidUtf8,
    /// `status` is given twice.
    KeyTwice,
    /// The record is an array around the event.
    NotAnObject,
    /// `host` ends in half of a surrogate pair.
    LoneSurrogate,
    /// `ts` is a number, and no unit is declared for it.
    TimeWithoutUnit,
    /// A message with a value of no bytes, which is not a tombstone.
    Empty,
}

impl BadKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 14] = [
        Self::NotJson,
        Self::Truncated,
        Self::FieldMissing,
        Self::Null,
        Self::WrongType,
        Self::OutOfRange,
        Self::InvalidTime,
        Self::InvalidUuid,
        Self::InvalidUtf8,
        Self::KeyTwice,
        Self::NotAnObject,
        Self::LoneSurrogate,
        Self::TimeWithoutUnit,
        Self::Empty,
    ];

    /// The code of the dead letter that such a record becomes.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotJson | Self::Truncated => "PH-0100",
            Self::FieldMissing => "PH-0101",
            Self::Null => "PH-0102",
            Self::WrongType => "PH-0103",
            Self::OutOfRange => "PH-0104",
            Self::InvalidTime => "PH-0106",
            Self::InvalidUuid => "PH-0107",
            Self::InvalidUtf8 => "PH-0108",
            Self::KeyTwice => "PH-0109",
            Self::NotAnObject => "PH-0111",
            Self::LoneSurrogate => "PH-0112",
            Self::TimeWithoutUnit => "PH-0113",
            Self::Empty => "PH-0114",
        }
    }

    /// A name for people and for JSON keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::Truncated => "truncated",
            Self::FieldMissing => "field_missing",
            Self::Null => "null",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::InvalidTime => "invalid_time",
            Self::InvalidUuid => "invalid_uuid",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::KeyTwice => "key_twice",
            Self::NotAnObject => "not_an_object",
            Self::LoneSurrogate => "lone_surrogate",
            Self::TimeWithoutUnit => "time_without_unit",
            Self::Empty => "empty",
        }
    }

    /// Where this kind stands in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Breaks a good record in this one way.
    pub fn spoil(self, event: &mut Vec<u8>) {
        match self {
            Self::NotJson => {
                event.clear();
                event.extend_from_slice(b"GET /v2/orders/{id} 200 12.4ms upstream=checkout-7");
            }
            Self::Truncated => event.truncate(event.len() * 3 / 5),
            Self::FieldMissing => remove_field(event, b"\"service\":"),
            Self::Null => replace_value(event, b"\"service\":", b"null"),
            Self::WrongType => replace_value(event, b"\"status\":", b"\"teapot\""),
            Self::OutOfRange => replace_value(event, b"\"status\":", b"70000"),
            Self::InvalidTime => replace_value(event, b"\"ts\":", b"\"2026-02-30T12:00:00.000Z\""),
            Self::InvalidUuid => replace_value(event, b"\"event_id\":", b"\"3f2b8c1e-77aa-4d21-9c\""),
            Self::InvalidUtf8 => replace_value(event, b"\"host\":", b"\"edge-\xff\""),
            Self::KeyTwice => replace_value(event, b"\"status\":", b"200,\"status\":500"),
            Self::NotAnObject => {
                event.insert(0, b'[');
                event.push(b']');
            }
            Self::LoneSurrogate => replace_value(event, b"\"host\":", b"\"edge-\\ud83d\""),
            Self::TimeWithoutUnit => replace_value(event, b"\"ts\":", b"1790000000"),
            Self::Empty => event.clear(),
        }
    }
}

/// Puts `value` where the field's value was. The value must be followed by a comma and hold none.
fn replace_value(event: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    let (start, end) = value_of(event, field);
    event.splice(start..end, value.iter().copied());
}

/// Takes the field out, with the comma after it.
fn remove_field(event: &mut Vec<u8>, field: &[u8]) {
    let (start, end) = value_of(event, field);
    event.drain(start - field.len()..=end);
}

fn value_of(event: &[u8], field: &[u8]) -> (usize, usize) {
    let start = memmem::find(event, field).expect("every good record has every field") + field.len();
    let length = memchr::memchr(b',', &event[start..]).expect("the spoiled fields are not the last one");
    (start, start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = br#"{"event_id":"3f2b8c1e-77aa-4d21-9c00-000000000000","ts":"2026-11-21T10:00:00.000Z","service":"cart","status":200,"host":"cart-1","geo":{"city":null}}"#;

    fn spoiled(kind: BadKind) -> Vec<u8> {
        let mut event = GOOD.to_vec();
        kind.spoil(&mut event);
        event
    }

    #[test]
    fn the_list_is_in_the_order_of_the_codes_and_of_the_indexes() {
        assert!(BadKind::ALL.is_sorted_by_key(|kind| kind.code()));
        for (index, kind) in BadKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
        }
    }

    #[test]
    fn the_kinds_that_are_no_json_are_no_json_and_the_others_are() {
        for kind in BadKind::ALL {
            let parsed = serde_json::from_slice::<serde_json::Value>(&spoiled(kind));
            let is_json = !matches!(
                kind,
                BadKind::NotJson
                    | BadKind::Truncated
                    | BadKind::InvalidUtf8
                    | BadKind::LoneSurrogate
                    | BadKind::Empty
            );
            assert_eq!(parsed.is_ok(), is_json, "{kind:?}: {parsed:?}");
        }
    }

    #[test]
    fn one_field_is_broken_and_the_rest_is_left_alone() {
        let good: serde_json::Value = serde_json::from_slice(GOOD).expect("JSON");
        for (kind, field) in [
            (BadKind::FieldMissing, "service"),
            (BadKind::Null, "service"),
            (BadKind::WrongType, "status"),
            (BadKind::OutOfRange, "status"),
            (BadKind::InvalidTime, "ts"),
            (BadKind::InvalidUuid, "event_id"),
            (BadKind::TimeWithoutUnit, "ts"),
        ] {
            let bad: serde_json::Value = serde_json::from_slice(&spoiled(kind)).expect("JSON");
            for (name, value) in good.as_object().expect("an object") {
                assert_eq!(bad.get(name) == Some(value), name != field, "{kind:?}: {name}");
            }
        }
    }
}
