//! Two incidents from elsewhere with too many parts, shown again on a real Kafka and a real ClickHouse with lowered limits: a
//! writer of small batches is refused and loses rows, then pumphouse takes the same feed.
//!
//! ```text
//! year          incident 001: daily partitions over a year, changes of states, a collapsing table
//! flood         incident 002: nine times the rate, and merges that stand still
//!   feed        messages by a seed, at the rate of a schedule; when each was written
//!     states    the messages of 001, and what the final state is
//!     toggles   the messages of 002
//!   naive       the writer that gives batches up
//!   session     pumphouse on the same feed, from its start to its end
//!   watch       parts each second, and how old each message was
//! told          figures of both as a table
//! ```

pub mod feed;
pub mod flood;
pub mod naive;
pub mod session;
pub mod states;
pub mod toggles;
pub mod told;
pub mod watch;
pub mod year;
