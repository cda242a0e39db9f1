//! The subcommands, one file each; nothing below them knows the command line.

pub mod explain;
pub mod produce;
