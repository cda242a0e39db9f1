//! The command line: what can be asked, not what is done about it.

use clap::{Parser, Subcommand};

use crate::command::demo;
use crate::command::internal::Internal;

/// Event streams into ClickHouse: exactly once, never too many parts, and it can prove it
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
    /// Shows it all on this machine: events, a worker that is killed, and the count at the end
    Demo(demo::Arguments),
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
