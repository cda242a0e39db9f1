//! From a message to the records in it: one, a line each, or the elements of an array. Judges no record; only an
//! array that can't be taken apart is refused, as a whole.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::reject::{Code, Fault};

const ARRAY: &str = "a JSON array of objects";

/// Calls `each` with the number and bytes of each line that is not blank. A line feed within JSON is always escaped,
/// so lines can be cut before they are read.
pub(super) fn lines(payload: &[u8], mut each: impl FnMut(u32, &[u8])) {
    let (mut rest, mut number) = (payload, 0);
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest[..end].trim_ascii();
        if !line.is_empty() {
            each(number, line);
        }
        number += 1;
        rest = rest.get(end + 1..).unwrap_or_default();
    }
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
    fn lines_are_numbered_and_blank_ones_hold_nothing() {
        let mut found = Vec::new();
        lines(b"{\"a\":1}\r\n\n  {}\nlast", |number, line| {
            found.push((number, String::from_utf8_lossy(line).into_owned()));
        });
        assert_eq!(found, [(0, "{\"a\":1}".to_owned()), (2, "{}".to_owned()), (3, "last".to_owned())]);
    }
}
