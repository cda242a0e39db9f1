//! One replay of one stream: carries the core's orders out and brings the facts back; decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pumphouse_clickhouse::client::Client;
use pumphouse_core::claim::Claim;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::pump::{Input, TableId};
use pumphouse_core::replay::{Answer, Entry, Fact, Log, Order, Policy, Replay, SAFE_AGE_MAX};
use serde::Serialize;

use super::filter::Filter;
use super::judged::{Held, Planned};
use super::letters;
use super::lineage::Lineage;
use super::log::{How, Outcome, ReplayLog};
use super::plan::Planner;
use super::trial::{Trial, beside};
use super::trouble::{asked, stopped};
use crate::config::settings::{Settings, Stream};
use crate::config::shape_hash;
use crate::drive::clock::Clock;
use crate::drive::ready;
use crate::fault::Fault;
use crate::sink::insert::{self, Sink};
use crate::sink::payload::Payload;
use crate::sink::superseded;
use crate::sink::target::Target;

/// Times that an entry may end without all of its rows before a replay gives up for now.
const MISSED_MAX: u32 = 3;

/// What a replay stands on: a stream whose tables were looked at.
pub struct Ground {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// The connection.
    pub client: Client,
    /// The stream, with its dead letters kept in their table.
    pub stream: Stream,
    /// Its tables in order, then the dead letters.
    pub targets: Vec<Target>,
    /// For how long tokens are relied on.
    pub safe_age: Duration,
    /// Letters of one entry; at most [`LETTERS_MAX`](super::LETTERS_MAX).
    pub letters_max: usize,
}

/// Letters that stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remaining {
    /// How many.
    pub letters: u64,
    /// The reason of the first of them.
    pub reason: String,
}

/// What came of a replay; of one that only looks, what would come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The stream.
    pub stream: String,
    /// Letters looked at.
    pub seen: u64,
    /// Letters that became rows.
    pub replayed: u64,
    /// Letters whose rows were there already.
    pub found: u64,
    /// Letters that stand for no row now.
    pub filtered: u64,
    /// Letters whose entry ended without their rows; they are open again.
    pub missed: u64,
    /// Letters made anew, for what is still bad of those that became rows in part.
    pub anew: u64,
    /// Letters that stay, by code.
    pub remaining: BTreeMap<String, Remaining>,
    /// Entries of the log that were settled.
    pub entries: u64,
    /// Of these, entries that another process had begun.
    pub finished: u64,
}

/// What the log's open entry holds, and its rows once they are made.
#[derive(Default)]
struct InHand {
    held: Option<Held>,
    payload: Option<Arc<Payload>>,
}

/// An entry and what became of its letters.
struct Settling {
    entry: Entry,
    replayed: u64,
    missed: u64,
    anew: u64,
}

struct Session<'a> {
    ground: &'a Ground,
    clock: Clock,
    sink: Sink,
    planner: Planner<'a>,
    planned: Planned,
    /// The entry that this process claimed last.
    own: Option<Entry>,
    in_hand: InHand,
    /// An entry whose settling was sent.
    settling: Option<Settling>,
    missed_rounds: u32,
    progress: &'a mut dyn FnMut(&Report),
}

/// Replays the letters that the filter means.
///
/// # Errors
/// Where ClickHouse can't be asked any more, refuses, or a person has to decide.
pub async fn replay(
    ground: &Ground,
    filter: &Filter,
    progress: &mut dyn FnMut(&Report),
) -> Result<Report, Fault> {
    let clock = asked(|| Clock::set_by(&ground.client)).await?;
    let planner = Planner::new(ground, filter.clone()).await?;
    let sink = Sink {
        client: ground.client.clone(),
        targets: ground.targets.clone(),
        letter_topic: None,
        timeout: ground.settings.clickhouse.insert_timeout,
        settings: ground.settings.clickhouse.settings.clone(),
        budgets: None,
        server: 0.into(),
    };
    let session = Session {
        ground,
        clock,
        sink,
        planner,
        planned: Planned::default(),
        own: None,
        in_hand: InHand::default(),
        settling: None,
        missed_rounds: 0,
        progress,
    };
    session.run().await
}

/// Says what a replay would do, and changes nothing. An entry that is under way is left alone.
///
/// # Errors
/// Where ClickHouse can't be asked.
pub async fn rehearse(
    ground: &Ground,
    filter: &Filter,
    progress: &mut dyn FnMut(&Report),
) -> Result<Report, Fault> {
    let mut planner = Planner::new(ground, filter.clone()).await?;
    while let Some(planned) = planner.next(None).await? {
        planner.report.replayed += planned.letters.len() as u64;
        planner.pass();
        progress(&planner.report);
    }
    Ok(planner.report)
}

impl Session<'_> {
    async fn run(mut self) -> Result<Report, Fault> {
        let ground = self.ground;
        let policy = Policy {
            shape: shape_hash(&ground.stream),
            safe_age: ground.safe_age.min(SAFE_AGE_MAX),
            insert_timeout: ground.settings.clickhouse.insert_timeout,
        };
        let (mut replay, mut order) = Replay::begin(policy, &self.clock.moment());
        loop {
            let fact = match order {
                Order::Finish => return Ok(self.planner.report),
                Order::Stop(reason) => return Err(stopped(&ground.stream, &reason)),
                order => self.carry_out(order).await?,
            };
            // Fresh at each step: how old an entry is decides what may be done with it.
            asked(|| self.clock.sample(&ground.client)).await?;
            if self.missed_rounds > MISSED_MAX {
                return Ok(self.planner.report);
            }
            order = replay.step(&self.clock.moment(), fact);
        }
    }

    async fn carry_out(&mut self, order: Order) -> Result<Fact, Fault> {
        Ok(match order {
            Order::ReadLog => self.read_log().await?,
            Order::Plan => self.plan().await?,
            Order::Claim { entry, deadline } => self.claim(entry, deadline).await,
            Order::Build(entry) => self.build(&entry).await?,
            Order::Insert { entry, table, deadline, attempt } => {
                self.insert(&entry, (table, attempt), deadline).await
            }
            Order::LookForQueries(entry) => {
                let (client, id) = (&self.ground.client, entry.id.to_string());
                Fact::Running(asked(|| superseded::runs(client, &id)).await?)
            }
            Order::AskTables(_) => Fact::Told(self.ask_tables().await?),
            Order::Settle(entry, landed) => self.settle(&entry, landed).await,
            Order::Wait(span) => {
                tokio::time::sleep(span).await;
                Fact::Waited
            }
            Order::Finish | Order::Stop(_) => unreachable!("they end the replay"),
        })
    }

    fn log(&self) -> ReplayLog<'_> {
        let Ground { settings, client, stream, .. } = self.ground;
        ReplayLog {
            client,
            stream: &stream.name,
            revision: &settings.revision,
            insert_timeout: settings.clickhouse.insert_timeout,
        }
    }

    async fn read_log(&mut self) -> Result<Fact, Fault> {
        let (end, held) = {
            let log = self.log();
            asked(|| log.end()).await?
        };
        self.in_hand = InHand { held, payload: None };
        if let (Log::Settled { last, .. }, Some(settling)) = (&end, self.settling.take())
            && *last >= settling.entry.number
        {
            self.settled(&settling);
        }
        Ok(Fact::Log(end))
    }

    async fn plan(&mut self) -> Result<Fact, Fault> {
        let now = self.clock.server();
        let Some(planned) = self.planner.next(Some(now)).await? else { return Ok(Fact::Planned(None)) };
        self.planned = planned;
        Ok(Fact::Planned(self.planned.newest().map(ServerTime)))
    }

    async fn claim(&mut self, entry: Entry, deadline: ServerTime) -> Fact {
        let (letters, topic) = (self.planned.claimed(), &self.ground.stream.topic);
        let answer = self.log().claim((&entry, topic), &letters, deadline).await;
        self.own = Some(entry);
        Fact::Claimed(answer)
    }

    async fn build(&mut self, entry: &Entry) -> Result<Fact, Fault> {
        let held = self.in_hand.held.as_ref().expect("an entry is read before it is built");
        let Ground { settings, client, stream, .. } = self.ground;
        let letters = if self.own.as_ref() == Some(entry) {
            self.planned.letters.iter().map(|(letter, _)| letter.clone()).collect()
        } else {
            let names: Vec<_> = held.letters.iter().map(|letter| (&letter.name, letter.time_ms)).collect();
            asked(|| letters::whole(client, (&stream.name, &held.topic), &names)).await?
        };
        let trial = Trial { stream, revision: &held.revision };
        let built = beside(letters, &held.letters).and_then(|letters| trial.build(&letters));
        let Some(mut batch) = built else { return Ok(Fact::Built(None)) };
        let sealed = batch.seal(entry.claimed_at.0);
        let compression = ready::compression(settings.clickhouse.compression);
        let payload = Arc::new(Payload::new(sealed, Vec::new(), compression, &stream.dead_letters));
        let mut tables = Vec::new();
        for number in 0..self.ground.targets.len() {
            if matches!(payload.body(number).await, Ok(Some(_))) {
                tables.extend(u8::try_from(number).map(TableId));
            }
        }
        self.in_hand.payload = Some(payload);
        Ok(Fact::Built(Some(tables)))
    }

    async fn insert(&self, entry: &Entry, (table, attempt): (TableId, u32), deadline: ServerTime) -> Fact {
        let payload = self.in_hand.payload.as_ref().expect("an entry is built before it is inserted");
        let claim = Claim {
            id: entry.id,
            claimed_at: entry.claimed_at,
            shape: entry.shape,
            revision: self.ground.settings.revision.clone(),
            ranges: BTreeMap::new(),
            sent_until: entry.until,
            supersedes: Vec::new(),
            excluded: BTreeSet::new(),
        };
        let order = insert::Order { claim, table, deadline, attempt };
        Fact::Inserted(match self.sink.insert(&order, payload).await {
            Input::Inserted(..) => Answer::Done,
            Input::InsertRefused(_, _, refusal) => Answer::Refused(refusal),
            _ => Answer::Unknown,
        })
    }

    async fn ask_tables(&self) -> Result<Option<Vec<bool>>, Fault> {
        let held = self.in_hand.held.as_ref().expect("an entry is read before the tables are asked");
        let Ground { client, stream, targets, .. } = self.ground;
        let lineage = asked(|| Lineage::of(client, stream, targets)).await?;
        asked(|| lineage.landed(held)).await
    }

    async fn settle(&mut self, entry: &Entry, landed: Option<Vec<bool>>) -> Fact {
        let held = self.in_hand.held.take().expect("an entry is read before it is settled");
        let landed = landed.unwrap_or_else(|| vec![true; held.letters.len()]);
        let (mut outcomes, mut settling) =
            (Vec::new(), Settling { entry: entry.clone(), replayed: 0, missed: 0, anew: 0 });
        for (letter, landed) in held.letters.iter().zip(landed) {
            let how = if landed { How::Replayed } else { How::Missed };
            outcomes.push(Outcome { name: &letter.name, time_ms: letter.time_ms, how });
            if landed {
                settling.replayed += 1;
                settling.anew += letter.places.iter().filter(|place| !place.is_row).count() as u64;
            } else {
                settling.missed += 1;
            }
        }
        let now = self.clock.server();
        let deadline = now.after(self.ground.settings.clickhouse.insert_timeout);
        let answer = self.log().settle(&held, &outcomes, deadline, now).await;
        self.settling = Some(settling);
        Fact::Settled(answer)
    }

    /// Counts an entry, and goes past its letters where they are ours and all are rows.
    fn settled(&mut self, settling: &Settling) {
        let is_own = self.own.as_ref() == Some(&settling.entry);
        if is_own && settling.missed == 0 {
            self.planner.pass();
        }
        if settling.missed > 0 {
            self.missed_rounds += 1;
        }
        let report = &mut self.planner.report;
        report.entries += 1;
        report.finished += u64::from(!is_own);
        report.replayed += settling.replayed;
        report.missed += settling.missed;
        report.anew += settling.anew;
        (self.progress)(&self.planner.report);
    }
}
