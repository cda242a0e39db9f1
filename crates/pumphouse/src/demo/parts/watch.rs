//! Looks at a table and at a group while somebody writes: parts once a second, offsets four times. From when a message was
//! written and when the group had passed it follows how old it was in the table.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use super::super::incident::Failure;
use super::super::incident::stage::{DATABASE, Stage};
use super::feed::Tape;
use crate::source::kafka::coordinator;

const KAFKA_TIMEOUT: Duration = Duration::from_secs(15);
const PARTS_EVERY: Duration = Duration::from_secs(1);
const OFFSETS_EVERY: Duration = Duration::from_millis(250);

/// One look at the table's parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Look {
    /// Seconds since the start.
    pub second: u64,
    /// Active parts of the table partition that has most.
    pub fullest: u64,
    /// All active parts.
    pub total: u64,
    /// Inserts that the server refused for too many parts, since the start.
    pub refused: u64,
    /// Inserts that it held back, since the start.
    pub delayed: u64,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// The table, once a second.
    pub looks: Vec<Look>,
    /// The group's offsets, and when they were seen.
    pub offsets: Vec<(Duration, Vec<u64>)>,
}

impl Watched {
    /// The most parts of one table partition, and of the table.
    #[must_use]
    pub fn most(&self) -> (u64, u64) {
        let most = |of: fn(&Look) -> u64| self.looks.iter().map(of).max().unwrap_or(0);
        (most(|look| look.fullest), most(|look| look.total))
    }

    /// When each message was written, and how long after that it was known to be in the table; none where it never was.
    #[must_use]
    pub fn ages(&self, tape: &Tape) -> Vec<(Duration, Option<Duration>)> {
        let mut ages = Vec::new();
        for (partition, written) in tape.written.iter().enumerate() {
            let mut seen = self.offsets.iter().filter_map(|(at, all)| Some((*at, *all.get(partition)?)));
            let mut last = seen.next();
            for (offset, at) in (0_u64..).zip(written) {
                while last.is_some_and(|(_, passed)| passed <= offset) {
                    last = seen.next();
                }
                ages.push((*at, last.map(|(seen, _)| seen.saturating_sub(*at))));
            }
        }
        ages.sort_unstable();
        ages
    }
}

/// Median and 99th percentile of ages, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// Half of the messages were fresher.
    pub p50: u64,
    /// 99 of 100 were.
    pub p99: u64,
}

/// The freshness of the messages written within a time; none where there were none, or one never came.
#[must_use]
pub fn freshness(ages: &[(Duration, Option<Duration>)], from: Duration, to: Duration) -> Option<Freshness> {
    let within = ages.iter().filter(|(at, _)| (from..to).contains(at));
    let mut all: Vec<Duration> = within.map(|(_, age)| *age).collect::<Option<_>>()?;
    all.sort_unstable();
    let at = |share: usize| all.get((all.len() * share / 100).min(all.len().checked_sub(1)?));
    let millis = |age: &Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Some(Freshness { p50: millis(at(50)?), p99: millis(at(99)?) })
}

/// From when on no message was older than the bound, counted from `since`; none where the last ones still were.
#[must_use]
pub fn recovered_after(
    ages: &[(Duration, Option<Duration>)],
    since: Duration,
    bound: Duration,
) -> Option<Duration> {
    let late = |(_, age): &&(Duration, Option<Duration>)| age.is_none_or(|age| age > bound);
    let last_late = ages.iter().rev().find(late).map_or(since, |(at, _)| *at);
    let end = ages.last()?.0;
    (last_late + Duration::from_secs(2) < end).then(|| last_late.saturating_sub(since))
}

/// Looks at `table`, and at the group's place in the topic, until told to end.
///
/// # Errors
/// When a server does not answer.
pub fn watch(
    stage: &Stage,
    table: &str,
    (group, topic, partitions): (&str, &str, u32),
    started: Instant,
    mut goes_on: impl FnMut(&Watched) -> Result<bool, Failure>,
) -> Result<Watched, Failure> {
    let consumer: BaseConsumer = stage.client().set("group.id", group).create()?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, i32::try_from(partitions).unwrap_or(i32::MAX) - 1);
    let begun = look(stage, table, Duration::ZERO)?;
    let mut watched = Watched::default();
    let mut next_look = Duration::ZERO;
    loop {
        let now = started.elapsed();
        if now >= next_look {
            let mut look = look(stage, table, now)?;
            look.refused -= begun.refused.min(look.refused);
            look.delayed -= begun.delayed.min(look.delayed);
            watched.looks.push(look);
            next_look = now + PARTS_EVERY;
        }
        let found = coordinator::wait_for(|| consumer.committed_offsets(asked.clone(), KAFKA_TIMEOUT))?;
        let offset = |offset| match offset {
            Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
            _ => 0,
        };
        let offsets = found.elements().iter().map(|element| offset(element.offset())).collect();
        watched.offsets.push((started.elapsed(), offsets));
        if !goes_on(&watched)? {
            return Ok(watched);
        }
        std::thread::sleep(OFFSETS_EVERY.saturating_sub(started.elapsed().saturating_sub(now)));
    }
}

fn look(stage: &Stage, table: &str, at: Duration) -> Result<Look, Failure> {
    let sql = format!(
        "SELECT max(parts), sum(parts), (SELECT value FROM system.events WHERE event = 'RejectedInserts'), \
         (SELECT value FROM system.events WHERE event = 'DelayedInserts') FROM (SELECT count() AS parts \
         FROM system.parts WHERE active AND database = '{DATABASE}' AND `table` = '{table}' GROUP BY partition_id) \
         FORMAT TSV"
    );
    let answer = stage.query(&sql)?;
    // Nothing was refused: there is no such event.
    let numbers: Vec<u64> = answer.trim().split('\t').map(|number| number.parse().unwrap_or(0)).collect();
    let [fullest, total, refused, delayed] = numbers[..] else { return Err(Failure::Answer(answer)) };
    Ok(Look { second: at.as_secs(), fullest, total, refused, delayed })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_message_is_as_old_as_the_first_sight_of_a_higher_offset_says() {
        let tape = Tape { written: vec![vec![at(0), at(100), at(200), at(300)]] };
        let offsets = vec![(at(250), vec![0]), (at(500), vec![2]), (at(750), vec![3])];
        let watched = Watched { looks: Vec::new(), offsets };
        let ages = watched.ages(&tape);
        let told: Vec<_> = ages.iter().map(|(_, age)| age.map(|age| age.as_millis())).collect();
        assert_eq!(told, [Some(500), Some(400), Some(550), None]);
        assert_eq!(freshness(&ages, at(0), at(250)), Some(Freshness { p50: 500, p99: 550 }));
        assert_eq!(freshness(&ages, at(0), at(400)), None);
    }

    #[test]
    fn it_has_recovered_when_the_last_late_message_is_some_time_ago() {
        let ages: Vec<_> =
            (0..10).map(|second| (at(second * 1000), Some(at(10_000 - second * 1000)))).collect();
        assert_eq!(recovered_after(&ages, at(2_000), at(6_000)), Some(at(1_000)));
        assert_eq!(recovered_after(&ages, at(2_000), at(2_000)), None);
    }
}
