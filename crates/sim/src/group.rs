//! The coordinator of the consumer group: members, generations, cooperative rebalances, committed offsets.
//!
//! Decides who owns what and which commit is stored. Does not know what the metadata means.

use std::collections::{BTreeMap, BTreeSet};

use pumphouse_core::claim::Metadata;
use pumphouse_core::gap::Committed;
use pumphouse_core::lane::Stored;
use pumphouse_core::offset::{Offset, Partition};

use crate::chance::Chance;

/// A member, as the coordinator names it; a client that joins anew gets a new name.
pub type MemberName = u64;

/// What one offset commit writes.
pub type Entries = BTreeMap<Partition, (Offset, Metadata)>;

/// What stands beside a committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// Metadata that a pump wrote.
    Ours(Metadata),
    /// Somebody else's, or damaged.
    Foreign,
    /// None at all: somebody set the offset.
    Bare,
}

/// Where the group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is there.
    Empty,
    /// Waits for the members to join again; the number tells one round from the next.
    Preparing(u64),
    /// Everybody knows their share, or is about to hear it.
    Stable,
}

/// How the coordinator answers a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may be stored.
    Accepted,
    /// An older or newer generation than the current one.
    OtherGeneration,
    /// No such member.
    UnknownMember,
}

#[derive(Debug)]
struct Joined {
    client: u64,
    owned: BTreeSet<Partition>,
    waits: bool,
}

/// The coordinator.
#[derive(Debug)]
pub struct Group {
    /// Counts completed rebalances.
    pub generation: u32,
    /// Where the group stands.
    pub phase: Phase,
    members: BTreeMap<MemberName, Joined>,
    stored: Vec<Option<(u64, Text)>>,
    rounds: u64,
    next_name: MemberName,
}

/// What one member is told at the end of a rebalance.
#[derive(Debug)]
pub struct Share {
    /// The member's client.
    pub client: u64,
    /// Its name.
    pub name: MemberName,
    /// All that it owns from now on.
    pub partitions: BTreeSet<Partition>,
}

impl Group {
    /// An empty group.
    #[must_use]
    pub fn new(partitions: usize) -> Self {
        Self {
            generation: 0,
            phase: Phase::Empty,
            members: BTreeMap::new(),
            stored: vec![None; partitions],
            rounds: 0,
            next_name: 1,
        }
    }

    /// A client joins, for the first time or again; gives the name it has from now on, and whether a round begins.
    pub fn join(
        &mut self,
        client: u64,
        name: Option<MemberName>,
        owned: BTreeSet<Partition>,
    ) -> (MemberName, bool) {
        let name = name.unwrap_or_else(|| {
            self.next_name += 1;
            self.next_name
        });
        self.members.insert(name, Joined { client, owned, waits: true });
        (name, self.prepare())
    }

    /// A member is gone; gives its client, and whether a round begins.
    pub fn remove(&mut self, name: MemberName) -> Option<(u64, bool)> {
        let client = self.members.remove(&name)?.client;
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            return Some((client, false));
        }
        Some((client, self.prepare()))
    }

    /// Begins a round unless one is under way.
    pub fn prepare(&mut self) -> bool {
        if matches!(self.phase, Phase::Preparing(_)) || self.members.is_empty() {
            return false;
        }
        self.rounds += 1;
        self.phase = Phase::Preparing(self.rounds);
        true
    }

    /// Whether that member belongs to the group.
    #[must_use]
    pub fn has(&self, name: MemberName) -> bool {
        self.members.contains_key(&name)
    }

    /// Whether that member has joined the round that is under way.
    #[must_use]
    pub fn waits(&self, name: Option<MemberName>) -> bool {
        name.and_then(|name| self.members.get(&name)).is_some_and(|joined| joined.waits)
    }

    /// The clients of all members.
    #[must_use]
    pub fn clients(&self) -> Vec<u64> {
        self.members.values().map(|joined| joined.client).collect()
    }

    /// The names of all members.
    #[must_use]
    pub fn names(&self) -> Vec<MemberName> {
        self.members.keys().copied().collect()
    }

    /// Whether the round can end: everybody has joined again.
    #[must_use]
    pub fn is_gathered(&self) -> bool {
        matches!(self.phase, Phase::Preparing(_)) && self.members.values().all(|joined| joined.waits)
    }

    /// Who has not joined the round of that number again.
    #[must_use]
    pub fn missing(&self, round: u64) -> Vec<MemberName> {
        let missing = self.members.iter().filter(|(_, joined)| !joined.waits);
        let names = missing.map(|(name, _)| *name);
        if self.phase == Phase::Preparing(round) { names.collect() } else { Vec::new() }
    }

    /// Ends the round: shares are dealt. What a member has to give back goes to nobody before it has.
    pub fn complete(&mut self, chance: &mut Chance) -> Vec<Share> {
        self.generation += 1;
        self.phase = Phase::Stable;
        let mut shares: Vec<Share> = Vec::with_capacity(self.members.len());
        for (name, joined) in &mut self.members {
            joined.waits = false;
            shares.push(Share { client: joined.client, name: *name, partitions: joined.owned.clone() });
        }
        let owned: BTreeSet<Partition> = shares.iter().flat_map(|share| &share.partitions).copied().collect();
        let most = self.stored.len().div_ceil(shares.len());
        for share in &mut shares {
            while share.partitions.len() > most {
                let at = chance.place(share.partitions.len());
                let partition = *share.partitions.iter().nth(at).expect("a place inside");
                share.partitions.remove(&partition);
            }
        }
        for partition in (0..).map(Partition).take(self.stored.len()) {
            if !owned.contains(&partition) {
                let fewest = shares.iter().map(|share| share.partitions.len()).min().unwrap_or(0);
                let poorest: Vec<usize> =
                    (0..shares.len()).filter(|at| shares[*at].partitions.len() == fewest).collect();
                let at = poorest[chance.place(poorest.len())];
                shares[at].partitions.insert(partition);
            }
        }
        shares
    }

    /// Whether a commit stamped like this is stored.
    #[must_use]
    pub fn judge(&self, name: Option<MemberName>, generation: u32) -> Judgement {
        match name {
            Some(name) if self.has(name) && generation == self.generation => Judgement::Accepted,
            Some(name) if self.has(name) => Judgement::OtherGeneration,
            _ => Judgement::UnknownMember,
        }
    }

    /// What is stored for a partition; without a commit, `start`.
    #[must_use]
    pub fn stored(&self, partition: Partition, start: u64) -> Stored {
        match &self.stored[partition.0 as usize] {
            None => Stored { offset: Offset(start), metadata: None },
            Some((offset, Text::Foreign | Text::Bare)) => Stored { offset: Offset(*offset), metadata: None },
            Some((offset, Text::Ours(metadata))) => Stored {
                offset: Offset(*offset),
                metadata: Some(metadata.clone()).filter(|m| m.belongs_to(partition, Offset(*offset))),
            },
        }
    }

    /// What stands behind a start that nobody wrote down.
    #[must_use]
    pub fn committed(&self, partition: Partition) -> Committed {
        match (self.entry(partition), self.stored(partition, 0).metadata) {
            (None, _) => Committed::Never,
            (Some((_, Text::Bare)), _) => Committed::Bare,
            (Some(_), None) => Committed::Foreign,
            (Some(_), Some(_)) => Committed::Ours,
        }
    }

    /// What is stored for a partition, as it is.
    #[must_use]
    pub fn entry(&self, partition: Partition) -> &Option<(u64, Text)> {
        &self.stored[partition.0 as usize]
    }

    /// The committed offset.
    #[must_use]
    pub fn offset(&self, partition: Partition) -> Option<u64> {
        self.stored[partition.0 as usize].as_ref().map(|(offset, _)| *offset)
    }

    /// Writes one partition's entry; gives what was there before.
    pub fn store(&mut self, partition: Partition, entry: Option<(u64, Text)>) -> Option<(u64, Text)> {
        std::mem::replace(&mut self.stored[partition.0 as usize], entry)
    }
}
