//! The world in a box: a Kafka, a ClickHouse, clocks and crashes around the pump that is shipped. One seed, one history.
//!
//! ```text
//!   seed ─► chance (which faults, which delays) ─► setup (how large)
//!                          │
//!   agenda (what happens when) ─► world ─┬─► coordinator, group, topic     what Kafka does
//!            ▲                           ├─► inserting, clickhouse         what ClickHouse does
//!            └── answers, late ──────────┼─► lane, orders, member, client  what a process does, as `drive` does
//!                                        └─► weather                       what goes wrong by itself
//!                                  oracle: what has to hold after each of them
//! ```

pub mod agenda;
pub mod chance;
pub mod clickhouse;
pub mod client;
pub mod fault;
pub mod group;
pub mod member;
pub mod model;
pub mod setup;
pub mod topic;
pub mod trace;
pub mod world;

mod coordinator;
mod inserting;
mod lane;
mod oracle;
mod orders;
mod weather;
mod words;
