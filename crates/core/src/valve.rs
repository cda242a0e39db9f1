//! How far a lane's valve is open: what servers say of parts and merges goes in; how old and how large batches are, and
//! whether any are made, comes out. Each lane decides alone from the same reading. Does not know of batches or tables.

use std::time::Duration;

use crate::batch::CloseReason;
use crate::moment::{Moment, Time};
use crate::verdict::Refusal;

/// The highest level: an age is doubled at most so often.
const LEVELS_MAX: u8 = 10;
/// Up to this share of the limit, in thousandths, the valve is wide open.
const CALM: u64 = 250;
/// From this share on it is as narrow as it gets.
const FULL: u64 = 800;
/// A level is left only when the fullness lies so far below where it begins.
const MARGIN: u64 = 50;
/// From this share on the level rises at once, else by one a reading: parts swing with each merge.
const URGENT: u64 = 600;
/// Fullness while the server holds inserts back, whatever it says of parts.
const DELAYED: u64 = 650;
/// Time between two steps back.
const STEP_BACK_EVERY: Duration = Duration::from_secs(10);
/// How long it stays shut at least.
const SHUT_MIN: Duration = Duration::from_secs(5);
/// How long it stays shut at most, after servers refused again and again or tell nothing.
const SHUT_MAX: Duration = Duration::from_mins(1);
/// Shut, it opens again at this share, in hundredths, of what shuts it.
const REOPEN_PERCENT: u64 = 75;
/// Batches are divided by at most two to this power.
const SHARE_MAX: u8 = 4;
/// Batches that have to land before they may be twice as large again.
const LANDED_BEFORE_GROWING: u8 = 16;

/// What a server says of one table at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pressure {
    /// Active parts of the table partition that has most of them.
    pub parts: u64,
    /// Active parts of all table partitions.
    pub parts_total: u64,
    /// Parts of one table partition from which on the server delays inserts (`parts_to_delay_insert`); 0 for never.
    pub delay_at: u64,
    /// Parts of one table partition from which on it refuses them (`parts_to_throw_insert`); 0 for never.
    pub refuse_at: u64,
    /// Parts of the whole table from which on it refuses them (`max_parts_in_total`); 0 for never.
    pub refuse_total_at: u64,
    /// Inserts that it holds back now.
    pub delayed: u64,
    /// Inserts that it refused since the reading before.
    pub rejected: u64,
}

/// What a lane is told of its valve once and for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValvePolicy {
    /// The age that a batch may grow to.
    pub batch_age_max: Duration,
    /// The valve shuts at this share of the parts at which the server refuses, in hundredths.
    pub shut_at_percent: u8,
    /// The valve shuts when a table has so many parts; 0 for no such limit.
    pub parts_max: u64,
}

/// The policy, and the age of a batch while nothing presses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Law {
    /// The age at level 0.
    pub freshness: Duration,
    /// All else.
    pub policy: ValvePolicy,
}

/// How far the valve is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Opening {
    /// How often the age is doubled.
    pub level: u8,
    /// The age at which a batch closes, and the least time between two of them.
    pub age: Duration,
    /// Rows and bytes of a batch are divided by two to this power.
    pub share: u8,
    /// Nothing is taken and no batch is made.
    pub is_shut: bool,
}

/// One lane's valve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Valve {
    level: u8,
    /// Until when no step back is made.
    keep_until: Option<Time>,
    shut: Option<Shut>,
    /// Each table at the reading before.
    before: Vec<Before>,
    /// No batch is made before: the last one is too near, or the valve has opened just now.
    next_batch_at: Option<Time>,
    /// Refusals for too many parts since the last batch landed.
    refusals: u8,
    share: u8,
    landed: u8,
}

/// Two numbers of parts: of the fullest partition, and of all.
type Parts = (u64, u64);

/// What is kept of a table between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Before {
    parts: Parts,
    /// By how many they had grown since the reading before that.
    growth: Parts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shut {
    at_least_until: Time,
    /// It opens for a try: nothing has shut it since.
    at_most_until: Time,
}

impl Default for ValvePolicy {
    fn default() -> Self {
        Self { batch_age_max: Duration::from_secs(30), shut_at_percent: 80, parts_max: 0 }
    }
}

impl Law {
    /// The level at which a batch is as old as it may get.
    #[must_use]
    pub fn top(&self) -> u8 {
        let oldest = self.policy.batch_age_max;
        (0..LEVELS_MAX).find(|level| self.doubled(*level) >= oldest).unwrap_or(LEVELS_MAX)
    }

    fn doubled(&self, level: u8) -> Duration {
        self.freshness.saturating_mul(1 << level)
    }

    fn age(&self, level: u8) -> Duration {
        self.doubled(level).min(self.policy.batch_age_max.max(self.freshness))
    }

    /// The number of parts of one partition, and of all, at which the valve shuts.
    fn shuts_at(&self, of: &Pressure) -> (Option<u64>, Option<u64>) {
        let percent = u64::from(self.policy.shut_at_percent);
        let share = |limit: u64| (limit > 0).then(|| (limit.saturating_mul(percent) / 100).max(1));
        let absolute = (self.policy.parts_max > 0).then_some(self.policy.parts_max);
        (share(of.refuse_at), [share(of.refuse_total_at), absolute].into_iter().flatten().min())
    }

    /// How full the table is, in thousandths of the nearest limit, were it to have so many parts.
    fn fullness(&self, of: &Pressure, (parts, total): Parts) -> u64 {
        let (shut, shut_total) = self.shuts_at(of);
        let delay = (of.delay_at > 0).then_some(of.delay_at);
        let part = [shut, delay].into_iter().flatten().min().map_or(0, |limit| thousandths(parts, limit));
        part.max(shut_total.map_or(0, |limit| thousandths(total, limit)))
    }

    /// Where a level begins: evenly from calm to full.
    fn begins(&self, level: u8) -> u64 {
        CALM + (FULL - CALM) * u64::from(level) / u64::from(self.top().max(1))
    }

    /// Whether so many parts are this share of what shuts it, in hundredths, or more.
    fn reaches(&self, percent: u64, of: &Pressure, (parts, total): Parts) -> bool {
        let (one, all) = self.shuts_at(of);
        let over = |parts: u64, limit: Option<u64>| {
            limit.is_some_and(|limit| parts.saturating_mul(100) >= limit.saturating_mul(percent))
        };
        over(parts, one) || over(total, all)
    }

    fn level_of(&self, fullness: u64) -> u8 {
        (0..=self.top()).rev().find(|level| *level == 0 || fullness >= self.begins(*level)).unwrap_or(0)
    }
}

impl Valve {
    /// Takes what servers said of all tables, always in the same order; nothing where they could not be asked, which
    /// changes nothing.
    pub fn read(&mut self, law: &Law, moment: &Moment, tables: &[Pressure]) {
        let before = std::mem::take(&mut self.before);
        if tables.is_empty() {
            return;
        }
        let (mut fullness, mut shuts, mut stays_shut) = (0, false, false);
        for (at, table) in tables.iter().enumerate() {
            let now = (table.parts, table.parts_total);
            let (kept, soon) = ahead(before.get(at), now);
            self.before.push(kept);
            let held_back = if table.delayed > 0 || table.rejected > 0 { DELAYED } else { 0 };
            fullness = fullness.max(law.fullness(table, soon)).max(held_back);
            shuts |= law.reaches(100, table, soon);
            stays_shut |= law.reaches(REOPEN_PERCENT, table, now);
        }
        self.settle(law, moment, fullness);
        match self.shut {
            _ if shuts => self.shut(law, moment),
            // Parts may stay so for ever, without us: `tick` opens for a try.
            Some(_) if stays_shut => {}
            Some(shut) if moment.now >= shut.at_least_until => self.open(law, moment),
            _ => {}
        }
    }

    /// An insert was refused.
    pub fn refused(&mut self, law: &Law, moment: &Moment, refusal: Refusal) {
        match refusal {
            Refusal::TooManyParts => {
                self.refusals = self.refusals.saturating_add(1);
                self.shut(law, moment);
            }
            // Mostly memory: smaller batches, not rarer ones.
            Refusal::Overloaded => {
                self.share = (self.share + 1).min(SHARE_MAX);
                self.landed = 0;
            }
            _ => {}
        }
    }

    /// A batch is in every table: where no reading says more, that is a reason to open, and to step back.
    pub fn landed(&mut self, law: &Law, moment: &Moment) {
        self.refusals = 0;
        if self.before.is_empty() && self.is_shut() {
            self.open(law, moment);
        } else if self.before.is_empty() {
            self.settle(law, moment, 0);
        }
        if self.share > 0 {
            self.landed += 1;
            if self.landed >= LANDED_BEFORE_GROWING {
                (self.share, self.landed) = (self.share - 1, 0);
            }
        }
    }

    /// A batch was closed. Full ones are as large as they get: keeping them apart makes no fewer parts of the same rows, so
    /// that is left for when nothing else helps.
    pub fn closed(&mut self, law: &Law, now: Time, reason: CloseReason) {
        let is_full = matches!(reason, CloseReason::Rows | CloseReason::Bytes);
        let apart = self.level > 0 && (!is_full || self.level == law.top());
        self.next_batch_at = apart.then(|| now.after(law.age(self.level)));
    }

    /// Time passed: shut, it opens for a try a while after the last reading or refusal that shut it.
    pub fn tick(&mut self, law: &Law, moment: &Moment) {
        if self.shut.is_some_and(|shut| moment.now >= shut.at_most_until) {
            self.open(law, moment);
        }
    }

    /// How far it is open.
    #[must_use]
    pub fn opening(&self, law: &Law) -> Opening {
        Opening { level: self.level, age: law.age(self.level), share: self.share, is_shut: self.is_shut() }
    }

    /// When it opens for a try although nobody tells that parts are few.
    #[must_use]
    pub fn tries_at(&self) -> Option<Time> {
        self.shut.map(|shut| shut.at_most_until)
    }

    /// Whether no batch is made at all.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.shut.is_some()
    }

    /// Whether a batch may be made now.
    #[must_use]
    pub fn lets_through(&self, now: Time) -> bool {
        !self.is_shut() && self.next_batch_at.is_none_or(|at| now >= at)
    }

    /// When a batch that could be made at `due` is: later, as long as the valve holds it back.
    #[must_use]
    pub fn holds_until(&self, due: Time) -> Time {
        match self.shut {
            Some(shut) => shut.at_most_until,
            None => self.next_batch_at.map_or(due, |at| at.max(due)),
        }
    }

    /// Up at once where it is urgent, else by one step a reading; back by one step after a while.
    fn settle(&mut self, law: &Law, moment: &Moment, fullness: u64) {
        let level = law.level_of(fullness);
        let rests = self.is_shut() || self.keep_until.is_some_and(|until| moment.now < until);
        if level > self.level {
            self.level = if fullness >= URGENT { level } else { self.level + 1 };
        } else if self.level > 0 && !rests && fullness + MARGIN < law.begins(self.level) {
            self.level -= 1;
        } else {
            return;
        }
        self.keep_until = (self.level > 0).then(|| moment.now.after(STEP_BACK_EVERY));
        self.next_batch_at = self.next_batch_at.filter(|_| self.level > 0);
    }

    fn shut(&mut self, law: &Law, moment: &Moment) {
        let again = u32::from(self.refusals.saturating_sub(1)).min(8);
        let least = SHUT_MIN.saturating_mul(1 << again).min(SHUT_MAX);
        let until = moment.now.after(least);
        let at_least_until = self.shut.map_or(until, |shut| shut.at_least_until.max(until));
        self.shut = Some(Shut { at_least_until, at_most_until: moment.now.after(SHUT_MAX) });
        self.level = law.top();
    }

    /// Lanes that saw the same reading open at the same moment: each begins somewhere within its age.
    fn open(&mut self, law: &Law, moment: &Moment) {
        self.shut = None;
        self.keep_until = Some(moment.now.after(STEP_BACK_EVERY));
        let age = u64::try_from(law.age(self.level).as_millis()).unwrap_or(u64::MAX).max(1);
        let within = u64::try_from(moment.entropy % u128::from(age)).unwrap_or(0);
        self.next_batch_at = Some(moment.now.after(Duration::from_millis(within)));
    }
}

/// What is kept of this reading, and the parts at the next one. Growth counts as far as it was there twice: between two
/// merges every table grows.
fn ahead(before: Option<&Before>, parts: Parts) -> (Before, Parts) {
    let Some(before) = before else { return (Before { parts, growth: (0, 0) }, parts) };
    let growth = (parts.0.saturating_sub(before.parts.0), parts.1.saturating_sub(before.parts.1));
    let lasting = (growth.0.min(before.growth.0), growth.1.min(before.growth.1));
    (Before { parts, growth }, (parts.0 + lasting.0, parts.1 + lasting.1))
}

fn thousandths(of: u64, limit: u64) -> u64 {
    of.saturating_mul(1000) / limit.max(1)
}

#[cfg(test)]
#[path = "valve_tests.rs"]
mod tests;
