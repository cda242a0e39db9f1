//! The binary; the `match` over the subcommands is the table of contents.

use std::process::ExitCode;

use clap::Parser;
use pumphouse::cli::{Cli, Command};
use pumphouse::command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a command line that can't be understood, as in sysexits.h.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when even this can't be written.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match cli.command {
        Command::Demo(arguments) => command::demo::run(&arguments),
        Command::Internal(part) => command::internal::run(part),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("pumphouse: {error:#}");
        ExitCode::FAILURE
    })
}
