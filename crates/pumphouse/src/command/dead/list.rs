//! `dead list`: the letters that are meant, and how many of which code.

use serde_json::json;

use super::options::{Filters, connected};
use super::text;
use crate::command::configuration::ConfigurationFile;
use crate::command::counted::counted;
use crate::fault::{Code, Exit};
use crate::replay::filter::Fate;
use crate::replay::{inspect_log, letters};

/// List dead letters, newest last, with counts by code
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse dead list --stream requests --since 2h
  pumphouse dead list --code PH-0104 --partition 3 --offsets 1200..1800
  pumphouse dead list --summary
  pumphouse dead list --json | jq -r '.letters[].reason'

Exit codes: 0 listed, 1 ClickHouse refused, 2 a table is missing, 64 usage, 65 configuration, \
69 ClickHouse was not reached.")]
pub struct List {
    #[command(flatten)]
    file: ConfigurationFile,
    #[command(flatten)]
    filters: Filters,
    /// Show at most so many, the newest
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u64,
    #[command(flatten)]
    fates: Fates,
    /// Only the counts
    #[arg(long)]
    summary: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which letters by what became of them; open ones where nothing is said.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Fates {
    /// Resolved ones too
    #[arg(long)]
    all: bool,
    /// Only resolved ones
    #[arg(long, conflicts_with = "all")]
    resolved: bool,
}

impl Fates {
    fn fate(self) -> Fate {
        match (self.all, self.resolved) {
            (true, _) => Fate::All,
            (_, true) => Fate::Resolved,
            _ => Fate::Open,
        }
    }
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let fate = self.fates.fate();
        let filter = self.filters.filter(fate);
        connected(&self.file, async |_, client| {
            inspect_log(&client).await?;
            let counts = letters::summary(&client, &filter).await?;
            let letters =
                if self.summary { Vec::new() } else { letters::newest(&client, &filter, self.limit).await? };
            let sum: u64 = counts.iter().map(|count| count.letters).sum();
            if self.json {
                println!("{}", json!({ "letters": letters, "summary": counts, "count": sum }));
            } else {
                if !letters.is_empty() {
                    println!("{}", text::list(&letters));
                }
                if !counts.is_empty() {
                    println!("{}", text::summary(&counts, title));
                }
                let what = match fate {
                    Fate::Open => "open ",
                    Fate::Resolved => "resolved ",
                    Fate::All => "",
                };
                println!("{}", counted(sum, &format!("{what}dead letter")));
            }
            Ok(Exit::Fine)
        })
    }
}

fn title(code: &str) -> String {
    code.parse::<Code>().map_or_else(|_| String::new(), |code| code.title().to_owned())
}
