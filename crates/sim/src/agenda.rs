//! What is going to happen, by time; what was put down earlier comes first among equals.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use pumphouse_core::claim::Claim;
use pumphouse_core::gap::Gaps;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::{Offset, Partition};
use pumphouse_core::pump::{CommitId, OrderId, TableId};
use pumphouse_core::valve::Pressure;

use crate::clickhouse::Insert;
use crate::group::{Entries, MemberName};
use crate::member::Note;

/// One life of one process: answers to an earlier one are nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// The process.
    pub member: usize,
    /// Counts its starts.
    pub life: u32,
}

/// Where the answer to an insert goes.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// The process.
    pub who: Who,
    /// Its membership.
    pub epoch: u64,
    /// Which of its inserts.
    pub key: u64,
}

/// An offset commit on its way, stamped when it was sent.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Who waits for the answer.
    pub who: Who,
    /// The client that sent it.
    pub client: u64,
    /// The sender's name in the group.
    pub name: Option<MemberName>,
    /// The generation it believed in.
    pub generation: u32,
    /// Which of its commits.
    pub id: CommitId,
    /// What to store.
    pub entries: Entries,
}

/// Something that is going to happen.
#[derive(Debug)]
pub enum Event {
    /// A process starts.
    Start(usize),
    /// A stopped process goes on.
    Wake(Who),
    /// Something reaches a process.
    Tell(Who, Note),
    /// A process is to stop in order.
    Drain(Who),
    /// What servers say of the parts of its table reaches a process.
    Pressure(Who, Vec<Pressure>),
    /// A join reaches the coordinator: who, its client, its name if it has one, what it owns.
    Join(usize, u64, Option<MemberName>, BTreeSet<Partition>),
    /// A member leaves, or was not heard of for too long.
    Remove(MemberName, &'static str),
    /// A stopped process was not heard of for too long.
    Expire(Who, MemberName),
    /// The coordinator waits no longer for members to join again.
    RoundTimeout(u64),
    /// An offset commit reaches the coordinator.
    Commit(Commit),
    /// A question for offsets of an assignment reaches the coordinator.
    AskStored(Who, u64, BTreeSet<Partition>),
    /// A question for offsets of a claim reaches the coordinator.
    ReadStored(Who, u64, Claim),
    /// A claim's ranges are read again.
    Rebuild(Who, u64, Claim),
    /// The ends of logs are asked for.
    AskEnds(Who, u64, BTreeSet<Partition>),
    /// The tables are asked what stands behind starts that nobody wrote down.
    AskHighest(Who, u64, OrderId, BTreeSet<Partition>),
    /// Kafka is asked the same, with what the tables said.
    AskOrigins(Who, u64, OrderId, BTreeMap<Partition, Option<Offset>>),
    /// A report of gaps reaches the server.
    ReportGaps(Who, u64, OrderId, Gaps),
    /// The tables are asked whether rows of a claim are there.
    Probe(Who, u64, Claim),
    /// Rows of a claim are tried, to find those that a table refuses.
    Isolate(Who, u64, Claim, TableId),
    /// The server is asked whether a claim can be superseded; nobody inserts it after this, by its clock.
    Survey(Who, u64, Claim, ServerTime),
    /// A table is asked whether it still knows the token of an insert that is to go again.
    AskWindow(Sender, Insert),
    /// An insert reaches the server.
    Insert(Sender, Insert),
    /// The next part of a running insert lands.
    Land(u64),
    /// A killed server is back.
    ServerUp,
    /// Records are written.
    Produce,
    /// Faults that need no occasion.
    Weather,
    /// Something is done to the group while nobody is in it.
    ByHand(crate::fault::Fault),
}

/// Events by time.
#[derive(Debug, Default)]
pub struct Agenda {
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    put: u64,
}

impl Agenda {
    /// Puts an event down.
    pub fn put(&mut self, at: u64, event: Event) {
        self.put += 1;
        let place = if let Some(place) = self.free.pop() {
            self.events[place] = Some(event);
            place
        } else {
            self.events.push(Some(event));
            self.events.len() - 1
        };
        self.order.push(Reverse((at, self.put, place)));
    }

    /// The next event and its time, unless it comes after `until`: then it stays where it is, before its equals.
    pub fn take(&mut self, until: u64) -> Option<(u64, Event)> {
        let Reverse((at, ..)) = self.order.peek()?;
        if *at > until {
            return None;
        }
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        let event = self.events[place].take().expect("what is in order is there");
        Some((at, event))
    }
}
