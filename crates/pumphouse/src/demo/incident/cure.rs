//! pumphouse on the same topic, from its beginning, under a group of its own: what is in the table, in the dead letters,
//! and where the group stands. Reads what there is; the report judges it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Failure;
use super::feed::USERS_PER_PARTITION;
use super::stage::{DATABASE, GROUP, STREAM, Stage, Standing, TOPIC, wait_for};

/// How long pumphouse may take for the topic.
const DRAIN_WITHIN: Duration = Duration::from_mins(1);
const END_WITHIN: Duration = Duration::from_secs(30);

/// A record that could not become a row, as the table of dead letters has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Kafka's partition.
    pub partition: u32,
    /// Kafka's offset.
    pub offset: u64,
    /// The code.
    pub code: String,
    /// The column it was bad for.
    pub column: String,
    /// The field.
    pub path: String,
    /// The sentence.
    pub reason: String,
    /// The record.
    pub payload: String,
}

/// What pumphouse made of the topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cure {
    /// Rows in the table.
    pub rows: u64,
    /// Different places in Kafka among them.
    pub places: u64,
    /// Rows that are the event of their place.
    pub in_place: u64,
    /// The dead letters, in Kafka's order.
    pub dead_letters: Vec<Letter>,
    /// Where the group stands.
    pub standing: Standing,
    /// From the start of the process to lag 0, in milliseconds.
    pub milliseconds: u64,
}

/// Applies the configuration, runs pumphouse until nothing is left, and ends it.
///
/// # Errors
/// When a command fails or the topic is not drained in time.
pub fn cure(stage: &Stage, say: &mut dyn FnMut(&str)) -> Result<Cure, Failure> {
    let config = configuration(stage)?;
    stage.pumphouse(&["apply"], &config)?;
    say("pumphouse reads the same topic from its beginning");
    let begun = Instant::now();
    let standing = drain(stage, &config)?;
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let table = format!("{DATABASE}.{STREAM}");
    let cure = Cure {
        rows: stage.number(&format!("SELECT count() FROM {table}"))?,
        places: stage.number(&format!("SELECT uniqExact(_partition, _offset) FROM {table}"))?,
        in_place: stage.number(&format!(
            "SELECT countIf(user_id = _partition * {USERS_PER_PARTITION} + _offset) FROM {table}"
        ))?,
        dead_letters: letters(stage)?,
        standing,
        milliseconds,
    };
    say(&format!("{} rows, {} dead letters, lag {}", cure.rows, cure.dead_letters.len(), cure.standing.lag));
    Ok(cure)
}

/// Runs pumphouse until its group stands at the end of every partition, then ends it.
fn drain(stage: &Stage, config: &Path) -> Result<Standing, Failure> {
    let mut worker = stage.worker(config);
    worker.start()?;
    let at_the_end = || {
        let standing = stage.standing(GROUP)?;
        let all = standing.committed.iter().all(Option::is_some);
        Ok((all && standing.lag == 0).then_some(standing))
    };
    wait_for("lag 0", DRAIN_WITHIN, at_the_end, || worker.last_words())?;
    worker.ask_to_end()?;
    wait_for("pumphouse's end", END_WITHIN, || Ok(worker.ended()?), || "it still runs".to_owned())?;
    stage.standing(GROUP)
}

fn letters(stage: &Stage) -> Result<Vec<Letter>, Failure> {
    let sql = format!(
        "SELECT partition, offset, code, column, path, reason, payload \
         FROM pumphouse.dead_letters WHERE topic = '{TOPIC}' ORDER BY partition, offset FORMAT JSONEachRow \
         SETTINGS output_format_json_quote_64bit_integers = 0"
    );
    let line = |line: &str| serde_json::from_str(line).map_err(|_| Failure::Answer(line.to_owned()));
    stage.query(&sql)?.lines().map(line).collect()
}

/// The file as an operator writes it.
fn configuration(stage: &Stage) -> Result<PathBuf, Failure> {
    stage.write("pumphouse.yaml", &yaml(stage.url(), stage.brokers(), &COLUMNS))
}

/// The declared columns.
const COLUMNS: [(&str, &str); 6] = [
    ("event_id", "UUID"),
    ("occurred_at", "DateTime64(3)"),
    ("user_id", "UInt64"),
    ("kind", "LowCardinality(String)"),
    ("subject_type", "LowCardinality(String)"),
    ("properties", "Map(String, String)"),
];

/// The file, with these columns.
pub(super) fn yaml(url: &str, brokers: &str, columns: &[(&str, &str)]) -> String {
    let columns: Vec<String> = columns.iter().map(|(name, said)| format!("      {name}: {said}\n")).collect();
    let columns = columns.concat();
    format!(
        r#"clickhouse: {{ url: "{url}", database: {DATABASE} }}
kafka:
  brokers: "{brokers}"
  properties: {{ session.timeout.ms: "6000" }}
streams:
  {STREAM}:
    from: {{ topic: {TOPIC}, format: json }}
    columns:
{columns}    table: {{ order_by: [kind, occurred_at] }}
"#
    )
}
