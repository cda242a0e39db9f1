//! Gaps that were reported: offsets whose records were gone before anybody read them, with the reason.

use std::collections::BTreeMap;

use pumphouse_clickhouse::client::QueryError;
use pumphouse_clickhouse::quote;
use pumphouse_core::offset::{Offset, Partition, Range};
use serde::Deserialize;

use super::ground::{Ground, bounded, gaps_table};

/// One reported gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) range: Range,
    pub(super) reason: String,
}

/// The gaps of a stream's partitions, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps(pub(super) BTreeMap<Partition, Vec<Gap>>);

#[derive(Deserialize)]
struct Row {
    partition: u32,
    from_offset: u64,
    to_offset: u64,
    reason: String,
}

impl Gaps {
    /// Reads them; none where their table is not there.
    pub(super) async fn of(ground: &Ground) -> Result<Self, QueryError> {
        if !ground.kept.gaps {
            return Ok(Self::default());
        }
        let sql = format!(
            "SELECT DISTINCT partition, from_offset, to_offset, reason FROM {} WHERE stream = {} AND topic = {} \
             ORDER BY partition, from_offset, to_offset",
            gaps_table(),
            quote::text(&ground.stream.name),
            quote::text(&ground.stream.topic),
        );
        let rows: Vec<Row> = bounded(ground.client.query(&sql)).rows().await?;
        let mut gaps: BTreeMap<Partition, Vec<Gap>> = BTreeMap::new();
        for Row { partition, from_offset, to_offset, reason } in rows.into_iter().filter(is_range) {
            let range = Range::new(Offset(from_offset), Offset(to_offset));
            gaps.entry(Partition(partition)).or_default().push(Gap { range, reason });
        }
        Ok(Self(gaps))
    }

    /// The gap that an offset lies in.
    pub(super) fn at(&self, partition: Partition, offset: Offset) -> Option<&Gap> {
        self.touching(partition, Range::new(offset, Offset(offset.0 + 1))).next()
    }

    /// The gaps that have offsets of a range.
    pub(super) fn touching(&self, partition: Partition, range: Range) -> impl Iterator<Item = &Gap> {
        let of_partition = self.0.get(&partition).into_iter().flatten();
        of_partition.filter(move |gap| gap.range.from < range.to && range.from < gap.range.to)
    }

    /// The first offset in a gap.
    pub(super) fn lowest(&self, partition: Partition) -> Option<Offset> {
        self.0.get(&partition)?.first().map(|gap| gap.range.from)
    }
}

fn is_range(row: &Row) -> bool {
    row.from_offset < row.to_offset
}
