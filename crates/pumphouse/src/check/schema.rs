//! Where a JSON Schema and the columns say different things, as findings like all others. What differs is found by the
//! configuration.

use super::finding::{Finding, Severity};
use crate::config::settings::Stream;
use crate::config::{self, schema_findings};
use crate::fault::Code;

/// The differences of a stream.
pub(super) fn judge(stream: &Stream) -> Vec<Finding> {
    schema_findings(stream).into_iter().map(told).collect()
}

fn told(found: config::Finding) -> Finding {
    let (severity, why) = match found.severity {
        config::Severity::Disagree => {
            (Severity::Warning, "a record that satisfies the schema would become a dead letter")
        }
        config::Severity::Note if found.column.is_empty() => {
            (Severity::Advice, "nothing is lost by it that the columns were to have")
        }
        config::Severity::Note => (
            Severity::Advice,
            "the schema lets it pass, and a value that the column does not take becomes a dead letter",
        ),
    };
    let column = match (found.table.as_str(), found.column.as_str()) {
        ("", _) => format!("stream {}", found.stream),
        (table, "") => table.to_owned(),
        (table, column) => format!("{table}.{column}"),
    };
    let path = if found.path.is_empty() { String::new() } else { format!(" at `{}`", found.path) };
    Finding {
        severity,
        code: Code::SchemaDiffers,
        stream: found.stream,
        on: column + &path,
        what: found.what,
        why: why.to_owned(),
        mend: found.suggestion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_may_be_no_date_is_told_to_become_a_dead_letter() {
        let text = "clickhouse: { url: \"http://h\" }\nkafka: { brokers: h }\nstreams:\n  events:\n    from: { topic: t }\n    \
                    schema: s.json\n    columns: { ts: DateTime64(3) }\n    table: { order_by: ts }\n";
        let schema = r#"{"properties": {"ts": {"type": "string"}, "more": {}}, "required": ["ts", "more"]}"#;
        let settings = config::parse_with_files("f", text, &|_| None, &|_| Ok(schema.to_owned()))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let found = judge(&settings.streams["events"]);
        let why = |on: &str| {
            let finding = found.iter().find(|finding| finding.on.contains(on));
            finding.map_or_else(|| panic!("{on} in {found:?}"), |finding| finding.why.clone())
        };
        assert!(why(".ts").contains("dead letter"), "{found:?}");
        assert!(why("more").contains("nothing is lost"), "{found:?}");
    }
}
