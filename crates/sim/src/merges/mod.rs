//! A ClickHouse server's merge queue as a bounded buffer: inserts fill it, merges empty it, limits bound it.
//! No rows, no messages, no crashes; those are the histories of the other modules.
//!
//! ```text
//!   scenario ─► run ─┬─► load     rows that arrive, table partitions that they touch
//!                    ├─► lane     batches, retries, and the valve that is shipped
//!                    └─► server ─┬─► limits     delay and refusal of inserts
//!                                ├─► part       what is there
//!                                ├─► selector   what is merged next
//!                                └─► pool       how many merges run, and how fast
//!            outcome ◄─ samples, freshness, what went wrong;  search: the rate at which it does
//! ```

pub mod lane;
pub mod limits;
pub mod load;
pub mod outcome;
pub mod part;
pub mod pool;
pub mod run;
pub mod scenario;
pub mod search;
pub mod selector;
pub mod server;
