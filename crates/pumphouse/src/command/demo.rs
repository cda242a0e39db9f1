//! `pumphouse demo`: everything on this machine, in one command, and the count at the end. Ends with 0 only if the
//! count holds.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::demo::events::Generator;
use crate::demo::findings::command_to_try;
use crate::demo::screen::Screen;
use crate::demo::stage::Stage;
use crate::demo::{self, Wishes};
use crate::fault::{Code, Exit, Fault};

/// What to show.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  pumphouse demo --for 20s\n\nExit codes: 0 the count holds; 1 it does not, or something failed"
)]
pub struct Demo {
    /// End by itself after this time of events, like `20s` or `2m` [default: until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    pub run_for: Option<Duration>,
    /// Events per second
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Of 1,000 events, how many can't become rows
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub bad_per_mille: u16,
    /// The same seed gives the same events, apart from their times
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the count as JSON, and everything else to standard error
    #[arg(long)]
    pub json: bool,
}

impl Demo {
    /// Shows it and counts.
    ///
    /// # Errors
    /// When the count does not hold, or there is none: a server that did not start, a worker that ended by itself.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let exe = env::current_exe().context("the path of this program is not known")?;
        eprintln!("Starting ClickHouse and Kafka's mock; the very first time, ClickHouse is fetched.");
        let stage = Stage::set_up(&exe)?;
        let (url, until) = (stage.url(), self.until());
        eprintln!("ClickHouse is at {url} {until}. Try in another terminal:\n  {}\n", command_to_try(url));
        let generator = Generator::new(self.seed, self.bad_per_mille);
        let wishes = Wishes { run_for: self.run_for, rate: self.rate, generator };
        let screen = Screen::open(!self.json).context("the terminal can't be used")?;
        let count = demo::run(stage, wishes, screen)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&count)?);
        } else {
            println!("\n{}", count.table());
        }
        if count.holds {
            return Ok(Exit::Fine.into());
        }
        let folder = count.folder.map(|folder| format!("the worker's log is in {}", folder.display()));
        let what = count.mistakes.first().map_or("", String::as_str);
        Err(Fault::new(Code::DemoCountWrong, "the demo", what).advise(folder.unwrap_or_default()).into())
    }

    fn until(&self) -> String {
        match self.run_for {
            Some(run_for) => format!("for {} s and the count", run_for.as_secs()),
            None => "until Ctrl-C and the count".to_owned(),
        }
    }
}

/// A time as people write it: a whole number with `s`, `m` or `h`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let wanted = || "write a whole number with a unit, like `20s`, `5m` or `1h`".to_owned();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wanted()),
    };
    let number: u64 = text[..text.len() - unit.len()].parse().map_err(|_| wanted())?;
    let time = number.checked_mul(seconds).filter(|seconds| (1..=86_400).contains(seconds));
    time.map(Duration::from_secs).ok_or_else(|| "at least 1 second and at most a day".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(parse_time("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(parse_time("1h"), Ok(Duration::from_hours(1)));
        for wrong in ["", "20", "s", "1.5s", "-1s", "0s", "25h", "20 s", "99999999999999999999s"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
