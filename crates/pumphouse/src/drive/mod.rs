//! Carries out what the core orders: threads, clocks, channels. Decides nothing about delivery.

pub mod clock;
mod faults;
mod gaps;
pub mod lane;
mod orders;
pub mod process;
pub mod ready;
pub mod report;
mod take;
