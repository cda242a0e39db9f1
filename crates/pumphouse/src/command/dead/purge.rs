//! `dead purge`: deletes letters, after asking.

use std::io::{self, IsTerminal, Write};

use pumphouse_clickhouse::client::Client;
use serde_json::json;

use super::options::{Filters, connected};
use crate::command::configuration::ConfigurationFile;
use crate::command::counted::counted;
use crate::fault::Exit;
use crate::replay::filter::{Fate, Filter};
use crate::replay::purge::{self, Purged};
use crate::replay::{inspect_log, letters};

/// Delete dead letters
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse dead purge --until 30d --yes
  pumphouse dead purge --stream requests --code PH-0100 --open

Only resolved letters are deleted, unless --open is said; of an open one stays noted that it was \
given up.

Exit codes: 0 deleted, or nothing was meant, 1 not confirmed, or a replay is under way, \
2 a table is missing, 64 usage, 65 configuration, 69 ClickHouse was not reached.")]
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
            let sum = meant(&client, &filter).await?;
            if sum > 0 && !self.yes {
                let open = if self.open { meant(&client, &open_ones(&filter)).await? } else { 0 };
                if let Some(refusal) = refused(&Purged { resolved: sum.saturating_sub(open), open })? {
                    eprintln!("{refusal}");
                    return Ok(Exit::Failed);
                }
            }
            let mut progress = super::replay::Progress::start();
            let mut say = |purged: &Purged| {
                progress.say(|| format!("{} of {sum} letters deleted", purged.resolved + purged.open));
            };
            let purged = purge::purge(&client, &settings, &filter, &mut say).await?;
            if self.json {
                println!("{}", json!({ "purged": purged }));
            } else {
                println!("{} deleted", both(&purged));
            }
            Ok(Exit::Fine)
        })
    }
}

/// How many letters a filter means.
async fn meant(client: &Client, filter: &Filter) -> anyhow::Result<u64> {
    let counts = letters::summary(client, filter).await?;
    Ok(counts.iter().map(|count| count.letters).sum())
}

fn open_ones(filter: &Filter) -> Filter {
    Filter { fate: Fate::Open, ..filter.clone() }
}

/// Why nothing is deleted, where so: asked on a terminal; elsewhere nobody can be asked.
fn refused(meant: &Purged) -> io::Result<Option<&'static str>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(Some("nothing was deleted; say --yes where nobody can be asked"));
    }
    eprint!("delete {} for good? [y/N] ", both(meant));
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    let confirmed = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    Ok((!confirmed).then_some("nothing was deleted"))
}

/// `5 resolved dead letters and 1 open one`
fn both(Purged { resolved, open }: &Purged) -> String {
    match (resolved, open) {
        (_, 0) => counted(*resolved, "resolved dead letter"),
        (0, _) => counted(*open, "open dead letter"),
        _ => format!("{} and {}", counted(*resolved, "resolved dead letter"), counted(*open, "open one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_letters_are_counted_apart() {
        let said = |resolved, open| both(&Purged { resolved, open });
        assert_eq!(said(0, 0), "0 resolved dead letters");
        assert_eq!(said(1, 0), "1 resolved dead letter");
        assert_eq!(said(0, 2), "2 open dead letters");
        assert_eq!(said(5, 1), "5 resolved dead letters and 1 open one");
    }
}
