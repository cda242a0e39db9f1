//! What pumphouse decides. No async, no I/O, no clock, no randomness, no logging.
//!
//! ```text
//!            facts (Input)                                 orders (Effect)
//!  Assigned, Fetched, Committed, Inserted, … ─► Pump::step ─► Commit, Seal, Insert, Rebuild, Halt, …
//!                                                  │
//!   offset ─► batch (when it closes) ─► claim (what is written first) ─► token (what ClickHouse remembers)
//!     valve (how large, how often)
//!             lane (one partition's life) ─► ledger (after a crash) ─► verdict (after a failure)
//!                                                                       ─► isolation (of refused rows)
//! ```
//!
//! The modules stand in reading order. The state is plain data, `Clone + Eq + Hash`, so that a model checker
//! and a simulator can run this code instead of a copy of it.

pub mod audit;
pub mod batch;
pub mod claim;
pub mod curve;
pub mod gap;
pub mod invariant;
pub mod isolation;
pub mod lane;
pub mod ledger;
pub mod moment;
pub mod offset;
pub mod pump;
pub mod replay;
pub mod schema;
pub mod token;
pub mod valve;
pub mod verdict;
pub mod whole;
pub mod window;
