//! From bytes to columns: one JSON object of a Kafka message becomes one row of Arrow arrays, without
//! loss or not at all. Knows the declared columns; knows neither Kafka nor the wire to ClickHouse.
//!
//! `record` comes in, `split` takes a message apart, `json_schema` judges a record where the stream has a schema,
//! `route` says which tables take it, `open_batch` keeps it in their `table_rows`: `json` walks it by the `plan`,
//! `column` holds the values. `reject` says why not, `dead_letter` keeps what was refused, `set_aside` what an audit found to be gone.

mod column;
mod dead_letter;
mod decimal;
mod json;
mod json_schema;
mod open_batch;
mod plan;
mod record;
mod reject;
mod rest;
mod route;
mod set_aside;
mod split;
mod table_rows;
mod time;
mod utf8;
mod zone;

pub use dead_letter::dead_letter_columns;
pub use open_batch::{Again, ColumnFault, Counts, LeftOut, OpenBatch, RowPlace, Sealed, Tried};
pub use record::{Headers, NoHeaders, Pushed, Record};
pub use reject::{Code, Reject};
pub use set_aside::SetAside;
pub use table_rows::table_columns;

#[cfg(test)]
mod tests;
