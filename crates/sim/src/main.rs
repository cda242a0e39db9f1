//! `cargo xtask sim`: lives many histories on all cores, or one with its trace.

mod report;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pumphouse_sim::world::history;
use report::Report;

const HELP: &str = "\
cargo xtask sim [--seeds N] [--from SEED] [--json]
cargo xtask sim --seed SEED

Lives histories of a simulated Kafka, ClickHouse and some processes over the pump that is shipped.

  --seeds N     how many (10000)
  --from SEED   the first (0)
  --seed SEED   this one alone, with everything that happens in it
  --json        the result for machines

Exit codes: 0 all held, 1 some did not, 64 usage.

  cargo xtask sim --seeds 100000
  cargo xtask sim --seed 4711
";

/// Seeds that a core takes at once.
const SHARE: u64 = 64;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Help,
    One(u64),
    Many { first: u64, count: u64, json: bool },
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match understand(&words) {
        Ok(Wish::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Wish::One(seed)) => one(seed),
        Ok(Wish::Many { first, count, json }) => many(first, count, json),
        Err(mistake) => {
            eprint!("{mistake}\n\n{HELP}");
            ExitCode::from(64)
        }
    }
}

fn understand(words: &[String]) -> Result<Wish, String> {
    let (mut first, mut count, mut json, mut one) = (0, 10_000, false, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let said = words.next().ok_or_else(|| format!("{word} wants a number"))?;
            said.parse::<u64>().map_err(|_| format!("{word} wants a number, not `{said}`"))
        };
        match word.as_str() {
            "--seeds" => count = number()?,
            "--from" => first = number()?,
            "--seed" => one = Some(number()?),
            "--json" => json = true,
            "--help" | "-h" | "help" => return Ok(Wish::Help),
            other => return Err(format!("unknown word: {other}")),
        }
    }
    Ok(one.map_or(Wish::Many { first, count, json }, Wish::One))
}

fn one(seed: u64) -> ExitCode {
    let history = history(seed, true);
    print!("{}", history.trace);
    match history.failure {
        None => {
            println!("seed {seed}: all held, {} events", history.events);
            ExitCode::SUCCESS
        }
        Some(failure) => {
            println!("seed {seed}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn many(first: u64, count: u64, json: bool) -> ExitCode {
    // A panic inside a history is its failure; it is told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let total = Mutex::new(Report::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| work(first, count, &next, &total));
        }
        if std::io::stderr().is_terminal() {
            show_progress(count, &total, begun);
        }
    });
    let report = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let words = if json { report.json(begun.elapsed()) } else { report.text(begun.elapsed()) };
    print!("{words}");
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(first: u64, count: u64, next: &AtomicU64, total: &Mutex<Report>) {
    loop {
        let from = next.fetch_add(SHARE, Ordering::Relaxed);
        if from >= count {
            return;
        }
        let mut mine = Report::default();
        for seed in from..count.min(from + SHARE) {
            mine.add(history(first + seed, false));
        }
        total.lock().unwrap_or_else(std::sync::PoisonError::into_inner).merge(mine);
    }
}

fn show_progress(count: u64, total: &Mutex<Report>, begun: Instant) {
    loop {
        let (done, failures) = {
            let report = total.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (report.histories, report.failures.len())
        };
        let rate = report::per_second(done, begun.elapsed());
        eprint!("\r{done} of {count} histories, {rate:.0} a second, {failures} failed ");
        if done >= count {
            return eprintln!();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
