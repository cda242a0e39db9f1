//! What `check` prints: what the file means, in a line for each table, and what was found, the worst first. Decides
//! nothing.

use std::fmt::Write as _;

use serde_json::Value;

use crate::check::{Finding, Severity, Survey};
use crate::command::counted::counted;
use crate::config::settings::{Condition, Matches, Settings, Stream, Table, When};

/// The whole text.
pub(super) fn report(file: &str, settings: &Settings, Survey { findings, notes }: &Survey) -> String {
    let (streams, revision) = (counted(settings.streams.len() as u64, "stream"), &settings.revision);
    let mut text = format!("{file}: {}; {streams}, revision {revision}\n", verdict(findings));
    for stream in settings.streams.values() {
        // Writing into a String can't fail.
        let _ =
            writeln!(text, "\nstream {}, from the topic {}{}", stream.name, stream.topic, judged_by(stream));
        for table in &stream.tables {
            let _ = writeln!(
                text,
                "  {}: {}, {}",
                table.full_name(),
                counted(table.columns.len() as u64, "column"),
                takes(table)
            );
        }
    }
    if !notes.is_empty() {
        let _ = writeln!(text, "\nas measured\n  {}", notes.join("\n  "));
    }
    for finding in findings {
        let _ = writeln!(text, "\n{finding}");
    }
    text
}

/// `1 error, 2 warnings`, or that there is nothing.
pub(super) fn verdict(findings: &[Finding]) -> String {
    let of =
        |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let counts: Vec<String> = [(Severity::Error, "error"), (Severity::Warning, "warning")]
        .into_iter()
        .filter(|(severity, _)| of(*severity) > 0)
        .map(|(severity, noun)| counted(of(severity), noun))
        .chain((of(Severity::Advice) > 0).then(|| match of(Severity::Advice) {
            1 => "1 piece of advice".to_owned(),
            several => format!("{several} pieces of advice"),
        }))
        .collect();
    if counts.is_empty() { "nothing wrong".to_owned() } else { counts.join(", ") }
}

fn judged_by(stream: &Stream) -> String {
    stream.schema.as_ref().map_or_else(String::new, |schema| format!(", judged by {}", schema.file))
}

/// The records that a table takes, in words.
fn takes(table: &Table) -> String {
    match &table.when {
        None => "every record".to_owned(),
        Some(When::Otherwise) => "records that no other table with conditions takes".to_owned(),
        Some(When::All(conditions)) => {
            let conditions: Vec<String> = conditions.iter().map(condition).collect();
            format!("records where {}", conditions.join(", "))
        }
    }
}

fn condition(Condition { field, is }: &Condition) -> String {
    let field = field.join(".");
    let any_of = |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    match is {
        Matches::AnyOf(values) => format!("{field} is {}", any_of(values)),
        Matches::NoneOf(values) => format!("{field} is not {}", any_of(values)),
        Matches::Present => format!("{field} is there"),
        Matches::Absent => format!("{field} is not there"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::{self, Asked, finding};
    use crate::config::parse_with_files;
    use crate::fault::Exit;

    const ASKED: Asked = Asked { rate: None, spread: None, processes: 1, outage: Duration::from_hours(24) };

    fn settings(schema: &str) -> Settings {
        let text = "clickhouse: { url: \"http://h\" }\nkafka: { brokers: h }\nstreams:\n  events:\n    from: { topic: t }\n    \
                    schema: s.json\n    columns: { kind: String }\n    tables:\n      clicks:\n        \
                    when: { kind: [click, 5], geo.city: { not: x, exists: true }, bot: { exists: false } }\n        \
                    columns: { x: UInt8 }\n        order_by: kind\n      rest: { when: otherwise, order_by: kind }\n      \
                    all: { order_by: kind }\n";
        parse_with_files("f", text, &|_| None, &|_| Ok(schema.to_owned()))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn found(settings: &Settings) -> Vec<Finding> {
        finding::in_order(check::offline(settings, &ASKED))
    }

    #[test]
    fn each_table_has_a_line_and_each_finding() {
        let settings = settings(
            r#"{ "required": ["kind", "id"], "properties": { "kind": { "type": "string" }, "x": { "type": "string" } } }"#,
        );
        let findings = found(&settings);
        let survey = Survey { findings: findings.clone(), notes: Vec::new() };
        let text = report("pumphouse.yaml", &settings, &survey).replace(&settings.revision, "REVISION");
        insta::assert_snapshot!(text);
        assert_eq!(finding::exit(&findings), Exit::Findings);
    }

    #[test]
    fn a_note_alone_is_fine() {
        let settings = settings(
            r#"{ "required": ["kind", "id", "x"], "properties": { "kind": { "type": "string" } } }"#,
        );
        let findings = found(&settings);
        assert!(!findings.is_empty());
        assert_eq!(finding::exit(&findings), Exit::Fine);
        assert_eq!(verdict(&findings), "2 pieces of advice");
        assert_eq!(verdict(&[]), "nothing wrong");
    }
}
