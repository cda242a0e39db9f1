//! `pumphouse check`: is the configuration right, and do schemas and columns agree, without touching any server.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::configuration::{self, ConfigurationFile};
use super::counted::counted;
use crate::config::settings::{Condition, Matches, Settings, Stream, Table, When};
use crate::config::{Finding, Mistakes, Severity, schema_findings};
use crate::fault::Exit;

/// Say all that is wrong with a configuration, or what it means
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse check -c pumphouse.yaml
  pumphouse check --json | jq '.mistakes[].what'

Exit codes: 0 nothing wrong, 2 a JSON Schema allows records that would become dead letters, \
65 mistakes.")]
pub struct Check {
    #[command(flatten)]
    file: ConfigurationFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Prints the verdict.
    #[must_use]
    pub fn run(self) -> Exit {
        let settings = match (configuration::read(&self.file.config), self.json) {
            (Ok(settings), _) => settings,
            (Err(mistakes), true) => {
                println!("{}", told(&mistakes));
                return Exit::Configuration;
            }
            (Err(mistakes), false) => {
                eprintln!("{mistakes}");
                return Exit::Configuration;
            }
        };
        let findings: Vec<Finding> = settings.streams.values().flat_map(schema_findings).collect();
        if self.json {
            let settings = settings.to_redacted_json();
            println!("{}", json!({ "mistakes": [], "findings": findings, "settings": settings }));
        } else {
            print!("{}", report(&self.file.config.display().to_string(), &settings, &findings));
        }
        exit(&findings)
    }
}

/// The mistakes as JSON: a list under the same name as where there are none.
fn told(mistakes: &Mistakes) -> Value {
    json!({ "mistakes": mistakes.mistakes, "findings": [] })
}

fn exit(findings: &[Finding]) -> Exit {
    let disagrees = findings.iter().any(|finding| finding.severity == Severity::Disagree);
    if disagrees { Exit::Findings } else { Exit::Fine }
}

/// What the file means, in a line for each table, and what its schemas and columns say differently.
fn report(file: &str, settings: &Settings, findings: &[Finding]) -> String {
    let verdict = match findings.iter().filter(|finding| finding.severity == Severity::Disagree).count() {
        0 => "nothing wrong".to_owned(),
        places => format!("schemas and columns disagree in {}", counted(places as u64, "place")),
    };
    let (streams, revision) = (counted(settings.streams.len() as u64, "stream"), &settings.revision);
    let mut text = format!("{file}: {verdict}; {streams}, revision {revision}\n");
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
        for finding in findings.iter().filter(|finding| finding.stream == stream.name) {
            let _ = writeln!(text, "  {}", in_a_line(finding));
        }
    }
    text
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

fn in_a_line(finding: &Finding) -> String {
    let severity = if finding.severity == Severity::Disagree { "disagree" } else { "note" };
    let column = match (finding.table.as_str(), finding.column.as_str()) {
        ("", _) => String::new(),
        (table, "") => format!(" {table}"),
        (table, column) => format!(" {table}.{column}"),
    };
    let path = if finding.path.is_empty() { String::new() } else { format!(" at `{}`", finding.path) };
    format!("{severity}:{column}{path}: {}; {}", finding.what, finding.suggestion)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_with_files;

    fn settings(schema: &str) -> Settings {
        let text = "clickhouse: { url: \"http://h\" }\nkafka: { brokers: h }\nstreams:\n  events:\n    from: { topic: t }\n    \
                    schema: s.json\n    columns: { kind: String }\n    tables:\n      clicks:\n        \
                    when: { kind: [click, 5], geo.city: { not: x, exists: true }, bot: { exists: false } }\n        \
                    columns: { x: UInt8 }\n        order_by: kind\n      rest: { when: otherwise, order_by: kind }\n      \
                    all: { order_by: kind }\n";
        parse_with_files("f", text, &|_| None, &|_| Ok(schema.to_owned()))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn each_table_has_a_line_and_each_finding() {
        let settings = settings(
            r#"{ "required": ["kind", "id"], "properties": { "kind": { "type": "string" }, "x": { "type": "string" } } }"#,
        );
        let findings: Vec<Finding> = settings.streams.values().flat_map(schema_findings).collect();
        let text = report("pumphouse.yaml", &settings, &findings).replace(&settings.revision, "REVISION");
        insta::assert_snapshot!(text);
        assert_eq!(exit(&findings), Exit::Findings);
    }

    #[test]
    fn mistakes_are_a_list() {
        let mistakes = parse_with_files("f", "streams: {}\n", &|_| None, &|_| Ok(String::new()))
            .expect_err("keys are missing");
        let whats = told(&mistakes)["mistakes"].as_array().cloned().unwrap_or_default();
        assert!(whats.len() > 1 && whats.iter().all(|mistake| mistake["what"].is_string()), "{whats:?}");
    }

    #[test]
    fn a_note_alone_is_fine() {
        let settings = settings(
            r#"{ "required": ["kind", "id", "x"], "properties": { "kind": { "type": "string" } } }"#,
        );
        let findings: Vec<Finding> = settings.streams.values().flat_map(schema_findings).collect();
        assert!(!findings.is_empty());
        assert_eq!(exit(&findings), Exit::Fine);
        assert_eq!(exit(&[]), Exit::Fine);
    }
}
