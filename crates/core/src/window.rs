//! The window as a budget: how much a process may add to a table while one of its inserts there is in doubt, and until
//! when such an insert may be sent again.
//!
//! ClickHouse remembers a number of tokens for a table, one for each insert and table partition that it touches. Whoever
//! adds as many as it remembers makes it forget the token of an insert in doubt, whose retry would then double rows. So
//! while any insert is without an answer, the others add at most this process's share of the window, then they wait. Does
//! not know how many entries an insert takes, nor who waits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::claim::BatchId;
use crate::moment::ServerTime;

/// No partition gets another owner, who reads its claim and sends it, in less.
const FOUND_AFTER: Duration = Duration::from_secs(2);

/// What one process adds to the window of one table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Entries that this process may add while an insert is in doubt.
    share: u64,
    /// Entries of all inserts sent so far.
    added: u64,
    /// The inserts without an answer that proves something, and what had been added when each was first sent.
    in_doubt: BTreeMap<BatchId, u64>,
}

impl Budget {
    /// The share of one of `processes` in a window of so many entries; at least one.
    #[must_use]
    pub fn new(window: u64, processes: u64) -> Self {
        Self { share: (window / processes.max(1)).max(1), added: 0, in_doubt: BTreeMap::new() }
    }

    /// Notes that an insert of at most `entries` is sent, if it may be:
    ///
    /// | insert | may be sent |
    /// |---|---|
    /// | sent before, without an answer | yes: it adds nothing that is not counted |
    /// | no other is without an answer | yes, whatever it adds |
    /// | what was added since the first that is without an answer, and this, are within the share | yes |
    /// | anything else | no, until one of the others has its answer |
    pub fn begin(&mut self, batch: BatchId, entries: u64) -> bool {
        if self.in_doubt.contains_key(&batch) {
            return true;
        }
        let since = self.in_doubt.values().min().map_or(0, |first| self.added - first);
        if !self.in_doubt.is_empty() && since.saturating_add(entries) > self.share {
            return false;
        }
        self.added += entries;
        self.in_doubt.insert(batch, self.added);
        true
    }

    /// Notes that an insert has its answer, or will not be sent again under its token.
    pub fn end(&mut self, batch: BatchId) {
        self.in_doubt.remove(&batch);
    }

    /// The insert that the others wait for: the first of those without an answer.
    #[must_use]
    pub fn waits_for(&self) -> Option<BatchId> {
        self.in_doubt.iter().min_by_key(|(_, added)| **added).map(|(batch, _)| *batch)
    }
}

/// Whether an insert is sent for the first time, so soon after its claim that no other owner can have found that: only
/// then a table need not be asked before it. The deadline lies `insert_timeout` behind the moment of sending.
#[must_use]
pub fn is_surely_first(
    attempt: u32,
    claimed_at: ServerTime,
    deadline: ServerTime,
    insert_timeout: Duration,
) -> bool {
    attempt == 1 && deadline <= claimed_at.after(insert_timeout).after(FOUND_AFTER)
}

/// Until when, by the server's clock, an insert may start again under the token of a claim made at `since`, if `added`
/// entries of others were counted at `now`; `None` where that token may be forgotten. `window` and `added` in entries.
///
/// At half a window it counts as forgotten: entries that were claimed before `since` and landed after it are not in `added`.
/// The other half is for those that come until the insert lands. It lasts `elapsed / added * window / 4`, should they come
/// twice as fast as since the claim.
#[must_use]
pub fn remembered_until(window: u64, added: u64, since: ServerTime, now: ServerTime) -> Option<ServerTime> {
    if added.saturating_mul(2) >= window {
        return None;
    }
    let elapsed = u64::try_from(now.0.saturating_sub(since.0)).unwrap_or(0).max(1);
    let lasts = elapsed.saturating_mul(window).checked_div(added.saturating_mul(4)).unwrap_or(u64::MAX);
    Some(now.after(Duration::from_millis(lasts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: BatchId = BatchId(1);
    const OTHER: BatchId = BatchId(2);
    const THIRD: BatchId = BatchId(3);

    #[test]
    fn while_one_insert_is_in_doubt_the_others_add_no_more_than_the_share() {
        let mut budget = Budget::new(800, 8);
        assert!(budget.begin(OURS, 40));
        assert!(budget.begin(OTHER, 60));
        budget.end(OTHER);
        assert!(!budget.begin(OTHER, 41), "60 and 41 are more than 100");
        assert!(budget.begin(OTHER, 40));
        budget.end(OTHER);
        assert!(!budget.begin(THIRD, 1));
        assert_eq!(budget.waits_for(), Some(OURS));
        budget.end(OURS);
        assert!(budget.begin(THIRD, 1), "nothing is in doubt any more");
    }

    #[test]
    fn an_insert_that_is_sent_again_is_counted_once() {
        let mut budget = Budget::new(800, 8);
        assert!(budget.begin(OURS, 100));
        for _ in 0..10 {
            assert!(budget.begin(OURS, 100));
        }
        assert!(budget.begin(OTHER, 100));
    }

    #[test]
    fn an_insert_larger_than_the_share_goes_alone() {
        let mut budget = Budget::new(8, 8);
        assert!(budget.begin(OURS, 500));
        assert!(!budget.begin(OTHER, 500));
        budget.end(OURS);
        assert!(budget.begin(OTHER, 500));
    }

    #[test]
    fn only_what_was_claimed_just_now_and_never_sent_is_surely_sent_first() {
        let (claimed_at, minute) = (ServerTime(5_000), Duration::from_mins(1));
        let at_once = |attempt| is_surely_first(attempt, claimed_at, ServerTime(67_000), minute);
        assert!(at_once(1) && !at_once(2));
        assert!(!is_surely_first(1, claimed_at, ServerTime(67_001), minute), "its sender slept");
    }

    #[test]
    fn half_a_window_of_others_may_have_pushed_a_token_out() {
        let remembered = |window, added| remembered_until(window, added, ServerTime(0), ServerTime(10));
        assert!(remembered(2_000, 999).is_some());
        assert_eq!(remembered(2_000, 1_000), None);
        assert_eq!(remembered(0, 0), None);
    }

    #[test]
    fn what_is_sent_again_lands_before_others_fill_the_other_half_twice_as_fast() {
        // 100 in 10 s: 20 a second fill 500 in 25 s.
        let until = remembered_until(1_000, 100, ServerTime(5_000), ServerTime(15_000));
        assert_eq!(until, Some(ServerTime(40_000)));
        let endless = Some(ServerTime(i64::MAX));
        assert_eq!(remembered_until(1_000, 0, ServerTime(5_000), ServerTime(15_000)), endless);
        // The clock was set back since.
        assert_eq!(remembered_until(1_000, 100, ServerTime(5_000), ServerTime(0)), Some(ServerTime(2)));
    }
}
