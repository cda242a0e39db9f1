//! When the demo kills its worker, and when it ends by itself. Pure: time comes in as a value.

use std::time::Duration;

/// Without an end, a kill each time this has passed.
const KILL_EVERY: Duration = Duration::from_secs(20);
/// Where in the time the kills fall, in per cent.
const KILLS_AT_PERCENT: [u32; 2] = [30, 60];

/// When what happens, counted from the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    run_for: Option<Duration>,
}

impl Schedule {
    /// A schedule that ends after `run_for`, or never by itself.
    #[must_use]
    pub fn new(run_for: Option<Duration>) -> Self {
        Self { run_for }
    }

    /// Whether the worker is to be killed now, after `kills` earlier times.
    #[must_use]
    pub fn is_kill_due(self, elapsed: Duration, kills: u32) -> bool {
        let due = match (self.run_for, KILLS_AT_PERCENT.get(kills as usize)) {
            (Some(run_for), Some(percent)) => run_for * *percent / 100,
            (Some(_), None) => return false,
            (None, _) => KILL_EVERY * (kills + 1),
        };
        elapsed >= due
    }

    /// Whether events have been produced for long enough.
    #[must_use]
    pub fn is_over(self, elapsed: Duration) -> bool {
        self.run_for.is_some_and(|run_for| elapsed >= run_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn twenty_seconds_have_two_kills_and_an_end() {
        let schedule = Schedule::new(Some(seconds(20)));
        let due: Vec<_> = (0..25)
            .map(|second| (0..4).find(|kills| !schedule.is_kill_due(seconds(second), *kills)))
            .collect();
        assert_eq!(due.iter().position(|kills| *kills == Some(1)), Some(6));
        assert_eq!(due.iter().position(|kills| *kills == Some(2)), Some(12));
        assert_eq!(due.last(), Some(&Some(2)));
        assert!(!schedule.is_over(seconds(19)) && schedule.is_over(seconds(20)));
    }

    #[test]
    fn without_an_end_the_kills_go_on() {
        let schedule = Schedule::new(None);
        assert!(!schedule.is_kill_due(seconds(19), 0) && schedule.is_kill_due(seconds(20), 0));
        assert!(!schedule.is_kill_due(seconds(119), 5) && schedule.is_kill_due(seconds(120), 5));
        assert!(!schedule.is_over(seconds(1_000_000)));
    }
}
