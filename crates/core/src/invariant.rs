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
