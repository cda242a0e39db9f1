//! The decoder against two other readers of JSON, on texts that are right and texts that are nearly so.

use jiter::JsonValue;
use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// JSON texts, with white space and escapes where JSON allows them.
fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        string_text(),
    ];
    scalar.prop_recursive(5, 40, 6, |inner| {
        let space = "[ \\t\\r\\n]{0,2}";
        let elements = prop::collection::vec((space, inner.clone(), space), 0..6);
        let members = prop::collection::vec((string_text(), space, inner), 0..6);
        prop_oneof![
            elements.prop_map(|elements| {
                let elements =
                    elements.into_iter().map(|(before, value, after)| format!("{before}{value}{after}"));
                format!("[{}]", elements.collect::<Vec<_>>().join(","))
            }),
            members.prop_map(|members| {
                let members =
                    members.into_iter().map(|(key, space, value)| format!("{space}{key}{space}:{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// A JSON string, each character as itself or escaped in one of the ways.
fn string_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![any::<char>(), prop::char::range('\0', '\u{7f}')];
    let characters = prop::collection::vec((character, 0..4_u8), 0..20);
    let printable = prop::collection::vec((prop::char::range(' ', '~'), 0..8_u8), 0..40);
    prop_oneof![characters, printable].prop_map(|characters| {
        let spelled = characters.into_iter().map(|(character, how)| match (how, character) {
            (0, _) => units(character, |unit| format!("\\u{unit:04x}")),
            (1, _) => units(character, |unit| format!("\\u{unit:04X}")),
            (_, '"' | '\\') | (2, '/') => format!("\\{character}"),
            (_, '\n') => "\\n".to_owned(),
            (_, '\r') => "\\r".to_owned(),
            (_, '\t') => "\\t".to_owned(),
            (_, '\u{8}') => "\\b".to_owned(),
            (_, '\u{c}') => "\\f".to_owned(),
            (_, '\0'..='\x1f') => format!("\\u{:04x}", u32::from(character)),
            _ => character.to_string(),
        });
        format!("\"{}\"", spelled.collect::<String>())
    })
}

fn units(character: char, spell: fn(&u16) -> String) -> String {
    character.encode_utf16(&mut [0; 2]).iter().map(spell).collect()
}

/// A few bytes changed, added or gone.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        prop::sample::select(b"{}[]\",:\\ue0123456789+-.tfnalsr \n\t/b".to_vec()),
        any::<u8>(),
        Just(0x1F),
    ];
    let change = (any::<prop::sample::Index>(), 0..4_u8, byte);
    (json_text(), prop::collection::vec(change, 0..4)).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, kind, byte) in changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.truncate(at),
                _ => {}
            }
        }
        bytes
    })
}

/// A verdict on a payload of which nothing is wanted.
fn verdict(payload: &[u8]) -> Result<(), String> {
    let nothing = column("a key that no text has", "Nullable(UInt8)");
    decode(vec![nothing], payload).map(|_| ()).map_err(|[code, ..]| code)
}

fn same_as_the_others(payload: &[u8]) -> Result<(), TestCaseError> {
    let ours = verdict(payload);
    let text = std::str::from_utf8(payload);
    let theirs = text.ok().map(serde_json::from_str::<IgnoredAny>);
    let is_json = matches!(theirs, Some(Ok(_)));
    let is_object = text.is_ok_and(|text| text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{'));
    let theirs_too = JsonValue::parse(payload, false);
    let shown = payload.escape_ascii();
    match ours.as_ref().map_err(String::as_str) {
        Ok(()) => {
            prop_assert!(
                is_json && is_object,
                "taken, but {:?}: {}",
                theirs.map(|read| read.map(|_| ())),
                shown
            );
            prop_assert!(theirs_too.is_ok(), "taken, but {:?}: {}", theirs_too, shown);
        }
        Err("PH-0111") => prop_assert!(is_json && !is_object, "no object: {}", shown),
        Err("PH-0112") => prop_assert!(theirs_too.is_err(), "no lone surrogate: {}", shown),
        Err("PH-0108") => prop_assert!(text.is_err(), "no bad UTF-8: {}", shown),
        Err("PH-0114") => prop_assert!(payload.is_empty()),
        Err("PH-0100") => prop_assert!(!is_json, "refused, but it is JSON: {}", shown),
        other => prop_assert!(false, "{:?}: {}", other, shown),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn valid_json_is_taken(text in json_text()) {
        let expected = if text.starts_with('{') { Ok(()) } else { Err("PH-0111".to_owned()) };
        prop_assert_eq!(verdict(text.as_bytes()), expected, "{}", text);
        same_as_the_others(text.as_bytes())?;
    }

    #[test]
    fn damaged_json_is_judged_as_others_judge_it(bytes in damaged()) {
        same_as_the_others(&bytes)?;
        same_as_the_others(&[b"{\"x\":", bytes.as_slice(), b"}"].concat())?;
    }

    #[test]
    fn strings_say_what_they_say_to_others(text in string_text()) {
        let theirs: String = serde_json::from_str(&text).expect("a JSON string");
        for column_type in ["String", "LowCardinality(String)", "Nullable(String)"] {
            let mut batch = batch(vec![column("v", column_type)]);
            let payload = format!(r#"{{"v":{text}}}"#);
            prop_assert_eq!(batch.push(&record(0, 0, payload.as_bytes())), Pushed::Row);
            let rows = rows_of(batch.seal(TIME)).expect("a row");
            let values = rows.column(0).as_any_dictionary_opt().map_or(rows.column(0), |column| column.values());
            prop_assert_eq!(values.as_binary::<i32>().value(0), theirs.as_bytes(), "{}", column_type);
        }
    }

    #[test]
    fn numbers_are_what_the_language_says(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?") {
        let float: f64 = text.parse().expect("a number");
        let has_fraction = text.contains(['.', 'e', 'E']);
        let is_exact = has_fraction || format!("{float:.0}") == text || text == "-0";
        let is_zero = !text.split(['e', 'E']).next().is_some_and(|mantissa| mantissa.contains(|c| matches!(c, '1'..='9')));
        let shown = decode_value("Float64", &text);
        if is_exact && (float != 0.0 || is_zero) {
            prop_assert_eq!(shown.ok().and_then(|shown| shown.parse::<f64>().ok()).map(f64::to_bits), Some(float.to_bits()));
        } else {
            prop_assert!(shown.is_err());
        }
        let narrow: f32 = text.parse().expect("a number");
        if let Ok(shown) = decode_value("Float32", &text) {
            prop_assert_eq!(shown.parse::<f32>().map(f32::to_bits), Ok(narrow.to_bits()));
        }
        let whole = decode_value("Int64", &text).ok();
        prop_assert_eq!(whole, (!has_fraction).then(|| text.parse::<i64>().ok()).flatten().map(|value| value.to_string()));
    }
}
