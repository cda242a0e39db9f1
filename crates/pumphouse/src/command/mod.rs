//! The subcommands, one file each; nothing below them knows the command line.

pub mod apply;
pub mod audit;
pub mod broken_pipe;
pub mod calibrate;
pub mod check;
pub mod configuration;
mod counted;
pub mod dead;
pub mod demo;
pub mod explain;
pub mod incident;
pub mod internal;
pub mod produce;
mod rate;
pub mod run;
pub mod settings;
pub mod simulate;

mod servers;
