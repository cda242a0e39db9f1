//! Any bytes as a record: see `bodies/decode_json.rs`.

#![no_main]

#[path = "../bodies/decode_json.rs"]
mod decode_json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decode_json::judge(bytes));
