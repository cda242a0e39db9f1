//! `cargo xtask model`: explores the small worlds of `crates/sim`, built fast and with every assertion of the core in.
//! Knows neither worlds nor promises.

use std::process::{Command, ExitCode};

/// Builds the model's program and hands it `words`; its exit code is ours.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<ExitCode> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let build =
        ["run", "--quiet", "--profile", "sim", "-p", "pumphouse-sim", "--bin", "pumphouse-model", "--"];
    let status = Command::new(cargo).args(build).args(words).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
