//! An incident from elsewhere, shown again on real servers: four test messages that are no events stop a topic of three
//! partitions for a consumer that takes a poll's messages or none of them; then pumphouse reads the same topic, and one
//! of the four becomes a row after all.
//!
//! ```text
//! stage        a Kafka, a ClickHouse, the topic, the configuration, pumphouse's own commands
//! feed         the events and the four messages, each at its offset
//! naive        ClickHouse's own Kafka engine with a materialized view, watched while it does not get on
//! cure         pumphouse run: what is in the table, in the dead letters, and where the group stands
//! replay       a correction, and one of the dead letters becomes a row
//! report       the figures, what must hold of them, and the page
//! ```

pub mod cure;
pub mod feed;
pub mod naive;
pub mod replay;
pub mod report;
pub mod stage;

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rdkafka::error::KafkaError;

use crate::embedded;
use crate::fault::Fault;
use report::Report;
use stage::Stage;

/// How long the consumer that is stuck is watched.
const WATCHED_FOR: Duration = Duration::from_secs(8);

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A server did not start or refuses a statement.
    #[error(transparent)]
    Server(#[from] embedded::Error),
    /// Kafka's client failed.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// A file of the incident could not be written or a command not be started.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// pumphouse could not be started or ended.
    #[error(transparent)]
    Worker(Box<Fault>),
    /// A command of pumphouse failed.
    #[error("`pumphouse {command}` ended with {status}: {said}")]
    Command {
        /// The command and its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// Something that should come did not.
    #[error("{what} did not come within {} s; {seen}", .within.as_secs())]
    Late {
        /// What.
        what: &'static str,
        /// The limit.
        within: Duration,
        /// What there was instead.
        seen: String,
    },
    /// ClickHouse answered something else than was asked for.
    #[error("ClickHouse's answer can't be read: {0}")]
    Answer(String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Worker(Box::new(fault))
    }
}

/// Shows the incident from its beginning to its end; `exe` is pumphouse's own binary, `say` gets a line for each step.
///
/// # Errors
/// When something fails that makes a report impossible.
pub fn run(exe: &Path, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    say("starting a Kafka and a ClickHouse");
    let stage = Stage::set_up(exe)?;
    say("a consumer of its own time: ClickHouse's Kafka engine with a materialized view");
    let mut feed = feed::Feed::new(&stage)?;
    let naive = naive::watch(&stage, &mut feed, WATCHED_FOR, say)?;
    let cure = cure::cure(&stage, say)?;
    let replay = replay::replay(&stage, say)?;
    Ok(Report::new(feed.sent(), naive, cure, replay))
}
