//! `pumphouse run`: takes the events of every stream into ClickHouse until it is told to stop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pumphouse_clickhouse::client::Client;
use pumphouse_clickhouse::preflight::{self, Severity};
use pumphouse_core::gap::GapPolicy;

use super::configuration::{ConfigurationFile, read_or_say};
use crate::config::settings::{Settings, Stream};
use crate::decode;
use crate::drive::crash;
use crate::drive::process::{self, ReadyStream, StartError};
use crate::drive::ready;
use crate::fault::{Code, Exit, Fault};
use crate::sink::gaps::gaps_target;
use crate::sink::mend;
use crate::sink::tables::{expected, several_servers};
use crate::sink::target::{self, Target};
use crate::telemetry::{self, event};

/// Take the events of every stream into ClickHouse until told to stop
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse run -c pumphouse.yaml
  PUMPHOUSE_LOG=debug pumphouse run

SIGTERM or Ctrl-C settles what is open and leaves; a second one stops at once and loses nothing.

Exit codes: 0 stopped as asked, 1 it did not work, 2 a table has to be changed first, \
65 configuration, 69 a server or topic was not reached at start, \
70 halted for a reason that needs a person.")]
pub struct Run {
    #[command(flatten)]
    file: ConfigurationFile,
    /// For how many seconds tokens are relied on, at most
    #[arg(long, hide = true, default_value_t = 1800, value_parser = clap::value_parser!(u64).range(12..=1800))]
    safe_age: u64,
    /// Seconds between two changes of a table's setting, at least
    #[arg(long, hide = true, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=60))]
    settings_every: u64,
}

impl Run {
    fn times(&self) -> Times {
        let [safe_age_max, settings_every] = [self.safe_age, self.settings_every].map(Duration::from_secs);
        Times { safe_age_max, settings_every }
    }

    /// Runs until a signal or a halt.
    ///
    /// # Errors
    /// When the process can't be set up.
    pub fn run(self) -> anyhow::Result<Exit> {
        let settings = match read_or_say(&self.file.config) {
            Ok(settings) => Arc::new(settings),
            Err(exit) => return Ok(exit),
        };
        telemetry::init(settings.process.log)?;
        if let Err(unknown) = crash::arm() {
            eprintln!("pumphouse: {unknown}");
            return Ok(Exit::Usage);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let ended = runtime.block_on(start(Arc::clone(&settings), self.times()));
        // Questions to Kafka may still wait for an answer that nobody needs.
        runtime.shutdown_timeout(Duration::from_secs(1));
        match ended {
            Ok(exit) => Ok(exit),
            Err(Stop::Fault(fault)) => {
                tracing::error!(code = fault.code.number(), "{fault}");
                Ok(fault.exit())
            }
            Err(Stop::Changes(findings)) => {
                for finding in findings {
                    tracing::error!("{finding}");
                }
                Ok(Exit::Findings)
            }
            Err(Stop::Other(error)) => Err(error),
        }
    }
}

/// What tests shorten.
#[derive(Clone, Copy)]
struct Times {
    safe_age_max: Duration,
    settings_every: Duration,
}

/// Why the process did not begin.
enum Stop {
    Fault(Box<Fault>),
    /// Tables have to be changed first.
    Changes(Vec<preflight::Finding>),
    Other(anyhow::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

async fn start(settings: Arc<Settings>, times: Times) -> Result<Exit, Stop> {
    tracing::info!(revision = settings.revision, streams = settings.streams.len(), "{}", event::STARTING);
    let client = ready::reach_at_start(&settings.clickhouse).await?;
    let mut streams = Vec::new();
    let mut refused = Vec::new();
    for stream in settings.streams.values() {
        let partitions = ready::topics(&settings, stream).await?;
        let (mut ready, mut findings) = ready_stream(&settings, &client, stream, partitions).await?;
        ready.safe_age = ready.safe_age.min(times.safe_age_max);
        ready.settings_every = times.settings_every;
        refused.append(&mut findings);
        streams.push(ready);
    }
    if !refused.is_empty() {
        return Err(Stop::Changes(refused));
    }
    for stream in &streams {
        if let Err(error) = mend::drop_old(&stream.targets, &client).await {
            tracing::warn!(%error, "old mending tables can't be dropped");
        }
    }
    process::run(settings, client, streams).await.map_err(|error| match error {
        StartError::Fault(fault) => fault.into(),
        error => Stop::Other(error.into()),
    })
}

/// Looks at every table of the stream; findings that refuse come back, warnings are logged.
pub(super) async fn ready_stream(
    settings: &Settings,
    client: &Client,
    stream: &Stream,
    partitions: usize,
) -> Result<(ReadyStream, Vec<preflight::Finding>), Fault> {
    let rows = |table| target::rows(stream, table, decode::table_columns(stream, table));
    let mut targets: Vec<Target> = stream.tables.iter().map(rows).collect();
    if stream.dead_letters.table {
        targets.push(target::dead_letters(stream, decode::dead_letter_columns()));
    }
    let mut safe_age = Duration::MAX;
    let mut refused = Vec::new();
    let mut written = BTreeSet::new();
    for target in &mut targets {
        let report = inspect(settings, client, target).await?;
        safe_age = safe_age.min(Duration::from_secs(report.safe_age_seconds));
        target.has_views = report.has_views;
        written.insert((target.database.clone(), target.table.clone()));
        written.extend(report.view_targets);
        (target.window, target.partition_key) = (report.window_entries, report.partition_key.clone());
        if !report.keeps_every_row || report.is_replicated {
            // A table that folds rows can't tell, and a replica may not have fetched them yet.
            target.lineage = None;
        }
        if client.url_count() > 1 && !report.is_replicated {
            refused.push(several_servers(target));
        }
        for finding in report.findings {
            match finding.severity {
                Severity::Refuse => refused.push(finding),
                Severity::Warn => tracing::warn!("{finding}"),
            }
        }
    }
    if stream.gaps == GapPolicy::Report {
        let report = inspect(settings, client, &gaps_target()).await?;
        refused.extend(report.findings.into_iter().filter(|finding| finding.severity == Severity::Refuse));
    }
    let written = written.into_iter().collect();
    let settings_every = Duration::from_mins(1);
    let stream = stream.clone();
    Ok((ReadyStream { stream, targets, written, safe_age, partitions, settings_every }, refused))
}

async fn inspect(settings: &Settings, client: &Client, target: &Target) -> Result<preflight::Report, Fault> {
    let inspected = preflight::inspect(client, 0, &expected(target, &settings.clickhouse)).await;
    inspected.map_err(|error| Fault::new(Code::ClickHouseUnreachable, target.name(), error.to_string()))
}
