//! Lives a scenario: what happens when, from the first row to the last moment. All that is left to chance is drawn from
//! the scenario's seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use pumphouse_core::moment::Time;

use super::lane::{Lane, moment};
use super::limits::Admission;
use super::load::Arrivals;
use super::outcome::{Outcome, RowCount, Sample};
use super::scenario::Scenario;
use super::server::{Piece, Server};

/// Samples of a run.
const SAMPLES: u32 = 600;

/// Lives it to its end.
#[must_use]
pub fn run(scenario: &Scenario) -> Outcome {
    let mut world = World::new(scenario);
    world.live(|_| false);
    world.outcome()
}

/// Lives it until something goes wrong.
#[must_use]
pub fn run_until_trouble(scenario: &Scenario) -> Outcome {
    let mut world = World::new(scenario);
    world.live(|outcome| outcome.delayed.count > 0 || outcome.refused.count > 0);
    world.outcome()
}

/// What happens at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A lane has something to do; only the latest call counts.
    Wake(usize, u64),
    /// A lane sends its insert, again where it was refused.
    Send(usize),
    /// The insert of a lane is in the tables.
    Land(usize),
    /// A process asks for the pressure.
    Read(usize),
    Sample,
    Stall(bool),
}

struct World<'a> {
    scenario: &'a Scenario,
    server: Server,
    arrivals: Arrivals,
    lanes: Vec<Watched>,
    /// Refusals by table that each process was told of.
    told: Vec<Vec<u64>>,
    agenda: BinaryHeap<Reverse<(Time, u64, Event)>>,
    /// Events that were ever put there: those of the same time come in this order.
    planned: u64,
    chance: fastrand::Rng,
    now: Time,
    /// Most parts since the last sample.
    parts_most: u64,
    outcome: Outcome,
}

/// A lane, and what is watched of it.
struct Watched {
    lane: Lane,
    /// Which call to wake counts.
    call: u64,
    level: u8,
    is_rising: bool,
    reversals: u32,
    was_shut: bool,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let limits: Vec<_> = scenario.tables.iter().map(|table| table.limits).collect();
        let count = scenario.lanes();
        let lane = Watched {
            lane: Lane::new(scenario.writers.batches),
            call: 0,
            level: 0,
            is_rising: false,
            reversals: 0,
            was_shut: false,
        };
        let lanes = (0..count).map(|_| Watched { lane: lane.lane.clone(), ..lane }).collect();
        let mut world = Self {
            scenario,
            server: Server::new(scenario.machine, &limits),
            arrivals: Arrivals::new(scenario.rate / f64::from(count), &scenario.bursts),
            lanes,
            told: vec![vec![0; limits.len()]; scenario.writers.processes.max(1) as usize],
            agenda: BinaryHeap::new(),
            planned: 0,
            chance: fastrand::Rng::with_seed(scenario.seed),
            now: Time(0),
            parts_most: 0,
            outcome: Outcome { span: scenario.span, ..Outcome::default() },
        };
        world.plan_the_first();
        world
    }

    /// Processes did not start at the same moment: each lane and each reading has a phase of its own.
    fn plan_the_first(&mut self) {
        let freshness = milliseconds(self.scenario.writers.batches.freshness).max(1);
        for lane in 0..self.lanes.len() {
            let at = Time(self.chance.u64(0..freshness));
            self.lanes[lane].lane.take(at, &Arrivals::new(0.0, &[]));
            self.plan(at, Event::Wake(lane, 0));
        }
        for process in 0..self.told.len() {
            let at = Time(self.chance.u64(0..milliseconds(self.scenario.writers.reads_every).max(1)));
            self.plan(at, Event::Read(process));
        }
        if let Some((from, lasts)) = self.scenario.stall {
            self.plan(from, Event::Stall(true));
            self.plan(from.after(lasts), Event::Stall(false));
        }
        self.plan(self.sample_every(), Event::Sample);
    }

    fn live(&mut self, is_over: impl Fn(&Outcome) -> bool) {
        let end = Time(0).after(self.scenario.span);
        while let Some(Reverse((at, _, event))) = self.agenda.pop() {
            if at > end || is_over(&self.outcome) {
                break;
            }
            self.now = at;
            self.server.advance(at);
            match event {
                Event::Wake(lane, call) if self.lanes[lane].call == call => self.wake(lane),
                Event::Wake(..) => {}
                Event::Send(lane) => self.send(lane),
                Event::Land(lane) => self.land(lane),
                Event::Read(process) => self.read(process),
                Event::Sample => self.sample(),
                Event::Stall(is_stalled) => self.server.stall_merges(at, is_stalled),
            }
        }
    }

    fn plan(&mut self, at: Time, event: Event) {
        self.planned += 1;
        self.agenda.push(Reverse((at, self.planned, event)));
    }

    /// The lane takes what there is, closes its batch if it is time, and says when it wants to be called again.
    fn wake(&mut self, number: usize) {
        let moment = moment(self.now, &mut self.chance);
        let watched = &mut self.lanes[number];
        watched.lane.tick(&moment);
        watched.lane.take(self.now, &self.arrivals);
        if watched.lane.close(self.now).is_some() {
            self.send(number);
        }
        self.look_at_valve(number);
        let watched = &mut self.lanes[number];
        watched.call += 1;
        let (call, next) = (watched.call, watched.lane.wakes_at(self.now, &self.arrivals));
        if let Some(at) = next {
            self.plan(at, Event::Wake(number, call));
        }
    }

    fn send(&mut self, number: usize) {
        let Some(flight) = self.lanes[number].lane.flight() else { return };
        let admissions = (0..self.scenario.tables.len()).map(|table| self.server.admit(table));
        match admissions.max().unwrap_or(Admission::Refused) {
            Admission::Refused => {
                self.outcome.refused.happened(self.now);
                let moment = moment(self.now, &mut self.chance);
                let again_at = self.lanes[number].lane.refused(&moment);
                self.look_at_valve(number);
                self.plan(again_at, Event::Send(number));
            }
            Admission::After(delay) => {
                if !delay.is_zero() {
                    self.outcome.delayed.happened(self.now);
                }
                let held_until = self.now.after(delay);
                self.lanes[number].lane.held(held_until);
                let takes = self.insert_takes(flight.end - flight.first);
                self.plan(held_until.after(takes), Event::Land(number));
            }
        }
    }

    /// Tables are written side by side; the one with most parts takes longest.
    fn insert_takes(&self, rows: u64) -> Duration {
        let cost = self.scenario.insert;
        let parts = |spread: &super::load::Spread| u64::from(spread.partitions).min(rows);
        let most = self.scenario.tables.iter().map(|table| parts(&table.spread)).max().unwrap_or(1);
        Duration::from_secs_f64(
            cost.seconds + cost.row_seconds * as_f64(rows) + cost.part_seconds * as_f64(most),
        )
    }

    fn land(&mut self, number: usize) {
        let moment = moment(self.now, &mut self.chance);
        let Some(flight) = self.lanes[number].lane.landed(&moment) else { return };
        let rows = flight.end - flight.first;
        let (first, last) = (self.arrivals.time_of(flight.first + 1), self.arrivals.time_of(flight.end));
        self.outcome.freshness.add(rows, (self.now.since(last), self.now.since(first)));
        self.outcome.rows.landed += rows;
        let scenario = self.scenario;
        for (table, target) in scenario.tables.iter().enumerate() {
            let rows = whole((as_f64(rows) * target.rows_of_one).ceil());
            let pieces = target.spread.pieces(self.now, rows, target.row_bytes, &mut self.chance);
            self.outcome.inserts += u64::from(!target.is_view);
            self.count(&pieces);
            self.server.insert(self.now, table, &pieces);
            if target.spread.drops_old {
                self.server.drop_before(table, target.spread.first(self.now));
            }
            self.look_at_parts(table);
        }
        self.wake(number);
    }

    fn count(&mut self, pieces: &[Piece]) {
        self.outcome.parts_made += pieces.len() as u64;
        self.outcome.bytes.0 += pieces.iter().map(|piece| piece.bytes).sum::<u64>();
    }

    fn look_at_parts(&mut self, table: usize) {
        let fill = self.server.fill(table);
        self.parts_most = self.parts_most.max(fill.parts);
        let (one, all) = self.outcome.parts_most;
        self.outcome.parts_most = (one.max(fill.parts), all.max(fill.total));
    }

    /// Every lane of a process is told the same.
    fn read(&mut self, process: usize) {
        let lanes = self.scenario.writers.lanes.max(1) as usize;
        let held =
            |watched: &&Watched| watched.lane.flight().is_some_and(|flight| flight.held_until > self.now);
        let delayed = self.lanes.iter().filter(held).count() as u64;
        let mut pressure = self.server.pressure(delayed);
        for (table, told) in pressure.iter_mut().zip(&mut self.told[process]) {
            let before = std::mem::replace(told, table.rejected);
            table.rejected -= before;
        }
        for number in process * lanes..(process + 1) * lanes {
            let moment = moment(self.now, &mut self.chance);
            let lane = &mut self.lanes[number].lane;
            lane.take(self.now, &self.arrivals);
            lane.read(&moment, &pressure);
            self.wake(number);
        }
        self.plan(self.now.after(self.scenario.writers.reads_every), Event::Read(process));
    }

    fn look_at_valve(&mut self, number: usize) {
        let watched = &mut self.lanes[number];
        let opening = watched.lane.opening();
        if opening.level != watched.level {
            let rises = opening.level > watched.level;
            watched.reversals += u32::from(rises != watched.is_rising);
            (watched.level, watched.is_rising) = (opening.level, rises);
        }
        if opening.is_shut && !watched.was_shut {
            self.outcome.shut.happened(self.now);
        }
        watched.was_shut = opening.is_shut;
        self.outcome.age_most = self.outcome.age_most.max(opening.age);
    }

    fn sample(&mut self) {
        // Parts grow older and may be merged although nothing else happens.
        self.server.begin_merges(self.now);
        let fills = (0..self.scenario.tables.len()).map(|table| self.server.fill(table));
        let (mut parts, mut parts_total) = (self.parts_most, 0);
        for fill in fills {
            parts = parts.max(fill.parts);
            parts_total += fill.total;
        }
        let waiting = |watched: &Watched| watched.lane.waiting(&self.arrivals, self.now);
        self.outcome.samples.push(Sample {
            at: self.now,
            parts,
            parts_total,
            merges: self.server.merges_running(),
            level: self.highest_level(),
            shut: self.lanes.iter().map(|watched| u32::from(watched.was_shut)).sum(),
            waiting: self.lanes.iter().map(waiting).sum(),
        });
        self.parts_most = 0;
        self.plan(self.now.after(self.sample_every().since(Time(0))), Event::Sample);
    }

    fn sample_every(&self) -> Time {
        Time(0).after((self.scenario.span / SAMPLES).max(Duration::from_millis(100)))
    }

    fn highest_level(&self) -> u8 {
        self.lanes.iter().map(|watched| watched.level).max().unwrap_or(0)
    }

    fn outcome(mut self) -> Outcome {
        let arrived = self.arrivals.by(self.now) * self.lanes.len() as u64;
        let waiting = |watched: &Watched| watched.lane.waiting(&self.arrivals, self.now);
        let under_way = self.lanes.iter().map(waiting).sum();
        let stored = self.server.rows(0);
        self.outcome.rows = RowCount { arrived, landed: self.outcome.rows.landed, under_way, stored };
        let half = &self.outcome.samples[self.outcome.samples.len() / 2..];
        let sum: u64 = half.iter().map(|sample| sample.parts_total).sum();
        self.outcome.parts_mean = as_f64(sum) / as_f64(half.len().max(1) as u64);
        let (merges, bytes) = self.server.merged();
        (self.outcome.merges, self.outcome.bytes.1) = (merges, bytes);
        self.outcome.reversals = self.lanes.iter().map(|watched| watched.reversals).max().unwrap_or(0);
        self.outcome.level_at_end = self.highest_level();
        self.outcome
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts for estimates")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and far below 2^63")]
fn whole(value: f64) -> u64 {
    value as u64
}
