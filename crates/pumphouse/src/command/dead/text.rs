//! Letters as people read them: times, bytes, tables of text. Asks nothing.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::replay::letters::{Listed, Summary};

/// Bytes of a record that are shown.
const SHOWN_BYTES_MAX: usize = 64 << 10;
/// Bytes on a line of a hexdump.
const LINE: usize = 16;

/// A time to the millisecond, in UTC.
pub(in crate::command) fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |time| format!("{time:.3}"))
}

/// The letters, a line each.
pub(super) fn list(letters: &[Listed]) -> String {
    let mut rows = vec![
        ["time", "stream", "partition", "offset", "index", "code", "table", "column", "reason"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for letter in letters {
        let name = &letter.name;
        let mut reason = letter.reason.clone();
        if !letter.how.is_empty() {
            reason = format!("[{}] {reason}", letter.how);
        }
        rows.push(vec![
            time(letter.time_ms),
            letter.stream.clone(),
            name.partition.to_string(),
            name.offset.to_string(),
            name.index.to_string(),
            letter.code.clone(),
            dash(&name.table),
            dash(&letter.column),
            reason,
        ]);
    }
    aligned(&rows)
}

/// The counts, a line each, and their sum.
pub(super) fn summary(counts: &[Summary], title: impl Fn(&str) -> String) -> String {
    let mut rows = vec![["stream", "code", "letters", "first", "last", "what"].map(str::to_owned).to_vec()];
    for count in counts {
        rows.push(vec![
            count.stream.clone(),
            count.code.clone(),
            count.letters.to_string(),
            time(count.first_ms),
            time(count.last_ms),
            title(&count.code),
        ]);
    }
    aligned(&rows)
}

/// Columns as wide as their widest cell; the last one as it is.
pub(in crate::command) fn aligned(rows: &[Vec<String>]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// Bytes as text where they are text, as a hexdump where not.
pub(super) fn bytes(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let is_text = |text: &str| text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t' | '\r'));
    let mut text = match std::str::from_utf8(shown) {
        Ok(text) if is_text(text) => text.to_owned(),
        _ => hexdump(shown),
    };
    if shown.len() < bytes.len() {
        let _ = write!(text, "\n… and {} bytes more", bytes.len() - shown.len());
    }
    text
}

fn hexdump(bytes: &[u8]) -> String {
    let lines = bytes.chunks(LINE).enumerate().map(|(number, line)| {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if (32..127).contains(byte) { char::from(*byte) } else { '.' };
        let letters: String = line.iter().map(shown).collect();
        format!("{:08x}  {:<47}  {letters}", number * LINE, hex.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::letters::Name;

    #[test]
    fn bytes_that_are_no_text_are_dumped() {
        assert_eq!(bytes(br#"{"a":1}"#), r#"{"a":1}"#);
        insta::assert_snapshot!(bytes(b"\xff\xfe\0 pump \x1b[31m house!"), @r#"
        00000000  ff fe 00 20 70 75 6d 70 20 1b 5b 33 31 6d 20 68  ... pump .[31m h
        00000010  6f 75 73 65 21                                   ouse!
        "#);
    }

    #[test]
    fn a_long_record_is_cut_and_says_so() {
        let text = bytes(&vec![b'x'; SHOWN_BYTES_MAX + 5]);
        assert!(text.ends_with("\n… and 5 bytes more"), "{}", &text[text.len() - 40..]);
    }

    #[test]
    fn letters_and_counts_stand_in_columns() {
        let letter = |offset, table: &str, how: &str| Listed {
            stream: "requests".to_owned(),
            topic: "app.requests".to_owned(),
            name: Name { partition: 3, offset, index: 0, table: table.to_owned() },
            time_ms: 1_795_255_200_123,
            code: "PH-0104".to_owned(),
            column: "status".to_owned(),
            path: "status".to_owned(),
            reason: "expected UInt16, found the number 70000".to_owned(),
            revision: "0123456789ab".to_owned(),
            payload_bytes: 12,
            how: how.to_owned(),
            replay: String::new(),
            number: 0,
            resolved_revision: String::new(),
            resolved_at_ms: 0,
        };
        insta::assert_snapshot!(list(&[letter(7, "metrics.requests", ""), letter(1_200, "", "found")]), @r#"
        time                      stream    partition  offset  index  code     table             column  reason
        2026-11-21T10:00:00.123Z  requests  3          7       0      PH-0104  metrics.requests  status  expected UInt16, found the number 70000
        2026-11-21T10:00:00.123Z  requests  3          1200    0      PH-0104  -                 status  [found] expected UInt16, found the number 70000
        "#);
        let count = Summary {
            stream: "requests".to_owned(),
            code: "PH-0104".to_owned(),
            letters: 12,
            first_ms: 1_795_255_200_123,
            last_ms: 1_795_255_260_123,
        };
        insta::assert_snapshot!(summary(&[count], |_| "out of range".to_owned()), @r#"
        stream    code     letters  first                     last                      what
        requests  PH-0104  12       2026-11-21T10:00:00.123Z  2026-11-21T10:01:00.123Z  out of range
        "#);
    }
}
