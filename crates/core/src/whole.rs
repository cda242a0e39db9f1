//! What the server is asked after a retry, and what its answers mean: is the batch whole, or does a token stand
//! there without its rows?
//!
//! A table that is not replicated writes the token down before it gives the rows their final name. A server that is
//! killed in between keeps the token alone, a ghost: each retry is answered as done and adds nothing. Decides from
//! counts alone; who counts, and how rows are brought back, is known elsewhere.

use std::collections::{BTreeMap, BTreeSet};

/// Tries to bring the missing rows of one table back; each has a token of its own.
pub const MENDS_MAX: u32 = 4;
/// The same where the table lets rows expire: what is missing after these has expired.
pub const MENDS_WHERE_ROWS_EXPIRE: u32 = 2;
/// Looks at a rollup until it is said that nobody can tell.
pub const LOOKS_MAX: u32 = 12;
/// Looks that have to agree before a rollup's rows are brought back.
pub const LOOKS_AGREEING: u32 = 3;

/// A table after a retry that was answered as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Rows of the batch for this table.
    pub sent: u64,
    /// Those that the table has.
    pub found: u64,
    /// Whether the table lets rows expire.
    pub rows_expire: bool,
}

/// What follows from counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Every row is there once.
    Whole,
    /// Rows are missing, and only expired ones can be.
    Expired,
    /// Rows are missing: bring them back under this number, counted from 1.
    Mend(u32),
    /// Rows are missing, and bringing them back did not help.
    Unmended,
    /// Rows are there twice.
    Doubled,
}

/// What follows a count, after so many mends.
///
/// | found | mends so far | next |
/// |---|---|---|
/// | as sent | any | whole |
/// | more | any | doubled: halt |
/// | fewer, rows expire | 2 | expired |
/// | fewer | below 4 | mend |
/// | fewer | 4 | halt |
#[must_use]
pub fn after_count(counted: Counted, mends: u32) -> Next {
    let Counted { sent, found, rows_expire } = counted;
    match found.cmp(&sent) {
        std::cmp::Ordering::Equal => Next::Whole,
        std::cmp::Ordering::Greater => Next::Doubled,
        std::cmp::Ordering::Less if rows_expire && mends >= MENDS_WHERE_ROWS_EXPIRE => Next::Expired,
        std::cmp::Ordering::Less if mends < MENDS_MAX => Next::Mend(mends + 1),
        std::cmp::Ordering::Less => Next::Unmended,
    }
}

/// What is done with one partition of a mending table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// None of its rows is in the table: move it.
    Move,
    /// All of them are: an earlier move left it behind.
    Leftover,
    /// Some are, which nothing here brings about.
    Mixed,
}

/// Looks at a partition of a mending table: its rows, and those of them that the table has already.
#[must_use]
pub fn moving(rows: u64, there: u64) -> Moving {
    match there {
        0 => Moving::Move,
        _ if there == rows => Moving::Leftover,
        _ => Moving::Mixed,
    }
}

/// Whether the server may have been killed since the batch was claimed; times in seconds. Without that there is no
/// ghost behind a view, since all that failed was told.
#[must_use]
pub fn may_have_restarted(claimed_at: i64, server_started: i64) -> bool {
    /// Both are the server's times, one of them as carried on here.
    const MARGIN: i64 = 10;
    server_started > claimed_at - MARGIN
}

/// One group of a rollup's rows: a bucket of time and a value of each dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Rows that the rollup has counted; read before the table.
    pub in_rollup: u64,
    /// Rows that the table has; read after the rollup, so that what lands meanwhile only adds.
    pub in_table: u64,
    /// Those of them that are of the batch; never 0.
    pub of_batch: u64,
    /// Those of batches that were claimed at about the same time, by the time of their claims.
    pub of_others: BTreeMap<i64, u64>,
}

impl Group {
    /// Whether the rollup lacks just so many rows.
    fn lacks(&self, rows: u64) -> bool {
        self.in_rollup.checked_add(rows) == Some(self.in_table)
    }

    /// Rows of another batch.
    fn of(&self, other: i64) -> u64 {
        self.of_others.get(&other).copied().unwrap_or_default()
    }
}

/// What one look at a sample of groups tells. A batch is one part of an unpartitioned rollup, so all of its groups
/// are there or none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The rollup has the batch.
    Whole,
    /// It lacks just the batch.
    Lacking,
    /// Neither: others are inserting, or table and rollup never agreed.
    Unclear,
}

/// Judges a sample of groups.
///
/// | the rollup lacks, of the table's rows | look |
/// |---|---|
/// | none, in at least half of the groups | whole |
/// | in each group, just those of the batch | lacking |
/// | in each of several groups, just those of the batch and of one other | lacking: one kill can hit two lanes |
/// | in each of several groups, just those of one other | whole: the other is the one that is lacking, or landing |
/// | anything else | unclear |
#[must_use]
pub fn look(groups: &[Group]) -> Look {
    let whole = groups.iter().filter(|group| group.lacks(0)).count();
    let lacking = |rows: &dyn Fn(&Group) -> u64| groups.iter().all(|group| group.lacks(rows(group)));
    // Of one group, some other batch always has as many rows as are lacking.
    let others = groups.iter().filter(|_| groups.len() > 1).flat_map(|group| group.of_others.keys().copied());
    let others: BTreeSet<i64> = others.collect();
    let with = |other: &i64| lacking(&|group| group.of_batch.saturating_add(group.of(*other)));
    if whole * 2 >= groups.len() {
        Look::Whole
    } else if lacking(&|group| group.of_batch) || others.iter().any(with) {
        Look::Lacking
    } else if others.iter().any(|other| lacking(&|group| group.of(*other))) {
        Look::Whole
    } else {
        Look::Unclear
    }
}

/// What is known of a rollup after some looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    looks: u32,
    lacking: u32,
}

/// What follows from the looks so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rollup has the batch.
    Whole,
    /// It surely lacks the batch.
    Ghost,
    /// Look again in a while.
    Again,
    /// Nobody can tell.
    CantTell,
}

impl Looks {
    /// Adds a look. One that shows the batch is proof; a lack has to stay for [`LOOKS_AGREEING`] looks in a row.
    pub fn add(&mut self, look: Look) -> Verdict {
        self.looks += 1;
        match look {
            Look::Whole => return Verdict::Whole,
            Look::Lacking => self.lacking += 1,
            Look::Unclear => self.lacking = 0,
        }
        if self.lacking >= LOOKS_AGREEING {
            Verdict::Ghost
        } else if self.looks >= LOOKS_MAX {
            Verdict::CantTell
        } else {
            Verdict::Again
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(sent: u64, found: u64) -> Counted {
        Counted { sent, found, rows_expire: false }
    }

    fn group(in_rollup: u64, in_table: u64, of_batch: u64) -> Group {
        Group { in_rollup, in_table, of_batch, of_others: BTreeMap::new() }
    }

    #[test]
    fn as_many_rows_as_were_sent_are_whole_after_any_number_of_mends() {
        for mends in 0..=MENDS_MAX {
            assert_eq!(after_count(counted(7, 7), mends), Next::Whole);
        }
        assert_eq!(after_count(counted(0, 0), 0), Next::Whole);
    }

    #[test]
    fn missing_rows_are_mended_four_times_and_then_a_person_is_called() {
        for mends in 0..MENDS_MAX {
            assert_eq!(after_count(counted(7, 6), mends), Next::Mend(mends + 1));
        }
        assert_eq!(after_count(counted(7, 6), MENDS_MAX), Next::Unmended);
    }

    #[test]
    fn rows_that_stay_missing_where_rows_expire_have_expired() {
        let expiring = |found| Counted { rows_expire: true, ..counted(7, found) };
        assert_eq!(after_count(expiring(0), 0), Next::Mend(1));
        assert_eq!(after_count(expiring(0), 1), Next::Mend(2));
        assert_eq!(after_count(expiring(0), 2), Next::Expired);
        assert_eq!(after_count(expiring(7), 2), Next::Whole);
    }

    #[test]
    fn a_row_too_many_is_never_whole() {
        for rows_expire in [false, true] {
            for mends in 0..=MENDS_MAX {
                assert_eq!(after_count(Counted { rows_expire, ..counted(7, 8) }, mends), Next::Doubled);
            }
        }
    }

    #[test]
    fn only_a_partition_of_which_the_table_has_nothing_is_moved() {
        assert_eq!(moving(5, 0), Moving::Move);
        assert_eq!(moving(5, 5), Moving::Leftover);
        assert_eq!(moving(5, 3), Moving::Mixed);
    }

    #[test]
    fn a_server_that_runs_since_long_before_the_claim_has_no_ghost_behind_a_view() {
        assert!(!may_have_restarted(1_000, 900));
        assert!(may_have_restarted(1_000, 995), "clocks are read with some error");
        assert!(may_have_restarted(1_000, 1_001));
    }

    #[test]
    fn a_rollup_that_agrees_has_the_batch_even_while_others_insert_into_some_groups() {
        assert_eq!(look(&[group(10, 10, 3), group(4, 4, 1)]), Look::Whole);
        assert_eq!(look(&[group(10, 10, 3), group(4, 9, 1)]), Look::Whole);
        assert_eq!(look(&[]), Look::Whole, "a batch without rows lacks none");
    }

    #[test]
    fn a_rollup_that_lacks_just_the_batch_in_every_group_lacks_it() {
        assert_eq!(look(&[group(7, 10, 3), group(3, 4, 1)]), Look::Lacking);
        assert_eq!(look(&[group(7, 12, 3), group(3, 4, 1)]), Look::Unclear, "others are inserting");
        assert_eq!(look(&[group(7, 10, 3), group(3, 4, 1), group(9, 9, 2)]), Look::Unclear);
    }

    #[test]
    fn a_rollup_that_lacks_a_batch_of_each_of_two_lanes_lacks_it() {
        let beside = |group: Group, rows: u64| Group { of_others: [(5, 1), (7, rows)].into(), ..group };
        let both = [beside(group(7, 14, 3), 4), beside(group(3, 9, 1), 5)];
        assert_eq!(look(&both), Look::Lacking);
        assert_eq!(look(&both[..1]), Look::Unclear, "one group is no pattern");
        let other = [beside(group(7, 11, 3), 4), beside(group(3, 8, 1), 5)];
        assert_eq!(look(&other), Look::Whole, "the other is the one that is lacking");
        let uneven = [beside(group(7, 14, 3), 4), beside(group(3, 9, 1), 4)];
        assert_eq!(look(&uneven), Look::Unclear);
    }

    #[test]
    fn a_rollup_that_never_agreed_with_its_table_tells_nothing() {
        assert_eq!(look(&[group(0, 100, 3)]), Look::Unclear, "it is younger than the table");
        assert_eq!(look(&[group(100, 3, 3)]), Look::Unclear, "the table's rows have expired");
    }

    #[test]
    fn a_lack_counts_only_when_it_stays() {
        let mut looks = Looks::default();
        for look in [Look::Lacking, Look::Lacking, Look::Unclear, Look::Lacking, Look::Lacking] {
            assert_eq!(looks.add(look), Verdict::Again);
        }
        assert_eq!(looks.add(Look::Lacking), Verdict::Ghost);
        assert_eq!(Looks::default().add(Look::Whole), Verdict::Whole);
    }

    #[test]
    fn looks_have_an_end() {
        let mut looks = Looks::default();
        for _ in 1..LOOKS_MAX {
            assert_eq!(looks.add(Look::Unclear), Verdict::Again);
        }
        assert_eq!(looks.add(Look::Unclear), Verdict::CantTell);
    }
}
