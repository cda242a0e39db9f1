//! Offsets of the topic against rows and dead letters: what is known where (`ground`, `positions`), sums by range
//! (`tallies`), what single offsets have (`contents`), what the topic says they should have (`topic`, `judging`), from
//! sums to single records (`survey`), what is missing becomes rows (`repair`), and the same for what was settled lately
//! (`lately`). What counts and records mean is decided by `pumphouse_core::audit`.

mod contents;
mod gaps;
mod ground;
mod judging;
pub mod lately;
pub mod place;

mod positions;
mod repair;
pub mod report;
mod rounds;
mod survey;
mod tallies;
mod topic;
mod trouble;

pub use ground::Ground;
pub use repair::{Repaired, repair};
pub use survey::{Asked, Progress, Said, audit};
