//! A member's side of the group: one librdkafka client with what it owns and what it waits for.
//!
//! Only the state; the world carries its messages.

use std::collections::{BTreeMap, BTreeSet};

use pumphouse_core::offset::Partition;

use crate::group::MemberName;

/// One membership.
#[derive(Debug)]
pub struct Client {
    /// Tells one client from the next; a process that joins again has a new one.
    pub number: u64,
    /// Its name in the group, once it has one.
    pub name: Option<MemberName>,
    /// The generation that commits are stamped with.
    pub generation: u32,
    /// What it owns.
    pub owned: BTreeSet<Partition>,
    /// Where the next record is taken, by partition.
    pub positions: BTreeMap<Partition, u64>,
    /// What the lane has yet to answer.
    pub asks: Asks,
    /// What is to be assigned once the answer is there.
    pub then_assign: Option<BTreeSet<Partition>>,
    /// Whether it has to join again as soon as nothing is asked.
    pub rejoins: bool,
    /// Whether a join is on its way.
    pub joining: bool,
}

/// What a rebalance asks of the lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nothing.
    Nothing,
    /// To take these.
    Take(BTreeSet<Partition>),
    /// To give these back.
    Give(BTreeSet<Partition>),
}

impl Client {
    /// A client that is about to join.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self {
            number,
            name: None,
            generation: 0,
            owned: BTreeSet::new(),
            positions: BTreeMap::new(),
            asks: Asks::Nothing,
            then_assign: None,
            rejoins: false,
            joining: false,
        }
    }

    /// Whether it may join again now.
    #[must_use]
    pub fn may_join(&self) -> bool {
        self.rejoins && !self.joining && self.asks == Asks::Nothing
    }
}
