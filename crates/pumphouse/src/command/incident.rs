//! `internal incident 003`: an incident from elsewhere, shown again on real servers, and a report. Ends with 0 only if
//! all of it holds.

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

use crate::demo::incident;
use crate::fault::Exit;

/// Which one to show.
#[derive(Clone, Debug, clap::Args)]
pub struct Incident {
    /// Its number
    #[arg(value_parser = ["003"])]
    number: String,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
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
        let report = incident::run(&exe, &mut say).with_context(|| format!("incident {}", self.number))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!("\n{}", report.page());
        }
        Ok(if report.holds { Exit::Fine } else { Exit::Failed }.into())
    }
}
