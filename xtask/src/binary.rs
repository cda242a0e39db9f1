//! Calls the binaries that know how: the product's, the simulation's, and chaos; so the chores link no C.

use std::process::{Command, ExitCode};

use anyhow::Context;

/// Runs `pumphouse internal <part> <words>`, built first when it has to be.
pub(crate) fn internal(part: &str, words: &[&str]) -> anyhow::Result<ExitCode> {
    cargo(&["--package", "pumphouse", "--", "internal", part], words)
}

/// Lives simulated histories, built with what the core asserts.
pub(crate) fn simulate(words: &[&str]) -> anyhow::Result<ExitCode> {
    cargo(&["--profile", "sim", "--package", "pumphouse-sim", "--bin", "pumphouse-sim", "--"], words)
}

/// Runs the chaos crate against the product's binary, both built first when they have to be.
pub(crate) fn chaos(words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut build = command();
    build.args(["build", "--quiet", "--package", "pumphouse", "--package", "pumphouse-chaos"]);
    let outcome = ended(build)?;
    if outcome != ExitCode::SUCCESS {
        return Ok(outcome);
    }
    cargo(&["--package", "pumphouse-chaos", "--"], words)
}

/// Runs the stories of crash points, each so many times.
pub(crate) fn crashes(times: &str) -> anyhow::Result<ExitCode> {
    let mut test = command();
    test.args(["test", "--quiet", "--package", "pumphouse", "--test", "real", "crashes::", "--"]);
    // Each point starts processes of its own; more at once would only wait for each other.
    test.args(["--nocapture", "--test-threads", "2"]).env("PUMPHOUSE_CRASHES", times);
    ended(test)
}

fn cargo(which: &[&str], words: &[&str]) -> anyhow::Result<ExitCode> {
    let mut run = command();
    run.args(["run", "--quiet"]).args(which).args(words);
    ended(run)
}

fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn ended(mut command: Command) -> anyhow::Result<ExitCode> {
    let status = command.status().context("calling cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
