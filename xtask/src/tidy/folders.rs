//! What single folders forbid: the core has no clock, no randomness and no I/O, decoding is a pure function.
//! Types and lints that hold everywhere are clippy's part.

use super::Finding;
use super::source::Source;

/// Words that may not appear below a path, and why.
struct Ban {
    below: &'static [&'static str],
    but_not_below: &'static [&'static str],
    words: &'static [&'static [&'static str]],
    rule: &'static str,
    advice: &'static str,
}

const BINARY: &str = "crates/pumphouse/src/";

const BANS: &[Ban] = &[
    Ban {
        below: &["crates/core/", "crates/pumphouse/src/decode/", "crates/pumphouse/src/config/"],
        but_not_below: &[],
        words: &[
            &["Instant", ":", ":", "now"],
            &["SystemTime", ":", ":", "now"],
            &["Timestamp", ":", ":", "now"],
        ],
        rule: "clock",
        advice: "time is a value here: take it as an argument",
    },
    Ban {
        below: &["crates/core/", "crates/pumphouse/src/decode/", "crates/pumphouse/src/config/"],
        but_not_below: &[],
        words: &[&["rand"], &["fastrand"], &["getrandom"]],
        rule: "randomness",
        advice: "a replay must decide the same: take what was drawn as an argument",
    },
    Ban {
        below: &["crates/core/"],
        but_not_below: &[],
        words: &[&["HashMap"], &["HashSet"]],
        rule: "hash-order",
        advice: "iteration order would differ between runs: `BTreeMap` or `BTreeSet`",
    },
    Ban {
        below: &["crates/core/", "crates/pumphouse/src/decode/"],
        but_not_below: &[],
        words: &[&["tokio"], &["async", "fn"], &["async", "move"], &[".", "await"]],
        rule: "async",
        advice: "this folder decides and never waits: hand the order to `drive`",
    },
    Ban {
        below: &["crates/core/"],
        but_not_below: &[],
        words: &[
            &["println"],
            &["eprintln"],
            &["tracing"],
            &["log", ":", ":"],
            &["std", ":", ":", "fs"],
            &["std", ":", ":", "env"],
            &["std", ":", ":", "net"],
        ],
        rule: "input-output",
        advice: "the core neither reads nor writes: return an effect",
    },
    Ban {
        below: &["crates/clickhouse/", BINARY],
        but_not_below: &[
            "crates/pumphouse/src/command/",
            "crates/pumphouse/src/main.rs",
            "crates/pumphouse/src/cli.rs",
        ],
        words: &[&["println", "!"], &["eprintln", "!"], &["print", "!"], &["eprint", "!"]],
        rule: "print",
        advice: "below the commands only `telemetry` speaks",
    },
    Ban {
        below: &["crates/clickhouse/", BINARY],
        but_not_below: &[
            "crates/pumphouse/src/drive/",
            "crates/pumphouse/src/embedded/",
            "crates/pumphouse/src/console/",
            "crates/pumphouse/src/command/",
            "crates/pumphouse/src/main.rs",
        ],
        words: &[&["tokio", ":", ":", "spawn"], &["task", ":", ":", "spawn"]],
        rule: "spawn",
        advice: "a task nobody joins outlives its lane: `drive` owns the tasks",
    },
    Ban {
        below: &["crates/clickhouse/", BINARY],
        but_not_below: &["crates/pumphouse/src/command/", "crates/pumphouse/src/main.rs"],
        words: &[&["anyhow"]],
        rule: "anyhow",
        advice: "below the commands errors are types, so that the verdict can tell them apart",
    },
];

/// The bans that hold for this file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let under = |folders: &[&str]| folders.iter().any(|folder| source.path.starts_with(folder));
    let mut findings = Vec::new();
    for ban in BANS.iter().filter(|ban| under(ban.below) && !under(ban.but_not_below)) {
        let lines = ban.words.iter().flat_map(|words| source.lines_with(words));
        findings.extend(lines.map(|line| Finding::new(&source.path, line, ban.rule, ban.advice)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::source::measure;
    use super::*;

    fn found(path: &str, body: &str) -> Vec<&'static str> {
        let file = syn::parse_file(body).expect("the example is Rust");
        check(&measure(path, body, &file, false)).into_iter().map(|found| found.rule).collect()
    }

    #[test]
    fn the_core_may_neither_look_at_the_clock_nor_wait_nor_hash() {
        let body = "use std::collections::HashMap;\nasync fn a() { Instant::now(); }\n";
        assert_eq!(found("crates/core/src/pump.rs", body), ["clock", "hash-order", "async"]);
        assert_eq!(found("crates/pumphouse/src/drive/lane.rs", body), [""; 0]);
    }

    #[test]
    fn tasks_are_spawned_by_drive_alone() {
        let body = "fn a() { tokio::spawn(b()); }\n";
        assert_eq!(found("crates/pumphouse/src/sink/insert.rs", body), ["spawn"]);
        assert_eq!(found("crates/pumphouse/src/drive/lane.rs", body), [""; 0]);
    }
}
