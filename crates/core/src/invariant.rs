//! What must hold between any two steps of a pump, by name. Used by tests, simulation and debug builds.

use crate::lane::{Owned, Stage};
use crate::offset::{Offset, Partition};
use crate::pump::{Pump, Purpose, Work};

/// An invariant's name, and whether it holds.
type Check = (&'static str, fn(&Pump) -> bool);

/// The first invariant that does not hold, by name.
#[must_use]
pub fn broken(pump: &Pump) -> Option<&'static str> {
    let checks: [Check; 4] = [
        ("I1 an insert runs only for a batch whose claim is stored", inserting_is_claimed),
        ("I2 open rows continue what is committed or claimed", open_continues),
        ("I3 a fetching partition carries no claim but the one at hand", claims_are_known),
        ("I4 a position never lies before its committed offset", positions_are_ahead),
    ];
    checks.into_iter().find(|(_, holds)| !holds(pump)).map(|(name, _)| name)
}

fn inserting_is_claimed(pump: &Pump) -> bool {
    match &pump.work {
        Work::Inserting(in_flight) => pump.owned.values().any(|owned| owned.carries(in_flight.claim.id)),
        _ => true,
    }
}

fn open_continues(pump: &Pump) -> bool {
    pump.open.ranges().into_iter().all(|(partition, range)| {
        pump.owned.get(&partition).is_some_and(|owned| {
            range.from == begins_at(pump, partition, owned)
                && range.to == owned.next
                && owned.stage == Stage::Fetching
        })
    })
}

/// Where the open batch's range of a partition has to begin: behind the claim at hand, or at the committed offset; at
/// the one that is being committed, where offsets without rows are just passed.
fn begins_at(pump: &Pump, partition: Partition, owned: &Owned) -> Offset {
    if let Work::Committing { entries, purpose: Purpose::Pass, .. } = &pump.work
        && let Some((offset, _)) = entries.get(&partition)
    {
        return *offset;
    }
    // A claim that is being written is not carried yet. One that was found may cover a partition that came to us later,
    // past it.
    let is_written =
        matches!(&pump.work, Work::Committing { entries, .. } if entries.contains_key(&partition));
    let at_hand = pump.in_flight().filter(|_| is_written);
    let claimed = at_hand.and_then(|in_flight| in_flight.claim.ranges.get(&partition));
    let carried = owned.claimed_range(partition);
    claimed.or(carried.as_ref()).map_or(owned.committed, |range| range.to)
}

fn claims_are_known(pump: &Pump) -> bool {
    pump.owned.values().all(|owned| match (owned.stage, &owned.metadata.claim) {
        (Stage::Unmarked, claim) => claim.is_none(),
        (Stage::Recovering(batch), claim) => claim.as_ref().is_some_and(|claim| claim.id == batch),
        (Stage::Fetching, None) => true,
        (Stage::Fetching, Some(carried)) => match &pump.work {
            Work::Inserting(_) | Work::Committing { .. } | Work::Reporting(_) => true,
            Work::Recovering(claim, _) | Work::Superseding { claim, .. } => claim.id == carried.id,
            Work::Idle | Work::Asking(_) => false,
        },
    })
}

fn positions_are_ahead(pump: &Pump) -> bool {
    pump.owned.values().all(|owned| owned.next >= owned.committed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::batch::{BatchPolicy, Filled};
    use crate::claim::{BatchId, Metadata};
    use crate::gap::GapPolicy;
    use crate::lane::Stored;
    use crate::moment::{Moment, ServerTime, Time};
    use crate::offset::Range;
    use crate::pump::{Effect, Input, Policy};
    use crate::valve::ValvePolicy;

    const HERE: Partition = Partition(0);

    /// A pump whose first batch of two offsets is being inserted, with one more record in the open batch.
    fn inserting() -> Pump {
        let mut pump = Pump::new(Policy {
            batch: BatchPolicy { freshness: Duration::from_secs(9), rows: 2, bytes: 1_000 },
            memory: 1_000,
            tables: 1,
            letters: 0,
            shape: 1,
            revision: "r".into(),
            insert_timeout: Duration::from_secs(1),
            safe_age: Duration::from_mins(30),
            gaps: GapPolicy::Report,
            valve: ValvePolicy::default(),
        });
        let moment = Moment { now: Time(1), server: ServerTime(1), entropy: 7 };
        let metadata = Some(Metadata::origin(Offset(0), ServerTime(0)));
        pump.step(&moment, Input::Assigned([(HERE, Stored { offset: Offset(0), metadata })].into()));
        let fetched = |from, to| {
            let range = Range::new(Offset(from), Offset(to));
            Input::Fetched { partition: HERE, range, filled: Filled { rows: to - from, bytes: 1 } }
        };
        let claimed = pump.step(&moment, fetched(0, 2));
        let Some(Effect::Commit(id, _)) = claimed.last() else { panic!("{claimed:?}") };
        pump.step(&moment, Input::Committed(*id));
        pump.step(&moment, fetched(2, 3));
        assert!(matches!(pump.work, Work::Inserting(_)));
        assert_eq!(broken(&pump), None);
        pump
    }

    /// The number of the invariant that a pump breaks.
    fn number(pump: &Pump) -> Option<&'static str> {
        broken(pump).map(|name| &name[..2])
    }

    /// Which invariant a pump breaks whose partition was changed behind its back.
    fn broken_by(change: impl Fn(&mut Owned)) -> Option<&'static str> {
        let mut pump = inserting();
        change(pump.owned.get_mut(&HERE).expect("owned"));
        number(&pump)
    }

    #[test]
    fn a_pump_that_was_tampered_with_is_told_by_the_name_of_what_it_breaks() {
        assert_eq!(broken_by(|owned| owned.metadata.claim = None), Some("I1"));
        assert_eq!(broken_by(|owned| owned.next = Offset(9)), Some("I2"));
        assert_eq!(broken_by(|owned| owned.stage = Stage::Recovering(BatchId(5))), Some("I2"));
        let begins_elsewhere = |owned: &mut Owned| {
            let claim = owned.metadata.claim.as_mut().expect("a claim");
            claim.ranges = BTreeMap::from([(HERE, Range::new(Offset(0), Offset(1)))]);
        };
        assert_eq!(broken_by(begins_elsewhere), Some("I2"));
    }

    #[test]
    fn without_open_rows_stages_and_positions_are_looked_at_by_themselves() {
        let mut pump = inserting();
        pump.open.drop_partition(HERE);
        pump.owned.get_mut(&HERE).expect("owned").next = Offset(2);
        assert_eq!(broken(&pump), None);

        let mut unmarked = pump.clone();
        unmarked.owned.get_mut(&HERE).expect("owned").stage = Stage::Unmarked;
        assert_eq!(number(&unmarked), Some("I3"));

        let mut recovering = pump.clone();
        recovering.owned.get_mut(&HERE).expect("owned").stage = Stage::Recovering(BatchId(5));
        assert_eq!(number(&recovering), Some("I3"));

        let mut idle = pump.clone();
        idle.work = Work::Idle;
        assert_eq!(number(&idle), Some("I3"));

        let owned = pump.owned.get_mut(&HERE).expect("owned");
        owned.committed = Offset(3);
        assert_eq!(number(&pump), Some("I4"));
    }
}
