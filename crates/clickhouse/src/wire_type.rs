//! As what type a column is sent where its own would not arrive as it is; the server converts when it puts the rows
//! into the table. Decides under which settings JSON is parsed then; which texts are kept unchanged under them is the
//! decoder's business.
//!
//! | column | sent as | because, measured on 26.7 |
//! |---|---|---|
//! | `JSON` | `String` | the Arrow reader parses it itself, under settings of its own: `"2024-01-01"` becomes a date |
//! | `LowCardinality(UUID)` | `UUID` | the Arrow reader reverses each half of the bytes |

/// The settings under which JSON is kept as it is, in the order of their names: nothing is guessed from a text, no
/// kind of value stands for another, and what can't be kept is refused, not left out.
pub(crate) const JSON_SETTINGS: [(&str, &str); 17] = [
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

/// The type that a column is sent as.
pub(crate) fn sent_as(column_type: &str) -> String {
    let plain = with_plain_uuids(column_type);
    let mut sent = String::with_capacity(plain.len());
    let mut rest = plain.as_str();
    while let Some((at, end)) = next_json(rest) {
        sent.push_str(&rest[..at]);
        sent.push_str("String");
        rest = &rest[end..];
    }
    sent + rest
}

/// A type without dictionaries of UUIDs; names in quotes stay as they are.
fn with_plain_uuids(column_type: &str) -> String {
    const DICTIONARIES: [(&str, &str); 2] =
        [("LowCardinality(UUID)", "UUID"), ("LowCardinality(Nullable(UUID))", "Nullable(UUID)")];
    let (mut plain, mut rest) = (String::with_capacity(column_type.len()), column_type);
    while let Some(letter) = rest.chars().next() {
        let length =
            if matches!(letter, '\'' | '`') { quoted_length(rest, letter) } else { letter.len_utf8() };
        let dictionary = DICTIONARIES.iter().find(|(dictionary, _)| rest.starts_with(dictionary));
        let (taken, of) = dictionary.map_or((length, &rest[..length]), |(whole, of)| (whole.len(), *of));
        plain.push_str(of);
        rest = &rest[taken..];
    }
    plain
}

/// The bytes of the quoted text that stands first, both quotes included.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, letter)| {
        let is_end = *letter == quote && !escaped;
        escaped = *letter == '\\' && !escaped;
        is_end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
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
    fn a_dictionary_of_uuids_is_sent_without_one() {
        for (column_type, sent) in [
            ("LowCardinality(UUID)", "UUID"),
            ("Array(LowCardinality(Nullable(UUID)))", "Array(Nullable(UUID))"),
            ("Map(LowCardinality(UUID), JSON)", "Map(UUID, String)"),
            ("LowCardinality(FixedString(16))", "LowCardinality(FixedString(16))"),
            (
                "Enum8('LowCardinality(UUID)' = 1, 'it\\'s' = 2)",
                "Enum8('LowCardinality(UUID)' = 1, 'it\\'s' = 2)",
            ),
            ("Tuple(`LowCardinality(UUID)` LowCardinality(UUID))", "Tuple(`LowCardinality(UUID)` UUID)"),
        ] {
            assert_eq!(sent_as(column_type), sent);
        }
    }

    #[test]
    fn the_settings_are_in_order_and_named_once() {
        assert!(JSON_SETTINGS.is_sorted_by(|left, right| left.0 < right.0));
    }
}
