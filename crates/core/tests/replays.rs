//! Random histories of several replays at once: crashes, lost answers, writes that land after their sender died,
//! other configurations. At the end every letter is a row in each of its tables exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::pump::TableId;
use pumphouse_core::replay::{Answer, Entry, Fact, Log, Order, Policy, Replay, SAFE_AGE_MAX};

const LETTERS: u8 = 7;
/// Letters of one entry.
const CHUNK: usize = 3;
const TABLES: u8 = 2;
/// For so long ClickHouse surely remembers the token of rows, in milliseconds, and that of an entry.
const WINDOWS: (i64, i64) = (120_000, 1_200_000);

/// Where a letter's row is, and by which claim.
type Place = (u8, u8);

/// A write on its way.
#[derive(Clone, Debug)]
enum Write {
    Claim(Entry, Vec<u8>),
    Rows(Entry, u8, Vec<u8>),
    Settle(u64, Vec<u8>),
}

/// ClickHouse, as far as a replay sees it.
#[derive(Default)]
struct World {
    now: i64,
    entries: BTreeMap<u64, (Entry, Vec<u8>)>,
    settled: BTreeSet<u64>,
    resolved: BTreeSet<u8>,
    /// Rows, each with the times of the entries that brought it.
    rows: BTreeMap<Place, Vec<i64>>,
    /// Tokens and when they were taken.
    tokens: BTreeMap<String, i64>,
    /// Writes whose sender has no answer, and their deadline.
    flying: Vec<(Write, i64)>,
}

impl World {
    fn takes(&mut self, token: String, window: i64) -> bool {
        let known = self.tokens.get(&token).is_some_and(|taken| self.now - taken < window);
        if !known {
            self.tokens.insert(token, self.now);
        }
        !known
    }

    /// Carries a write out, unless its deadline has passed.
    fn land(&mut self, write: Write, deadline: i64) -> bool {
        if self.now > deadline + 999 {
            return false;
        }
        match write {
            Write::Claim(entry, letters) => {
                if self.takes(format!("claim {}", entry.number), WINDOWS.1) {
                    let before = self.entries.insert(entry.number, (entry, letters));
                    assert!(before.is_none(), "two entries of one number");
                }
            }
            Write::Rows(entry, table, letters) => {
                if self.takes(format!("{}/{table}", entry.id), WINDOWS.0) {
                    for letter in letters {
                        self.rows.entry((letter, table)).or_default().push(entry.claimed_at.0);
                    }
                }
            }
            Write::Settle(number, letters) => {
                if self.takes(format!("settled {number}"), WINDOWS.1) {
                    self.settled.insert(number);
                    self.resolved.extend(letters);
                }
            }
        }
        true
    }

    fn log(&self) -> Log {
        match self.entries.last_key_value() {
            Some((number, (entry, _))) if !self.settled.contains(number) => Log::Open(entry.clone()),
            Some((number, (entry, _))) => Log::Settled { last: *number, claimed_at: entry.claimed_at },
            None => Log::Settled { last: 0, claimed_at: ServerTime(0) },
        }
    }

    /// The rows of a letter that no table has from another entry than this one.
    fn missing(&self, letter: u8, table: u8, claimed_at: i64) -> bool {
        self.rows.get(&(letter, table)).is_none_or(|times| times.contains(&claimed_at))
    }
}

/// One process.
struct Process {
    replay: Replay,
    order: Order,
    shape: u32,
    planned: Vec<u8>,
}

impl Process {
    fn start(shape: u32, now: i64) -> Self {
        let policy = Policy { shape, safe_age: SAFE_AGE_MAX, insert_timeout: Duration::from_secs(20) };
        let (replay, order) =
            Replay::begin(policy, &Moment { now: Time(0), server: ServerTime(now), entropy: 1 });
        Self { replay, order, shape, planned: Vec::new() }
    }

    /// Carries the order out and takes the next; `luck` decides about faults.
    fn step(&mut self, world: &mut World, luck: u8, entropy: u128) {
        let fact = match self.order.clone() {
            Order::ReadLog => Fact::Log(world.log()),
            Order::Plan => {
                self.planned = (0..LETTERS).filter(|l| !world.resolved.contains(l)).take(CHUNK).collect();
                Fact::Planned((!self.planned.is_empty()).then_some(ServerTime(3)))
            }
            Order::Claim { entry, deadline } => {
                let write = Write::Claim(entry, self.planned.clone());
                Fact::Claimed(Self::write(world, luck, write, deadline.0))
            }
            Order::Build(entry) => {
                assert_eq!(entry.shape, self.shape, "rows of another shape are never built");
                Fact::Built(Some((0..TABLES).map(TableId).collect()))
            }
            Order::Insert { entry, table, deadline, .. } => {
                let letters = world.entries[&entry.number].1.clone();
                let unfound = |letter: &u8| world.missing(*letter, table.0, entry.claimed_at.0);
                let letters = letters.into_iter().filter(unfound).collect();
                Fact::Inserted(Self::write(world, luck, Write::Rows(entry, table.0, letters), deadline.0))
            }
            // Whatever has not landed by now is refused by its deadline.
            Order::LookForQueries(_) => Fact::Running(luck == 0),
            Order::AskTables(entry) => {
                let there = |letter: &u8| (0..TABLES).all(|table| world.rows.contains_key(&(*letter, table)));
                Fact::Told(Some(world.entries[&entry.number].1.iter().map(there).collect()))
            }
            Order::Settle(entry, landed) => {
                let letters = &world.entries[&entry.number].1;
                let landed = landed.unwrap_or_else(|| vec![true; letters.len()]);
                let settled = letters.iter().zip(landed).filter(|(_, landed)| *landed).map(|(l, _)| *l);
                let write = Write::Settle(entry.number, settled.collect());
                let deadline = world.now + 20_000;
                Fact::Settled(Self::write(world, luck, write, deadline))
            }
            Order::Wait(span) => {
                if luck > 3 {
                    world.now += i64::try_from(span.as_millis()).expect("short");
                }
                Fact::Waited
            }
            Order::Finish => return,
            Order::Stop(reason) => panic!("{reason:?}"),
        };
        let moment = Moment { now: Time(0), server: ServerTime(world.now), entropy };
        self.order = self.replay.step(&moment, fact);
    }

    /// A write that is done; done, but the answer is lost; still on its way; or refused.
    fn write(world: &mut World, luck: u8, write: Write, deadline: i64) -> Answer {
        use pumphouse_core::verdict::Refusal;
        match luck {
            0 => {
                world.flying.push((write, deadline));
                Answer::Unknown
            }
            1 => {
                world.land(write, deadline);
                Answer::Unknown
            }
            2 => Answer::Refused(Refusal::Overloaded),
            _ if world.land(write, deadline) => Answer::Done,
            _ => Answer::Refused(Refusal::Deadline),
        }
    }
}

/// What happens next: to which process, and how lucky it is.
#[derive(Clone, Copy, Debug)]
enum Event {
    Step(usize, u8),
    Crash(usize, u32),
    Land(usize),
    Pass(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        30 => (0..3_usize, 0..12_u8).prop_map(|(who, luck)| Event::Step(who, luck)),
        2 => (0..3_usize, 1..3_u32).prop_map(|(who, shape)| Event::Crash(who, shape)),
        2 => any::<usize>().prop_map(Event::Land),
        2 => (1..900_000_i64).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_letter_is_a_row_exactly_once(events in proptest::collection::vec(event(), 0..250)) {
        let mut world = World { now: 1_000_000, ..World::default() };
        let mut processes: Vec<Process> = (0..3).map(|_| Process::start(1, world.now)).collect();
        let mut entropy = 0_u128;
        let mut next = || { entropy += 1; entropy };
        for event in events {
            match event {
                Event::Step(who, luck) => processes[who].step(&mut world, luck, next()),
                Event::Crash(who, shape) => processes[who] = Process::start(shape, world.now),
                Event::Pass(span) => world.now += span,
                Event::Land(which) if !world.flying.is_empty() => {
                    let which = which % world.flying.len();
                    let (write, deadline) = world.flying.swap_remove(which);
                    world.land(write, deadline);
                }
                Event::Land(_) => {}
            }
            prop_assert!(world.rows.values().all(|times| times.len() == 1), "doubled: {:?}", world.rows);
        }
        let mut last = Process::start(1, world.now);
        let mut steps = 0;
        while last.order != Order::Finish {
            last.step(&mut world, 9, next());
            steps += 1;
            prop_assert!(steps < 10_000, "it never ends");
        }
        for (write, deadline) in std::mem::take(&mut world.flying) {
            world.land(write, deadline);
        }
        let everything: BTreeSet<Place> =
            (0..LETTERS).flat_map(|letter| (0..TABLES).map(move |table| (letter, table))).collect();
        prop_assert_eq!(world.rows.keys().copied().collect::<BTreeSet<_>>(), everything);
        prop_assert!(world.rows.values().all(|times| times.len() == 1), "doubled: {:?}", world.rows);
    }
}
