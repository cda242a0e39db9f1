//! What a lane does with the rows that arrive for it: batches, one insert at a time, retries, and its valve.
//! Does not know what the server does with them.

use std::time::Duration;

use pumphouse_core::batch::CloseReason;
use pumphouse_core::moment::{Moment, ServerTime, Time};
use pumphouse_core::valve::{Law, Opening, Pressure, Valve, ValvePolicy};
use pumphouse_core::verdict::{Refusal, Verdict, on_refusal};

use super::load::Arrivals;

/// When batches close, and how fast rows are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batches {
    /// The age at which a batch closes.
    pub freshness: Duration,
    /// Its rows.
    pub rows: u64,
    /// Rows that a lane takes in a second when they wait for it.
    pub taken_per_second: u64,
    /// The valve's policy; `None` for a writer without one.
    pub valve: Option<ValvePolicy>,
}

/// One lane.
#[derive(Clone, Debug)]
pub struct Lane {
    batches: Batches,
    /// Rows taken so far, up to when that is counted.
    taken: u64,
    taken_at: Time,
    /// The first row of the open batch, and when that was taken.
    first: u64,
    opened_at: Option<Time>,
    flight: Option<Flight>,
    valve: Valve,
}

/// A batch that is being inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// The number of its first row.
    pub first: u64,
    /// The number after its last row.
    pub end: u64,
    /// Refusals so far.
    pub refusals: u32,
    /// Until when the server holds it back.
    pub held_until: Time,
}

impl Lane {
    /// A lane that has taken nothing yet.
    #[must_use]
    pub fn new(batches: Batches) -> Self {
        Self {
            batches,
            taken: 0,
            taken_at: Time(0),
            first: 0,
            opened_at: None,
            flight: None,
            valve: Valve::default(),
        }
    }

    /// Takes what came in the meantime, as far as the valve and the batch's limit let it.
    pub fn take(&mut self, now: Time, arrivals: &Arrivals) {
        let opening = self.opening();
        let milliseconds = u64::try_from(now.since(self.taken_at).as_millis()).unwrap_or(u64::MAX);
        let able = self.batches.taken_per_second.saturating_mul(milliseconds) / 1000;
        let room = self.rows_max(opening).saturating_sub(self.taken - self.first);
        let waiting = arrivals.by(now).saturating_sub(self.taken);
        let taken = if opening.is_shut { 0 } else { able.min(room).min(waiting) };
        if taken > 0 && self.opened_at.is_none() {
            self.opened_at = Some(arrivals.time_of(self.taken + 1).max(self.taken_at));
        }
        self.taken += taken;
        self.taken_at = now;
    }

    /// Closes the batch if it is time, and gives it to be inserted.
    pub fn close(&mut self, now: Time) -> Option<Flight> {
        let opened_at = self.opened_at.filter(|_| self.flight.is_none())?;
        let opening = self.opening();
        let is_full = self.taken - self.first >= self.rows_max(opening);
        let is_due = now >= opened_at.after(opening.age) || is_full;
        if !is_due || (self.is_regulated() && !self.valve.lets_through(now)) {
            return None;
        }
        let flight = Flight { first: self.first, end: self.taken, refusals: 0, held_until: now };
        self.flight = Some(flight);
        (self.first, self.opened_at) = (self.taken, None);
        if let Some(law) = self.law() {
            let reason = if is_full { CloseReason::Rows } else { CloseReason::Age };
            self.valve.closed(&law, now, reason);
        }
        self.flight
    }

    /// When this lane has something to do next, unless an answer comes before.
    #[must_use]
    pub fn wakes_at(&self, now: Time, arrivals: &Arrivals) -> Option<Time> {
        if self.flight.is_some() {
            return None;
        }
        let opening = self.opening();
        let Some(opened_at) = self.opened_at else {
            let next = arrivals.time_of(self.taken + 1).max(Time(now.0 + 1));
            return Some(if opening.is_shut { self.valve.holds_until(next) } else { next });
        };
        let missing = self.rows_max(opening).saturating_sub(self.taken - self.first);
        let able = Duration::from_millis(missing.saturating_mul(1000) / self.batches.taken_per_second.max(1));
        let full = arrivals.time_of(self.taken + missing).max(self.taken_at.after(able));
        let due = opened_at.after(opening.age).min(full);
        let due = if self.is_regulated() { self.valve.holds_until(due) } else { due };
        Some(due.max(Time(now.0 + 1)))
    }

    /// The server holds the insert back.
    pub fn held(&mut self, until: Time) {
        if let Some(flight) = &mut self.flight {
            flight.held_until = until;
        }
    }

    /// The insert was refused; says when it is tried again.
    pub fn refused(&mut self, moment: &Moment) -> Time {
        if let Some(law) = self.law() {
            self.valve.refused(&law, moment, Refusal::TooManyParts);
        }
        let Some(flight) = &mut self.flight else { return moment.now };
        flight.refusals += 1;
        match on_refusal(Refusal::TooManyParts, flight.refusals, moment.entropy) {
            Verdict::Retry(pause) => moment.now.after(pause),
            Verdict::Isolate | Verdict::Halt => unreachable!("too many parts are waited for"),
        }
    }

    /// The batch has landed.
    pub fn landed(&mut self, moment: &Moment) -> Option<Flight> {
        if let Some(law) = self.law() {
            self.valve.landed(&law, moment);
        }
        self.flight.take()
    }

    /// What the server said of its tables.
    pub fn read(&mut self, moment: &Moment, tables: &[Pressure]) {
        if let Some(law) = self.law() {
            self.valve.read(&law, moment, tables);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, moment: &Moment) {
        if let Some(law) = self.law() {
            self.valve.tick(&law, moment);
        }
    }

    /// How far its valve is open.
    #[must_use]
    pub fn opening(&self) -> Opening {
        let open = Opening { age: self.batches.freshness, ..Opening::default() };
        self.law().map_or(open, |law| self.valve.opening(&law))
    }

    /// Rows that have arrived and are in no table.
    #[must_use]
    pub fn waiting(&self, arrivals: &Arrivals, now: Time) -> u64 {
        arrivals.by(now) - self.flight.map_or(self.first, |flight| flight.first)
    }

    /// The batch that is being inserted.
    #[must_use]
    pub fn flight(&self) -> Option<Flight> {
        self.flight
    }

    fn is_regulated(&self) -> bool {
        self.batches.valve.is_some()
    }

    fn law(&self) -> Option<Law> {
        self.batches.valve.map(|policy| Law { freshness: self.batches.freshness, policy })
    }

    fn rows_max(&self, opening: Opening) -> u64 {
        (self.batches.rows >> opening.share).max(1)
    }
}

/// The circumstances of a step, as the core is told them.
#[must_use]
pub fn moment(now: Time, chance: &mut fastrand::Rng) -> Moment {
    let server = ServerTime(i64::try_from(now.0).unwrap_or(i64::MAX));
    Moment { now, server, entropy: chance.u128(..) }
}
