//! What is produced: an event as a function of seed and number, so that whoever knows both knows every column.
//! One in a hundred can't become a row. Shares nothing with the product.

use std::fmt::Write as _;

/// Of so many events one is bad.
const BAD_ONE_IN: u64 = 100;
/// The first event's time: milliseconds since 1970-01-01 UTC, 2026-01-15.
const FIRST_TIME: u64 = 1_768_435_200_000;
/// Every so many events one lies a month later, so that an insert spans two partitions of the table.
const LATER_ONE_IN: u64 = 7;
const MONTH: u64 = 31 * 24 * 3_600_000;
const SERVICES: [&str; 5] = ["checkout", "search", "cart", "login", "mail"];
/// The service whose events go to the second table, too.
pub(crate) const SECOND_TABLE: &str = "checkout";

/// The way of spoiling that only the first table minds.
const STATUS_SPOILT: u64 = 2;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) milliseconds: u64,
    pub(crate) service: &'static str,
    pub(crate) status: u16,
    pub(crate) amount: i64,
    note: String,
    /// How it is spoilt, if it is.
    spoilt: Option<u64>,
}

impl Event {
    /// Event number `id` of the run.
    pub(crate) fn new(seed: u64, id: u64) -> Self {
        let mut random = Mix(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let later = if id.is_multiple_of(LATER_ONE_IN) { MONTH } else { 0 };
        let service = SERVICES[random.below(SERVICES.len() as u64)];
        let amount = i64::from_ne_bytes(random.next().to_ne_bytes()) >> random.below(60);
        let note =
            (0..random.below(24)).map(|_| ["a", "é", "\"", "\t", "x y", "水"][random.below(6)]).collect();
        let spoilt = random.next().is_multiple_of(BAD_ONE_IN).then(|| random.next() % 4);
        let status = [200, 201, 404, 500][random.below(4)];
        Self { id, milliseconds: FIRST_TIME + id * 5 + later, service, status, amount, note, spoilt }
    }

    pub(crate) fn is_bad(&self) -> bool {
        self.spoilt.is_some()
    }

    /// Whether it is a row of the second table, which has no column `status`.
    pub(crate) fn goes_second(&self) -> bool {
        self.service == SECOND_TABLE && matches!(self.spoilt, None | Some(STATUS_SPOILT))
    }

    /// The message as it is produced.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let Self { id, milliseconds, service, status, amount, .. } = self;
        let note = serde_json::Value::from(self.note.as_str());
        let id = if self.spoilt == Some(1) { "null".to_owned() } else { id.to_string() };
        let status = if self.spoilt == Some(STATUS_SPOILT) { "70000".to_owned() } else { status.to_string() };
        let mut text = format!(
            r#"{{"id":{id},"at":{milliseconds},"service":"{service}","status":{status},"amount":{amount},"note":{note}"#
        );
        // One that lacks its end is no JSON; one with an end too many is none either.
        match self.spoilt {
            Some(0) => {}
            Some(3) => text.push_str("}}"),
            _ => text.push('}'),
        }
        text.into_bytes()
    }

    /// The row as the oracle asks ClickHouse for it: columns between tabs, the note in hexadecimal digits.
    pub(crate) fn row(&self) -> String {
        let Self { id, milliseconds, service, status, amount, note, .. } = self;
        let mut row = format!("{id}\t{milliseconds}\t{service}\t{status}\t{amount}\t");
        row.push_str(&hexadecimal(note.as_bytes()));
        row
    }
}

/// Two digits a byte, upper case, as ClickHouse's `hex`.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// FNV-1a over bytes.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Splitmix64.
struct Mix(u64);

impl Mix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> usize {
        usize::try_from(self.next() % limit).expect("below a small limit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_function_of_seed_and_number() {
        assert_eq!(Event::new(7, 12), Event::new(7, 12));
        assert_ne!(Event::new(7, 12), Event::new(8, 12));
    }

    #[test]
    fn about_one_in_a_hundred_is_bad_and_the_others_are_json() {
        let bad = (0..20_000).filter(|id| Event::new(3, *id).is_bad()).count();
        assert!((100..300).contains(&bad), "{bad}");
        let good = (0..2_000).map(|id| Event::new(3, id)).filter(|event| !event.is_bad());
        for event in good {
            let value: serde_json::Value = serde_json::from_slice(&event.payload()).expect("JSON");
            assert_eq!(value["amount"].as_i64(), Some(event.amount));
            assert_eq!(value["note"].as_str(), Some(event.note.as_str()));
        }
    }
}
