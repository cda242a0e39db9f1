//! What pumphouse decides. No async, no I/O, no clock, no randomness, no logging.

pub mod schema;
