//! Calls the binaries that know how: the product's, and those of the crates that simulate and break it; so the chores link no C.

use std::process::{Command, ExitCode};

use anyhow::Context;

/// Runs `pumphouse internal <part> <words>`, built first when it has to be.
pub(crate) fn internal(part: &str, words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut command = Command::new(cargo());
    command.args(["run", "--quiet", "--package", "pumphouse", "--", "internal", part]).args(words);
    run(command)
}

/// Lives simulated histories, built with what the core asserts.
pub(crate) fn simulate(words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut command = Command::new(cargo());
    let binary = ["--profile", "sim", "--package", "pumphouse-sim", "--bin", "pumphouse-sim", "--"];
    command.args(["run", "--quiet"]).args(binary).args(words);
    run(command)
}

/// Runs the chaos crate against the binary, both built first when they have to be.
pub(crate) fn chaos(words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut build = Command::new(cargo());
    build.args(["build", "--quiet", "--package", "pumphouse", "--package", "pumphouse-chaos"]);
    let built = run(build)?;
    if built != ExitCode::SUCCESS {
        return Ok(built);
    }
    let mut command = Command::new(cargo());
    command.args(["run", "--quiet", "--package", "pumphouse-chaos", "--"]).args(words);
    run(command)
}

/// Runs the stories of crash points, each so many times.
pub(crate) fn crashes(times: &str) -> anyhow::Result<ExitCode> {
    let mut command = Command::new(cargo());
    command.args(["test", "--quiet", "--package", "pumphouse", "--test", "real", "crashes::", "--"]);
    // Each point starts processes of its own; more at once would only wait for each other.
    command.args(["--nocapture", "--test-threads", "2"]).env("PUMPHOUSE_CRASHES", times);
    run(command)
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn run(mut command: Command) -> anyhow::Result<ExitCode> {
    let status = command.status().context("calling cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
