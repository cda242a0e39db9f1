//! Any text as a configuration: see `bodies/configuration.rs`.

#![no_main]

#[path = "../bodies/configuration.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| configuration::judge(bytes));
