//! How pumphouse speaks to its operator: the form of the log, the name of every event in it, the line a minute.
//! Decides nothing about when to speak, and never sees the contents of a row or a secret.

mod table_settings;
mod valve;

use std::fmt;
use std::io::{self, IsTerminal};

use jiff::Timestamp;
use pumphouse_core::offset::{Partition, Range};
use pumphouse_core::valve::Opening;
use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::settings::LogFormat;
use crate::fault::{Code, Fault};

pub use table_settings::{setting_changed, setting_refused, setting_unrecorded};
pub use valve::{
    Fullest, FullestTable, Turn, TurnedBy, pressure_known, pressure_unexplained, pressure_unknown,
    valve_turned,
};

/// The name of every event in the log. `docs/guide/operating.md` says what each means.
pub mod event {
    /// The process read its configuration and begins.
    pub const STARTING: &str = "starting";
    /// A server did not answer at start; it is tried again.
    pub const START_ATTEMPT: &str = "start attempt failed";
    /// Servers answer and tables fit.
    pub const READY: &str = "ready";
    /// A lane was given partitions.
    pub const ASSIGNED: &str = "partitions assigned";
    /// Partitions were taken from a lane.
    pub const REVOKED: &str = "partitions revoked";
    /// The group has not answered a lane that owns nothing for a while.
    pub const GROUP_SILENT: &str = "the consumer group gives no answer";
    /// A claim of an earlier owner was found and brought to its end.
    pub const RECOVERED: &str = "claim recovered";
    /// A batch closed and its claim is stored.
    pub const BATCH_CLAIMED: &str = "batch claimed";
    /// Offsets moved past the batch.
    pub const BATCH_SETTLED: &str = "batch settled";
    /// An insert failed and is tried again with the same rows and token.
    pub const INSERT_RETRIED: &str = "insert retried";
    /// An insert waits: while another one is in doubt it could push that one's token out of the window.
    pub const INSERT_WAITS: &str = "insert waits for another one in doubt";
    /// A batch in doubt is not sent again: its table may have forgotten the token.
    pub const TOKEN_FORGOTTEN: &str = "token may be forgotten";
    /// A table refuses rows of a batch; what was found of them.
    pub const ROWS_REFUSED: &str = "rows refused";
    /// An insert that was in doubt is answered as done, and rows are missing: a killed server lost them.
    pub const ROWS_MISSING: &str = "rows missing after a retry";
    /// Rows that were missing after a retry are in the table.
    pub const ROWS_MENDED: &str = "missing rows brought back";
    /// Rows are missing after a retry because the table lets rows expire.
    pub const ROWS_EXPIRED: &str = "missing rows have expired";
    /// Rows of a batch are in the table more than once.
    pub const ROWS_DOUBLED: &str = "rows are there twice";
    /// A rollup lacks a batch: a killed server lost it.
    pub const ROLLUP_LACKS: &str = "rollup lacks a batch";
    /// A rollup was given a batch that it lacked.
    pub const ROLLUP_MENDED: &str = "rollup given the batch";
    /// Nobody can tell whether a view's target has a batch that met a killed server.
    pub const ROLLUP_IN_DOUBT: &str = "view's target may lack a batch";
    /// A table that missing rows went through is dropped.
    pub const MENDING_TABLE_DROPPED: &str = "mending table dropped";
    /// Dead letters did not reach their topic; what is not acknowledged goes again.
    pub const LETTERS_RETRIED: &str = "dead letters retried";
    /// Kafka deleted records before they became rows; the gap stands in `pumphouse.gaps`.
    pub const GAP: &str = "gap";
    /// Partitions are not read for now.
    pub const PAUSED: &str = "paused";
    /// Partitions are read again.
    pub const RESUMED: &str = "resumed";
    /// A server can't be asked how loaded the tables are, or not about all of it.
    pub const PRESSURE_UNKNOWN: &str = "pressure unknown";
    /// A server can be asked again.
    pub const PRESSURE_KNOWN: &str = "pressure known again";
    /// Parts pile up, or the server is short of memory: a lane's batches get older and rarer, or smaller.
    pub const VALVE_NARROWED: &str = "valve narrowed";
    /// Batches get younger or larger again.
    pub const VALVE_WIDENED: &str = "valve widened";
    /// A lane makes no batches: records wait in Kafka.
    pub const VALVE_SHUT: &str = "valve shut";
    /// A lane makes batches again.
    pub const VALVE_REOPENED: &str = "valve reopened";
    /// A table's setting was set to what its curve says at the rate of now.
    pub const SETTING_CHANGED: &str = "setting changed";
    /// A server does not let us change a setting.
    pub const SETTING_REFUSED: &str = "setting refused";
    /// A change was not made, since nobody could remember it.
    pub const SETTING_UNRECORDED: &str = "setting unrecorded";
    /// The line a minute.
    pub const PROGRESS: &str = "progress";
    /// What was settled a moment ago is not what the table holds.
    pub const AUDIT_DIFFERS: &str = "audit differs";
    /// The table could not be asked what it holds of what was settled a moment ago.
    pub const AUDIT_UNANSWERED: &str = "audit unanswered";
    /// The process was asked to stop and settles what is open.
    pub const DRAINING: &str = "draining";
    /// A stream stopped for a reason that needs a person.
    pub const HALTED: &str = "halted";
    /// The process ends with nothing open.
    pub const STOPPED: &str = "stopped";
}

/// What passes without being asked for: our own events, and what libraries warn of.
const FILTER: &str = "info,rdkafka=warn,librdkafka=warn,hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn";
/// The variables that set the filter, the first that is set counts.
const FILTER_VARIABLES: [&str; 2] = ["PUMPHOUSE_LOG", "RUST_LOG"];

/// Starts the log on standard error, once per process. Lines of C libraries arrive through `log`.
///
/// # Errors
/// PH-0001 where `PUMPHOUSE_LOG` or `RUST_LOG` is not a filter.
pub fn init(format: LogFormat) -> Result<(), Fault> {
    let said = FILTER_VARIABLES.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    let (name, text) = said.unwrap_or((FILTER_VARIABLES[0], FILTER.to_owned()));
    let colour = io::stderr().is_terminal();
    subscriber(format, filter(name, &text)?, colour, io::stderr)
        .try_init()
        .map_err(|error| Fault::new(Code::ConfigurationMistakes, "log", error.to_string()))
}

fn filter(name: &str, text: &str) -> Result<EnvFilter, Fault> {
    EnvFilter::try_new(text).map_err(|error| {
        Fault::new(Code::ConfigurationMistakes, format!("environment variable {name}"), error.to_string())
            .advise("write for example `info` or `info,pumphouse::source=debug`")
    })
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colour: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_timer(Utc).with_writer(writer);
    match format {
        LogFormat::Text => Box::new(log.with_target(false).with_ansi(colour).finish()),
        LogFormat::Json => Box::new(log.json().flatten_event(true).with_current_span(false).finish()),
    }
}

/// The time of a line: RFC 3339, UTC, milliseconds, always 24 characters.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
    }
}

/// How one stream did since the last line; printed once a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The stream's name.
    pub stream: String,
    /// Rows that ClickHouse has taken, per second.
    pub rows_per_second: u64,
    /// Records in Kafka that are not settled yet, over the partitions owned here; none while the end of a log is not
    /// known.
    pub lag: Option<u64>,
    /// From a record's timestamp to its row in ClickHouse: the median, in milliseconds.
    pub freshness_p50_ms: u64,
    /// The same, 99th percentile.
    pub freshness_p99_ms: u64,
    /// Dead letters since the last line.
    pub dead_letters: u64,
    /// Tombstones, and records that no table took, read since the last line.
    pub filtered: u64,
    /// Offsets in gaps that were written down since the last line.
    pub missing: u64,
    /// Batches settled since the last line.
    pub batches: u64,
    /// Rows settled since the last line.
    pub rows: u64,
    /// Bytes of open and in-flight batches.
    pub memory_bytes: u64,
    /// Active parts of the table that comes nearest to a limit, counted as that limit counts them; none while unknown.
    pub parts: Option<u64>,
    /// That limit: the number of parts from which on ClickHouse delays or refuses inserts.
    pub parts_limit: Option<u64>,
    /// The age at which batches close now, of the lane where it is highest.
    pub batch_age_ms: u64,
    /// The valve that is least open.
    pub valve: ValveState,
    /// Rows that were settled and have been found in their table since the last line, or have not.
    pub audited: u64,
    /// Rows for which the tables could not be asked, since the last line.
    pub unaudited: u64,
    /// Rows that were settled and not found, since the start.
    pub lost: u64,
    /// Rows that were found more than once, since the start.
    pub doubled: u64,
}

/// How far a valve is open, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValveState {
    /// Batches are as young and as large as the configuration says.
    #[default]
    Open,
    /// They are older, rarer or smaller.
    Narrowed,
    /// None are made.
    Shut,
}

impl ValveState {
    /// The word for an opening.
    #[must_use]
    pub fn of(opening: Opening) -> Self {
        match opening {
            Opening { is_shut: true, .. } => Self::Shut,
            Opening { level: 0, share: 0, .. } => Self::Open,
            _ => Self::Narrowed,
        }
    }
}

impl fmt::Display for ValveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Narrowed => "narrowed",
            Self::Shut => "shut",
        })
    }
}

/// Logs the line a minute.
pub fn progress(progress: &Progress) {
    let Progress { rows_per_second, lag, freshness_p50_ms, freshness_p99_ms, dead_letters, .. } = *progress;
    let Progress { filtered, missing, batches, rows, memory_bytes, .. } = *progress;
    let Progress { parts, parts_limit, batch_age_ms, valve, .. } = *progress;
    let Progress { audited, unaudited, lost, doubled, .. } = *progress;
    tracing::info!(
        stream = %progress.stream,
        rows_per_second,
        lag,
        freshness_p50_ms,
        freshness_p99_ms,
        dead_letters,
        filtered,
        missing,
        batches,
        rows,
        memory_bytes,
        parts,
        parts_limit,
        batch_age_ms,
        %valve,
        audited,
        unaudited,
        lost,
        doubled,
        "{}",
        event::PROGRESS
    );
}

/// Logs that a server did not answer at start: attempt `attempt` of `of`.
pub fn start_attempt(server: &str, attempt: u32, of: u32, error: &dyn fmt::Display) {
    tracing::warn!(server, attempt, of, error = %error, "{}", event::START_ATTEMPT);
}

/// Logs that records are missing for good, and where that is written down.
pub fn gap(stream: &str, fault: &Fault) {
    tracing::error!(stream, code = fault.code.number(), error = %fault, "{}", event::GAP);
}

/// A table, a partition and the offsets in question.
pub type Audited<'a> = (&'a str, Partition, Range);

/// Logs that a table holds so many rows less than were settled.
pub fn missing(stream: &str, of: Audited<'_>, rows: u64) {
    differs(stream, of, (Code::RecordsMissing, format!("{rows} rows are missing")));
}

/// Logs that a table holds so many rows more than were settled.
pub fn doubled(stream: &str, of: Audited<'_>, rows: u64) {
    differs(stream, of, (Code::RowsDoubled, format!("{rows} rows are there more than once")));
}

fn differs(stream: &str, (table, partition, range): Audited<'_>, (code, what): (Code, String)) {
    let fault = Fault::new(code, format!("table {table}, partition {partition}, offsets {range}"), what)
        .then("delivery goes on")
        .advise(format!("`pumphouse audit {stream}` names them"));
    tracing::error!(stream, table, %partition, code = code.number(), error = %fault, "{}", event::AUDIT_DIFFERS);
}

/// Logs that a table could not be asked about so many rows.
pub fn unaudited(stream: &str, table: &str, rows: u64, error: &dyn fmt::Display) {
    let code = Code::AuditUnanswered.number();
    tracing::warn!(stream, table, rows, code, %error, "{}", event::AUDIT_UNANSWERED);
}

/// Logs that a stream stopped for a reason that needs a person.
pub fn halted(stream: &str, fault: &Fault) {
    tracing::error!(stream, code = fault.code.number(), error = %fault, "{}", event::HALTED);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics while writing").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, speak: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let filter = filter("PUMPHOUSE_LOG", FILTER).expect("our own filter is one");
        let log = subscriber(format, filter, false, move || writer.clone());
        tracing::subscriber::with_default(log, speak);
        let bytes = page.0.lock().expect("no test panics while writing").clone();
        String::from_utf8(bytes).expect("the log is text")
    }

    fn minute() -> Progress {
        Progress {
            stream: "clicks".into(),
            rows_per_second: 40_000,
            lag: Some(12),
            rows: 2_400_000,
            ..Progress::default()
        }
    }

    #[test]
    fn every_line_opens_with_its_time_in_utc_to_the_millisecond() {
        let line = logged(LogFormat::Text, || progress(&minute()));
        let (time, rest) = line.split_at(24);
        assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T' && time.as_bytes()[19] == b'.', "{time}");
        assert!(time.parse::<Timestamp>().is_ok(), "{time}");
        let figures = "  INFO progress stream=clicks rows_per_second=40000 lag=12 freshness_p50_ms=0";
        assert!(rest.starts_with(figures), "{rest}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_line_of_json_has_its_figures_as_numbers() {
        let line = logged(LogFormat::Json, || progress(&minute()));
        let object: serde_json::Value = serde_json::from_str(&line).expect("one object a line");
        assert_eq!(object["message"], event::PROGRESS);
        assert_eq!(object["rows_per_second"], 40_000);
        assert!(object["timestamp"].as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 24));
    }

    #[test]
    fn each_attempt_at_start_is_a_line_with_its_number_and_reason() {
        let line = logged(LogFormat::Text, || start_attempt("http://a:8123", 3, 30, &"name not resolved"));
        let words =
            "WARN start attempt failed server=\"http://a:8123\" attempt=3 of=30 error=name not resolved";
        assert!(line.contains(words), "{line}");
    }

    #[test]
    fn a_filter_that_is_none_names_its_variable() {
        let fault = filter("RUST_LOG", "info,=,=").expect_err("that is no filter");
        assert!(fault.to_string().contains("environment variable RUST_LOG"), "{fault}");
    }
}
