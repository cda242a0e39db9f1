//! The binary; the `match` over the subcommands is the table of contents.

use std::process::ExitCode;

use clap::Parser;
use pumphouse::cli::{Cli, Command};
use pumphouse::command::{self, broken_pipe};
use pumphouse::fault::{Exit, Fault};

fn main() -> ExitCode {
    broken_pipe::end_quietly();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when even this can't be written.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    // Two providers can come to be linked, and rustls then refuses to choose. An earlier choice is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match cli.command {
        Command::Run(run) => run.run().map(ExitCode::from),
        Command::Apply(apply) => apply.run().map(ExitCode::from),
        Command::Check(check) => check.run().map(ExitCode::from),
        Command::Simulate(simulate) => simulate.run().map(ExitCode::from),
        Command::Audit(audit) => audit.run().map(ExitCode::from),
        Command::Dead(dead) => dead.run().map(ExitCode::from),
        Command::Settings(settings) => settings.run().map(ExitCode::from),
        Command::Demo(demo) => demo.run(),
        Command::Explain(explain) => explain.run().map(ExitCode::from),
        Command::Internal(part) => command::internal::run(part),
    };
    outcome.unwrap_or_else(|error| {
        if broken_pipe::is_cause_of(&error) {
            return broken_pipe::exit();
        }
        eprintln!("pumphouse: {error:#}");
        error.downcast_ref::<Fault>().map_or(Exit::Failed, Fault::exit).into()
    })
}
