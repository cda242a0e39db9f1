//! `pumphouse dead`: lists, shows, exports, replays and deletes dead letters. The filters are the same for all.

mod export;
mod list;
mod options;
mod purge;
mod replay;
mod show;
mod text;

use clap::Subcommand;

pub(super) use options::time;
pub(super) use replay::{Progress as Line, replay_ground};
pub(super) use text::{aligned, time as shown_time};

use crate::fault::Exit;

/// The parts of `dead`.
#[derive(Debug, Subcommand)]
pub enum Dead {
    /// List dead letters, newest last, with counts by code
    List(list::List),
    /// Show all there is about a dead letter
    Show(show::Show),
    /// Write the records of dead letters to a file or to standard output
    Export(export::Export),
    /// Make rows of dead letters that have become fit
    Replay(replay::Replay),
    /// Delete dead letters
    Purge(purge::Purge),
}

impl Dead {
    /// Does one of them.
    ///
    /// # Errors
    /// When a server does not answer or refuses.
    pub fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Export(export) => export.run(),
            Self::Replay(replay) => replay.run(),
            Self::Purge(purge) => purge.run(),
        }
    }
}
