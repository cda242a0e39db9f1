//! The subcommands, one file each. Nothing below them knows the command line.

pub mod internal;

mod servers;
