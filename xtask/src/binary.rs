//! Calls the binaries that know how: the product's, and the simulation's; so the chores link no C.

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

fn cargo(which: &[&str], words: &[&str]) -> anyhow::Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet"]).args(which).args(words);
    let status = command.status().context("calling cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
