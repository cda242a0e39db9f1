//! The demonstration: real events through a real worker into a real ClickHouse, in one command, with the worker killed
//! on the way and everything counted at the end.
//!
//! ```text
//! stage                 ClickHouse, Kafka's mock, configuration, tables
//! show                  what happens when: produce, kill, start again, drain, count
//!   feed, ahead         a steady rate, held where the mock would drop records
//!     producer          records handed over and acknowledged
//!       events, bad     what a record is
//!   schedule, worker    the process that is killed, and when
//!   findings, count     what ClickHouse has, held against what was produced
//!   screen, view        what is shown meanwhile
//! incident              another story on the same ground: bad messages, and a consumer that can't get past them
//! parts                 two more: a server that can't merge as fast as small inserts come
//! ```

use std::time::Duration;

pub mod ahead;
pub mod bad;
pub mod configuration;
pub mod count;
pub mod events;
pub mod feed;
pub mod findings;
pub mod incident;
pub mod mock_kafka;
pub mod parts;
pub mod producer;
pub mod schedule;
pub mod screen;
pub mod show;
pub mod stage;
pub mod view;
pub mod worker;

use count::Count;
use events::Generator;
use screen::Screen;
use show::Show;
use stage::Stage;

use crate::embedded;
use crate::fault::{Code, Fault};

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// How long events are produced; until Ctrl-C where absent.
    pub run_for: Option<Duration>,
    /// Events per second.
    pub rate: u32,
    /// What the events are.
    pub generator: Generator,
}

/// Why there is no count.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// ClickHouse could not be had.
    #[error(transparent)]
    ClickHouse(#[from] embedded::Error),
    /// Anything else.
    #[error(transparent)]
    Fault(Box<Fault>),
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

/// Shows everything on a stage that is set up, and counts. Where the count does not hold, or there is none, the
/// folder with the configuration and the worker's log is kept, and the failure tells where.
///
/// # Errors
/// When something fails that makes a count impossible.
pub fn run(stage: Stage, wishes: Wishes, screen: Screen) -> Result<Count, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| broken(format!("no runtime: {error}")))?;
    let mut stage = stage;
    let counted = runtime.block_on(async { Show::begin(&mut stage, wishes, screen)?.count().await });
    match counted {
        Ok(mut count) if !count.holds => {
            let folder = stage.keep_folder();
            count.folder = Some(folder);
            Ok(count)
        }
        Err(Error::Fault(fault)) => {
            let folder = stage.keep_folder();
            Err(fault.advise(format!("the worker's log is in {}", folder.display())).into())
        }
        other => other,
    }
}

fn broken(what: impl Into<String>) -> Fault {
    Fault::new(Code::DemoCountWrong, "the demo", what)
}
