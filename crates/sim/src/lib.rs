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
//!
//! `merges` is another world: a server's parts and merges, which the binary has too. All else is for tests, behind the
//! feature `model`.

#[cfg(feature = "model")]
pub mod agenda;
#[cfg(feature = "model")]
pub mod chance;
#[cfg(feature = "model")]
pub mod clickhouse;
#[cfg(feature = "model")]
pub mod client;
#[cfg(feature = "model")]
pub mod fault;
#[cfg(feature = "model")]
pub mod group;
#[cfg(feature = "model")]
pub mod member;
pub mod merges;
#[cfg(feature = "model")]
pub mod model;
#[cfg(feature = "model")]
pub mod setup;
#[cfg(feature = "model")]
pub mod topic;
#[cfg(feature = "model")]
pub mod trace;
#[cfg(feature = "model")]
pub mod world;

#[cfg(feature = "model")]
mod coordinator;
#[cfg(feature = "model")]
mod inserting;
#[cfg(feature = "model")]
mod lane;
#[cfg(feature = "model")]
mod oracle;
#[cfg(feature = "model")]
mod orders;
#[cfg(feature = "model")]
mod weather;
#[cfg(feature = "model")]
mod words;
