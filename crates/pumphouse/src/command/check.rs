//! `pumphouse check`: is the configuration right, and what will its design do; by the file alone, or against the servers.

mod text;

use std::time::Duration;

use serde_json::{Value, json};

use super::configuration::{self, ConfigurationFile};
use super::dead::Line;
use super::rate::whole_rate;
use crate::check::{self, Asked, Finding, Survey, finding};
use crate::config::{Mistakes, Settings};
use crate::fault::Exit;

/// Say all that is wrong with a configuration, or what it means and what its design will do
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse check -c pumphouse.yaml
  pumphouse check --rate 40000 --spread 365d
  pumphouse check --live
  pumphouse check --live --outage 60h --processes 3
  pumphouse check --json | jq '.findings[] | select(.severity != \"advice\")'

Without --live no server is asked: the file is judged, and its tables as `apply` would create them.
With --live the servers are asked: all that `run` would refuse, and more. The rate is measured over some \
seconds unless --rate says it. Nothing is changed but a scratch copy of each table, which is dropped again.

Each finding has a code: `pumphouse explain PH-0211` prints its page; docs/guide/check.md has the list.

Exit codes: 0 nothing but advice, 1 it did not work, 2 errors or warnings, \
64 usage, 65 mistakes in the file.")]
pub struct Check {
    #[command(flatten)]
    file: ConfigurationFile,
    /// Ask the servers, too
    #[arg(long)]
    live: bool,
    /// Events per second of each stream
    #[arg(long, value_name = "N", value_parser = whole_rate)]
    rate: Option<u64>,
    /// How far apart the event times in one batch lie: 2h, 30d
    #[arg(long, value_name = "SPAN", value_parser = spread)]
    spread: Option<Duration>,
    /// Processes that run at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    processes: u16,
    /// The longest time that nothing takes events
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = span)]
    outage: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Prints the verdict.
    ///
    /// # Errors
    /// When the process can't be set up.
    pub fn run(self) -> anyhow::Result<Exit> {
        let settings = match (configuration::read(&self.file.config), self.json) {
            (Ok(settings), _) => settings,
            (Err(mistakes), true) => {
                println!("{}", told(&mistakes));
                return Ok(Exit::Configuration);
            }
            (Err(mistakes), false) => {
                eprintln!("{mistakes}");
                return Ok(Exit::Configuration);
            }
        };
        let asked =
            Asked { rate: self.rate, spread: self.spread, processes: self.processes, outage: self.outage };
        let mut survey = if self.live {
            surveyed(&settings, &asked)?
        } else {
            Survey { findings: check::offline(&settings, &asked), notes: Vec::new() }
        };
        survey.findings = finding::in_order(survey.findings);
        self.say(&settings, &survey);
        Ok(finding::exit(&survey.findings))
    }

    fn say(&self, settings: &Settings, survey: &Survey) {
        if self.json {
            let findings: Vec<Value> = survey.findings.iter().map(Finding::to_json).collect();
            let settings = settings.to_redacted_json();
            let (mistakes, measured) = (Vec::<Value>::new(), &survey.notes);
            println!(
                "{}",
                json!({ "mistakes": mistakes, "findings": findings, "measured": measured, "settings": settings })
            );
        } else {
            print!("{}", text::report(&self.file.config.display().to_string(), settings, survey));
        }
    }
}

/// Asks the servers; on a terminal or in a log, a line a second says what is done.
fn surveyed(settings: &Settings, asked: &Asked) -> anyhow::Result<Survey> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut line = Line::start();
    let mut say = |doing: &str| line.say(|| format!("pumphouse: {doing}"));
    let survey = runtime.block_on(check::live(settings, asked, &mut say));
    // Questions to Kafka may still wait for an answer that nobody needs.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(survey)
}

/// The mistakes as JSON: a list under the same name as where there are none.
fn told(mistakes: &Mistakes) -> Value {
    json!({ "mistakes": mistakes.mistakes, "findings": [] })
}

/// A span in which there is something.
fn spread(text: &str) -> Result<Duration, String> {
    let nothing = || "a spread of nothing is none: leave it out, or write one such as 30d".to_owned();
    Some(span(text)?).filter(|spread| !spread.is_zero()).ok_or_else(nothing)
}

/// `90s`, `30m`, `24h`, `365d`.
fn span(text: &str) -> Result<Duration, String> {
    let expected = || "expected a whole number with `s`, `m`, `h` or `d`, such as 24h".to_owned();
    let (digits, seconds) = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or_else(expected)?;
    let number: u64 = digits.parse().map_err(|_| expected())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_with_files;

    #[test]
    fn mistakes_are_a_list() {
        let mistakes = parse_with_files("f", "streams: {}\n", &|_| None, &|_| Ok(String::new()))
            .expect_err("keys are missing");
        let whats = told(&mistakes)["mistakes"].as_array().cloned().unwrap_or_default();
        assert!(whats.len() > 1 && whats.iter().all(|mistake| mistake["what"].is_string()), "{whats:?}");
    }

    #[test]
    fn a_spread_of_nothing_is_refused() {
        assert_eq!(spread("30d"), Ok(Duration::from_hours(30 * 24)));
        assert!(spread("0d").is_err_and(|said| said.contains("leave it out")) && spread("30").is_err());
    }

    #[test]
    fn a_span_has_a_unit() {
        assert_eq!(span("24h"), Ok(Duration::from_hours(24)));
        assert_eq!(span("365d"), Ok(Duration::from_hours(365 * 24)));
        for text in ["24", "h", "-1h", "1w", "", "99999999999999999999d"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
