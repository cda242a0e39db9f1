//! `pumphouse simulate`: what a configuration at a rate means for parts and merges, and where it breaks. Asks no server.

mod chart;
mod design;
mod json;
mod svg;
mod text;

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use pumphouse_core::moment::Time;
use pumphouse_sim::merges::outcome::Outcome;
use pumphouse_sim::merges::run::run;
use pumphouse_sim::merges::scenario::Scenario;
use pumphouse_sim::merges::search::{BreakingPoint, breaking_point};

use super::configuration::{ConfigurationFile, read_or_say};
use super::rate::rate;
use crate::config::Settings;
use crate::config::settings::Stream;
use crate::fault::Exit;
use design::Design;

/// Runs that search for the breaking point are at most so long: an hour shows no more than this does.
const SEARCH_SPAN: Duration = Duration::from_mins(10);

/// New parts a second up to which the merges were compared with a real server (decision 0022: 30 table partitions, two
/// lanes, batches of a second).
const MEASURED_UP_TO: f64 = 60.0;

/// Say what parts and merges do at a rate, and at which rate it breaks, without touching any server
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse simulate --rate 40000
  pumphouse simulate --rate 2000 --spread 365d --svg parts.svg
  pumphouse simulate --rate 40000 --processes 8 --stall-merges 10m
  pumphouse simulate --rate 40000 --json | jq .breaks_at

Lives the rules by which ClickHouse merges parts and holds inserts back, with the valve that `run` has. What a merge \
takes depends on the machine: the defaults were measured on two cores; give --merge-bytes-per-second and \
--merges-at-once of yours. docs/guide/simulate.md says what it does not know.

Exit codes: 0 it holds, 2 it would break: inserts are delayed or refused, or rows come faster than they go in, \
1 the file for --svg could not be written, 64 usage, 65 configuration.")]
pub struct Simulate {
    #[command(flatten)]
    file: ConfigurationFile,
    /// The stream; may be left out where there is only one
    #[arg(long)]
    stream: Option<String>,
    /// Rows that arrive in a second
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: f64,
    /// How long to go on, in the simulation's time
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = span)]
    lasts: Duration,
    #[command(flatten)]
    design: DesignOptions,
    #[command(flatten)]
    machine: MachineOptions,
    /// Merges stand still for so long, from a quarter of the time on
    #[arg(long, value_name = "TIME", value_parser = span)]
    stall_merges: Option<Duration>,
    /// Draw the parts over time into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// The same seed gives the same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How rows spread, and who writes them.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DesignOptions {
    /// Rows of one moment have event times spread over so long
    #[arg(long, value_name = "TIME", value_parser = span)]
    spread: Option<Duration>,
    /// Table partitions that one batch touches, where the partition key is no function of time that is known here
    #[arg(long, value_name = "K", conflicts_with = "spread", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions_per_batch: Option<u32>,
    /// Processes, each with the lanes that the configuration says
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    processes: u32,
    /// Bytes that a row has on disk
    #[arg(long, value_name = "BYTES", default_value_t = design::ROW_BYTES, value_parser = positive)]
    row_bytes: f64,
    /// A setting of the tables: `parts_to_delay_insert`, `parts_to_throw_insert`, `max_parts_in_total`, `max_delay_to_insert`
    #[arg(long = "table-setting", value_name = "NAME=N", value_parser = table_setting)]
    table_settings: Vec<(String, u64)>,
}

/// What the server can do.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct MachineOptions {
    /// Bytes that one merge writes in a second
    #[arg(long, value_name = "BYTES", value_parser = positive)]
    merge_bytes_per_second: Option<f64>,
    /// Merges that run at that speed at once: the cores there are for them, or what the disks give
    #[arg(long, value_name = "N", value_parser = positive)]
    merges_at_once: Option<f64>,
    /// What an insert takes, besides its rows and parts
    #[arg(long, value_name = "TIME", value_parser = span)]
    insert_time: Option<Duration>,
    /// `background_pool_size` of the server
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pool: u32,
}

/// All that was found out.
struct Findings {
    design: Design,
    outcome: Outcome,
    with_valve: BreakingPoint,
    without_valve: BreakingPoint,
}

impl Simulate {
    /// Simulates and prints.
    ///
    /// # Errors
    /// When the drawing can't be written.
    pub fn run(self) -> anyhow::Result<Exit> {
        let settings = match read_or_say(&self.file.config) {
            Ok(settings) => settings,
            Err(exit) => return Ok(exit),
        };
        let design = chosen(&settings, self.stream.as_deref())
            .and_then(|stream| design::read(&settings, stream, &self.design, self.rate))
            .map(|design| self.completed(design));
        let design = match design {
            Ok(design) => design,
            Err(mistake) => {
                eprintln!("{mistake}");
                return Ok(Exit::Usage);
            }
        };
        let findings = find_out(design);
        if let Some(file) = &self.svg {
            let drawing = svg::drawing(&findings);
            fs::write(file, drawing).with_context(|| format!("writing {}", file.display()))?;
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&json::report(&findings))?);
        } else {
            print!("{}", text::report(&findings));
        }
        Ok(findings.exit())
    }

    /// What the options say of server and time.
    fn completed(&self, mut design: Design) -> Design {
        let scenario = &mut design.scenario;
        let machine = &mut scenario.machine;
        machine.threads = self.machine.pool;
        if let Some(bytes) = self.machine.merge_bytes_per_second {
            machine.merge_bytes_per_second = bytes;
        }
        if let Some(merges) = self.machine.merges_at_once {
            machine.merges_at_once = merges;
        }
        if let Some(takes) = self.machine.insert_time {
            scenario.insert.seconds = takes.as_secs_f64();
        }
        let begins = Time(0).after(self.lasts / 4);
        scenario.stall = self.stall_merges.map(|lasts| (begins, lasts));
        (scenario.rate, scenario.span, scenario.seed) = (self.rate, self.lasts, self.seed);
        design
    }
}

fn find_out(design: Design) -> Findings {
    let is_watched = io::stderr().is_terminal();
    let say = |what: &str| {
        if is_watched {
            // One line that is written over; nobody is left to tell where even that fails.
            let _ = write!(io::stderr(), "\r\x1b[K{what}");
        }
    };
    say("living the merges …");
    let outcome = run(&design.scenario);
    let tried = |how: &str, rate: f64| {
        say(&format!(
            "searching for the rate at which it breaks {how} the valve: {} rows/s …",
            text::grouped(rate)
        ));
    };
    let calm = Scenario {
        span: design.scenario.span.min(SEARCH_SPAN),
        stall: None,
        bursts: Vec::new(),
        ..design.scenario.clone()
    };
    let with_valve = breaking_point(&calm, |rate| tried("with", rate));
    let mut naive = calm;
    naive.writers.batches.valve = None;
    let without_valve = breaking_point(&naive, |rate| tried("without", rate));
    say("");
    Findings { design, outcome, with_valve, without_valve }
}

impl Findings {
    /// New parts a second, in all tables.
    fn parts_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let parts = self.outcome.parts_made as f64;
        parts / self.outcome.span.as_secs_f64().max(0.001)
    }

    /// Whether more parts come than anybody has seen merged as foretold.
    fn is_beyond_measured(&self) -> bool {
        self.parts_per_second() > MEASURED_UP_TO
    }

    fn exit(&self) -> Exit {
        if self.outcome.trouble().is_some() { Exit::Findings } else { Exit::Fine }
    }
}

fn chosen<'a>(settings: &'a Settings, name: Option<&str>) -> Result<&'a Stream, String> {
    let names: Vec<&str> = settings.streams.keys().map(String::as_str).collect();
    match (name, names.as_slice()) {
        (Some(name), _) => {
            let none = || format!("no stream `{name}`; there are: {}", names.join(", "));
            settings.streams.get(name).ok_or_else(none)
        }
        (None, [only]) => Ok(&settings.streams[*only]),
        (None, _) => Err(format!("say which stream with --stream: {}", names.join(", "))),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number above zero".to_owned())?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("a number above zero".to_owned()) }
}

fn span(text: &str) -> Result<Duration, String> {
    let wanted = || "a time, such as 10m, 1h30m or 365d".to_owned();
    let span: Span = text.parse().map_err(|_| wanted())?;
    let span: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wanted())?;
    Duration::try_from(span).ok().filter(|span| *span >= Duration::from_millis(1)).ok_or_else(wanted)
}

fn table_setting(text: &str) -> Result<(String, u64), String> {
    let parts =
        text.split_once('=').and_then(|(name, value)| Some((name.trim(), value.trim().parse().ok()?)));
    match parts {
        Some((name, value)) if design::SETTINGS.contains(&name) => Ok((name.to_owned(), value)),
        Some((name, _)) => Err(format!("`{name}` is none of {}", design::SETTINGS.join(", "))),
        None => Err("NAME=N, such as parts_to_delay_insert=300".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use pumphouse_sim::merges::load::Spread;

    use super::*;

    #[test]
    fn times_are_written_as_people_do() {
        assert_eq!(span("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(span("365d"), Ok(Duration::from_hours(365 * 24)));
        for text in ["", "0s", "-1h", "ten", "10"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn more_parts_than_were_measured_are_said_in_words_and_in_json() {
        let found = |partitions: u32| {
            let spread = Spread { partitions, width: None, drops_old: false };
            let mut scenario = Scenario { span: Duration::from_secs(20), ..Scenario::default() };
            scenario.tables[0].spread = spread;
            let outcome = run(&scenario);
            let point = BreakingPoint { rate: 1.0, trouble: None };
            let design = Design { scenario, stream: "events".to_owned(), assumed: Vec::new() };
            let findings = Findings { design, outcome, with_valve: point, without_valve: point };
            let report = json::report(&findings);
            (
                text::report(&findings).contains("\nbeyond what was measured: "),
                report["is_beyond_measured"] == true,
            )
        };
        assert_eq!(found(10), (false, false));
        assert_eq!(found(366), (true, true));
    }

    #[test]
    fn only_settings_that_matter_are_taken() {
        assert_eq!(table_setting("parts_to_delay_insert=300"), Ok(("parts_to_delay_insert".to_owned(), 300)));
        assert!(
            table_setting("index_granularity=1").is_err() && table_setting("parts_to_delay_insert").is_err()
        );
    }
}
