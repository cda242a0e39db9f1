//! What has to hold, whatever happened: no row twice, none missing below an offset, views like their tables, and no
//! halt without a fault of this history that justifies it.

use pumphouse_core::claim::BatchId;
use pumphouse_core::gap::GapPolicy;
use pumphouse_core::offset::Partition;
use pumphouse_core::pump::DEADLINE_MARGIN;
use pumphouse_core::verdict::{Halt, Refusal};

use crate::topic::{Gap, Record};
use crate::world::World;

impl World {
    /// A commit moved a partition from `before` to `after`: what lies between is in every table.
    pub(crate) fn check_passed(&mut self, partition: Partition, before: u64, after: u64) {
        if after < before && !self.by_hand.contains(&partition) {
            return self
                .fail(format_args!("the offset of partition {partition} went back: {before} to {after}"));
        }
        for offset in before..after {
            self.check_record(partition.0, offset);
        }
    }

    fn check_record(&mut self, partition: u32, offset: u64) {
        let Record { targets, excused, rows_max, gap, refused, .. } =
            *self.logs[partition as usize].at(offset);
        for number in 0..self.setup.shape.targets {
            let table = &self.server.tables[usize::from(number)];
            let is_letters = number + 1 == self.setup.shape.targets;
            // A row that its table refuses is a dead letter.
            let asked = if refused { is_letters } else { targets & 1 << number != 0 } && !excused;
            let rows = table.rows.cell(partition, offset).rows;
            let in_view = table.view.as_ref().map(|view| view.cell(partition, offset).rows);
            if asked && rows == 0 && gap == Gap::None {
                return self.fail(format_args!(
                    "record {partition}:{offset} was passed and is not in table {number}"
                ));
            }
            // What was set back by hand may be half there a second time.
            if gap == Gap::Missing && rows > 0 && rows_max == 1 {
                return self.fail(format_args!(
                    "record {partition}:{offset} is reported missing and is in table {number}"
                ));
            }
            if !excused
                && gap == Gap::None
                && in_view.is_some_and(|in_view| in_view != rows && (rows_max == 1 || in_view == 0))
            {
                return self.fail(format_args!(
                    "record {partition}:{offset} was passed, {rows} times in table {number}, {in_view:?} in its view"
                ));
            }
        }
    }

    /// At the end everything below the offsets is there once, also in the views.
    pub(crate) fn check_the_end(&mut self) {
        if self.failure.is_some() {
            return;
        }
        for partition in 0..self.logs.len() {
            let partition = u32::try_from(partition).expect("few");
            let passed = self.group.offset(Partition(partition)).unwrap_or(0);
            for offset in 0..passed.min(self.logs[partition as usize].records.len() as u64) {
                if self.failure.is_none() {
                    self.check_record(partition, offset);
                }
            }
        }
    }

    /// Rows in all tables.
    pub(crate) fn count_rows(&self) -> u64 {
        let mut rows = 0;
        for table in &self.server.tables {
            for (partition, log) in (0..).zip(&self.logs) {
                for offset in 0..log.records.len() as u64 {
                    rows += u64::from(table.rows.cell(partition, offset).rows);
                }
            }
        }
        rows
    }

    /// A halt needs a reason that this history gives:
    ///
    /// | halt | justified by |
    /// |---|---|
    /// | a row is refused | a row that the tables refuse, in that batch |
    /// | too many rows are refused | that a search found so |
    /// | records gone, a claimed range gone | retention that ate them, where gaps are to halt |
    /// | offsets lost | metadata wiped, reset or forgotten there |
    /// | position behind the log's end | nothing here |
    /// | another shape | a process that started with another one |
    /// | a claim too old, undecidable | a table without lineage, or with a view and rows of it; superseded too often |
    /// | metadata too large, gaps refused | nothing here |
    pub(crate) fn judge_halt(&mut self, index: usize, reason: &Halt) {
        let shape = self.members[index].shape;
        let justified = match reason {
            Halt::Refused(batch, _, Refusal::Row) | Halt::EveryRow(batch, _) => {
                self.refuses_a_row(index, *batch)
            }
            Halt::TooManyRows(batch, _) => self.too_many.contains(batch),
            Halt::RecordsGone { partition, missing } => {
                self.setup.gaps == GapPolicy::Halt && missing.to.0 <= self.logs[partition.0 as usize].low
            }
            Halt::Gone { partition, range, .. } => {
                self.setup.gaps == GapPolicy::Halt && range.from.0 < self.logs[partition.0 as usize].low
            }
            Halt::OffsetsLost(lost) => lost.keys().all(|partition| self.by_hand.contains(partition)),
            Halt::Shape(claim) => claim.shape != shape,
            Halt::TooOld(claim) => {
                let age = self.server.time(self.now).0 - claim.claimed_at.0;
                let margin = i64::try_from(DEADLINE_MARGIN.as_millis()).expect("short");
                let safe = i64::try_from(self.setup.safe_age).expect("short");
                age >= safe - margin - 8_500
            }
            Halt::Undecidable(claim) => {
                !self.setup.lineage || claim.ranges.keys().any(|partition| self.by_hand.contains(partition))
            }
            Halt::Refused(..) | Halt::OutOfRange { .. } | Halt::MetadataTooLarge | Halt::GapsRefused(_) => {
                false
            }
        };
        let name = match reason {
            Halt::Refused(..) => "refused",
            Halt::RecordsGone { .. } => "records gone",
            Halt::Gone { .. } => "claimed range gone",
            Halt::Shape(_) => "another shape",
            Halt::TooOld(_) => "claim too old",
            Halt::Undecidable(_) => "undecidable",
            Halt::OutOfRange { .. } => "out of range",
            Halt::MetadataTooLarge => "metadata too large",
            Halt::OffsetsLost(_) => "offsets lost",
            Halt::GapsRefused(_) => "gaps refused",
            Halt::EveryRow(..) | Halt::TooManyRows(..) => "refused rows",
        };
        *self.halts.entry(name).or_default() += 1;
        if !justified {
            self.fail(format_args!("member {index} halts without a reason: {reason:?}"));
        }
    }

    fn refuses_a_row(&self, index: usize, batch: BatchId) -> bool {
        let payload = self.members[index].payloads.get(&batch);
        let records = payload.iter().flat_map(|payload| &payload.records);
        records.into_iter().any(|(p, offset, _)| self.logs[*p as usize].at(*offset).refused)
    }
}
