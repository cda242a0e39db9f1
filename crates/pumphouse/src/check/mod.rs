//! What a design will do before it does it: facts of the file and of the servers in, findings out. Judging is pure, a file
//! for each family; asking is apart (`ask_*`), and changes nothing but a scratch table that is dropped again.
//!
//! ```text
//! file ─► offline ─┐
//!                  ├─► facts ─► partitions, sorting, window, limits, engine, ttl, grants, replicas, topic ─► findings
//! servers ─► live ─┘
//! ```

mod ask_kafka;
mod ask_servers;
mod ask_tables;
mod engine;
pub mod finding;
mod grants;
mod limits;
mod live;
mod load;
mod offline;
mod partitions;
mod replicas;
mod schema;
mod sorting;
mod table;
mod topic;
mod ttl;
mod window;

pub use finding::{Finding, Severity};
pub use live::{Survey, live};
pub use load::Asked;
pub(crate) use load::most_touched;
pub use offline::offline;
