//! One process with one lane: the real pump and what `drive` keeps around it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use pumphouse_core::batch::Filled;
use pumphouse_core::claim::{BatchId, Claim};
use pumphouse_core::lane::Stored;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::offset::{Offset, Partition, Range};
use pumphouse_core::pump::{CommitFailure, CommitId, Effect, Input, Pump, TableId};

use crate::agenda::{Commit, Sender, Who};
use crate::clickhouse::{Insert, Payload};
use crate::client::Client;
use crate::group::MemberName;
use crate::setup::Setup;

/// Something that reaches a process.
#[derive(Debug)]
pub enum Note {
    /// The lane's loop goes round.
    Turn,
    /// The client has its share: client, name, generation, all partitions.
    Synced(u64, MemberName, u32, BTreeSet<Partition>),
    /// The heartbeat of this client says that the group shares out anew, in this round.
    Learns(u64, u64),
    /// The heartbeat says that the group does not know this client.
    NotAMember(u64),
    /// The client's thread sends a commit.
    SendCommit(Box<Commit>),
    /// A task sends an insert.
    SendInsert(Sender, Insert),
    /// The answer to a commit: client, which, and how it failed.
    Committed(u64, CommitId, Option<CommitFailure>),
    /// What Kafka holds for an assignment, asked under this epoch.
    Assigned(u64, BTreeMap<Partition, Stored>),
    /// A fact asked for under this epoch.
    Fact(u64, Input),
    /// A claimed batch, built again.
    Rebuilt(u64, Box<Claim>, Rc<Payload>, Filled, BTreeMap<Partition, Range>),
    /// The ends of logs.
    Ends(u64, BTreeMap<Partition, (Offset, Offset)>),
    /// The answer to an insert.
    Inserted(Sender, Input),
    /// No answer to an insert: it took too long, or the connection broke. Which one, under this epoch.
    Broken(u64, u64),
}

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Up,
    /// It is stopped, and will go on where it was.
    Asleep,
    /// It is gone, and will start again.
    Down,
    /// It halted for a person.
    Halted,
}

/// One process.
#[derive(Debug)]
pub struct Member {
    /// Its name in the trace.
    pub name: &'static str,
    /// Counts its starts.
    pub life: u32,
    /// What it is doing.
    pub state: State,
    /// When it started, by the world's clock.
    pub started_at: u64,
    /// The server's milliseconds at its start, as last sampled.
    pub server_zero: i64,
    /// When that was.
    pub sampled_at: u64,
    /// The pump that is shipped.
    pub pump: Pump,
    /// Counts its memberships.
    pub epoch: u64,
    /// Its client.
    pub client: Client,
    /// What the lane holds as its own.
    pub owned: BTreeSet<Partition>,
    /// Offsets of decoded records that are not sealed yet, with a bit for every target.
    pub open: BTreeMap<Partition, Vec<(u64, u8)>>,
    /// Sealed batches.
    pub payloads: BTreeMap<BatchId, Rc<Payload>>,
    /// Those of them that may have been sent without an answer, by whomever.
    pub in_doubt: BTreeSet<BatchId>,
    /// The commit that waits for its answer, and until when.
    pub commit: Option<(CommitId, u64)>,
    /// Inserts that wait for their answer.
    pub outstanding: BTreeMap<u64, (BatchId, TableId)>,
    /// The last insert's number.
    pub last_key: u64,
    /// What came while it was stopped.
    pub inbox: VecDeque<Note>,
    /// Orders yet to be carried out.
    pub todo: VecDeque<Effect>,
    /// Whether orders are being carried out.
    pub busy: bool,
    /// When the lane's loop goes round next.
    pub turn_at: u64,
    /// When it next looks for offsets without records.
    pub standing_at: u64,
    /// Partitions whose queue held a failure.
    pub distrusted: BTreeSet<Partition>,
    /// Whether that was just found.
    pub fetch_failed: bool,
    /// The shape of its rows.
    pub shape: u32,
}

const NAMES: [&str; 4] = ["member 0", "member 1", "member 2", "member 3"];

impl Member {
    /// A process that has yet to start.
    #[must_use]
    pub fn new(index: usize, setup: &Setup) -> Self {
        Self {
            name: NAMES[index],
            life: 0,
            state: State::Down,
            started_at: 0,
            server_zero: 0,
            sampled_at: 0,
            pump: Pump::new(setup.policy(1)),
            epoch: 0,
            client: Client::new(0),
            owned: BTreeSet::new(),
            open: BTreeMap::new(),
            payloads: BTreeMap::new(),
            in_doubt: BTreeSet::new(),
            commit: None,
            outstanding: BTreeMap::new(),
            last_key: 0,
            inbox: VecDeque::new(),
            todo: VecDeque::new(),
            busy: false,
            turn_at: u64::MAX,
            standing_at: 0,
            distrusted: BTreeSet::new(),
            fetch_failed: false,
            shape: 1,
        }
    }

    /// Begins another life, knowing nothing of the one before.
    pub fn start(&mut self, now: u64, server: ServerTime, client: u64, setup: &Setup) {
        let (life, shape) = (self.life + 1, self.shape);
        let name = self.name;
        *self = Self { name, life, shape, ..Self::new(0, setup) };
        self.pump = Pump::new(setup.policy(shape));
        self.state = State::Up;
        self.started_at = now;
        self.sample(now, server);
        self.epoch = 1;
        self.client = Client::new(client);
        self.client.rejoins = true;
    }

    /// Ends this life at once.
    pub fn end(&mut self, state: State) {
        self.state = state;
        self.client = Client::new(0);
        self.inbox.clear();
        self.todo.clear();
        self.turn_at = u64::MAX;
    }

    /// Sets its idea of the server's time.
    pub fn sample(&mut self, now: u64, server: ServerTime) {
        self.server_zero = server.0 - i64::try_from(now - self.started_at).expect("a history is short");
        self.sampled_at = now;
    }

    /// Its circumstances now.
    #[must_use]
    pub fn moment(&self, now: u64, entropy: u128) -> Moment {
        let own = now - self.started_at;
        let server = ServerTime(self.server_zero + i64::try_from(own).expect("a history is short"));
        Moment { now: Time(own), server, entropy }
    }

    /// A time on its own clock as the world's.
    #[must_use]
    pub fn world_time(&self, at: Time) -> u64 {
        self.started_at.saturating_add(at.0)
    }

    /// This life of it.
    #[must_use]
    pub fn who(&self, member: usize) -> Who {
        Who { member, life: self.life }
    }

    /// From here on, answers to earlier questions do not count.
    pub fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.commit = None;
        self.owned.clear();
        self.distrusted.clear();
        self.fetch_failed = false;
        self.outstanding.clear();
    }

    /// Takes the decoded rows as the payload of this claim.
    pub fn seal(&mut self, claim: &Claim) -> Rc<Payload> {
        let open = std::mem::take(&mut self.open);
        let records = open
            .into_iter()
            .flat_map(|(p, rows)| rows.into_iter().map(move |(o, targets)| (p.0, o, targets)));
        let payload = Payload { id: claim.id, claimed_at: claim.claimed_at, records: records.collect() };
        let payload = Rc::new(payload);
        self.payloads.insert(claim.id, Rc::clone(&payload));
        payload
    }
}
