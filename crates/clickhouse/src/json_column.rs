//! Columns of type JSON on the way in: sent as text, which the server parses when it puts the rows into the table.
//! Decides under which settings it parses; which texts it keeps unchanged under them is the decoder's business.
//!
//! Sent as `JSON` the Arrow reader would parse the text itself, under settings of its own: a text that looks like a
//! date becomes a date (measured on 26.7, whatever `input_format_try_infer_dates` says).

/// The settings under which JSON is kept as it is, in the order of their names: nothing is guessed from a text, no
/// kind of value stands for another, and what can't be kept is refused, not left out.
pub(crate) const SETTINGS: [(&str, &str); 17] = [
    ("input_format_json_infer_array_of_dynamic_from_array_of_different_types", "1"),
    ("input_format_json_infer_incomplete_types_as_strings", "1"),
    ("input_format_json_max_depth", "1000"),
    ("input_format_json_read_arrays_as_strings", "0"),
    ("input_format_json_read_bools_as_numbers", "0"),
    ("input_format_json_read_bools_as_strings", "0"),
    ("input_format_json_read_numbers_as_strings", "0"),
    ("input_format_json_read_objects_as_strings", "0"),
    ("input_format_json_try_infer_numbers_from_strings", "0"),
    ("input_format_try_infer_dates", "0"),
    ("input_format_try_infer_datetimes", "0"),
    ("input_format_try_infer_integers", "1"),
    ("input_format_try_infer_variants", "0"),
    ("json_type_escape_dots_in_keys", "0"),
    ("schema_inference_make_columns_nullable", "1"),
    ("type_json_skip_duplicated_paths", "0"),
    ("type_json_skip_invalid_typed_paths", "0"),
];

/// The type that a column is sent as: `String` in place of each `JSON`.
pub(crate) fn sent_as(column_type: &str) -> String {
    let mut sent = String::with_capacity(column_type.len());
    let mut rest = column_type;
    while let Some((at, end)) = next_json(rest) {
        sent.push_str(&rest[..at]);
        sent.push_str("String");
        rest = &rest[end..];
    }
    sent + rest
}

/// Whether JSON stands anywhere in a type.
pub(crate) fn holds_json(column_type: &str) -> bool {
    next_json(column_type).is_some()
}

/// Where the first `JSON` that is a type begins and ends, arguments included. One that is the name of an element has
/// a type behind it; quoted names and texts are passed over.
fn next_json(column_type: &str) -> Option<(usize, usize)> {
    let (mut quote, mut escaped, mut word) = (None, false, 0);
    for (at, letter) in column_type.char_indices().chain([(column_type.len(), ',')]) {
        let is_json = quote.is_none() && &column_type[word..at] == "JSON";
        match (quote, letter) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == letter => quote = None,
            (None, ',' | ')') if is_json => return Some((word, at)),
            (None, '(') if is_json => {
                let close = column_type[at..].find(')')?;
                return Some((word, at + close + 1));
            }
            (None, '\'' | '`') => quote = Some(letter),
            _ => {}
        }
        if !letter.is_ascii_alphanumeric() && letter != '_' {
            word = at + letter.len_utf8();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_sent_as_text_wherever_it_stands() {
        for (column_type, sent) in [
            ("JSON", "String"),
            ("JSON(max_dynamic_paths=8, max_dynamic_types=32)", "String"),
            ("Nullable(JSON)", "Nullable(String)"),
            ("Array(Nullable(JSON(max_dynamic_paths=8)))", "Array(Nullable(String))"),
            ("Map(String, JSON)", "Map(String, String)"),
            ("Tuple(JSON, JSON)", "Tuple(String, String)"),
            ("Tuple(JSON JSON, `a JSON` UInt8, b JSON)", "Tuple(JSON String, `a JSON` UInt8, b String)"),
            ("Tuple(`JSON, JSON` UInt8, `JSON` JSON)", "Tuple(`JSON, JSON` UInt8, `JSON` String)"),
            ("Tuple(`\\`` JSON)", "Tuple(`\\`` String)"),
        ] {
            assert_eq!(sent_as(column_type), sent);
            assert!(holds_json(column_type), "{column_type}");
        }
        for column_type in [
            "String",
            "Tuple(JSON UInt8)",
            "Enum8('JSON' = 1, 'JSON)' = 2)",
            "Tuple(NOJSON UInt8, JSONS UInt8)",
        ] {
            assert_eq!(sent_as(column_type), column_type);
            assert!(!holds_json(column_type), "{column_type}");
        }
    }

    #[test]
    fn the_settings_are_in_order_and_named_once() {
        assert!(SETTINGS.is_sorted_by(|left, right| left.0 < right.0));
    }
}
