//! How dead letters become rows after a fix: what follows each fact, and what becomes of each letter. Knows no
//! ClickHouse; whoever carries the orders out keeps the letters and their rows.
//!
//! Entries of a log are claimed one after the other. Entry n+1 is claimed only when n is settled, so no letter is
//! in two entries that are under way, and whoever comes next finishes the last one first.

use std::collections::VecDeque;
use std::time::Duration;

use crate::claim::BatchId;
use crate::moment::{Moment, ServerTime};
use crate::pump::TableId;
use crate::verdict::{self, Refusal, Verdict};

/// Longest time for which an entry's tokens are relied on.
pub const SAFE_AGE_MAX: Duration = Duration::from_mins(1);
/// ClickHouse compares deadlines by the whole second; one more for the answer on its way.
const EXPIRY_MARGIN: Duration = Duration::from_secs(2);
/// An insert that has less time than this is not sent.
const INSERT_TIME_MIN: Duration = Duration::from_secs(1);
/// Pause before ClickHouse is asked again whether queries of an entry run.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// An entry is claimed at most so long after the log was read: until then ClickHouse surely remembers who was first.
const CLAIM_AGE_MAX: Duration = Duration::from_mins(10);
/// Times that ClickHouse says it took a write of the log which is not there.
const UNSEEN_MAX: u32 = 3;

/// What an entry of the log says of itself. Its letters stay with whoever read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its place in the stream's log, from 1.
    pub number: u64,
    /// Whose it is: 128 random bits, in every token of its inserts.
    pub id: BatchId,
    /// When it was claimed, by ClickHouse's clock: `_ingested_at` of its rows.
    pub claimed_at: ServerTime,
    /// No insert of it lands after this; a whole second.
    pub until: ServerTime,
    /// Hash of all that shapes a row.
    pub shape: u32,
}

/// The end of a stream's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Log {
    /// All entries are settled.
    Settled {
        /// The number of the last one; 0 where there is none.
        last: u64,
        /// When it was claimed.
        claimed_at: ServerTime,
    },
    /// The last entry is under way, or was left by somebody.
    Open(Entry),
}

/// What is the same for all entries of one replay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Hash of all that shapes a row, under this configuration.
    pub shape: u32,
    /// How long tokens are relied on; at most [`SAFE_AGE_MAX`].
    pub safe_age: Duration,
    /// Limit for one insert.
    pub insert_timeout: Duration,
}

/// What is known after a write. There is no fourth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is there, by this write or an earlier one with the same token.
    Done,
    /// It may be there.
    Unknown,
    /// Nothing of it was written, proven.
    Refused(Refusal),
}

/// A fact: the answer to the last order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The end of the log.
    Log(Log),
    /// Letters that would become rows were found, the newest of them from this time; `None` where there are none.
    Planned(Option<ServerTime>),
    /// The entry was written, or not.
    Claimed(Answer),
    /// The entry's rows are at hand, for these tables; `None` where they can't be built again.
    Built(Option<Vec<TableId>>),
    /// The rows of one table were sent.
    Inserted(Answer),
    /// Whether a query of the entry runs.
    Running(bool),
    /// Of each letter, whether its rows are there; `None` where the tables can't tell.
    Told(Option<Vec<bool>>),
    /// The outcome was written, or not.
    Settled(Answer),
    /// Time passed.
    Waited,
}

/// An order; each is answered by one fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Read the end of the log.
    ReadLog,
    /// Find letters that would become rows.
    Plan,
    /// Write this entry with the planned letters: one insert, whose token is the log's name and the number.
    Claim {
        /// The entry.
        entry: Entry,
        /// When ClickHouse has to refuse it.
        deadline: ServerTime,
    },
    /// Make the entry's rows, as they were made first.
    Build(Entry),
    /// Insert the entry's rows of one table.
    Insert {
        /// The entry, whose identity makes the token.
        entry: Entry,
        /// The table.
        table: TableId,
        /// When ClickHouse has to refuse it.
        deadline: ServerTime,
        /// Counted from 1.
        attempt: u32,
    },
    /// Ask ClickHouse whether a query of the entry still runs.
    LookForQueries(Entry),
    /// Ask the tables which of the entry's rows are there.
    AskTables(Entry),
    /// Write what became of the entry's letters: all are rows where there is no list.
    Settle(Entry, Option<Vec<bool>>),
    /// Wait so long.
    Wait(Duration),
    /// Nothing is left to do.
    Finish,
    /// Stop for a person.
    Stop(Stop),
}

/// Why a replay stops for a person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The tokens no longer decide about this entry, and the tables can't tell.
    Undecidable(Entry),
    /// ClickHouse refuses a write and would refuse it again.
    Refused(Refusal),
    /// ClickHouse says it took this entry, or its settling, and it is not there.
    Unseen(u64),
}

/// What one row of a letter's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    /// It would be a row.
    Fit,
    /// It is there already.
    Found,
    /// It can't become a row.
    Bad,
}

/// What a letter is, under this configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Judgement {
    /// It stands for no row: no table takes it.
    Filtered,
    /// All of its rows are there.
    Found,
    /// It is to be claimed: some of it becomes a row now; what is bad of it becomes a letter of its own.
    Claim,
    /// It stays as it is.
    Bad,
}

/// Judges a letter by its rows.
///
/// | rows | judgement |
/// |---|---|
/// | none | filtered |
/// | some fit | claim |
/// | all found | found |
/// | all bad | bad |
/// | found and bad | claim: what is bad becomes a letter of its own |
#[must_use]
pub fn judge(rows: impl IntoIterator<Item = Row>) -> Judgement {
    let (mut fit, mut found, mut bad) = (false, false, false);
    for row in rows {
        match row {
            Row::Fit => fit = true,
            Row::Found => found = true,
            Row::Bad => bad = true,
        }
    }
    match (fit, found, bad) {
        (false, false, false) => Judgement::Filtered,
        (true, _, _) => Judgement::Claim,
        (false, true, false) => Judgement::Found,
        (false, false, true) => Judgement::Bad,
        (false, true, true) => Judgement::Claim,
    }
}

/// The token of entry `number` of a stream's log: ClickHouse keeps the first entry that carries it.
#[must_use]
pub fn entry_token(stream: &str, number: u64) -> String {
    format!("ph1r:{stream}/{number}")
}

/// The token of what became of entry `number`.
#[must_use]
pub fn settled_token(stream: &str, number: u64) -> String {
    format!("ph1r:{stream}/{number}/settled")
}

/// One replay of one stream: facts in, orders out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replay {
    policy: Policy,
    state: State,
    /// When the last order was given.
    ordered_at: ServerTime,
    /// Writes of the state in hand that did not go well, for the pauses.
    tries: u32,
    /// What ClickHouse says it took last, until it is seen.
    written: Option<Written>,
    unseen: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    /// The log is asked for, or will be after a pause.
    Reading,
    Planning(End),
    Claiming {
        number: u64,
    },
    Building(Entry),
    Inserting(Entry, VecDeque<TableId>),
    /// The tokens no longer decide: wait until no insert can land, then ask the tables.
    Expiring(Entry),
    Settling(u64),
    Ended,
}

/// A write of the log, by the entry's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Written {
    Claim(u64),
    Settling(u64),
}

/// The end of the log, all settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct End {
    last: u64,
    claimed_at: ServerTime,
    /// When the log was asked, not when it answered.
    asked_at: ServerTime,
}

impl Replay {
    /// A replay, and its first order.
    #[must_use]
    pub fn begin(policy: Policy, moment: &Moment) -> (Self, Order) {
        assert!(policy.safe_age <= SAFE_AGE_MAX, "tokens are not relied on for so long");
        let (state, ordered_at) = (State::Reading, moment.server);
        (Self { policy, state, ordered_at, tries: 0, written: None, unseen: 0 }, Order::ReadLog)
    }

    /// What follows a fact.
    ///
    /// | state | fact | order |
    /// |---|---|---|
    /// | reading | the log | all settled: plan; open: finish the last entry |
    /// | planning | planned | letters: claim the next number; none: finish |
    /// | claiming | any answer | read the log: who stands there has won |
    /// | building | built, or not | insert the first table; ask the tables later |
    /// | inserting | an answer | done: the next table, settle after the last; else again, until it expires |
    /// | expiring | waited, running | ask the tables once nothing of it can land any more |
    /// | expiring | told | settle; stop where they can't tell |
    /// | settling | any answer | read the log |
    ///
    /// # Panics
    /// When the fact does not answer the last order.
    #[must_use]
    pub fn step(&mut self, moment: &Moment, fact: Fact) -> Order {
        let asked_at = std::mem::replace(&mut self.ordered_at, moment.server);
        match (std::mem::replace(&mut self.state, State::Ended), fact) {
            (State::Reading, Fact::Log(log)) => self.read(log, asked_at, moment),
            (State::Reading, Fact::Waited) => self.read_log(),
            (State::Planning(end), Fact::Planned(newest)) => self.planned(end, newest, moment),
            (State::Claiming { number }, Fact::Claimed(answer)) => self.claimed(number, answer, moment),
            (State::Building(entry), Fact::Built(Some(tables))) => {
                self.insert_next(entry, tables.into(), moment)
            }
            (State::Building(entry), Fact::Built(None)) => self.expire(entry, moment),
            (State::Inserting(entry, tables), Fact::Inserted(answer)) => {
                self.inserted((entry, tables), answer, moment)
            }
            (State::Inserting(entry, tables), Fact::Waited) => self.insert_next(entry, tables, moment),
            (State::Expiring(entry), Fact::Waited) => self.expire(entry, moment),
            (State::Expiring(entry), Fact::Running(true)) => {
                self.state = State::Expiring(entry);
                Order::Wait(LOOK_AGAIN_AFTER)
            }
            (State::Expiring(entry), Fact::Running(false)) => {
                self.state = State::Expiring(entry.clone());
                Order::AskTables(entry)
            }
            (State::Expiring(entry), Fact::Told(Some(landed))) => self.settle(entry, Some(landed)),
            (State::Expiring(entry), Fact::Told(None)) => Order::Stop(Stop::Undecidable(entry)),
            (State::Settling(number), Fact::Settled(answer)) => {
                self.written = (answer == Answer::Done).then_some(Written::Settling(number));
                self.reread(answer, moment)
            }
            (state, fact) => unreachable!("{fact:?} answers no order in {state:?}"),
        }
    }

    fn read_log(&mut self) -> Order {
        self.state = State::Reading;
        Order::ReadLog
    }

    fn read(&mut self, log: Log, asked_at: ServerTime, moment: &Moment) -> Order {
        let (last, is_open) = match &log {
            Log::Settled { last, .. } => (*last, false),
            Log::Open(entry) => (entry.number, true),
        };
        self.unseen = match self.written.take() {
            Some(Written::Claim(number)) if number > last => self.unseen + 1,
            Some(Written::Settling(number)) if number == last && is_open => self.unseen + 1,
            Some(_) => 0,
            None => self.unseen,
        };
        if self.unseen == UNSEEN_MAX {
            return Order::Stop(Stop::Unseen(if is_open { last } else { last + 1 }));
        }
        match log {
            Log::Settled { last, claimed_at } => {
                self.state = State::Planning(End { last, claimed_at, asked_at });
                Order::Plan
            }
            Log::Open(entry) if entry.shape == self.policy.shape && has_time(&entry, moment) => {
                self.tries = 0;
                self.state = State::Building(entry.clone());
                Order::Build(entry)
            }
            Log::Open(entry) => self.expire(entry, moment),
        }
    }

    /// An entry is later than every letter in it and than the entry before: its rows and letters are told by that.
    fn planned(&mut self, end: End, newest: Option<ServerTime>, moment: &Moment) -> Order {
        let Some(newest) = newest else { return Order::Finish };
        let last_moment = end.asked_at.after(CLAIM_AGE_MAX);
        if moment.server.after(INSERT_TIME_MIN) >= last_moment {
            return self.read_log();
        }
        let claimed_at = ServerTime(moment.server.0.max(end.claimed_at.0 + 1).max(newest.0 + 1));
        let until = ServerTime(moment.server.after(self.policy.safe_age).0.div_euclid(1000) * 1000);
        let (number, id, shape) = (end.last + 1, BatchId(moment.entropy.max(1)), self.policy.shape);
        self.state = State::Claiming { number };
        Order::Claim {
            entry: Entry { number, id, claimed_at, until, shape },
            deadline: until.min(last_moment),
        }
    }

    fn claimed(&mut self, number: u64, answer: Answer, moment: &Moment) -> Order {
        self.written = (answer == Answer::Done).then_some(Written::Claim(number));
        self.reread(answer, moment)
    }

    /// What follows a write of the log: reading it tells more than the answer.
    fn reread(&mut self, answer: Answer, moment: &Moment) -> Order {
        self.state = State::Reading;
        match self.pause(answer, moment) {
            Ok(None) => Order::ReadLog,
            Ok(Some(pause)) => Order::Wait(pause),
            Err(refusal) => {
                self.state = State::Ended;
                Order::Stop(Stop::Refused(refusal))
            }
        }
    }

    /// The pause that an answer asks for; none after a write that is done.
    fn pause(&mut self, answer: Answer, moment: &Moment) -> Result<Option<Duration>, Refusal> {
        match answer {
            Answer::Done => {
                self.tries = 0;
                Ok(None)
            }
            Answer::Unknown => {
                self.tries = self.tries.saturating_add(1);
                Ok(Some(verdict::pause_in_doubt(self.tries, moment.entropy)))
            }
            Answer::Refused(refusal) => {
                self.tries = self.tries.saturating_add(1);
                match verdict::on_refusal(refusal, self.tries, moment.entropy) {
                    Verdict::Retry(pause) => Ok(Some(pause)),
                    Verdict::Isolate | Verdict::Halt => Err(refusal),
                }
            }
        }
    }

    fn insert_next(&mut self, entry: Entry, tables: VecDeque<TableId>, moment: &Moment) -> Order {
        let Some(table) = tables.front().copied() else { return self.settle(entry, None) };
        if !has_time(&entry, moment) {
            return self.expire(entry, moment);
        }
        let deadline = entry.until.min(moment.server.after(self.policy.insert_timeout));
        self.state = State::Inserting(entry.clone(), tables);
        Order::Insert { entry, table, deadline, attempt: self.tries + 1 }
    }

    fn inserted(
        &mut self,
        (entry, mut tables): (Entry, VecDeque<TableId>),
        answer: Answer,
        moment: &Moment,
    ) -> Order {
        match self.pause(answer, moment) {
            Ok(None) => {
                tables.pop_front();
                self.insert_next(entry, tables, moment)
            }
            Ok(Some(pause)) => {
                self.state = State::Inserting(entry, tables);
                Order::Wait(pause)
            }
            Err(refusal) => Order::Stop(Stop::Refused(refusal)),
        }
    }

    fn expire(&mut self, entry: Entry, moment: &Moment) -> Order {
        let over = entry.until.after(EXPIRY_MARGIN);
        self.state = State::Expiring(entry.clone());
        match u64::try_from(over.0 - moment.server.0) {
            Ok(left) if left > 0 => Order::Wait(Duration::from_millis(left)),
            _ => Order::LookForQueries(entry),
        }
    }

    fn settle(&mut self, entry: Entry, landed: Option<Vec<bool>>) -> Order {
        self.tries = 0;
        self.state = State::Settling(entry.number);
        Order::Settle(entry, landed)
    }
}

fn has_time(entry: &Entry, moment: &Moment) -> bool {
    moment.server.after(INSERT_TIME_MIN) < entry.until
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
