//! What time it is, and a number nobody has drawn before: the two things the core must be told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds on this process's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub u64);

/// Milliseconds since 1970-01-01 UTC on ClickHouse's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServerTime(pub i64);

/// The circumstances of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Now, monotonic.
    pub now: Time,
    /// Now by ClickHouse's clock, as last sampled and carried on.
    pub server: ServerTime,
    /// 128 random bits, fresh at every step: the next batch's identity and the retries' jitter.
    pub entropy: u128,
}

impl Time {
    /// This time and `span` more.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// How long ago `earlier` was; zero where it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl ServerTime {
    /// This time and `span` more.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(millis(span)).unwrap_or(i64::MAX)))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
