//! What the binary does as a child of itself, and what the project's own chores call. Hidden, and no promise to anyone.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use super::servers::{self, Servers};
use crate::embedded::{chdb, guard};

/// The hidden parts.
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// Compares what `simulate` foretells with what real servers do
    Calibrate(super::calibrate::Calibrate),
    /// Is ClickHouse, from its library, until its query ends
    Clickhouse {
        /// The path of libchdb.so
        library: PathBuf,
        /// What `clickhouse local` would take
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Runs a program and kills it at the end of standard input
    Guard {
        /// A folder to remove after such a kill
        #[arg(long)]
        scratch: Option<PathBuf>,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Shows an incident again on real servers
    Incident(super::incident::Incident),
    /// Writes generated events to a topic
    Produce(super::produce::Arguments),
    /// Starts, stops or shows a pair of real servers for anyone to use
    Servers(Servers),
}

/// Does one of them.
///
/// # Errors
/// What failed, in words for whoever called it.
pub fn run(part: Internal) -> anyhow::Result<ExitCode> {
    match part {
        Internal::Calibrate(calibrate) => calibrate.run(),
        Internal::Clickhouse { library, arguments } => {
            chdb::serve(&library, &arguments).context("ClickHouse ended")?;
            Ok(ExitCode::SUCCESS)
        }
        Internal::Guard { scratch, command } => {
            guard::watch(&command, scratch.as_deref()).context("the guard could not start its program")
        }
        Internal::Incident(incident) => incident.run(),
        Internal::Produce(arguments) => {
            super::produce::run(&arguments)?;
            Ok(ExitCode::SUCCESS)
        }
        Internal::Servers(servers) => servers::run(&servers),
    }
}
