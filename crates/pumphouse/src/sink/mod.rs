//! Into ClickHouse: a batch's rows become one insert per table, and the answer becomes a fact.

pub mod insert;
pub mod payload;
pub mod probe;
pub mod replay_tables;
pub mod tables;
pub mod target;
