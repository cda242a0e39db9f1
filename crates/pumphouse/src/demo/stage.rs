//! Everything the demo needs, set up in order: ClickHouse, Kafka's mock, the configuration, the tables. Produces
//! nothing and starts no worker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pumphouse_clickhouse::client::{Client, ClientSettings};
use tempfile::TempDir;

use super::Error;
use super::configuration::{self, PARTITIONS, TOPIC};
use super::mock_kafka::MockKafka;
use super::worker::Worker;
use crate::embedded::clickhouse::{Launch, Server};
use crate::fault::{Code, Fault};

/// Limit for the queries of the live view.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// The servers and files of one demo. All end with this value, the worker first.
pub struct Stage {
    /// The worker, not started.
    pub worker: Worker,
    /// The way to ask ClickHouse.
    pub client: Client,
    /// The events' way.
    pub kafka: MockKafka,
    clickhouse: Server,
    folder: TempDir,
}

impl Stage {
    /// Sets everything up; `exe` is pumphouse's own binary.
    ///
    /// # Errors
    /// When a server does not start or the tables are refused.
    pub fn set_up(exe: &Path) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("pumphouse-demo-")
            .tempdir()
            .map_err(|error| failed("the demo's folder", format!("can't be made: {error}")))?;
        let clickhouse = Launch::new(exe).start()?;
        let kafka = MockKafka::start(TOPIC, PARTITIONS)
            .map_err(|error| failed("the demo's Kafka", error.to_string()))?;
        let config = folder.path().join("pumphouse.yaml");
        fs::write(&config, configuration::yaml(clickhouse.url(), kafka.brokers()))
            .map_err(|error| failed(&config.display().to_string(), format!("can't be written: {error}")))?;
        apply(exe, &config)?;
        let client = client(clickhouse.url())?;
        let log = folder.path().join("worker.log");
        let worker = Worker::new(exe.to_owned(), config, log);
        Ok(Self { worker, client, kafka, clickhouse, folder })
    }

    /// ClickHouse's address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.clickhouse.url()
    }

    /// Ends the servers and keeps the configuration and the worker's log; tells where.
    #[must_use]
    pub fn keep_folder(self) -> PathBuf {
        self.folder.keep()
    }
}

fn client(url: &str) -> Result<Client, Error> {
    let settings = ClientSettings {
        urls: vec![url.to_owned()],
        user: "default".to_owned(),
        password: String::new(),
        connect_timeout: QUERY_TIMEOUT,
        query_timeout: QUERY_TIMEOUT,
    };
    Client::new(&settings).map_err(|error| failed("the demo's ClickHouse", error.to_string()).into())
}

/// Creates the tables the way a user does.
fn apply(exe: &Path, config: &Path) -> Result<(), Error> {
    let what = "`pumphouse apply` for the demo";
    let output = Command::new(exe)
        .arg("apply")
        .arg("--config")
        .arg(config)
        .output()
        .map_err(|error| failed(what, format!("was not started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(what, format!("ended with {}: {}", output.status, said.trim())).into())
}

fn failed(on: &str, what: String) -> Fault {
    Fault::new(Code::ServerNotStarted, on, what)
}
