//! `dead replay`: letters that have become fit become rows, each once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use pumphouse_clickhouse::client::Client;
use pumphouse_clickhouse::preflight::Finding;
use pumphouse_core::replay::SAFE_AGE_MAX;
use serde_json::json;

use super::options::{Filters, connected};
use crate::command::configuration::ConfigurationFile;
use crate::command::counted::counted;
use crate::command::run::ready_stream;
use crate::config::Settings;
use crate::config::settings::{DeadLetters, Stream, Table};
use crate::fault::{Code, Exit};
use crate::replay::filter::{Fate, Filter};
use crate::replay::session::{self, Ground, Report};
use crate::replay::{LETTERS_MAX, inspect_log, letters};

/// Make rows of dead letters that have become fit
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse dead replay --stream requests --dry-run
  pumphouse dead replay --stream requests --code PH-0104
  pumphouse dead replay --json | jq .streams

Change the configuration first; `run` may go on meanwhile. Each letter becomes a row at most once, \
also when this is killed, or runs twice at once: the next replay finishes what was under way. \
Letters that are still bad stay as they are.

Exit codes: 0 none of those that were meant stays, 1 it did not work, 2 some stay, \
or a table has to be changed first, 64 usage, 65 configuration, 69 ClickHouse was not reached, \
70 stopped for a reason that needs a person.")]
pub struct Replay {
    #[command(flatten)]
    file: ConfigurationFile,
    #[command(flatten)]
    filters: Filters,
    /// Only say what would become rows, and which reasons remain
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// For how many seconds tokens are relied on
    #[arg(long, hide = true, default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..=60))]
    safe_age: u64,
    /// Letters of one entry of the log
    #[arg(long, hide = true, default_value_t = LETTERS_MAX)]
    letters_max: usize,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        connected(&self.file, async |settings, client| self.replay_all(settings, client).await)
    }

    async fn replay_all(&self, settings: Settings, client: Client) -> anyhow::Result<Exit> {
        inspect_log(&client).await?;
        let settings = Arc::new(settings);
        if let Some(name) = self.filters.stream.as_ref().filter(|name| !settings.streams.contains_key(*name))
        {
            eprintln!("no stream `{name}` in {}", self.file.config.display());
            return Ok(Exit::Usage);
        }
        let mut reports = Vec::new();
        let meant = |stream: &&Stream| self.filters.stream.as_ref().is_none_or(|name| *name == stream.name);
        for stream in settings.streams.values().filter(meant) {
            let ground = match self.ground(&settings, &client, stream).await? {
                Ok(ground) => ground,
                Err(exit) => return Ok(exit),
            };
            let report = self.replay(&ground).await?;
            if !self.json {
                println!("{}", told(&report, self.dry_run));
            }
            reports.push(report);
        }
        let filter = self.filters.filter(Fate::Open);
        let others = other_topics(&settings, &client, &filter).await?;
        if self.json {
            println!("{}", json!({ "dry_run": self.dry_run, "streams": reports, "of_other_topics": others }));
        } else if others > 0 {
            let others = counted(others, "letter");
            println!("{others} of streams or topics that this configuration does not read: not looked at");
        }
        let stays = |report: &Report| !report.remaining.is_empty() || report.missed + report.anew > 0;
        Ok(if reports.iter().any(stays) { Exit::Findings } else { Exit::Fine })
    }

    /// The stream with its tables looked at, or how the command ends where these have to be changed.
    async fn ground(
        &self,
        settings: &Arc<Settings>,
        client: &Client,
        stream: &Stream,
    ) -> anyhow::Result<Result<Ground, Exit>> {
        let mut ground = match replay_ground(settings, client, stream, self.letters_max).await? {
            Ok(ground) => ground,
            Err(refused) => {
                for finding in refused {
                    eprintln!("{finding}");
                }
                return Ok(Err(Exit::Findings));
            }
        };
        ground.safe_age = ground.safe_age.min(Duration::from_secs(self.safe_age));
        Ok(Ok(ground))
    }

    async fn replay(&self, ground: &Ground) -> anyhow::Result<Report> {
        let filter = self.filters.filter(Fate::Open);
        let mut progress = Progress::start();
        let mut say = |report: &Report| {
            let Report { seen, replayed, found, .. } = report;
            progress.say(|| format!("{seen} letters looked at, {replayed} replayed, {found} found"));
        };
        if self.dry_run {
            return Ok(session::rehearse(ground, &filter, &mut say).await?);
        }
        Ok(session::replay(ground, &filter, &mut say).await?)
    }
}

/// The stream with its tables looked at; what has to be changed first where something has.
pub(in crate::command) async fn replay_ground(
    settings: &Arc<Settings>,
    client: &Client,
    stream: &Stream,
    letters_max: usize,
) -> anyhow::Result<Result<Ground, Vec<Finding>>> {
    let mut stream = stream.clone();
    // What is bad of a letter in part becomes a letter again, also where `run` keeps none; no topic gets it.
    stream.dead_letters = DeadLetters { table: true, topic: None };
    let (mut ready, refused) = ready_stream(settings, client, &stream, 0).await?;
    if !refused.is_empty() {
        return Ok(Err(refused));
    }
    let tables = |of: &Stream| of.tables.iter().map(Table::full_name).collect::<Vec<_>>();
    let others: Vec<String> =
        settings.streams.values().filter(|other| other.name != stream.name).flat_map(tables).collect();
    for target in &mut ready.targets {
        if others.contains(&target.name()) {
            // Another stream's rows have partitions and offsets, too.
            target.lineage = None;
        }
    }
    let safe_age = ready.safe_age.min(SAFE_AGE_MAX);
    if safe_age < Duration::from_secs(3) {
        bail!("a table of stream `{}` remembers tokens for too short a time to replay", stream.name);
    }
    let targets = ready.targets;
    let (settings, client) = (Arc::clone(settings), client.clone());
    Ok(Ok(Ground { settings, client, stream, targets, safe_age, letters_max }))
}

/// Letters that are meant, of streams or topics that the configuration does not have.
async fn other_topics(settings: &Settings, client: &Client, filter: &Filter) -> anyhow::Result<u64> {
    let found = letters::topics(client, filter).await?;
    let known = |stream: &str, topic: &str| settings.streams.get(stream).is_some_and(|s| s.topic == topic);
    let others = found.iter().filter(|(stream, topic, _)| !known(stream, topic));
    Ok(others.map(|(_, _, letters)| letters).sum())
}

fn told(report: &Report, dry_run: bool) -> String {
    let Report { stream, seen, replayed, found, filtered, missed, anew, .. } = report;
    let Report { remaining, entries, finished, .. } = report;
    let becomes = if dry_run { "would become rows" } else { "became rows" };
    let mut lines = vec![
        format!("stream {stream}: {} looked at", counted(*seen, "open letter")),
        format!("  {replayed} {becomes}"),
        format!("  {found} are rows already"),
        format!("  {filtered} stand for no row now"),
    ];
    if *missed > 0 {
        lines.push(format!("  {missed} are open again: their entry ended before they were rows"));
    }
    if *anew > 0 {
        lines.push(format!("  {} made anew, for what is still bad of these", counted(*anew, "letter")));
    }
    let stay: u64 = remaining.values().map(|remaining| remaining.letters).sum();
    lines.push(format!("  {stay} stay"));
    for (code, of_code) in remaining {
        let title = code.parse::<Code>().map_or("", Code::title);
        lines.push(format!("    {code} {title}: {}, such as: {}", of_code.letters, of_code.reason));
    }
    if !dry_run {
        let entries = counted(*entries, "entry");
        lines.push(format!("  {entries} settled, {finished} of them begun by another replay"));
    }
    lines.join("\n")
}

/// A line on standard error, at most once a second.
pub(in crate::command) struct Progress {
    next: Instant,
}

impl Progress {
    pub(in crate::command) fn start() -> Self {
        Self { next: Instant::now() + Duration::from_secs(1) }
    }

    pub(in crate::command) fn say(&mut self, line: impl FnOnce() -> String) {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + Duration::from_secs(1);
            eprintln!("{}", line());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::session::Remaining;

    #[test]
    fn a_report_says_what_stays_and_why() {
        let reason = "expected UInt16, found the number 70000".to_owned();
        let remaining = [("PH-0104".to_owned(), Remaining { letters: 100, reason })].into();
        let report = Report {
            stream: "requests".to_owned(),
            seen: 10_000,
            replayed: 9_800,
            found: 100,
            remaining,
            entries: 2,
            finished: 1,
            ..Report::default()
        };
        insta::assert_snapshot!(told(&report, false), @r#"
        stream requests: 10000 open letters looked at
          9800 became rows
          100 are rows already
          0 stand for no row now
          100 stay
            PH-0104 out of range: 100, such as: expected UInt16, found the number 70000
          2 entries settled, 1 of them begun by another replay
        "#);
        insta::assert_snapshot!(told(&report, true).lines().nth(1).unwrap_or_default(), @r#"  9800 would become rows"#);
    }
}
