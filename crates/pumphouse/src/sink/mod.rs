//! Into ClickHouse: a batch's rows become one insert per table, and the answer becomes a fact. Its dead letters may go
//! to a topic beside it, under the same three answers.

pub mod budgets;
pub mod entries;
pub mod gaps;
pub mod insert;
pub mod isolate;
pub mod letter;
pub mod mend;
pub mod payload;
pub mod probe;
pub mod replay_tables;
mod rollups;
pub mod superseded;
pub mod table_settings;
pub mod tables;
pub mod target;
pub mod topic;
mod whole;
