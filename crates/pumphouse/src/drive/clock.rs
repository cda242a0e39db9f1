//! The one place that reads clocks and draws random numbers for the core.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_core::moment::{Moment, ServerTime, Time};

/// This process's monotonic time and, carried on from the last sample, ClickHouse's.
pub struct Clock {
    start: Instant,
    /// ClickHouse's milliseconds at our zero.
    server_zero: AtomicI64,
}

impl Clock {
    /// A clock set by ClickHouse's answer.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn set_by(client: &Client) -> Result<Self, QueryError> {
        let clock = Self { start: Instant::now(), server_zero: AtomicI64::new(0) };
        clock.sample(client).await?;
        Ok(clock)
    }

    /// Sets ClickHouse's time anew.
    ///
    /// # Errors
    /// When ClickHouse does not answer; the time is carried on from the last sample then.
    pub async fn sample(&self, client: &Client) -> Result<(), QueryError> {
        let server = client.server_time_ms().await?;
        // Taken after the answer: our idea of ClickHouse's time may lag, which only shortens deadlines' slack.
        let zero = server - i64::try_from(self.now().0).unwrap_or(i64::MAX);
        self.server_zero.store(zero, Ordering::Relaxed);
        Ok(())
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Now by ClickHouse's clock.
    #[must_use]
    pub fn server(&self) -> ServerTime {
        ServerTime(self.server_zero.load(Ordering::Relaxed) + i64::try_from(self.now().0).unwrap_or(i64::MAX))
    }

    /// The circumstances of the core's next step.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let mut entropy = [0; 16];
        getrandom::fill(&mut entropy).expect("the operating system has random numbers");
        Moment { now: self.now(), server: self.server(), entropy: u128::from_le_bytes(entropy) }
    }

    /// How long until `at`.
    #[must_use]
    pub fn until(&self, at: Time) -> Duration {
        at.since(self.now())
    }
}
