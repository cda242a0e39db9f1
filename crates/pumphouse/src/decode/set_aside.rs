//! Records that are kept as dead letters by hand: an audit found that they came to nothing. Takes the one that is
//! meant out of its message; judges none.

use arrow_array::RecordBatch;

use super::dead_letter::{DeadLetters, Origin};
use super::record::Record;
use super::reject::Reject;
use super::split;
use crate::config::settings::{Stream, Values};

/// Dead letters that are made by hand.
pub struct SetAside {
    letters: DeadLetters,
    origin: Origin,
    values: Values,
    count: usize,
}

impl SetAside {
    /// No letters of this stream, under a revision of the configuration.
    #[must_use]
    pub fn new(stream: &Stream, revision: &str) -> Self {
        let origin = Origin {
            stream: stream.name.clone(),
            topic: stream.topic.clone(),
            revision: revision.to_owned(),
        };
        Self { letters: DeadLetters::default(), origin, values: stream.values, count: 0 }
    }

    /// Keeps the record at `index` of a message, for a table, or for all of them where that is empty.
    pub fn push(&mut self, message: &Record<'_>, index: u32, table: &str, reject: Reject) {
        let payload = message.payload.map(|payload| self.part(payload, index));
        self.letters.push(&Record { payload, ..*message }, index, table, reject);
        self.count += 1;
    }

    /// Letters held.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.letters.bytes()
    }

    /// Hands the letters over as of a time; `None` where there are none.
    pub fn take(&mut self, time_ms: i64) -> Option<RecordBatch> {
        self.count = 0;
        self.letters.take(&self.origin, time_ms)
    }

    /// The record at `index`; the whole message where it can't be taken apart.
    fn part<'p>(&self, payload: &'p [u8], index: u32) -> &'p [u8] {
        let mut parts = Vec::new();
        let apart = match self.values {
            Values::One => return payload,
            Values::Lines => split::lines(payload, &mut parts),
            Values::Array => split::elements(payload, &mut parts),
        };
        let part = usize::try_from(index).ok().and_then(|index| parts.get(index));
        match (apart, part) {
            (Ok(()), Some(part)) => split::trimmed(&payload[part.clone()]),
            _ => payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Column, Table};
    use crate::decode::NoHeaders;
    use arrow_array::cast::AsArray;

    fn payloads(values: Values, message: &str, indexes: &[u32]) -> Vec<String> {
        let column = Column {
            name: "v".to_owned(),
            column_type: "String".parse().expect("a type"),
            from: vec!["v".to_owned()],
            default: None,
            epoch: None,
        };
        let stream =
            Stream { values, ..Stream::into_tables("in", vec![Table::of_columns("db", "t", vec![column])]) };
        let mut aside = SetAside::new(&stream, "0123456789ab");
        let reject = Reject {
            code: crate::decode::Code::Missing,
            column: String::new(),
            path: String::new(),
            reason: "gone".to_owned(),
        };
        let message = Record {
            partition: 1,
            offset: 2,
            timestamp_ms: None,
            key: None,
            payload: Some(message.as_bytes()),
            headers: &NoHeaders,
        };
        for index in indexes {
            aside.push(&message, *index, "db.t", reject.clone());
        }
        assert_eq!(aside.count(), indexes.len());
        let batch = aside.take(5).expect("there are letters");
        assert_eq!(aside.count(), 0);
        let column = batch.column_by_name("payload").expect("a column").as_binary::<i32>();
        column.iter().flatten().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    #[test]
    fn a_letter_holds_the_record_that_is_meant_and_not_its_neighbours() {
        assert_eq!(payloads(Values::One, r#"{"v":1}"#, &[0]), [r#"{"v":1}"#]);
        assert_eq!(payloads(Values::Lines, "{\"v\":1}\n\n {\"v\":2}\n", &[0, 2]), ["{\"v\":1}", "{\"v\":2}"]);
        assert_eq!(payloads(Values::Array, r#"[{"v":1}, {"v":2}]"#, &[1]), [r#"{"v":2}"#]);
        assert_eq!(payloads(Values::Array, "no array", &[0]), ["no array"]);
    }
}
