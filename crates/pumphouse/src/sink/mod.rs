//! Into ClickHouse: a batch's rows become one insert per table, and the answer becomes a fact. Its dead letters may go
//! to a topic beside it, under the same three answers.

pub mod gaps;
pub mod insert;
pub mod letter;
pub mod payload;
pub mod probe;
pub mod replay_tables;
pub mod superseded;
pub mod tables;
pub mod target;
pub mod topic;
