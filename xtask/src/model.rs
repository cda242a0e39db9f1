//! `cargo xtask model` explores the small worlds of `crates/sim`, built fast and with every assertion of the core in;
//! `cargo xtask mutants` turns the core's decisions around and sees who notices. Knows neither worlds nor promises.

use std::process::{Command, ExitCode};

use anyhow::Context;

/// Builds the model's program and hands it `words`; its exit code is ours.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<ExitCode> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let build =
        ["run", "--quiet", "--profile", "sim", "-p", "pumphouse-sim", "--bin", "pumphouse-model", "--"];
    exit_code(Command::new(cargo).args(build).args(words))
}

/// Runs `cargo mutants` as `.cargo/mutants.toml` says, one mutant at a time. Workspace crates are built with some
/// optimization: the worlds and histories take most of the time. Exit code 2: some mutants survived.
pub(crate) fn mutants(words: &[&str]) -> anyhow::Result<ExitCode> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
    command.args(["mutants", "--jobs", "1", "--timeout", "120"]);
    // Here and not in the file: with `--no-config` the simulation would not be asked.
    command.args(["--test-package", "pumphouse-core", "--test-package", "pumphouse-sim"]);
    command.args(words).args(["--", "--tests"]);
    exit_code(&mut command)
}

fn exit_code(command: &mut Command) -> anyhow::Result<ExitCode> {
    let status = command.status().context("calling cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
