//! `dead purge`: deletes letters, after asking.

use std::io::{self, IsTerminal, Write};

use serde_json::json;

use super::options::{Filters, connected};
use crate::command::configuration::ConfigurationFile;
use crate::fault::Exit;
use crate::replay::filter::Fate;
use crate::replay::purge::{self, Purged};
use crate::replay::{inspect_log, letters};

/// Delete dead letters
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse dead purge --until 30d --yes
  pumphouse dead purge --stream requests --code PH-0100 --open

Only resolved letters are deleted, unless --open is said; of an open one stays noted that it was given up.
Exit codes: 0 deleted, or nothing was meant, 1 not confirmed, or a replay is under way, 2 a table is missing,
64 usage, 65 configuration, 69 ClickHouse was not reached.")]
pub struct Purge {
    #[command(flatten)]
    file: ConfigurationFile,
    #[command(flatten)]
    filters: Filters,
    /// Open ones too: their records are given up
    #[arg(long)]
    open: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Purge {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let filter = self.filters.filter(if self.open { Fate::All } else { Fate::Resolved });
        connected(&self.file, async |settings, client| {
            inspect_log(&client).await?;
            let counts = letters::summary(&client, &filter).await?;
            let sum: u64 = counts.iter().map(|count| count.letters).sum();
            if sum > 0 && !self.yes && !confirmed(sum)? {
                eprintln!("nothing was deleted; say --yes where nobody can be asked");
                return Ok(Exit::Failed);
            }
            let mut progress = super::replay::Progress::start();
            let mut say = |purged: &Purged| {
                progress.say(|| format!("{} of {sum} letters deleted", purged.resolved + purged.open));
            };
            let purged = purge::purge(&client, &settings, &filter, &mut say).await?;
            if self.json {
                println!("{}", json!({ "purged": purged }));
            } else {
                println!("{} resolved and {} open dead letters deleted", purged.resolved, purged.open);
            }
            Ok(Exit::Fine)
        })
    }
}

/// Asks on a terminal; elsewhere nobody can be asked.
fn confirmed(letters: u64) -> io::Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("delete {letters} dead letters for good? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
