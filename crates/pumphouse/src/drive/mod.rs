//! Carries out what the core orders: threads, clocks, channels. Decides nothing about delivery.

mod audit;
pub mod clock;
mod commits;
pub mod crash;
mod curves;
mod faults;
mod gaps;
mod isolate;
pub mod lane;
mod orders;
mod patience;
mod pressure;
pub mod process;
pub mod ready;
pub mod report;
mod standing;
mod take;
mod valve;
