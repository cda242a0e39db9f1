//! The configuration: what was said (`said`) becomes what it means (`settings`).

pub mod settings;
