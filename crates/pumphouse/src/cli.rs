//! The command line: what can be asked, not what is done about it.

use clap::{Parser, Subcommand};

use crate::command::apply::Apply;
use crate::command::audit::Audit;
use crate::command::check::Check;
use crate::command::dead::Dead;
use crate::command::demo::Demo;
use crate::command::explain::Explain;
use crate::command::internal::Internal;
use crate::command::run::Run;
use crate::command::settings::TableSettings;
use crate::command::simulate::Simulate;

/// Events from Kafka into ClickHouse, each one exactly once
#[derive(Debug, Parser)]
#[command(name = "pumphouse", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take the events of every stream into ClickHouse until told to stop
    Run(Run),
    /// Create the databases, tables and rollups that are missing
    Apply(Apply),
    /// Say all that is wrong with a configuration, or what it means and what its design will do
    Check(Check),
    /// Say what parts and merges do at a rate, and at which rate it breaks, without touching any server
    Simulate(Simulate),
    /// Compare every settled offset with the rows and dead letters
    Audit(Audit),
    /// Look at dead letters, and make rows of them after a fix
    #[command(subcommand)]
    Dead(Dead),
    /// Show the table settings that follow the rate, or take their changes back
    #[command(subcommand)]
    Settings(TableSettings),
    /// Show it all on this machine: events, a worker that is killed on the way, the count at the end
    Demo(Demo),
    /// Print the page of an error code, or say where one record went
    Explain(Explain),
    /// Parts that only the binary itself and the project's chores call
    #[command(hide = true, subcommand)]
    Internal(Internal),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
