//! A column that is never sent: which of a field's conditions each record fulfils. Compares scalars; an array or an
//! object is equal to nothing.

use std::sync::Arc;

use arrow_array::{ArrayRef, UInt64Array};
use arrow_buffer::NullBuffer;
use serde_json::Value;

use super::{Column, Store, retain_rows, take_values};
use crate::config::settings::Matches;
use crate::decode::json::Reader;
use crate::decode::reject::Fault;

/// What is compared with.
enum Literal {
    Text(Box<[u8]>),
    Number(Value),
    Bool(bool),
}

/// One condition: its literals, and whether one of them has to be met or none.
struct Asked {
    literals: Vec<Literal>,
    /// Whether the condition holds for a value that meets no literal.
    otherwise: bool,
}

/// The conditions on one field, and for each record a bit for each of them that it fulfils.
pub(super) struct Conditions {
    asked: Vec<Asked>,
    found: Vec<u64>,
}

impl Column {
    /// A column of the conditions on one field, at most 64. A record without the field has a null.
    pub(in crate::decode) fn of_conditions(conditions: &[&Matches]) -> Self {
        let asked = conditions.iter().map(|condition| Asked::new(condition)).collect();
        Self {
            of: pumphouse_core::schema::ColumnType::UInt64,
            validity: Some(Vec::new()),
            store: Box::new(Conditions { asked, found: Vec::new() }),
            rows: 0,
        }
    }

    /// The bits of the last record; `None` where it has no such field. Forgets it.
    pub(in crate::decode) fn take_conditions(&mut self) -> Option<u64> {
        let is_there = self.validity.as_ref().and_then(|validity| validity.last()) == Some(&true);
        let bits = is_there.then(|| self.store.last_bits());
        self.truncate(0);
        bits
    }
}

impl Asked {
    fn new(matches: &Matches) -> Self {
        let literals = |values: &[Value]| values.iter().filter_map(Literal::of).collect();
        match matches {
            Matches::AnyOf(values) => Self { literals: literals(values), otherwise: false },
            Matches::NoneOf(values) => Self { literals: literals(values), otherwise: true },
            Matches::Present => Self { literals: Vec::new(), otherwise: true },
            Matches::Absent => Self { literals: Vec::new(), otherwise: false },
        }
    }
}

impl Literal {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.as_bytes().into())),
            Value::Number(_) => Some(Self::Number(value.clone())),
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl Conditions {
    fn bits(&self, is_met: impl Fn(&Literal) -> bool) -> u64 {
        let holds = self.asked.iter().map(|asked| asked.literals.iter().any(&is_met) != asked.otherwise);
        holds.enumerate().fold(0, |bits, (at, holds)| bits | u64::from(holds) << at)
    }
}

impl Store for Conditions {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let bits = match reader.peek() {
            b'"' => {
                let text = reader.text()?;
                self.bits(|literal| matches!(literal, Literal::Text(expected) if **expected == *text))
            }
            b'0'..=b'9' | b'-' => {
                let text = reader.number()?.text;
                let number = serde_json::from_slice::<Value>(text).ok();
                self.bits(|literal| matches!((literal, &number), (Literal::Number(expected), Some(number)) if is_equal(expected, number)))
            }
            first @ (b't' | b'f') => {
                reader.literal(if first == b't' { "true" } else { "false" })?;
                self.bits(
                    |literal| matches!(literal, Literal::Bool(expected) if *expected == (first == b't')),
                )
            }
            _ => {
                reader.skip_value()?;
                self.bits(|_| false)
            }
        };
        self.found.push(bits);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.found.push(0);
    }

    fn truncate(&mut self, rows: usize) {
        self.found.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        retain_rows(&mut self.found, keep);
    }

    fn last_bits(&self) -> u64 {
        self.found.last().copied().unwrap_or(0)
    }

    fn bytes(&self) -> usize {
        size_of_val(self.found.as_slice())
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(UInt64Array::new(take_values(&mut self.found).into(), nulls))
    }
}

/// Whether two numbers are the same: `1`, `1.0` and `1e0` are.
fn is_equal(left: &Value, right: &Value) -> bool {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left.as_f64() == right.as_f64(),
    }
}

/// The number without its fraction, where it has none.
fn whole(number: &Value) -> Option<i128> {
    let exactly = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    exactly.or_else(|| {
        let number = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e30)?;
        #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
        Some(number as i128)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value_and_not_by_their_nearest_double() {
        let equal = |left: &str, right: &str| {
            let value = |text| serde_json::from_str::<Value>(text).unwrap_or_default();
            is_equal(&value(left), &value(right))
        };
        assert!(equal("1", "1.0") && equal("1e0", "1") && equal("0.5", "5e-1") && equal("-0", "0"));
        assert!(!equal("18446744073709551615", "18446744073709551616"));
        assert!(!equal("9007199254740993", "9007199254740992.0") && !equal("1", "1.5"));
    }
}
