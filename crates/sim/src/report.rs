//! What many histories came to, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use pumphouse_sim::fault::{Fault, KINDS};
use pumphouse_sim::world::History;

/// Failures that are told one by one; the rest is counted.
const SHOWN_MAX: usize = 20;

/// Histories, added up.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How many.
    pub(crate) histories: u64,
    /// Seeds whose history broke a rule, and which.
    pub(crate) failures: BTreeMap<u64, String>,
    events: u64,
    rows: u64,
    seconds: u64,
    late_refused: u64,
    given_up: u64,
    recovered: u64,
    struck: Vec<u64>,
    halts: BTreeMap<&'static str, u64>,
}

impl Report {
    /// Adds one history.
    pub(crate) fn add(&mut self, history: History) {
        self.histories += 1;
        self.events += history.events;
        self.rows += history.rows;
        self.seconds += history.time / 1000;
        self.late_refused += history.late_refused;
        self.given_up += history.given_up;
        self.recovered += history.recovered;
        self.strike(&history.struck);
        for (reason, count) in history.halts {
            *self.halts.entry(reason).or_default() += count;
        }
        self.failures.extend(history.failure.map(|failure| (history.seed, failure)));
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, other: Self) {
        self.histories += other.histories;
        self.events += other.events;
        self.rows += other.rows;
        self.seconds += other.seconds;
        self.late_refused += other.late_refused;
        self.given_up += other.given_up;
        self.recovered += other.recovered;
        self.strike(&other.struck);
        for (reason, count) in other.halts {
            *self.halts.entry(reason).or_default() += count;
        }
        self.failures.extend(other.failures);
    }

    fn strike(&mut self, struck: &[u64]) {
        self.struck.resize(KINDS, 0);
        for (sum, more) in self.struck.iter_mut().zip(struck) {
            *sum += more;
        }
    }

    /// For people.
    pub(crate) fn text(&self, took: Duration) -> String {
        let mut text = String::new();
        let mut line = |what: std::fmt::Arguments<'_>| writeln!(text, "{what}").expect("text grows");
        line(format_args!("faults by kind"));
        for (fault, count) in Fault::ALL.into_iter().zip(&self.struck) {
            line(format_args!("  {:<28}{count:>12}", fault.name()));
        }
        line(format_args!("halts that these justify"));
        for (reason, count) in &self.halts {
            line(format_args!("  {reason:<28}{count:>12}"));
        }
        line(format_args!(
            "{} claims recovered, {} inserts refused for their deadline, {} tokens given up",
            self.recovered, self.late_refused, self.given_up
        ));
        line(format_args!(
            "{} histories, {} events, {} rows, {} simulated hours in {:.1} s: {:.0} histories a second",
            self.histories,
            self.events,
            self.rows,
            self.seconds / 3600,
            took.as_secs_f64(),
            per_second(self.histories, took),
        ));
        line(format_args!("{} failed", self.failures.len()));
        for (seed, failure) in self.failures.iter().take(SHOWN_MAX) {
            line(format_args!("  {failure}\n    cargo xtask sim --seed {seed}"));
        }
        if self.failures.len() > SHOWN_MAX {
            line(format_args!("  and {} more", self.failures.len() - SHOWN_MAX));
        }
        text
    }

    /// For machines.
    pub(crate) fn json(&self, took: Duration) -> String {
        let faults = Fault::ALL.into_iter().zip(&self.struck);
        let faults: Vec<String> =
            faults.map(|(fault, count)| format!("{}: {count}", quoted(fault.name()))).collect();
        let halts: Vec<String> =
            self.halts.iter().map(|(reason, count)| format!("{}: {count}", quoted(reason))).collect();
        let failures = self.failures.iter();
        let failures: Vec<String> = failures
            .map(|(seed, what)| format!("{{\"seed\": {seed}, \"what\": {}}}", quoted(what)))
            .collect();
        format!(
            "{{\"histories\": {}, \"events\": {}, \"rows\": {}, \"seconds\": {:.3}, \"per_second\": {:.0}, \
             \"recovered\": {}, \"late_refused\": {}, \"given_up\": {}, \
             \"faults\": {{{}}}, \"halts\": {{{}}}, \"failures\": [{}]}}\n",
            self.histories,
            self.events,
            self.rows,
            took.as_secs_f64(),
            per_second(self.histories, took),
            self.recovered,
            self.late_refused,
            self.given_up,
            faults.join(", "),
            halts.join(", "),
            failures.join(", "),
        )
    }
}

/// How many a second.
pub(crate) fn per_second(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let count = count as f64;
    count / took.as_secs_f64().max(0.001)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
