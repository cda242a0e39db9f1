//! `servers start|stop|status`: real servers for anyone to use. Calls the binary, which knows how; so this links no C.

use std::process::{Command, ExitCode};

use anyhow::Context;

/// Runs `pumphouse internal servers` with the given words, built first when it has to be.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "pumphouse", "--", "internal", "servers"]).args(words);
    let status = command.status().context("calling cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
