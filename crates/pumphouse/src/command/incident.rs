//! `internal incident 001|002|003`: an incident from elsewhere, shown again on real servers, and a report. Ends with 0 only if
//! all of it holds.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

use crate::demo::incident::{self, Failure};
use crate::demo::parts::session::Length;
use crate::demo::parts::{flood, year};
use crate::fault::Exit;

/// Which one to show.
#[derive(Clone, Debug, clap::Args)]
pub struct Incident {
    /// Its number
    #[arg(value_parser = ["001", "002", "003"])]
    number: String,
    /// Take half of the time; 001 and 002 only
    #[arg(long, hide = true)]
    half: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// A report of any of them.
struct Report {
    json: serde_json::Result<Value>,
    page: String,
    holds: bool,
}

impl Incident {
    /// Shows it; each step is a line on standard error.
    ///
    /// # Errors
    /// When there is no report.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let exe = env::current_exe().context("the path of this program is not known")?;
        let begun = Instant::now();
        let mut say = |step: &str| eprintln!("{:>5.1} s  {step}", begun.elapsed().as_secs_f64());
        let length = if self.half { Length::Half } else { Length::Whole };
        let report = show(&self.number, (&exe, length), &mut say)
            .with_context(|| format!("incident {}", self.number))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report.json?)?);
        } else {
            println!("\n{}", report.page);
        }
        Ok(if report.holds { Exit::Fine } else { Exit::Failed }.into())
    }
}

fn show(number: &str, (exe, length): (&Path, Length), say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    match number {
        "001" => year::run(exe, length, say).map(|report| Report {
            json: serde_json::to_value(&report),
            page: report.page(),
            holds: report.holds,
        }),
        "002" => flood::run(exe, length, say).map(|report| Report {
            json: serde_json::to_value(&report),
            page: report.page(),
            holds: report.holds,
        }),
        _ => incident::run(exe, say).map(|report| Report {
            json: serde_json::to_value(&report),
            page: report.page(),
            holds: report.holds,
        }),
    }
}
