//! `pumphouse settings`: what stands for the settings that follow the rate, what was changed, and back to what stood before.

use std::fmt::Write as _;

use anyhow::Context;
use clap::Subcommand;
use pumphouse_clickhouse::client::Client;
use serde::Serialize;

use super::configuration::{ConfigurationFile, read_or_say};
use crate::config::settings::{Settings, Table};
use crate::drive::ready;
use crate::fault::Exit;
use crate::sink::table_settings::{self, Change, Changed, Owner, Standing, What};
use crate::telemetry;

/// The parts of `settings`.
#[derive(Debug, Subcommand)]
pub enum TableSettings {
    /// Show the settings that follow the rate, what stands, and what stood before
    #[command(after_help = "\
Exit codes: 0 shown, 1 ClickHouse refused, 64 usage, 65 configuration, 69 ClickHouse was not reached.")]
    Show(Options),
    /// Set what stood before the first change, in every table of the configuration; a value that somebody else has set since stays
    #[command(after_help = "\
A process whose configuration still has the curve sets it again: take `settings_by_rate` out first.

Exit codes: 0 done, 1 ClickHouse refused, 64 usage, 65 configuration, 69 ClickHouse was not reached.")]
    Revert(Options),
}

/// What both take.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigurationFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One setting of a table on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    server: String,
    table: String,
    setting: String,
    /// What holds now.
    value: Option<String>,
    /// Its curve: events per second and values.
    curve: Vec<(u64, u64)>,
    /// The first change since the last revert.
    changed: Option<Changed>,
    /// Whether a revert leaves it, because it is not what was set last.
    left: bool,
}

impl TableSettings {
    /// Does one of them.
    ///
    /// # Errors
    /// When ClickHouse does not answer or refuses.
    pub fn run(self) -> anyhow::Result<Exit> {
        let (Self::Show(options) | Self::Revert(options)) = &self;
        let settings = match read_or_say(&options.file.config) {
            Ok(settings) => settings,
            Err(exit) => return Ok(exit),
        };
        telemetry::init(settings.process.log)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let lines = runtime.block_on(async {
            let client = ready::reach_now(&settings.clickhouse).await?;
            match &self {
                Self::Show(_) => show(&settings, &client).await,
                Self::Revert(_) => revert(&settings, &client).await,
            }
        })?;
        if options.json {
            println!("{}", serde_json::to_string(&lines)?);
        } else if lines.is_empty() {
            println!("no setting follows the rate, and none is changed");
        } else {
            let word = if matches!(self, Self::Show(_)) { "now" } else { "again" };
            for line in &lines {
                println!("{}", line.text(word));
            }
        }
        Ok(Exit::Fine)
    }
}

impl Line {
    fn text(&self, word: &str) -> String {
        let value = self.value.as_deref().unwrap_or("not known to the server");
        let mut text = format!("{} {} on {}: {word} {value}", self.table, self.setting, self.server);
        if let Some(Changed { change, .. }) = &self.changed {
            let default = if change.was_set == 1 { "" } else { " (the server's default)" };
            let Change { old_value, new_value, .. } = change;
            let _ = write!(text, "; before the first change {old_value}{default}, last set to {new_value}");
        }
        if self.left {
            text.push_str("; left alone, for somebody else has set it since");
        }
        if !self.curve.is_empty() {
            let points: Vec<String> =
                self.curve.iter().map(|(rate, value)| format!("{rate}: {value}")).collect();
            let _ = write!(text, "; curve {{ {} }}", points.join(", "));
        }
        text
    }
}

fn tables(settings: &Settings) -> impl Iterator<Item = &Table> {
    settings.streams.values().flat_map(|stream| &stream.tables)
}

/// The changes of a table; none where nobody ever made the table of changes.
async fn changed(client: &Client, url_index: usize, table: &Table) -> anyhow::Result<Vec<Changed>> {
    let there = client
        .query("SELECT count() AS n FROM system.tables WHERE database = 'pumphouse' AND name = 'setting_changes'")
        .at(url_index)
        .row::<Count>()
        .await?;
    if there.n == 0 {
        return Ok(Vec::new());
    }
    let changed = table_settings::changed(client, url_index, (&table.database, &table.name)).await;
    changed.with_context(|| format!("the changes of {} on {}", table.full_name(), client.url(url_index)))
}

#[derive(serde::Deserialize)]
struct Count {
    n: u64,
}

async fn show(settings: &Settings, client: &Client) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for table in tables(settings) {
        for url_index in 0..client.url_count() {
            let changed = changed(client, url_index, table).await?;
            let mut names: Vec<&String> = table
                .settings_by_rate
                .keys()
                .chain(changed.iter().map(|changed| &changed.change.setting))
                .collect();
            names.sort_unstable();
            names.dedup();
            if names.is_empty() {
                continue;
            }
            let place = (table.database.as_str(), table.name.as_str());
            let asked = names.iter().map(|name| name.as_str());
            let standing = table_settings::standing(client, url_index, place, asked).await?;
            lines.extend(names.into_iter().map(|name| Line {
                server: client.url(url_index).to_owned(),
                table: table.full_name(),
                setting: name.clone(),
                value: standing.get(name).map(|standing| standing.value.clone()),
                curve:
                    table.settings_by_rate.get(name).map(|curve| curve.points().to_vec()).unwrap_or_default(),
                changed: changed.iter().find(|changed| changed.change.setting == *name).cloned(),
                left: false,
            }));
        }
    }
    Ok(lines)
}

async fn revert(settings: &Settings, client: &Client) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for table in tables(settings) {
        for url_index in 0..client.url_count() {
            let changed = changed(client, url_index, table).await?;
            if changed.is_empty() {
                continue;
            }
            let place = (table.database.as_str(), table.name.as_str());
            let names = changed.iter().map(|changed| changed.change.setting.as_str());
            let standing = table_settings::standing(client, url_index, place, names).await?;
            for changed in changed {
                let Some(stands) = standing.get(&changed.change.setting) else { continue };
                lines.extend(revert_one(settings, client, url_index, table, (changed, stands)).await?);
            }
        }
    }
    Ok(lines)
}

/// Takes one setting back where the curve's value stands; what somebody else has set since stays.
async fn revert_one(
    settings: &Settings,
    client: &Client,
    url_index: usize,
    table: &Table,
    (changed, stands): (Changed, &Standing),
) -> anyhow::Result<Option<Line>> {
    let owner = changed.owner(stands);
    let change = &changed.change;
    if owner == Owner::Before {
        return Ok(None);
    }
    if owner == Owner::Curve {
        let on = || format!("`{}` of {} on {}", change.setting, table.full_name(), client.url(url_index));
        let done = table_settings::revert(client, url_index, change).await;
        done.with_context(|| format!("{} stays", on()))?;
        let reverted = Change {
            what: What::Revert,
            old_value: change.new_value.clone(),
            new_value: change.old_value.clone(),
            was_set: 1,
            rate: 0,
            revision: settings.revision.clone(),
            ..change.clone()
        };
        let recorded = table_settings::record(client, url_index, &reverted).await;
        recorded.with_context(|| format!("{} is set back, and that could not be written down", on()))?;
    }
    let value = if owner == Owner::Curve { &change.old_value } else { &stands.value };
    Ok(Some(Line {
        server: client.url(url_index).to_owned(),
        table: table.full_name(),
        setting: change.setting.clone(),
        value: Some(value.clone()),
        curve: Vec::new(),
        left: owner == Owner::Other,
        changed: Some(changed),
    }))
}
