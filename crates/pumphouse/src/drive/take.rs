//! Takes records from Kafka's queues into the open batch, in place; one fact per partition and turn.

use std::thread;
use std::time::Duration;

use pumphouse_core::batch::Filled;
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::Input;
use rdkafka::types::RDKafkaRespErr;

use super::lane::{End, FetchFailed, Lane};
use super::{crash, faults};
use crate::decode::{OpenBatch, Record};
use crate::source::kafka::{Taken, with_record};

/// Pause before a lane whose fetching failed joins again.
const REJOIN_AFTER: Duration = Duration::from_secs(1);

/// Looks at records that can't be read, before they are taken to be damaged in the log itself.
pub(super) const LOOKS_MAX: u32 = 3;

/// Whether an answer held a batch of records that is damaged: its checksum or its compression is wrong.
fn is_unreadable(error: RDKafkaRespErr) -> bool {
    matches!(
        error,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_MSG | RDKafkaRespErr::RD_KAFKA_RESP_ERR__BAD_COMPRESSION
    )
}

/// How far one turn came with a partition.
struct Turn {
    next: Offset,
    last_time: Option<i64>,
    records: u64,
    failed: Option<(RDKafkaRespErr, String)>,
}

impl Lane {
    /// Takes what is there of every partition that the pump wants more of.
    pub(super) fn take_records(&mut self) -> bool {
        let mut any = false;
        // Each turn begins behind the partition that began the last one: a backlog in the first would else fill
        // every batch and starve the others.
        let split = self.owned.split_off(&self.first_taken);
        let order: Vec<Partition> = split.iter().chain(&self.owned).copied().collect();
        self.owned.extend(split);
        self.first_taken = order.first().map_or(Partition(0), |first| Partition(first.0.wrapping_add(1)));
        for partition in order {
            if self.pump.wants(partition) && !self.distrusted.contains(&partition) {
                any |= self.take_partition(partition);
            }
        }
        any
    }

    fn take_partition(&mut self, partition: Partition) -> bool {
        let Some(from) = self.pump.next_offset(partition) else { return false };
        let (rows, bytes) = (self.open.rows() + self.open.dead_letters(), self.open.bytes());
        let filtered = self.open.filtered();
        let room = usize::try_from(self.pump.room()).unwrap_or(usize::MAX);
        let mut turn = Turn { next: from, last_time: None, records: 0, failed: None };
        let open = &mut self.open;
        let taken = self.membership.take(partition, room, &mut |taken| match taken {
            Taken::Record(message) => with_record(partition.0, message, |record| turn.push(open, record)),
            // Members do not ask for it; the position says as much.
            Taken::End(_) => {}
            Taken::Failed(error, text) => turn.failed(partition, *error, text),
        });
        // Counted here, since offsets without rows pass without a batch.
        self.report.filtered(self.open.filtered() - filtered);
        self.times.extend(turn.last_time.map(|time| (time, turn.records)));
        if let Some((error, text)) = turn.failed {
            self.distrusted.insert(partition);
            // What comes after the first failure comes again after the next join.
            self.fetch_failed.get_or_insert(FetchFailed { partition, at: turn.next, error, text });
        }
        if turn.next > from {
            crash::reached(crash::Point::Polled);
            let filled = Filled {
                rows: (self.open.rows() + self.open.dead_letters() - rows) as u64,
                bytes: self.open.bytes().saturating_sub(bytes) as u64,
            };
            self.step(Input::Fetched { partition, range: Range::new(from, turn.next), filled });
        }
        taken > 0
    }

    /// Passes offsets behind the last record that hold none: aborted transactions and control records.
    pub(super) fn pass_control_records(&mut self) {
        for partition in self.owned.clone() {
            // The client's position may be behind a failure already.
            if self.distrusted.contains(&partition) {
                continue;
            }
            let (Some(from), Some(to)) =
                (self.pump.next_offset(partition), self.membership.position(partition))
            else {
                continue;
            };
            if to > from && self.pump.wants(partition) {
                let filled = Filled::default();
                self.step(Input::Fetched { partition, range: Range::new(from, to), filled });
            }
        }
    }

    /// A record came past its partition's queue: taken as a failure there, nothing behind it is read before the lane has
    /// joined again.
    pub(super) fn distrust(&mut self, partition: Partition) {
        let Some(at) = self.pump.next_offset(partition) else { return };
        let (error, text) = (RDKafkaRespErr::RD_KAFKA_RESP_ERR__STATE, "a record came past its queue");
        tracing::warn!(%partition, error = text, "fetching failed");
        self.distrusted.insert(partition);
        self.fetch_failed.get_or_insert(FetchFailed { partition, at, error, text: text.to_owned() });
    }

    /// After a failure in a partition's queue the client's own position can't be trusted any more (it moves past
    /// the failure as if that were a record), so the lane begins anew from what is committed.
    pub(super) fn heed_fetch_failure(&mut self) {
        if self.fetch_failed.as_ref().is_some_and(|failed| self.has_more_before(failed)) {
            return;
        }
        let Some(failed) = self.fetch_failed.take() else { return };
        if failed.error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET {
            self.ask_ends(self.distrusted.clone());
        } else if self.stays_unreadable(&failed) {
            self.end = Some(End::Halted(Box::new(faults::unreadable(&self.shared.stream, &failed))));
        } else {
            thread::sleep(REJOIN_AFTER);
            self.rejoin();
        }
    }

    /// Whether records before the unreadable ones are still on their way. They would be thrown away by joining again,
    /// each time, and never arrive.
    fn has_more_before(&self, failed: &FetchFailed) -> bool {
        let committed = self.pump.committed_offsets().find(|(partition, _)| *partition == failed.partition);
        is_unreadable(failed.error) && committed.is_some_and(|(_, offset)| offset < failed.at)
    }

    /// Whether the log holds bytes at this place that are no records, which is sure only after several looks: a
    /// connection can spoil an answer, too.
    fn stays_unreadable(&mut self, failed: &FetchFailed) -> bool {
        if !is_unreadable(failed.error) {
            return false;
        }
        let before =
            self.unreadable.filter(|(partition, at, _)| (*partition, *at) == (failed.partition, failed.at));
        let looks = before.map_or(1, |(.., looks)| looks + 1);
        self.unreadable = Some((failed.partition, failed.at, looks));
        looks == LOOKS_MAX
    }
}

impl Turn {
    fn push(&mut self, open: &mut OpenBatch, record: &Record<'_>) {
        let offset = Offset(record.offset);
        // Below the position lies what a found claim already covered; behind a failure may be a hole.
        if offset >= self.next && self.failed.is_none() {
            open.push(record);
            self.next = Offset(record.offset + 1);
            self.last_time = record.timestamp_ms.or(self.last_time);
            self.records += 1;
        }
    }

    fn failed(&mut self, partition: Partition, error: RDKafkaRespErr, text: &str) {
        self.failed = Some((error, text.to_owned()));
        tracing::warn!(%partition, error = text, "fetching failed");
    }
}
