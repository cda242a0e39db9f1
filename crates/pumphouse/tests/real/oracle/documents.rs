//! What is peculiar in an object for a column of type JSON, as far as the declared differences ask.

use super::value::Json;

/// Whether an object anywhere has a key twice.
pub(super) fn has_path_twice(json: &Json) -> bool {
    match json {
        Json::Leaf(_) => false,
        Json::Array(elements) => elements.iter().any(has_path_twice),
        Json::Object(entries) => {
            let twice = |at: usize| entries[..at].iter().any(|(key, _)| key.said() == entries[at].0.said());
            (0..entries.len()).any(twice) || entries.iter().any(|(_, value)| has_path_twice(value))
        }
    }
}

/// Whether a whole number past 2^53 stands in an array, at any depth.
pub(super) fn has_large_in_array(json: &Json, in_array: bool) -> bool {
    match json {
        Json::Leaf(text) => {
            in_array && text.parse::<i128>().is_ok_and(|number| number.unsigned_abs() > 1 << 53)
        }
        Json::Array(elements) => elements.iter().any(|element| has_large_in_array(element, true)),
        Json::Object(entries) => entries.iter().any(|(_, value)| has_large_in_array(value, in_array)),
    }
}

/// Whether an array has both a null and an array in it.
pub(super) fn has_null_beside_array(json: &Json) -> bool {
    match json {
        Json::Leaf(_) => false,
        Json::Array(elements) => {
            let has_null = elements.contains(&Json::leaf("null"));
            let has_array = elements.iter().any(|element| matches!(element, Json::Array(_)));
            has_null && has_array || elements.iter().any(has_null_beside_array)
        }
        Json::Object(entries) => entries.iter().any(|(_, value)| has_null_beside_array(value)),
    }
}
