//! Everything that the servers tell against a configuration, at once: what `run` would refuse one by one, what the rules find
//! in the facts, and a retry that is tried. Asks in order; the rules decide.

use std::time::{Duration, Instant};

use pumphouse_clickhouse::client::{Client, QueryError};
use pumphouse_clickhouse::exception::Kind;
use pumphouse_clickhouse::preflight::{self, inspect};
use pumphouse_clickhouse::quote;
use pumphouse_clickhouse::resend::{Original, Resent, resend};
use pumphouse_core::gap::GapPolicy;

use super::ask_kafka::{self, Logs};
use super::ask_servers::{self, TableId};
use super::ask_tables;
use super::finding::{Finding, Severity};
use super::load::{Asked, Load};
use super::offline::{of_declared, of_table};
use super::table::TableFacts;
use super::topic::{self, KafkaFacts, Taking};
use super::{grants, limits, partitions, replicas, schema, ttl};
use crate::config::settings::{Settings, Stream, Table};
use crate::decode;
use crate::drive::{process, ready};
use crate::fault::{Code, Fault};
use crate::sink::gaps::gaps_target;
use crate::sink::tables::{expected, several_servers};
use crate::sink::target::{self, Target};

/// How long events are counted to know their rate.
const MEASURED: Duration = Duration::from_secs(5);
/// What librdkafka receives at most, where it is not said otherwise.
const ANSWER_BYTES: u64 = 100_000_000;

/// What came of asking.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What is wrong, in no order.
    pub findings: Vec<Finding>,
    /// What was measured, in words.
    pub notes: Vec<String>,
}

/// A stream with what Kafka told of it.
struct OfStream<'a> {
    stream: &'a Stream,
    kafka: Option<(ask_kafka::Asking, KafkaFacts, Logs)>,
}

/// Asks all servers. `say` tells what is being done.
pub async fn live(settings: &Settings, asked: &Asked, say: &mut dyn FnMut(&str)) -> Survey {
    let mut survey = Survey::default();
    say("asking Kafka");
    let mut streams = Vec::new();
    for stream in settings.streams.values() {
        survey.findings.extend(schema::judge(stream));
        let kafka = match of_kafka(settings, stream).await {
            Ok(kafka) => Some(kafka),
            Err(fault) => {
                survey.findings.push(Finding::of_fault(&stream.name, &fault));
                None
            }
        };
        streams.push(OfStream { stream, kafka });
    }
    let started = Instant::now();
    let client = of_clickhouse(settings, &mut survey).await;
    if asked.rate.is_none() && streams.iter().any(|of| of.kafka.is_some()) {
        while let Some(left) = MEASURED.checked_sub(started.elapsed()) {
            say(&format!("measuring the rate: {} s left", left.as_secs() + 1));
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
        }
    }
    for of in &mut streams {
        let load = load(settings, asked, of, started).await;
        if let Some((_, facts, _)) = &of.kafka {
            let lanes = topic::lanes(settings.process.lanes.get(), asked);
            let taking =
                Taking { answer_bytes: answer_bytes(settings), memory: settings.process.memory, lanes };
            survey.findings.extend(topic::judge(&of.stream.name, facts, asked, taking));
            survey.notes.push(topic::note(&of.stream.name, facts, &load));
            survey.notes.extend(facts.untold.iter().map(|untold| format!("not looked at: {untold}")));
        }
        if let Some(client) = &client {
            of_stream(settings, client, (of.stream, &load), &mut survey, say).await;
        }
    }
    survey
}

async fn of_kafka(
    settings: &Settings,
    stream: &Stream,
) -> Result<(ask_kafka::Asking, KafkaFacts, Logs), Fault> {
    let asking = ask_kafka::Asking::of(settings, stream)?;
    let facts = asking.facts().await?;
    let logs = asking.logs(facts.topic.partitions).await?;
    Ok((asking, facts, logs))
}

/// A client, where ClickHouse answers; what holds for the user and all servers is judged here.
async fn of_clickhouse(settings: &Settings, survey: &mut Survey) -> Option<Client> {
    let client = match ready::client(&settings.clickhouse) {
        Ok(client) => client,
        Err(fault) => {
            survey.findings.push(Finding::of_fault("", &fault));
            return None;
        }
    };
    let tables: Vec<TableId> =
        targets(settings).into_iter().map(|target| (target.database, target.table)).collect();
    let mut servers = Vec::new();
    for url_index in 0..client.url_count() {
        match ask_servers::server(&client, url_index, &tables).await {
            Ok(facts) => servers.push(facts),
            Err(error) => {
                let on = format!("ClickHouse at {}", client.url(url_index));
                survey.findings.push(unanswered("", &on, &error));
                if url_index == 0 {
                    return None;
                }
            }
        }
    }
    survey.findings.extend(replicas::judge(&servers));
    let batches = settings.streams.values().map(|stream| process::batch_policy(settings, stream).bytes);
    let batch_bytes = batches.max().unwrap_or_default();
    let mut of_user = servers.first().map(|first| first.settings.clone()).unwrap_or_default();
    of_user.extend(settings.clickhouse.settings.clone());
    survey.findings.extend(limits::of_user(&settings.clickhouse.user, &of_user, batch_bytes));
    Some(client)
}

/// Every table that any stream needs, each once.
fn targets(settings: &Settings) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for target in settings.streams.values().flat_map(targets_of) {
        if targets.iter().all(|known| known.name() != target.name()) {
            targets.push(target);
        }
    }
    targets
}

fn targets_of(stream: &Stream) -> Vec<Target> {
    let rows = |table| target::rows(stream, table, decode::table_columns(stream, table));
    let mut targets: Vec<Target> = stream.tables.iter().map(rows).collect();
    if stream.dead_letters.table {
        targets.push(target::dead_letters(stream, decode::dead_letter_columns()));
    }
    if stream.gaps == GapPolicy::Report {
        targets.push(gaps_target());
    }
    targets
}

/// The load, measured where it was not said; what a log that is cut by size lasts for is a matter of the rate.
#[expect(clippy::cast_precision_loss, reason = "figures to be read by people")]
async fn load(settings: &Settings, asked: &Asked, of: &mut OfStream<'_>, started: Instant) -> Load {
    let mut rate = asked.rate.map(|rate| rate as f64);
    if let Some((asking, facts, before)) = &mut of.kafka {
        if rate.is_none() {
            let seconds = started.elapsed().as_secs_f64();
            let after = asking.logs(facts.topic.partitions).await.ok();
            let written = after.map(|after| after.written.saturating_sub(before.written) as f64);
            // A topic without events tells nothing of the load to come.
            rate = written.filter(|written| *written > 0.0).map(|written| written / seconds);
        }
        let lasts = rate.filter(|rate| *rate > 0.0 && before.is_cut).map(|rate| before.kept as f64 / rate);
        facts.topic.lasts = lasts.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    }
    let partitions = of.kafka.as_ref().map(|(_, facts, _)| facts.topic.partitions);
    Load::of(settings, of.stream, (asked, rate), partitions)
}

/// The tables of a stream.
async fn of_stream(
    settings: &Settings,
    client: &Client,
    (stream, load): (&Stream, &Load),
    survey: &mut Survey,
    say: &mut dyn FnMut(&str),
) {
    for target in targets_of(stream) {
        say(&format!("looking at {}", target.name()));
        let name = quote::table(&target.database, &target.table);
        let inspected = inspect(client, 0, &expected(&target, &settings.clickhouse)).await;
        let report = match inspected {
            Ok(report) => report,
            Err(error) => {
                survey.findings.push(unanswered(&stream.name, &name, &error));
                continue;
            }
        };
        let told = report.findings.iter().map(|found| Finding::of_preflight(&stream.name, &name, found));
        survey.findings.extend(told);
        let is_there = report.findings.iter().all(|found| found.code != "PH-0040");
        if client.url_count() > 1 && is_there && !report.is_replicated {
            let found = several_servers(&target);
            survey.findings.push(Finding::of_preflight(&stream.name, &name, &found));
        }
        let declared = stream.tables.iter().find(|table| table.full_name() == target.name());
        if is_there {
            look_at_grants(settings, client, (&target, report.is_replicated), survey).await;
        }
        match declared {
            Some(table) if is_there => {
                of_live(settings, client, (stream, load), (table, &target, &report), survey).await;
            }
            Some(table) => survey.findings.extend(of_declared(stream, table, load)),
            None => {}
        }
        for (database, table) in &report.view_targets {
            of_view_target(client, (stream, load), (database, table), survey).await;
        }
    }
}

/// One table of the stream's own that is there.
async fn of_live(
    settings: &Settings,
    client: &Client,
    (stream, load): (&Stream, &Load),
    (table, target, report): (&Table, &Target, &preflight::Report),
    survey: &mut Survey,
) {
    let name = quote::table(&table.database, &table.name);
    let claimed_at = stream.lineage.as_ref().map(|lineage| lineage.ingested_at.as_str());
    let asking = ask_tables::Asking { client, database: &table.database, table: &table.name, claimed_at };
    let facts = match ask_tables::facts(asking).await {
        Ok(Some(facts)) => facts,
        Ok(None) => return,
        Err(error) => return survey.findings.push(unanswered(&stream.name, &name, &error)),
    };
    let facts = TableFacts {
        stream: stream.name.clone(),
        sent: target.columns.clone(),
        window: (report.window_entries > 0).then_some(report.window_entries),
        ..facts
    };
    let found: Vec<Finding> = of_table(&facts, load).into_iter().chain(limits::of_table(&facts)).collect();
    let lacks_a_column = found.iter().any(|finding| finding.code == Code::FoldingColumnNotSent);
    survey.findings.extend(found);
    // What is known to go wrong need not be tried.
    let speaks_against = ["PH-0041", "PH-0042", "PH-0044", "PH-0046"];
    let is_refused = report
        .findings
        .iter()
        .any(|found| found.severity == preflight::Severity::Refuse && speaks_against.contains(&found.code));
    if !is_refused && !lacks_a_column {
        survey.findings.extend(tried(settings, client, (&facts, target)).await);
    }
}

/// A table that a view fills: its parts come with each insert, too.
async fn of_view_target(
    client: &Client,
    (stream, load): (&Stream, &Load),
    (database, table): (&str, &str),
    survey: &mut Survey,
) {
    let asking = ask_tables::Asking { client, database, table, claimed_at: None };
    match ask_tables::facts(asking).await {
        Ok(Some(facts)) => {
            let facts = TableFacts { stream: stream.name.clone(), ..facts };
            survey.findings.extend(partitions::judge(&facts, load));
            survey.findings.extend(limits::of_table(&facts));
            survey.findings.extend(ttl::judge(&facts));
        }
        Ok(None) => {}
        Err(error) => {
            let name = quote::table(database, table);
            survey.notes.push(format!("not looked at: {name}, which a view fills: {error}"));
        }
    }
}

/// Whether a retry is recognised by a copy of the table.
async fn tried(
    settings: &Settings,
    client: &Client,
    (facts, target): (&TableFacts, &Target),
) -> Option<Finding> {
    let original = Original {
        database: &target.database,
        table: &target.table,
        columns: &target.columns,
        settings: &settings.clickhouse.settings,
        has_ttl: facts.ttl.is_some(),
        has_rows: facts.held.as_ref().is_some_and(|held| held.parts_total > 0),
    };
    let (severity, code, what, mend) = match resend(client, 0, &original).await {
        Resent::Recognised => return None,
        Resent::Doubled(first, second) => (
            Severity::Error,
            Code::RetryDoubles,
            format!("one row sent twice under one token to a copy of it: {first} row, then {second}"),
            "do not run against it; look for a proxy or a profile that changes settings of inserts",
        ),
        Resent::Untried(reason) => (
            Severity::Advice,
            Code::RetryUntried,
            format!("no retry could be tried on a copy of it: {reason}"),
            "nothing has to be done if this is a rule of the table's own; else let the user create and drop tables in \
             this database while you check",
        ),
    };
    let why = "a retry is what makes exactly once, and only a try shows what the server makes of it";
    Some(Finding {
        severity,
        code,
        stream: facts.stream.clone(),
        on: facts.name.clone(),
        what,
        why: why.to_owned(),
        mend: mend.to_owned(),
    })
}

async fn look_at_grants(
    settings: &Settings,
    client: &Client,
    (target, is_replicated): (&Target, bool),
    survey: &mut Survey,
) {
    let (table, beside) = (quote::table(&target.database, &target.table), quote::name(&target.database));
    for grant in grants::needed(&table, &beside, is_replicated) {
        match ask_servers::is_granted(client, &grant).await {
            Ok(true) => {}
            Ok(false) => survey.findings.push(grants::missing(&settings.clickhouse.user, &grant)),
            Err(error) => {
                survey.notes.push(format!("not looked at: grants on {table}: {error}"));
                break;
            }
        }
    }
}

/// A question that ClickHouse did not answer.
fn unanswered(stream: &str, on: &str, error: &QueryError) -> Finding {
    let is_denied =
        matches!(error, QueryError::Server(error) if matches!(error.kind, Kind::Access | Kind::Setting));
    let code = if is_denied { Code::AccessDenied } else { Code::ClickHouseUnreachable };
    Finding::of_fault(stream, &Fault::new(code, on, error.to_string()))
}

fn answer_bytes(settings: &Settings) -> u64 {
    let said = settings.kafka.properties.get("receive.message.max.bytes");
    said.and_then(|bytes| bytes.reveal().parse().ok()).unwrap_or(ANSWER_BYTES)
}
