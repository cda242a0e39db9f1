//! Where a stream's JSON Schema and its columns disagree: records that satisfy the one and can't become rows by the
//! other. A pure function of the settings; what columns take is said by docs/guide/types.md, and decided in `decode`.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use super::schema_type;
use super::schema_ways::{Way, Ways};
use super::settings::{Column, Condition, Matches, Stream, Table, When};

/// What a finding means for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Records that satisfy the schema would become dead letters.
    Disagree,
    /// Worth knowing; nothing has to be done.
    Note,
}

/// One thing that schema and columns say differently.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What it means.
    pub severity: Severity,
    /// The stream.
    pub stream: String,
    /// `database.table`; empty where it is about the stream.
    pub table: String,
    /// The column; empty where it is about a field that none reads.
    pub column: String,
    /// Path into the record.
    pub path: String,
    /// What is different.
    pub what: String,
    /// What to do about it.
    pub suggestion: String,
}

/// Compares a stream's schema with its columns. Nothing where it has none.
#[must_use]
pub fn schema_findings(stream: &Stream) -> Vec<Finding> {
    let Some(schema) = &stream.schema else { return Vec::new() };
    let record = Ways::of_record(&schema.document);
    let mut findings = BTreeSet::new();
    for table in &stream.tables {
        let record = of_table(&record, table);
        if record.all.is_empty() && table.when.is_some() {
            findings.insert(nothing_meets(stream, table));
        }
        let is_read = |column: &&Column| table.unknown_fields_in.as_ref() != Some(&column.name);
        for column in table.columns.iter().filter(is_read) {
            let place = Place { stream, table, column };
            findings.extend(of_column(&record, &place));
        }
    }
    findings.extend(unread(&record, stream));
    findings.into_iter().collect()
}

/// The column that is compared.
pub(super) struct Place<'a> {
    pub stream: &'a Stream,
    table: &'a Table,
    pub column: &'a Column,
}

impl Place<'_> {
    /// A finding at a path below the column's own.
    pub(super) fn finding(
        &self,
        severity: Severity,
        inside: &str,
        what: String,
        suggestion: &str,
    ) -> Finding {
        Finding {
            severity,
            stream: self.stream.name.clone(),
            table: self.table.full_name(),
            column: self.column.name.clone(),
            path: self.column.from.join(".") + inside,
            what,
            suggestion: suggestion.to_owned(),
        }
    }

    /// Whether the table only takes records that have the field.
    fn is_asked_for(&self) -> bool {
        let Some(When::All(conditions)) = &self.table.when else { return false };
        let has = |Condition { field, is }: &Condition| {
            *field == self.column.from && matches!(is, Matches::AnyOf(_) | Matches::Present)
        };
        conditions.iter().any(has)
    }
}

fn of_column(record: &Ways<'_>, place: &Place<'_>) -> Vec<Finding> {
    let column = place.column;
    let ways = column.from.iter().fold(record.clone(), |ways, name| ways.field(name));
    let may_lack = column.default.is_some() || column.column_type.is_nullable();
    let mut findings = Vec::new();
    if !ways.all.is_empty() && ways.all.iter().all(|way| way.is_forbidden) {
        let (severity, what) = if may_lack {
            (Severity::Note, "the schema lets no record have it, so the column never holds a value of one")
        } else {
            (
                Severity::Disagree,
                "the schema lets no record have it, and the column has neither a default nor NULL",
            )
        };
        findings.push(place.finding(
            severity,
            "",
            what.to_owned(),
            "add it to the schema, or correct `from`",
        ));
    } else {
        if !may_lack && !place.is_asked_for() && ways.all.iter().any(|way| way.may_be_missing) {
            let what =
                "the schema does not require it, and the column has neither a default nor NULL".to_owned();
            let suggestion = "require it in the schema, or give the column a `default` or a Nullable type";
            findings.push(place.finding(Severity::Disagree, "", what, suggestion));
        }
        schema_type::compare(&column.column_type, &ways, "", place, &mut findings);
    }
    if !ways.is_sure {
        // What depends on other parts of the record may be just what makes it fit.
        for finding in &mut findings {
            finding.severity = Severity::Note;
        }
    }
    findings
}

/// The ways of the records that a table takes.
fn of_table<'s>(record: &Ways<'s>, table: &Table) -> Ways<'s> {
    match &table.when {
        None => record.clone(),
        Some(When::Otherwise) => {
            let mut rest = record.clone();
            rest.is_sure = false;
            rest
        }
        Some(When::All(conditions)) => {
            let meets = |way: &&Way<'s>| {
                let alone = record.only(vec![(*way).clone()]);
                conditions.iter().all(|condition| may_meet(&alone, condition))
            };
            record.only(record.all.iter().filter(meets).cloned().collect())
        }
    }
}

/// Whether records that go this way may meet a condition, as far as the schema counts the field's values.
fn may_meet(record: &Ways<'_>, Condition { field, is }: &Condition) -> bool {
    let ways = field.iter().fold(record.clone(), |ways, name| ways.field(name));
    let values =
        |way: &Way<'_>| way.values().unwrap_or_default().into_iter().cloned().collect::<Vec<Value>>();
    ways.all.iter().any(|way| match (is, values(way)) {
        (Matches::AnyOf(_) | Matches::Present, _) if way.is_forbidden => false,
        (Matches::AnyOf(asked), values) if !values.is_empty() => {
            values.iter().any(|value| asked.contains(value))
        }
        (Matches::NoneOf(asked), values) if !values.is_empty() && !way.may_be_missing => {
            values.iter().any(|value| !asked.contains(value))
        }
        (Matches::Absent, _) => way.may_be_missing,
        _ => true,
    })
}

fn nothing_meets(stream: &Stream, table: &Table) -> Finding {
    Finding {
        severity: Severity::Note,
        stream: stream.name.clone(),
        table: table.full_name(),
        column: String::new(),
        path: String::new(),
        what: "no record that satisfies the schema meets its `when`".to_owned(),
        suggestion: "correct `when`, or the schema".to_owned(),
    }
}

/// Fields that every record has and nobody reads.
fn unread(record: &Ways<'_>, stream: &Stream) -> Vec<Finding> {
    if stream.tables.iter().any(|table| table.unknown_fields_in.is_some()) {
        return Vec::new();
    }
    let asked = |table: &Table| match &table.when {
        Some(When::All(conditions)) => {
            conditions.iter().filter_map(|asked| asked.field.first().cloned()).collect()
        }
        _ => Vec::new(),
    };
    let columns = stream.tables.iter().flat_map(|table| &table.columns);
    let read: BTreeSet<String> = columns
        .filter_map(|column| column.from.first().cloned())
        .chain(stream.tables.iter().flat_map(asked))
        .collect();
    let required: BTreeSet<&str> = record.all.iter().flat_map(Way::required).collect();
    let unread = required.into_iter().filter(|name| !read.contains(*name));
    unread
        .map(|name| Finding {
            severity: Severity::Note,
            stream: stream.name.clone(),
            table: String::new(),
            column: String::new(),
            path: name.to_owned(),
            what: "the schema requires it, and no column reads it".to_owned(),
            suggestion: "add a column, or keep it with `unknown_fields: { keep_in: … }`".to_owned(),
        })
        .collect()
}

#[cfg(test)]
#[path = "schema_fit_tests.rs"]
mod tests;
