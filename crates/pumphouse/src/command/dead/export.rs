//! `dead export`: the records of letters, as JSON lines or as they came.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;

use super::options::{Filters, connected};
use super::show::in_json;
use crate::command::configuration::ConfigurationFile;
use crate::command::counted::counted;
use crate::fault::Exit;
use crate::replay::filter::{Fate, Filter};
use crate::replay::inspect_log;
use crate::replay::letters::{self, Listed};

/// Letters fetched at once, and the bytes of their records.
const LETTERS_MAX: usize = 5_000;
const BYTES_MAX: u64 = 16 << 20;

/// Write the records of dead letters to a file or to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pumphouse dead export --stream requests --to letters.jsonl
  pumphouse dead export --code PH-0104 --to - | jq -r .reason
  pumphouse dead export --partition 3 --offset 1207 --format raw --to record.bin

jsonl has a line for each letter, its record as text, or as {\"base64\": …} where it is none. \
raw is the records alone, a line feed after each.

Exit codes: 0 written, 1 it did not work, 2 a table is missing, 64 usage, 65 configuration, \
69 ClickHouse was not reached.")]
pub struct Export {
    #[command(flatten)]
    file: ConfigurationFile,
    #[command(flatten)]
    filters: Filters,
    /// Where to: a file that is not there yet, or - for standard output
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// In which form
    #[arg(long, default_value = "jsonl")]
    format: Format,
    /// Resolved ones too
    #[arg(long)]
    all: bool,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object on each line
    Jsonl,
    /// The records as they came
    Raw,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let filter = self.filters.filter(if self.all { Fate::All } else { Fate::Open });
        connected(&self.file, async |_, client| {
            inspect_log(&client).await?;
            let mut out: Box<dyn Write> = if self.to.as_os_str() == "-" {
                Box::new(io::stdout().lock())
            } else {
                let file = File::create_new(&self.to);
                Box::new(file.with_context(|| format!("{} can't be created", self.to.display()))?)
            };
            let mut out = BufWriter::new(&mut out);
            let mut letters = 0;
            for (stream, topic, _) in letters::topics(&client, &filter).await? {
                let filter = Filter { stream: Some(stream), topic: Some(topic), ..filter.clone() };
                letters += self.export(&client, &filter, &mut out).await?;
            }
            out.flush().context("the records can't be written")?;
            eprintln!("{} written", counted(letters, "dead letter"));
            Ok(Exit::Fine)
        })
    }

    async fn export(
        &self,
        client: &pumphouse_clickhouse::client::Client,
        filter: &Filter,
        out: &mut impl Write,
    ) -> anyhow::Result<u64> {
        let (mut behind, mut letters) = (None, 0);
        loop {
            let page = letters::page(client, filter, behind.as_ref(), LETTERS_MAX).await?;
            let Some(Listed { stream, topic, .. }) = page.first() else { return Ok(letters) };
            let names: Vec<_> = page.iter().map(|Listed { name, time_ms, .. }| (name, *time_ms)).collect();
            let of = (stream.as_str(), topic.as_str());
            let fitting = letters::fitting(client, of, &names, BYTES_MAX).await?;
            let names = &names[..fitting];
            let whole = letters::whole(client, of, names).await?;
            behind = names.last().map(|(name, _)| name.cursor());
            letters += whole.len() as u64;
            for letter in &whole {
                match self.format {
                    Format::Raw => out.write_all(&letter.payload)?,
                    Format::Jsonl => {
                        let listed = page.iter().find(|listed| listed.name == letter.name);
                        let listed = listed.expect("only letters of the page are asked for");
                        serde_json::to_writer(&mut *out, &in_json(listed, letter))?;
                    }
                }
                out.write_all(b"\n")?;
            }
        }
    }
}
