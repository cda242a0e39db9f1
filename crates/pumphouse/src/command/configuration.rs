//! What every command does first: read the configuration, or say all that is wrong with it.

use std::path::{Path, PathBuf};

use crate::config::{self, Mistakes, Settings};
use crate::fault::Exit;

/// The option that names the file.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigurationFile {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "pumphouse.yaml", env = "PUMPHOUSE_CONFIG")]
    pub config: PathBuf,
}

/// Reads the file with this process's environment.
///
/// # Errors
/// All mistakes of the file.
pub fn read(path: &Path) -> Result<Settings, Mistakes> {
    config::load(path, &|name| std::env::var(name).ok())
}

/// Reads the file; prints the mistakes to standard error.
///
/// # Errors
/// The exit code for a wrong configuration.
pub fn read_or_say(path: &Path) -> Result<Settings, Exit> {
    read(path).map_err(|mistakes| {
        eprintln!("{mistakes}");
        Exit::Configuration
    })
}
