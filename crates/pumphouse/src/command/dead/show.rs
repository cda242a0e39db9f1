//! `dead show`: everything about a letter, and the advice of its code's page.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::options::connected;
use super::text;
use crate::command::configuration::ConfigurationFile;
use crate::fault::{Code, Exit};
use crate::replay::filter::{Fate, Filter};
use crate::replay::inspect_log;
use crate::replay::letters::{self, Letter, Listed};

/// Show all there is about a dead letter
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse dead show requests 3 1207
  pumphouse dead show requests 3 1207 --index 2 --json | jq -r '.letters[0].payload'

Exit codes: 0 shown, 1 no such letter, 2 a table is missing, 64 usage, 65 configuration, \
69 ClickHouse was not reached.")]
pub struct Show {
    #[command(flatten)]
    file: ConfigurationFile,
    /// The stream
    stream: String,
    /// The partition
    partition: u32,
    /// The offset
    offset: u64,
    /// Only the record at this place in its message
    #[arg(long, value_name = "N")]
    index: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let filter = Filter {
            stream: Some(self.stream.clone()),
            partition: Some(self.partition),
            offsets: Some(self.offset..self.offset.saturating_add(1)),
            index: self.index,
            fate: Fate::All,
            ..Filter::default()
        };
        connected(&self.file, async |_, client| {
            inspect_log(&client).await?;
            let mut found = Vec::new();
            for listed in letters::newest(&client, &filter, 1_000).await? {
                let names = [(&listed.name, listed.time_ms)];
                let whole = letters::whole(&client, (&listed.stream, &listed.topic), &names).await?;
                found.extend(whole.into_iter().map(|letter| (listed.clone(), letter)));
            }
            if self.json {
                let all: Vec<Value> = found.iter().map(|(listed, letter)| in_json(listed, letter)).collect();
                println!("{}", json!({ "letters": all }));
            } else {
                for (listed, letter) in &found {
                    println!("{}", page(listed, letter));
                }
            }
            if found.is_empty() {
                let Self { stream, partition, offset, .. } = &self;
                eprintln!("no dead letter of stream `{stream}` at partition {partition}, offset {offset}");
                return Ok(Exit::Failed);
            }
            Ok(Exit::Fine)
        })
    }
}

/// A letter as JSON: its record as text, or as base64 where it is none.
pub(super) fn in_json(listed: &Listed, letter: &Letter) -> Value {
    let mut value = serde_json::to_value(listed).expect("a letter's columns are JSON");
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    };
    let headers: Vec<Value> = letter
        .headers
        .0
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value.as_deref().map(text) }))
        .collect();
    let more = json!({
        "kafka_time_ms": letter.kafka_time_ms,
        "key": letter.key.as_deref().map(text),
        "headers": headers,
        "payload": text(&letter.payload),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn page(listed: &Listed, letter: &Letter) -> String {
    let name = &listed.name;
    let or =
        |text: &str, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text.to_owned() };
    let title = listed.code.parse::<Code>().map_or("", Code::title);
    let mut rows = vec![
        ("stream", listed.stream.clone()),
        ("place", format!("topic {}, partition {}, offset {}", listed.topic, name.partition, name.offset)),
        ("index", name.index.to_string()),
        ("table", or(&name.table, "none: it is bad as a whole")),
        ("code", format!("{}, {title}", listed.code)),
        ("column", or(&listed.column, "none")),
        ("path", or(&listed.path, "none")),
        ("reason", listed.reason.clone()),
        ("kept", format!("{} by revision {}", text::time(listed.time_ms), listed.revision)),
        ("kafka time", letter.kafka_time_ms.map_or_else(|| "none".to_owned(), text::time)),
        ("resolved", resolved(listed)),
        ("key", letter.key.as_deref().map_or_else(|| "none".to_owned(), text::bytes)),
    ];
    for (header, value) in &letter.headers.0 {
        let value = value.as_deref().map_or_else(|| "null".to_owned(), text::bytes);
        rows.push(("header", format!("{}: {value}", text::bytes(header.as_bytes()))));
    }
    let mut page = String::new();
    for (what, text) in rows {
        let _ = writeln!(page, "{what:<10}  {}", text.replace('\n', "\n            "));
    }
    let _ = writeln!(page, "\n{} bytes:\n{}", letter.payload.len(), text::bytes(&letter.payload));
    if let Some(advice) = advice(&listed.code) {
        let _ = writeln!(page, "\nWhat you can do (`pumphouse explain {}`):\n{advice}", listed.code);
    }
    page
}

fn resolved(listed: &Listed) -> String {
    let at = text::time(listed.resolved_at_ms);
    match (listed.how.as_str(), listed.number) {
        ("", _) => "no".to_owned(),
        ("replayed", number) => format!(
            "replayed {at} by entry {number} ({}), revision {}",
            listed.replay, listed.resolved_revision
        ),
        (how, _) => format!("{how} {at}, revision {}", listed.resolved_revision),
    }
}

/// The part of a code's page that says what to do.
fn advice(code: &str) -> Option<&'static str> {
    let page = code.parse::<Code>().ok()?.page();
    let from = page.split_once("## What you can do\n")?.1;
    Some(from.split_once("\n## ").map_or(from, |(advice, _)| advice).trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::letters::{HeaderList, Name};

    #[test]
    fn a_page_says_everything_about_a_letter() {
        let name = Name { partition: 3, offset: 1_207, index: 0, table: "metrics.requests".to_owned() };
        let listed = Listed {
            stream: "requests".to_owned(),
            topic: "app.requests".to_owned(),
            name: name.clone(),
            time_ms: 1_795_255_200_123,
            code: "PH-0115".to_owned(),
            column: String::new(),
            path: String::new(),
            reason: "expected a JSON object in UTF-8, found a tombstone".to_owned(),
            revision: "0123456789ab".to_owned(),
            payload_bytes: 3,
            how: "replayed".to_owned(),
            replay: "00ff".to_owned(),
            number: 4,
            resolved_revision: "ba9876543210".to_owned(),
            resolved_at_ms: 1_795_255_260_123,
        };
        let letter = Letter {
            name,
            time_ms: 1_795_255_200_123,
            code: "PH-0115".to_owned(),
            revision: "0123456789ab".to_owned(),
            kafka_time_ms: None,
            key: Some(b"k".to_vec()),
            headers: HeaderList(vec![("trace".to_owned(), Some(b"1".to_vec())), ("none".to_owned(), None)]),
            payload: vec![0, 1, 255],
        };
        let page = page(&listed, &letter);
        let (facts, advice) = page.split_once("\nWhat you can do").expect("the page has advice");
        assert!(advice.len() > 50, "{advice}");
        insta::assert_snapshot!(facts, @r#"
        stream      requests
        place       topic app.requests, partition 3, offset 1207
        index       0
        table       metrics.requests
        code        PH-0115, tombstone
        column      none
        path        none
        reason      expected a JSON object in UTF-8, found a tombstone
        kept        2026-11-21T10:00:00.123Z by revision 0123456789ab
        kafka time  none
        resolved    replayed 2026-11-21T10:01:00.123Z by entry 4 (00ff), revision ba9876543210
        key         k
        header      trace: 1
        header      none: null

        3 bytes:
        00000000  00 01 ff                                         ...
        "#);
    }
}
