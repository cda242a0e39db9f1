//! `cargo xtask sim` ends here.

fn main() {}
