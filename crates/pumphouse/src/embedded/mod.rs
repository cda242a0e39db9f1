//! Real servers for tests, the demo and a developer's machine: ClickHouse and Apache Kafka, fetched once, started as
//! children that never outlive their parent. Knows nothing of streams, tables or topics.
//!
//! ```text
//! clickhouse, kafka    what is started: files, arguments, when it is ready
//!   process            start, kill, pause, start again on the same ports
//!     guard, chdb      the two children of our own binary: one that kills, one that is ClickHouse
//!   fetch, cache       where the programs come from: pinned, checked, kept per user
//! ```

pub mod chdb;
pub mod clickhouse;
pub mod guard;
pub mod kafka;
pub mod process;

mod cache;
mod clickhouse_config;
mod error;
mod fetch;
mod home;
mod http;
mod ports;
mod progress;
mod tool;

pub use error::Error;
pub use fetch::{kafka_jars, libchdb};
