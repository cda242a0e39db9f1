//! Which tables of a stream a record goes to. Reads the fields that conditions ask for and nothing else; decodes no
//! column.

use super::column::Column;
use super::json::{Reader, Walk};
use super::plan::Plan;
use super::reject::Fault;
use crate::config::settings::{Condition, Matches, Table, When};

/// Tables by number, a bit each.
pub(super) type TableSet = u64;

/// The conditions of a stream's tables. Not there where one table takes every record.
pub(super) struct Router {
    plan: Plan,
    /// A column for each field that is asked for.
    fields: Vec<Column>,
    /// The bits that a record without the field has.
    absent: Vec<u64>,
    /// The bits of the record in hand.
    found: Vec<u64>,
    tables: Vec<Rule>,
    records: u64,
}

/// When a table takes a record.
enum Rule {
    Always,
    /// All of these: the number of a field, and its bits that have to be set.
    Fields(Vec<(usize, u64)>),
    Otherwise,
}

impl Router {
    /// The router of these tables; `None` where none has a condition.
    pub(super) fn new(tables: &[Table]) -> Option<Self> {
        tables.iter().any(|table| table.when.is_some()).then(|| Self::with_conditions(tables))
    }

    fn with_conditions(tables: &[Table]) -> Self {
        let mut fields: Vec<(&[String], Vec<&Matches>)> = Vec::new();
        let rules = tables.iter().map(|table| match &table.when {
            None => Rule::Always,
            Some(When::Otherwise) => Rule::Otherwise,
            Some(When::All(conditions)) => {
                Rule::Fields(conditions.iter().map(|condition| number(&mut fields, condition)).collect())
            }
        });
        let rules = rules.collect();
        let paths: Vec<&[String]> = fields.iter().map(|(path, _)| *path).collect();
        let absent = fields.iter().map(|(_, asked)| bits_of(asked, holds_for_absent)).collect();
        Self {
            plan: Plan::of_conditions(&paths),
            found: vec![0; fields.len()],
            fields: fields.iter().map(|(_, asked)| Column::of_conditions(asked)).collect(),
            absent,
            tables: rules,
            records: 0,
        }
    }

    /// The tables that take a record, which is valid UTF-8.
    pub(super) fn route(&mut self, payload: &[u8], scratch: &mut Vec<u8>) -> Result<TableSet, Fault> {
        self.records += 1;
        let reader = Reader::new(payload, std::mem::take(scratch));
        let mut walk = Walk::new(&mut self.plan, &mut self.fields, reader, self.records);
        let read = walk.read();
        *scratch = walk.reader.into_scratch();
        for ((field, absent), found) in self.fields.iter_mut().zip(&self.absent).zip(&mut self.found) {
            *found = field.take_conditions().unwrap_or(*absent);
        }
        read.map(|()| self.tables())
    }

    fn tables(&self) -> TableSet {
        let mut set = 0;
        let mut taken = false;
        for (number, rule) in self.tables.iter().enumerate() {
            if let Rule::Fields(fields) = rule
                && fields.iter().all(|(field, bits)| self.found[*field] & bits == *bits)
            {
                set |= 1 << number;
                taken = true;
            }
        }
        for (number, rule) in self.tables.iter().enumerate() {
            if matches!(rule, Rule::Always) || (matches!(rule, Rule::Otherwise) && !taken) {
                set |= 1 << number;
            }
        }
        set
    }
}

/// The field of a condition and the condition's bit there; both are added where they are new.
fn number<'t>(fields: &mut Vec<(&'t [String], Vec<&'t Matches>)>, condition: &'t Condition) -> (usize, u64) {
    let path = condition.field.as_slice();
    let field = fields.iter().position(|(known, _)| *known == path).unwrap_or_else(|| {
        fields.push((path, Vec::new()));
        fields.len() - 1
    });
    let asked = &mut fields[field].1;
    let bit = asked.iter().position(|known| **known == condition.is).unwrap_or_else(|| {
        asked.push(&condition.is);
        asked.len() - 1
    });
    (field, 1 << bit)
}

fn bits_of(asked: &[&Matches], holds: fn(&Matches) -> bool) -> u64 {
    asked.iter().enumerate().fold(0, |bits, (at, matches)| bits | u64::from(holds(matches)) << at)
}

fn holds_for_absent(matches: &Matches) -> bool {
    matches!(matches, Matches::Absent | Matches::NoneOf(_))
}
