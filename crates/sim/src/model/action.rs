//! What can happen next in a state. Decides nothing about what follows from it.

use std::collections::BTreeSet;
use std::fmt;

use pumphouse_core::offset::{Offset, Partition};

use super::state::{Asked, Member, Place, State};
use super::world::World;

/// A set of partitions, or a set of places in something's list of partitions.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mask(pub u32);

/// How something that was asked is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// As asked.
    Done,
    /// As asked, and so late that an open batch is old enough to close.
    DoneLate,
    /// Not at all: it may still happen.
    Lost,
    /// Refused, and nothing happened; where a row is at fault, without proof of that.
    Refused,
    /// What was asked for is read now and told later.
    ReadNow,
}

/// One event. Members are named by their place in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A member takes a partition's next record.
    Fetch(usize, Partition),
    /// A member's next wake time has come.
    Wake(usize),
    /// The oldest, second oldest, … thing that a member asked for is answered.
    Answer(usize, usize, Reply),
    /// The group gives a member some of the partitions that nobody has.
    Assign(usize, Mask),
    /// A member that the group went on without is told so.
    Notice(usize),
    /// An insert lands that nobody waits for: all of it, or some partitions.
    Stray(usize, Mask),
    /// A commit is stored that nobody waits for: all of it, or some partitions.
    Late(usize, Mask),
    /// A process ends at once.
    Crash(usize),
    /// The group asks a member for partitions.
    Revoke(usize, Mask),
    /// The group goes on without a member.
    Evict(usize),
    /// A process is asked to stop.
    Drain(usize),
    /// A partition is set back to its beginning by hand.
    Reset(Partition),
    /// Kafka loses a partition's last commit.
    Regress(Partition),
    /// Retention deletes a partition's oldest record.
    Retention(Partition),
    /// An hour passes.
    Hour,
}

impl Mask {
    /// Whether the `at`th is in it.
    #[must_use]
    pub fn has(self, at: usize) -> bool {
        self.0 & (1 << at) != 0
    }

    /// Those of `partitions` whose place is in it.
    #[must_use]
    pub fn of(self, partitions: &BTreeSet<Partition>) -> BTreeSet<Partition> {
        partitions.iter().enumerate().filter(|(at, _)| self.has(*at)).map(|(_, p)| *p).collect()
    }

    /// All of `count`.
    #[must_use]
    pub fn all(count: usize) -> Self {
        Self((1 << count) - 1)
    }

    /// Every one with at least one of `count` in it.
    fn each(count: usize) -> impl Iterator<Item = Self> {
        (1..(1 << count)).map(Self)
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..32).filter(|at| self.has(*at))).finish()
    }
}

/// What can happen without a fault, in a fixed order.
pub fn calm(world: &World, state: &State, out: &mut Vec<Action>) {
    for (at, member) in state.members.iter().enumerate().filter(|(_, member)| member.place != Place::Halted) {
        for (asked, what) in member.asked.iter().enumerate() {
            if matches!(what, Asked::Survey(_, over_at) if state.server_time() < *over_at) {
                continue;
            }
            answers(world, what, |reply| out.push(Action::Answer(at, asked, reply)));
        }
        for partition in state.stored.keys() {
            let next = member.pump.next_offset(*partition);
            if next.is_some_and(|next| next < Offset(world.records)) && member.pump.wants(*partition) {
                out.push(Action::Fetch(at, *partition));
            }
        }
        match member.place {
            Place::Inside => {
                let nobodys = state.unassigned().len();
                out.extend(Mask::each(nobodys).map(|mask| Action::Assign(at, mask)));
            }
            Place::Evicted => out.push(Action::Notice(at)),
            Place::Halted => {}
        }
        if member.pump.wake_at().is_some() {
            out.push(Action::Wake(at));
        }
    }
    let waits = |asked: &Asked| matches!(asked, Asked::Survey(..));
    if out.is_empty() && state.members.iter().any(|member| member.asked.iter().any(waits)) {
        out.push(Action::Hour);
    }
}

fn answers(world: &World, asked: &Asked, mut out: impl FnMut(Reply)) {
    match asked {
        Asked::ReadStored(_) if world.stale_reads => out(Reply::ReadNow),
        Asked::Insert(_) => {
            out(Reply::Done);
            out(Reply::DoneLate);
        }
        _ => out(Reply::Done),
    }
}

/// What can happen besides, as far as faults are left.
pub fn faults(state: &State, out: &mut Vec<Action>) {
    let left = state.left;
    for (at, member) in state.members.iter().enumerate().filter(|(_, member)| member.place != Place::Halted) {
        failing_answers(state, at, member, out);
        let inside = member.place == Place::Inside;
        let owns = !member.share.is_empty();
        if left.crashes > 0 && (owns || !member.asked.is_empty()) {
            out.push(Action::Crash(at));
        }
        if left.revocations > 0 && inside && !member.releasing {
            out.extend(Mask::each(member.share.len()).map(|mask| Action::Revoke(at, mask)));
        }
        if left.evictions > 0 && inside && owns {
            out.push(Action::Evict(at));
        }
        if left.drains > 0 && owns {
            out.push(Action::Drain(at));
        }
    }
    left_behind(state, out);
    let empty = state.members.iter().all(|member| member.share.is_empty());
    if left.resets > 0 && empty {
        out.extend(state.stored.keys().map(|partition| Action::Reset(*partition)));
    }
    if left.regresses > 0 && empty {
        let lost = state.before.iter().filter(|(p, before)| state.stored[p] != **before);
        out.extend(lost.map(|(partition, _)| Action::Regress(*partition)));
    }
    if left.retentions > 0 {
        out.extend(state.stored.keys().map(|partition| Action::Retention(*partition)));
    }
    if left.hours > 0 {
        out.push(Action::Hour);
    }
}

fn failing_answers(state: &State, at: usize, member: &Member, out: &mut Vec<Action>) {
    let left = state.left;
    for (asked, what) in member.asked.iter().enumerate() {
        let (lost, refused) = match what {
            Asked::Commit(..) => (left.lost_commits > 0, left.deferred_commits > 0),
            Asked::Insert(_) => (left.lost_inserts > 0, left.refused_inserts > 0),
            Asked::Isolate(..) => (false, left.refused_inserts > 0),
            _ => (false, false),
        };
        if lost {
            out.push(Action::Answer(at, asked, Reply::Lost));
        }
        if refused {
            out.push(Action::Answer(at, asked, Reply::Refused));
        }
    }
}

/// What ended or silent processes sent may still arrive, whole or torn.
fn left_behind(state: &State, out: &mut Vec<Action>) {
    for (at, insert) in state.strays.iter().enumerate() {
        let parts = state.batches[&insert.batch].claim.ranges.len();
        let torn = Mask::each(parts).filter(|mask| *mask == Mask::all(parts) || state.left.torn_inserts > 0);
        out.extend(torn.map(|mask| Action::Stray(at, mask)));
    }
    for (at, entries) in state.late.iter().enumerate() {
        let parts = entries.len();
        let torn = Mask::each(parts).filter(|mask| *mask == Mask::all(parts) || state.left.torn_commits > 0);
        out.extend(torn.map(|mask| Action::Late(at, mask)));
    }
}
