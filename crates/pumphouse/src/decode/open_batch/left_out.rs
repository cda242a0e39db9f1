//! Rows that ClickHouse refuses: when their batch is built again they become dead letters instead. Which ones they are is
//! written in the claim; this file only leaves them out.

use std::collections::BTreeMap;

use super::{OpenBatch, Place};
use crate::decode::reject::{Code, Fault};

/// Where a row comes from and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowPlace {
    /// The table, by its number in the stream.
    pub table: usize,
    /// Its record's partition.
    pub partition: u32,
    /// Its record's offset.
    pub offset: u64,
    /// Its place in the message.
    pub index: u32,
}

/// The rows to leave out, each with what ClickHouse says of it.
pub type LeftOut = BTreeMap<RowPlace, String>;

impl OpenBatch {
    /// From here on these rows become dead letters.
    pub fn leave_out(&mut self, rows: LeftOut) {
        self.left_out = Some(rows).filter(|rows| !rows.is_empty());
    }

    /// Where each row of a table comes from, in the order of the rows.
    #[must_use]
    pub fn places(&self, table: usize) -> Vec<RowPlace> {
        let places = self.tables.get(table).map(super::TableRows::places).unwrap_or_default();
        let place = |(partition, offset, index)| RowPlace { table, partition, offset, index };
        places.into_iter().map(place).collect()
    }

    #[inline]
    pub(super) fn refused_by_the_server(&self, table: usize, place: Place) -> Option<Fault> {
        let rows = self.left_out.as_ref()?;
        let Place { partition, offset, index } = place;
        let said = rows.get(&RowPlace { table, partition, offset, index })?;
        Some(Fault::new(Code::RowRefused, said.clone()))
    }
}
