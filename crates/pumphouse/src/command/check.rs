//! `pumphouse check`: is the configuration right, without touching any server.

use serde_json::json;

use super::configuration::{self, ConfigurationFile};
use crate::fault::Exit;

/// Say all that is wrong with a configuration, or what it means
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse check -c pumphouse.yaml
  pumphouse check --json | jq .mistakes

Exit codes: 0 nothing wrong, 65 mistakes.")]
pub struct Check {
    #[command(flatten)]
    file: ConfigurationFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Prints the verdict.
    #[must_use]
    pub fn run(self) -> Exit {
        match (configuration::read(&self.file.config), self.json) {
            (Ok(settings), true) => {
                println!("{}", json!({ "mistakes": [], "settings": settings.to_redacted_json() }));
                Exit::Fine
            }
            (Ok(settings), false) => {
                println!(
                    "{}: nothing wrong; {} stream(s), revision {}",
                    self.file.config.display(),
                    settings.streams.len(),
                    settings.revision
                );
                Exit::Fine
            }
            (Err(mistakes), true) => {
                println!("{}", json!({ "mistakes": mistakes }));
                Exit::Configuration
            }
            (Err(mistakes), false) => {
                eprintln!("{mistakes}");
                Exit::Configuration
            }
        }
    }
}
