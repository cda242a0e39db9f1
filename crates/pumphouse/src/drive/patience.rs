//! How long a lane that owns nothing waits for an answer of its group, what is said meanwhile, and when it joins as a
//! new member. An assignment without partitions is an answer: a lane more than there are partitions is left alone.
//! Knows neither Kafka nor why there is no answer.

use std::time::Duration;

use pumphouse_core::moment::Time;

/// A rebalance that takes longer is told: usual ones take seconds.
const TOLD_AFTER: Duration = Duration::from_secs(30);
/// A rebalance that takes longer is given up, the first time: above the longest that members of this product cause
/// (`max.poll.interval.ms`, a minute, and what librdkafka adds to it).
const FIRST_PATIENCE: Duration = Duration::from_secs(75);
/// How often the patience doubles: up to ten minutes, since an outage may last for hours.
const DOUBLED_MAX: u32 = 3;
/// Of each patience so many percent more at most, by chance: lanes that lost their group at one moment must not all
/// leave at one moment.
const SPREAD_PERCENT: u64 = 40;

/// What a lane is to do about its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    Wait,
    /// Tell that nothing came for so long, and for how long it still waits.
    Tell { waited: Duration, left: Duration },
    /// End this membership and join anew.
    JoinAnew { waited: Duration },
}

/// One lane's wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Patience {
    waits: Option<Wait>,
    /// Memberships that ended without an answer, since the last one.
    fruitless: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wait {
    since: Time,
    tell_at: Time,
    until: Time,
}

impl Patience {
    /// The lane asked the group for partitions and owns none; `chance` is any number.
    pub(super) fn begin(&mut self, now: Time, chance: u128) {
        let patience = FIRST_PATIENCE * 2_u32.pow(self.fruitless.min(DOUBLED_MAX));
        let per_mille = u64::try_from(chance % 1000).expect("below a thousand") * SPREAD_PERCENT / 100;
        let spread = patience * u32::try_from(per_mille).expect("below a thousand") / 1000;
        self.waits = Some(Wait {
            since: now,
            tell_at: now.after(TOLD_AFTER),
            until: now.after(patience).after(spread),
        });
    }

    /// The group answered, if only with nothing.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// Whether the group owes an answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.waits.is_some()
    }

    /// What to do now. A wait is told ever more rarely; one that is over stays over until the next begins. While an earlier
    /// membership `is_leaving`, no new one is begun: a client that can't be closed must not become many.
    pub(super) fn turn(&mut self, now: Time, is_leaving: bool) -> Turn {
        let Some(wait) = &mut self.waits else { return Turn::Wait };
        let waited = now.since(wait.since);
        if now >= wait.until && !is_leaving {
            self.fruitless += 1;
            return Turn::JoinAnew { waited };
        }
        if now < wait.tell_at {
            return Turn::Wait;
        }
        wait.tell_at = now.after(waited.max(FIRST_PATIENCE));
        Turn::Tell { waited, left: wait.until.since(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Time {
        Time(second * 1000)
    }

    /// The seconds at which something is said or done within `seconds`.
    fn turns(patience: &mut Patience, seconds: std::ops::Range<u64>, is_leaving: bool) -> Vec<(u64, bool)> {
        let mut turns = Vec::new();
        for at in seconds {
            match patience.turn(second(at), is_leaving) {
                Turn::Wait => {}
                Turn::Tell { .. } => turns.push((at, false)),
                Turn::JoinAnew { .. } => {
                    turns.push((at, true));
                    patience.begin(second(at), 0);
                }
            }
        }
        turns
    }

    #[test]
    fn a_lane_without_an_answer_says_so_and_joins_anew_ever_more_rarely() {
        let mut patience = Patience::default();
        patience.begin(second(0), 0);
        let turns = turns(&mut patience, 0..2_400, false);
        let joins: Vec<u64> = turns.iter().filter(|(_, joins)| *joins).map(|(at, _)| *at).collect();
        assert_eq!(joins, [75, 225, 525, 1_125, 1_725, 2_325]);
        assert_eq!(turns[..5], [(30, false), (75, true), (105, false), (180, false), (225, true)]);
    }

    #[test]
    fn an_answer_ends_the_wait_even_without_partitions() {
        let mut patience = Patience::default();
        assert_eq!(turns(&mut patience, 0..1_000, false), []);
        patience.begin(second(1_000), 7);
        assert!(patience.is_waiting());
        patience.end();
        assert_eq!(turns(&mut patience, 1_000..5_000, false), []);
        assert!(!patience.is_waiting());
    }

    #[test]
    fn lanes_that_lost_their_group_together_leave_apart() {
        let until = |chance| {
            let mut patience = Patience::default();
            patience.begin(second(0), chance);
            patience.waits.expect("it was begun").until
        };
        assert_eq!(until(0), second(75));
        assert_eq!(until(999), Time(104_925));
        assert!(until(500) > until(100));
    }

    #[test]
    fn no_new_membership_begins_while_an_old_one_is_being_left() {
        let mut patience = Patience::default();
        patience.begin(second(0), 0);
        let told = turns(&mut patience, 0..1_000, true);
        assert!(told.iter().all(|(_, joins)| !joins), "{told:?}");
        assert!(told.len() <= 5, "in measure: {told:?}");
        assert_eq!(
            patience.turn(second(1_000), false),
            Turn::JoinAnew { waited: Duration::from_secs(1_000) }
        );
    }
}
