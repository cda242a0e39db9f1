//! The wire to ClickHouse: how a batch is sent, what an answer proves, what a table must look like.
//!
//! It decides nothing about batches, offsets or retries, and knows nothing of Kafka or the configuration.
//! Modules in reading order:
//!
//! ```text
//! arrow_stream  columns ─► compressed body
//! insert        body ─► server ─► done | refused | unknown
//! insert_select the same for what a query makes
//! exception     what an error of the server means, once
//! client        addresses, sign-in, queries with a time limit
//! wire_type     as what type, and under which settings, a column is sent
//! quote         names and texts inside a statement
//! ddl           tables and rollups as statements
//! key_time      partition keys and TTLs as spans of time
//! preflight     what stands between a live table and exactly once
//! pressure      how loaded tables are, as one server says
//! resend        whether a retry is recognised, by trying
//! scratch       which rows a table would refuse, without storing one
//! ```

pub mod arrow_stream;
#[cfg(debug_assertions)]
mod broken_off;
pub mod client;
pub mod ddl;
pub mod exception;
pub mod insert;
pub mod insert_select;
pub mod key_time;
pub mod preflight;
pub mod pressure;
pub mod quote;
pub mod resend;
pub mod scratch;
mod wire_type;

pub use client::{Client, ClientSettings, QueryError};
pub use exception::{Kind, ServerError};
pub use insert::{Doubt, Insert, InsertAnswer, Refusal};
