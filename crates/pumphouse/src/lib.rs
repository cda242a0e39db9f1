//! The parts of the binary, in the order an event meets them.

pub mod audit;
pub mod check;
pub mod cli;
pub mod command;
pub mod config;
pub mod decode;
pub mod demo;
pub mod drive;
pub mod embedded;
pub mod fault;
pub mod replay;
pub mod sink;
pub mod source;
pub mod telemetry;
