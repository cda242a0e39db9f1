//! The subcommands, one file each; nothing below them knows the command line.

pub mod apply;
pub mod explain;
