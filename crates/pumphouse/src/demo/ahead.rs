//! How far production is ahead of what was committed, in bytes of one partition. Decides whether the next record
//! may be produced; knows no clock and no Kafka.

use std::collections::VecDeque;

use super::mock_kafka::KEPT_BYTES;

/// How far production may be ahead, in bytes as the mock keeps them: compressed. With room to spare, because the mock
/// drops records without a word.
pub const AHEAD_BYTES_MAX: u64 = 3 * 1024 * 1024;
const _: () = assert!(AHEAD_BYTES_MAX < KEPT_BYTES);

/// What a record takes beside its value, and its part of the batch's head where batches are small.
const RECORD_OVERHEAD: u64 = 24;

/// The records of one partition that are produced and not committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    sizes: VecDeque<u64>,
    committed: u64,
    bytes: u64,
}

impl Ahead {
    /// A record was produced.
    pub fn produced(&mut self, value_bytes: u64) {
        let bytes = value_bytes + RECORD_OVERHEAD;
        self.sizes.push_back(bytes);
        self.bytes += bytes;
    }

    /// The group's offset is known to be at `offset`. One that is behind changes nothing.
    pub fn committed(&mut self, offset: u64) {
        while self.committed < offset {
            let Some(bytes) = self.sizes.pop_front() else { return };
            self.bytes -= bytes;
            self.committed += 1;
        }
    }

    /// Whether one more record may be produced, where compression leaves this share of the bytes.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    pub fn has_room(&self, wire_share: f64) -> bool {
        self.bytes as f64 * wire_share < AHEAD_BYTES_MAX as f64
    }

    /// Records that are produced and not committed.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.sizes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_stops_at_the_limit_and_goes_on_after_a_commit() {
        let mut ahead = Ahead::default();
        while ahead.has_room(1.0) {
            ahead.produced(350);
        }
        let records = ahead.records();
        assert!(records * 350 < AHEAD_BYTES_MAX && records > 8_000, "{records}");
        assert!(ahead.has_room(0.9));
        ahead.committed(100);
        assert!(ahead.has_room(1.0));
        assert_eq!(ahead.records(), records - 100);
        ahead.committed(records);
        assert_eq!(ahead, Ahead { committed: records, ..Ahead::default() });
    }

    #[test]
    fn an_offset_that_is_known_already_or_not_produced_yet_changes_nothing() {
        let mut ahead = Ahead::default();
        ahead.produced(10);
        ahead.produced(20);
        ahead.committed(1);
        ahead.committed(0);
        assert_eq!(ahead.records(), 1);
        ahead.committed(9);
        assert_eq!((ahead.records(), ahead.bytes), (0, 0));
        ahead.produced(30);
        ahead.committed(2);
        assert_eq!(ahead.records(), 1);
    }
}
