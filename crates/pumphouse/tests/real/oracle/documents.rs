//! What is peculiar in an object for a column of type JSON, as far as the declared differences ask.

use std::collections::BTreeSet;

use super::value::Json;

/// Whether an object has a path twice, or a value at a path and others below it; a point in a key is a step.
pub(super) fn has_path_twice(json: &Json) -> bool {
    match json {
        Json::Leaf(_) => false,
        Json::Array(elements) => elements.iter().any(has_path_twice),
        Json::Object(entries) => {
            let mut paths = Vec::new();
            note_paths(json, "", &mut paths);
            let meets =
                |path: &String, other: &String| path == other || other.starts_with(&format!("{path}."));
            let twice = (0..paths.len())
                .any(|one| (0..paths.len()).any(|other| one != other && meets(&paths[one], &paths[other])));
            twice || entries.iter().any(|(_, value)| has_path_twice(value))
        }
    }
}

/// The paths of an object's values; an object without any is a value.
fn note_paths(json: &Json, before: &str, paths: &mut Vec<String>) {
    match json {
        Json::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let key = key.said().unwrap_or_default();
                let path = if before.is_empty() { key } else { format!("{before}.{key}") };
                note_paths(value, &path, paths);
            }
        }
        _ => paths.push(before.to_owned()),
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

/// Whether a number that is not 0 is nearer to 0 than any other float, at any depth.
pub(super) fn has_flushed(json: &Json) -> bool {
    match json {
        Json::Leaf(text) => {
            text.parse::<f64>().is_ok_and(|number| number == 0.0) && !super::kinds::is_zero(text)
        }
        Json::Array(elements) => elements.iter().any(has_flushed),
        Json::Object(entries) => entries.iter().any(|(_, value)| has_flushed(value)),
    }
}

/// Whether an array has a null and an array as deep inside it, side by side or in different parts.
pub(super) fn has_null_beside_array(json: &Json) -> bool {
    arrays(json).iter().any(|array| {
        let (mut nulls, mut arrays) = (BTreeSet::new(), BTreeSet::new());
        note_depths(array, 0, &mut nulls, &mut arrays);
        !nulls.is_disjoint(&arrays)
    })
}

/// Whether more than four arrays stand straight inside each other.
pub(super) fn has_deep_arrays(json: &Json) -> bool {
    arrays(json).iter().any(|array| {
        let (mut nulls, mut arrays) = (BTreeSet::new(), BTreeSet::new());
        note_depths(array, 0, &mut nulls, &mut arrays);
        arrays.last().is_some_and(|deepest| *deepest >= 4)
    })
}

/// The arrays that stand in no other array directly.
fn arrays(json: &Json) -> Vec<&Json> {
    match json {
        Json::Leaf(_) => Vec::new(),
        Json::Array(_) => {
            std::iter::once(json).chain(objects_in(json).into_iter().flat_map(arrays)).collect()
        }
        Json::Object(entries) => entries.iter().flat_map(|(_, value)| arrays(value)).collect(),
    }
}

/// The objects that stand in an array, or in arrays in it.
fn objects_in(json: &Json) -> Vec<&Json> {
    match json {
        Json::Array(elements) => elements.iter().flat_map(objects_in).collect(),
        Json::Object(_) => vec![json],
        Json::Leaf(_) => Vec::new(),
    }
}

/// How many arrays are around each null and each array; objects are another matter.
fn note_depths(json: &Json, depth: usize, nulls: &mut BTreeSet<usize>, arrays: &mut BTreeSet<usize>) {
    match json {
        Json::Leaf(text) if text == "null" => drop(nulls.insert(depth)),
        Json::Array(elements) => {
            arrays.insert(depth);
            for element in elements {
                note_depths(element, depth + 1, nulls, arrays);
            }
        }
        _ => {}
    }
}
