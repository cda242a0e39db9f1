//! `pumphouse audit`: every offset of a topic against rows and dead letters.

mod json;
mod text;

use std::io::{self, IsTerminal, Write as _};
use std::sync::Arc;

use pumphouse_clickhouse::client::Client;
use pumphouse_core::moment::ServerTime;
use pumphouse_core::offset::Partition;

use super::configuration::{ConfigurationFile, read_or_say};
use super::counted::counted;
use super::dead::{Line, replay_ground, time};
use crate::audit::report::Report;
use crate::audit::{Asked, Ground, Progress, Said, repair};
use crate::config::Settings;
use crate::config::settings::Stream;
use crate::drive::ready;
use crate::fault::{Code, Exit};
use crate::replay::{LETTERS_MAX, inspect_log};
use crate::telemetry;

/// Compare every settled offset with the rows and dead letters
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse audit
  pumphouse audit requests --from 2h
  pumphouse audit requests --partition 3 --from 120000 --to 180000 --json
  pumphouse audit requests --repair
  pumphouse audit requests --repair --yes

Audits up to the offsets that are settled; beside `run`, too. Sums by range in ClickHouse come first; \
the topic is read only where these do not show that all is there, or where several tables share it. \
Inserts and deletes nothing, unless with --repair: that shows what is missing, and makes rows of it \
once you say yes. Rows that are doubled are never removed: the statement that would is printed.

Exit codes: 0 nothing is lost or doubled, 1 it did not work, 2 something is lost or doubled, \
or a table can't tell, 64 usage, 65 configuration, 69 a server was not reached, \
70 a repair stopped for a reason that needs a person.")]
pub struct Audit {
    /// The stream; all of them where none is named
    stream: Option<String>,
    #[command(flatten)]
    file: ConfigurationFile,
    /// From this offset, or time: 1200, 2026-11-21T10:00:00Z, 2026-11-21, or 2h for two hours ago
    #[arg(long, value_name = "WHERE", value_parser = said)]
    from: Option<Said>,
    /// Up to this offset, which is not included, or time
    #[arg(long, value_name = "WHERE", value_parser = said)]
    to: Option<Said>,
    /// Only this partition
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
    /// Make rows of what is missing, after showing it
    #[arg(long)]
    repair: bool,
    /// Repair without a question
    #[arg(long, requires = "repair")]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Audit {
    /// Audits, and repairs where that is asked for.
    ///
    /// # Errors
    /// When a server does not answer or refuses.
    pub fn run(self) -> anyhow::Result<Exit> {
        let settings = match read_or_say(&self.file.config) {
            Ok(settings) => Arc::new(settings),
            Err(exit) => return Ok(exit),
        };
        if let Some(name) = self.stream.as_ref().filter(|name| !settings.streams.contains_key(*name)) {
            eprintln!("no stream `{name}` in {}", self.file.config.display());
            return Ok(Exit::Usage);
        }
        telemetry::init(settings.process.log)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = ready::reach_now(&settings.clickhouse).await?;
            let meant = |stream: &&Stream| self.stream.as_ref().is_none_or(|name| *name == stream.name);
            let (mut exit, mut told) = (Exit::Fine, Vec::new());
            for stream in settings.streams.values().filter(meant) {
                let (ended, object) = self.audit(&settings, &client, stream).await?;
                told.push(object);
                if ended != Exit::Fine {
                    exit = ended;
                }
            }
            if self.json {
                println!("{}", serde_json::json!({ "streams": told }));
            }
            Ok(exit)
        })
    }

    async fn audit(
        &self,
        settings: &Arc<Settings>,
        client: &Client,
        stream: &Stream,
    ) -> anyhow::Result<(Exit, serde_json::Value)> {
        let ground = Ground::of(settings, client, stream).await?;
        let report = self.look(&ground).await?;
        if !self.json {
            print!("{}", text::report(&report, &ground));
        }
        let counts = report.counts();
        let mut object = json::report(&report);
        let (mut lost, mended) = (counts.lost(), self.repair && counts.lost() > 0);
        if mended && self.is_agreed(lost)? {
            let left = self.mend(&ground, &report, &mut object).await?;
            lost = left;
        }
        let is_fine = lost == 0 && counts.doubled == 0 && report.mute.is_empty();
        Ok((if is_fine { Exit::Fine } else { Exit::Findings }, object))
    }

    async fn look(&self, ground: &Ground) -> anyhow::Result<Report> {
        let asked = Asked { from: self.from, to: self.to, partition: self.partition.map(Partition) };
        let (mut line, mut rows, mut messages, mut judged) = (Line::start(), 0, 0, 0);
        let mut progress = |progress| {
            match progress {
                Progress::Rows(more) => rows += more,
                Progress::Messages(more, _) => messages += more,
                Progress::Judged(more, _) => judged += more,
            }
            line.say(|| match progress {
                Progress::Rows(_) => format!("summing up: {rows} rows looked through"),
                Progress::Messages(_, of) => format!("reading the topic: {messages} messages of about {of}"),
                Progress::Judged(_, of) => format!("judging one by one: {judged} offsets of {of}"),
            });
        };
        Ok(crate::audit::audit(ground, asked, &mut progress).await?)
    }

    /// Whether a repair goes ahead: said so, or answered so at a terminal.
    fn is_agreed(&self, lost: u64) -> anyhow::Result<bool> {
        if self.yes {
            return Ok(true);
        }
        if self.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            if !self.json {
                println!("nothing was repaired: add --yes");
            }
            return Ok(false);
        }
        eprint!("make rows of {}? [y/N] ", counted(lost, "missing record"));
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    /// Repairs; what is missing still.
    async fn mend(
        &self,
        ground: &Ground,
        report: &Report,
        object: &mut serde_json::Value,
    ) -> anyhow::Result<u64> {
        inspect_log(&ground.client).await?;
        let replay = replay_ground(&ground.settings, &ground.client, &ground.stream, LETTERS_MAX).await?;
        let replay = match replay {
            Ok(replay) => replay,
            Err(findings) => {
                for finding in findings {
                    eprintln!("{finding}");
                }
                return Ok(report.counts().lost());
            }
        };
        let mut line = Line::start();
        let mut progress = |so_far: &crate::audit::Repaired| {
            line.say(|| format!("repairing: {} rows so far", so_far.rows));
        };
        let repaired = repair(ground, &replay, report, &mut progress).await?;
        if self.json {
            object["repaired"] = json::repaired(&repaired);
        } else {
            print!("{}", text::repaired(&repaired));
        }
        Ok(repaired.left)
    }
}

/// An offset, or a time.
fn said(text: &str) -> Result<Said, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Said::Offset).map_err(|error| error.to_string());
    }
    match time(text) {
        Ok(at) => Ok(Said::Time(ServerTime(at.as_millisecond()))),
        Err(reason) => Err(format!("an offset, or {reason}")),
    }
}

/// The page that says most about a report.
fn code_of(report: &Report) -> Option<Code> {
    let counts = report.counts();
    match (counts.lost(), counts.doubled, report.mute.is_empty()) {
        (1.., _, _) => Some(Code::RecordsMissing),
        (0, 1.., _) => Some(Code::RowsDoubled),
        (0, 0, false) => Some(Code::AuditMute),
        (0, 0, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_an_offset_or_a_time() {
        assert_eq!(said("1200"), Ok(Said::Offset(1_200)));
        let time = ServerTime(1_795_219_200_000);
        assert_eq!(said("2026-11-21T00:00:00Z"), Ok(Said::Time(time)));
        assert_eq!(said("2026-11-21"), Ok(Said::Time(time)));
        for text in ["", "-1", "soon", "99999999999999999999"] {
            assert!(said(text).is_err(), "{text}");
        }
    }
}
