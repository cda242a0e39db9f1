//! From dead letters to rows, after a fix: which letters (`filter`, `letters`), what they would be now (`trial`),
//! which rows are there already (`lineage`), who does it (`log`), one after the other (`session`). What follows what
//! is decided by `pumphouse_core::replay`; needs no Kafka.

pub mod filter;
mod judged;
pub mod letters;
mod lineage;
mod log;
mod parts;
mod plan;
pub mod purge;
mod refused;
pub mod session;
mod trial;
mod trouble;

pub use log::inspect as inspect_log;
pub use plan::LETTERS_MAX;
