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
        config::Severity::Note => (Severity::Advice, "nothing is lost by it that the columns were to have"),
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
