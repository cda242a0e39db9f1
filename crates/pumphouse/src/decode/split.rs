//! From a message to the records in it: one, a line each, or the elements of an array. Judges no record; only a
//! message that can't be taken apart is refused, as a whole.

use std::ops::Range;

use memchr::{memchr_iter, memchr2};

use super::reject::{Code, Fault};

/// Records that one message may hold: each may become a dead letter, which takes far more room than a comma does.
pub(super) const RECORDS_MAX: usize = 100_000;

const ARRAY: &str = "a JSON array of objects";

/// Where the lines of a message are, in `lines`. A line feed within JSON is always escaped, so lines can be cut before
/// they are read; blank ones are still among them.
pub(super) fn lines(payload: &[u8], lines: &mut Vec<Range<usize>>) -> Result<(), Fault> {
    lines.clear();
    let mut from = 0;
    for end in memchr_iter(b'\n', payload).chain([payload.len()]) {
        if lines.len() == RECORDS_MAX {
            return Err(too_many());
        }
        lines.push(from..end);
        from = end + 1;
    }
    Ok(())
}

/// The text without JSON's white space at its ends.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    let from = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    let to = text.iter().rposition(|byte| !is_space(*byte)).map_or(from, |last| last + 1);
    &text[from..to]
}

/// Where the elements of an array are, in `elements`. Looks at quotes and brackets alone: what is wrong inside an
/// element is that element's fault, and its neighbours arrive.
pub(super) fn elements(payload: &[u8], elements: &mut Vec<Range<usize>>) -> Result<(), Fault> {
    elements.clear();
    let open = payload.iter().position(|byte| !is_space(*byte)).unwrap_or(payload.len());
    if payload.get(open) != Some(&b'[') {
        return Err(not_an_array("something else".to_owned()));
    }
    let (mut at, mut from, mut depth) = (open + 1, open + 1, 0_usize);
    while let Some(byte) = payload.get(at) {
        match byte {
            b'"' => at = end_of_text(payload, at).ok_or_else(|| unclosed(payload))?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b',' if depth == 0 && elements.len() == RECORDS_MAX => return Err(too_many()),
            b',' if depth == 0 => {
                elements.push(from..at);
                from = at + 1;
            }
            b']' => return close(payload, from..at, elements),
            b'}' => return Err(not_an_array(format!("`}}` at byte {at} that closes nothing"))),
            _ => {}
        }
        at += 1;
    }
    Err(unclosed(payload))
}

/// Takes the last element and makes sure that nothing follows the array.
fn close(payload: &[u8], last: Range<usize>, elements: &mut Vec<Range<usize>>) -> Result<(), Fault> {
    let rest = payload.get(last.end + 1..).unwrap_or_default();
    if !rest.iter().copied().all(is_space) {
        return Err(not_an_array(format!("more after the array's end at byte {}", last.end)));
    }
    if !elements.is_empty() || !payload[last.clone()].iter().copied().all(is_space) {
        elements.push(last);
    }
    Ok(())
}

/// The closing quote of the text that begins at `at`.
fn end_of_text(payload: &[u8], at: usize) -> Option<usize> {
    let mut from = at + 1;
    loop {
        let special = from + memchr2(b'"', b'\\', payload.get(from..)?)?;
        if payload[special] == b'"' {
            return Some(special);
        }
        from = special + 2;
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cold]
fn not_an_array(found: String) -> Fault {
    Fault::expecting(Code::NotAnArray, ARRAY, found)
}

#[cold]
fn too_many() -> Fault {
    let expected = format!("at most {RECORDS_MAX} records in a message");
    Fault::expecting(Code::NotAnArray, expected, "more")
}

/// A message whose records would carry its key and headers too often.
#[cold]
pub(super) fn too_many_letters(records: usize, bytes_max: usize) -> Fault {
    let expected = format!("a key and headers that fit into {} MiB once for each record", bytes_max >> 20);
    Fault::expecting(Code::NotAnArray, expected, format!("{records} records and longer ones"))
}

#[cold]
fn unclosed(payload: &[u8]) -> Fault {
    not_an_array(format!("the end of the message after {} bytes", payload.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(payload: &str) -> Option<Vec<&str>> {
        let mut found = Vec::new();
        elements(payload.as_bytes(), &mut found).ok()?;
        Some(found.into_iter().map(|element| payload[element].trim()).collect())
    }

    #[test]
    fn an_array_is_cut_where_its_elements_end() {
        assert_eq!(split("[]"), Some(vec![]));
        assert_eq!(split(" [ ] "), Some(vec![]));
        assert_eq!(split(r#"[{"a":[1,2]},{"b":"],"}]"#), Some(vec![r#"{"a":[1,2]}"#, r#"{"b":"],"}"#]));
        assert_eq!(split(r#"[{"a":"\\"},{"b":"\""}]"#), Some(vec![r#"{"a":"\\"}"#, r#"{"b":"\""}"#]));
        assert_eq!(split("[nonsense, 2,]"), Some(vec!["nonsense", "2", ""]));
    }

    #[test]
    fn what_can_not_be_taken_apart_is_refused_whole() {
        for payload in ["", "{}", "[", r#"["a]"#, "[}", "[{]}", "[] []", r#"[{"a":1}"#, r#"["\"#, "1"] {
            assert_eq!(split(payload), None, "{payload}");
        }
    }

    #[test]
    fn lines_end_at_line_feeds() {
        let mut found = Vec::new();
        let payload = b"{\"a\":1}\r\n\n  {} \nlast\x0C";
        lines(payload, &mut found).expect("few lines");
        let texts =
            found.into_iter().map(|line| String::from_utf8_lossy(trimmed(&payload[line])).into_owned());
        assert_eq!(texts.collect::<Vec<_>>(), ["{\"a\":1}", "", "{}", "last\u{c}"]);
    }

    #[test]
    fn a_message_of_too_many_records_is_refused_whole() {
        let mut found = Vec::new();
        assert!(elements(format!("[{}1]", "1,".repeat(RECORDS_MAX - 1)).as_bytes(), &mut found).is_ok());
        assert!(elements(format!("[{}1]", "1,".repeat(RECORDS_MAX + 1)).as_bytes(), &mut found).is_err());
        assert!(lines("1\n".repeat(RECORDS_MAX).as_bytes(), &mut found).is_err());
    }
}
