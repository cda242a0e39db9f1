//! The project's chores, one word each; the `match` below is the table of contents.
//! Knows nothing of pumphouse itself: the chores read the sources as text.

mod binary;
mod model;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <chore>

  calibrate [--seconds S] [--rate N] [--json]
          what `pumphouse simulate` foretells of three configurations, against real servers
  chaos [--minutes M] [--seed S] [--rate N] [--only KIND[,KIND]] [--pace P] [--json] [--keep]
          breaks processes, servers and the network between them by a seed, and counts every event afterwards
  crashes [--times N]
          kills a process N times (default 20) at each named point of a batch's life; prints a line for each point
  incident 001 [--json]
          daily partitions over a year and small frequent inserts: a writer that gives up, then pumphouse; exit code as below
  incident 002 [--json]
          nine times the rate while merges stand still, and table settings that follow the rate; exit code as below
  incident 003 [--json]
          four test messages in a topic: a consumer that gets stuck, then pumphouse; exit code 0 only if all holds
  model [--world NAME] [--small] [--json]
          every small world around the real core to its last state; exit code 2 where a promise breaks
  mutants [words]
          turn each decision of the core around once and see which test notices; words go to cargo-mutants
  servers start|stop|status
          a ClickHouse and a Kafka that stay until they are stopped; prints their addresses as shell exports
  sim [--seeds N] [--from SEED] [--json] | --seed SEED
          histories of a simulated Kafka and ClickHouse over the real pump; --seed shows one (exit code 1 if a rule broke)
  tidy    measure the sources and refuse what STYLE.md forbids (exit code 1 with findings)
  help    this text
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["calibrate", rest @ ..] => binary::internal("calibrate", rest),
        ["chaos", rest @ ..] => binary::chaos(rest),
        ["crashes"] => binary::crashes("20"),
        ["crashes", "--times", times] => binary::crashes(times),
        ["incident", rest @ ..] => binary::internal("incident", rest),
        ["model", rest @ ..] => model::run(rest),
        ["mutants", rest @ ..] => model::mutants(rest),
        ["servers", rest @ ..] => binary::internal("servers", rest),
        ["sim", rest @ ..] => binary::simulate(rest),
        ["tidy"] => tidy::run(),
        [] | ["help" | "--help" | "-h", ..] => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprint!("unknown chore: {}\n\n{HELP}", words.join(" "));
            Ok(ExitCode::from(64))
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
