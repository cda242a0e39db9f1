//! Incident 001: events that were created over a year change their state, the table is partitioned by day, and merges can't
//! keep up with many small inserts. The writer that gives up loses changes; pumphouse makes fewer and older batches.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::incident::Failure;
use super::super::incident::stage::{DATABASE, Stage};
use super::feed::{Leg, Schedule};
use super::naive::{Habit, Tally};
use super::session::{self, Length, Plot, Stall};
use super::states::{DAYS, Final, PARTITIONS, State, States};
use super::told::{Outcome, Phases, table, verdict};
use super::watch::Look;
use crate::embedded::clickhouse::Merges;

/// The finding that a batch touches too many table partitions.
const TOO_FINE: &str = "PH-0211";
/// What the feed is decided by.
const SEED: u64 = 1;
/// Limits of the table, lowered so that it breaks soon.
const DELAY_AT: u64 = 30;
const REFUSE_AT: u64 = 50;
const REFUSE_TOTAL_AT: u64 = 1_000;
/// The leg after the one with the highest rate.
const CALM_LEG: usize = 2;

/// A finding of `pumphouse check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foretold {
    /// Its code.
    pub code: String,
    /// How bad it is.
    pub severity: String,
    /// What it says.
    pub what: String,
}

/// The whole incident.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed of the feed.
    pub seed: u64,
    /// The writer that gives up.
    pub naive: Outcome,
    /// What it did, in its own words.
    pub naive_tally: Tally,
    /// Events whose state in its table is not the source's.
    pub naive_wrong: u64,
    /// pumphouse.
    pub pumphouse: Outcome,
    /// Events of the source.
    pub events: u64,
    /// Events whose state in pumphouse's table is not the source's.
    pub wrong: u64,
    /// Versions whose signs do not add up to what the source's do.
    pub unbalanced: u64,
    /// What `pumphouse check` says of the design under the same load, before anything runs.
    pub foretold: Vec<Foretold>,
    /// pumphouse's freshness.
    pub freshness: Phases,
    /// What its valve did.
    pub valve: Vec<String>,
    /// Parts each second, under pumphouse.
    pub looks: Vec<Look>,
    /// What does not hold; empty where all does.
    pub mistakes: Vec<String>,
    /// Whether all holds.
    pub holds: bool,
}

/// Shows it; `say` gets a line for each step.
///
/// # Errors
/// When something fails that makes a report impossible.
pub fn run(exe: &Path, length: Length, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    say("starting a Kafka and a ClickHouse with one thread for merges");
    let plot = plot(length);
    let topics = [plot.naive_topic(), plot.topic()];
    let topics: Vec<(&str, u32)> = topics.iter().map(|topic| (topic.as_str(), PARTITIONS)).collect();
    let stage = Stage::open(exe, Merges { threads: 1, each: 1 }, &topics)?;

    say("a writer of small batches that gives up what is refused a few times");
    create(&stage, "naive_states")?;
    let mut feed = States::new(SEED);
    let full_name = format!("{DATABASE}.naive_states");
    let (tallies, naive_watched) =
        session::naive((&stage, &plot), &mut feed, "naive_states", &mut stall(&plot, &full_name), say)?;
    let read: Vec<u64> = tallies.iter().map(|tally| tally.read).collect();
    let naive_state = feed.final_state(&read);
    let naive_wrong = differing(&naive_state, &final_state(&stage, "naive_states")?);
    let naive_tally = tallies.into_iter().fold(Tally::default(), Tally::and);
    let naive = session::outcome(&stage, "naive_states", naive_tally.read, &naive_watched)?;
    stage.query(&format!("DROP TABLE {full_name} SYNC"))?;

    say("pumphouse on the same feed");
    create(&stage, plot.name)?;
    let config = configuration(&stage, &plot)?;
    stage.pumphouse(&["apply"], &config)?;
    let foretold = foretell(&stage, &config, &plot)?;
    let mut feed = States::new(SEED);
    let mut stall = stall(&plot, &format!("{DATABASE}.{}", plot.name));
    let ran = session::pumphouse((&stage, &plot), &mut feed, &config, &mut stall, say)?;
    let read: Vec<u64> = ran.tape.written.iter().map(|written| written.len() as u64).collect();
    let expected = feed.final_state(&read);
    let mut report = Report {
        seed: SEED,
        naive,
        naive_tally,
        naive_wrong,
        pumphouse: session::outcome(&stage, plot.name, ran.tape.messages(), &ran.watched)?,
        events: expected.len() as u64,
        wrong: differing(&expected, &final_state(&stage, plot.name)?),
        unbalanced: unbalanced(&stage, plot.name, &expected)?,
        foretold,
        freshness: session::phases(&plot.schedule, CALM_LEG, &ran.watched.ages(&ran.tape)),
        valve: ran.valve,
        looks: ran.watched.looks,
        mistakes: Vec::new(),
        holds: false,
    };
    report.mistakes = mistakes(&report);
    report.holds = report.mistakes.is_empty();
    Ok(report)
}

fn plot(length: Length) -> Plot {
    let leg = |seconds, rate| Leg { lasts: length.of(seconds), rate };
    Plot {
        name: "states",
        partitions: PARTITIONS,
        schedule: Schedule(vec![leg(10, 40), leg(25, 600), leg(40, 40)]),
        habit: Habit {
            rows: 50,
            collects: Duration::from_millis(250),
            tries: 3,
            pause: Duration::from_millis(250),
        },
        naive_within: length.of(45),
        run_with: &[],
    }
}

/// While the rate is high, the threads that merge have other work.
fn stall(plot: &Plot, table: &str) -> Stall {
    let within = plot.schedule.begins(1)..plot.schedule.begins(2);
    Stall { table: table.to_owned(), within, is_on: false }
}

/// The table as it was in the incident: by day, collapsing.
fn create(stage: &Stage, name: &str) -> Result<(), Failure> {
    let sql = format!(
        "CREATE TABLE {DATABASE}.{name} (id UInt64, version UInt32, sign Int8, status LowCardinality(String), \
         created_at DateTime('UTC'), _partition UInt32, _offset UInt64, _ingested_at DateTime64(3)) \
         ENGINE = VersionedCollapsingMergeTree(sign, version) PARTITION BY toDate(created_at) ORDER BY (id, version) \
         SETTINGS non_replicated_deduplication_window = 100000, old_parts_lifetime = 10, \
         parts_to_delay_insert = {DELAY_AT}, parts_to_throw_insert = {REFUSE_AT}, \
         max_parts_in_total = {REFUSE_TOTAL_AT}"
    );
    stage.query(&sql).map(drop)
}

fn configuration(stage: &Stage, plot: &Plot) -> Result<PathBuf, Failure> {
    let (url, brokers, topic, name) = (stage.url(), stage.brokers(), plot.topic(), plot.name);
    let text = format!(
        r#"clickhouse: {{ url: "{url}", database: {DATABASE}, settings: {{ optimize_on_insert: 0 }} }}
kafka: {{ brokers: "{brokers}", properties: {{ session.timeout.ms: "6000" }} }}
process: {{ lanes: 1 }}
streams:
  {name}:
    from: {{ topic: {topic}, format: json }}
    columns:
      id: UInt64
      version: UInt32
      sign: Int8
      status: LowCardinality(String)
      created_at: {{ type: "DateTime('UTC')", epoch: seconds }}
    table: {{ order_by: [id, version], partition_by: toDate(created_at) }}
    batch: {{ freshness: 1s }}
    valve: {{ batch_age_max: 8s }}
"#
    );
    stage.write("states.yaml", &text)
}

/// Asks `check` about the design, under the highest rate of the feed.
fn foretell(stage: &Stage, config: &Path, plot: &Plot) -> Result<Vec<Foretold>, Failure> {
    #[derive(Deserialize)]
    struct Said {
        findings: Vec<Foretold>,
    }
    let rate = plot.schedule.0.iter().map(|leg| leg.rate).max().unwrap_or(0).to_string();
    let said = stage.findings(&["check", "--json", "--rate", &rate, "--spread", "365d"], config)?;
    let said: Said = serde_json::from_str(&said).map_err(|_| Failure::Answer(said.clone()))?;
    Ok(said.findings.into_iter().filter(|finding| finding.severity != "advice").collect())
}

/// What `FINAL` says of every event.
fn final_state(stage: &Stage, name: &str) -> Result<Vec<(u64, State)>, Failure> {
    let sql = format!(
        "SELECT id, version, status FROM {DATABASE}.{name} FINAL WHERE sign = 1 ORDER BY id FORMAT TSV"
    );
    let answer = stage.query(&sql)?;
    let row = |line: &str| {
        let mut parts = line.split('\t');
        let row = (parts.next()?.parse().ok()?, (parts.next()?.parse().ok()?, parts.next()?.to_owned()));
        Some(row)
    };
    answer.lines().map(|line| row(line).ok_or_else(|| Failure::Answer(line.to_owned()))).collect()
}

/// Events that are missing, are there more than once, or have another state.
fn differing(expected: &Final, found: &[(u64, State)]) -> u64 {
    let mut there: BTreeMap<u64, Vec<&State>> = BTreeMap::new();
    for (id, state) in found {
        there.entry(*id).or_default().push(state);
    }
    let wrong =
        expected.iter().filter(|(id, state)| there.get(id).is_none_or(|found| *found != [*state])).count();
    let unknown = there.keys().filter(|id| !expected.contains_key(id)).count();
    (wrong + unknown) as u64
}

/// Versions whose sum of signs differs: 1 for the last one of each event, 0 for all others.
fn unbalanced(stage: &Stage, name: &str, expected: &Final) -> Result<u64, Failure> {
    let sql = format!(
        "SELECT id, version, sum(sign) AS signs FROM {DATABASE}.{name} GROUP BY id, version HAVING signs != 0 FORMAT TSV"
    );
    let answer = stage.query(&sql)?;
    let is_last = |line: &str| {
        let mut numbers = line.split('\t').map(str::parse::<i64>);
        let (Some(Ok(id)), Some(Ok(version)), Some(Ok(1))) = (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        let last = u64::try_from(id).ok().and_then(|id| expected.get(&id));
        last.is_some_and(|(last, _)| i64::from(*last) == version)
    };
    let (right, wrong): (Vec<&str>, Vec<&str>) = answer.lines().partition(|line| is_last(line));
    Ok((expected.len() - right.len().min(expected.len()) + wrong.len()) as u64)
}

fn mistakes(report: &Report) -> Vec<String> {
    let Report { naive, naive_tally, pumphouse, freshness, .. } = report;
    let p99 = |of: Option<super::watch::Freshness>| of.map(|freshness| freshness.p99);
    let claims = [
        (
            naive.refused > 0 && naive.lost > 0,
            "the naive writer lost nothing, so it shows nothing".to_owned(),
        ),
        (
            naive.lost == naive_tally.given_up,
            format!("the naive writer gave up {} rows, and {} are missing", naive_tally.given_up, naive.lost),
        ),
        (
            report.foretold.iter().any(|finding| finding.code == TOO_FINE),
            format!("`check` did not foretell it: no {TOO_FINE}"),
        ),
        (report.naive_wrong > 0, "no event of the naive writer has a wrong state".to_owned()),
        (
            pumphouse.written == pumphouse.read,
            format!("pumphouse read {} messages and wrote {} rows", pumphouse.read, pumphouse.written),
        ),
        (report.wrong == 0, format!("{} events have another state than the source's", report.wrong)),
        (report.unbalanced == 0, format!("signs of {} versions do not add up", report.unbalanced)),
        (pumphouse.refused == 0, format!("pumphouse was refused {} times", pumphouse.refused)),
        (
            pumphouse.fullest < DELAY_AT && pumphouse.total < REFUSE_TOTAL_AT,
            format!(
                "pumphouse came to {} parts of {DELAY_AT}, {} in all",
                pumphouse.fullest, pumphouse.total
            ),
        ),
        (p99(freshness.during) > p99(freshness.before), "freshness did not give way".to_owned()),
        (freshness.recovered_after.is_some(), "freshness did not recover".to_owned()),
    ];
    claims.into_iter().filter(|(holds, _)| !holds).map(|(_, claim)| claim).collect()
}

impl Report {
    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let words: String = self.naive_tally.words.chars().take(240).collect();
        let mut page = format!(
            "Changes of states of events created on {DAYS} days of a year, into daily partitions (seed {})\n\n{}\n{}",
            self.seed,
            table(&self.naive, &self.pumphouse),
            self.freshness.page(),
        );
        let _ = writeln!(
            page,
            "   events with a wrong state       naive writer {}, pumphouse {}, of {}",
            self.naive_wrong, self.wrong, self.events
        );
        let _ =
            writeln!(page, "\n   the server to the naive writer: {words}\n\n   pumphouse check, before it:");
        for Foretold { code, severity, what } in &self.foretold {
            let _ = writeln!(page, "   {severity} {code} {what}");
        }
        page.push_str("\n   the valve:\n");
        for line in &self.valve {
            let _ = writeln!(page, "   {line}");
        }
        page + "\n" + &verdict(&self.mistakes)
    }
}
