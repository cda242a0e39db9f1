//! The parts of the binary, in the order an event meets them.

pub mod command;
pub mod config;
pub mod decode;
pub mod drive;
pub mod fault;
pub mod sink;
pub mod source;
pub mod telemetry;
