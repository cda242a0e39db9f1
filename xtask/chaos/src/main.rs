//! `cargo xtask chaos`: produces events while processes, servers and the network between them are broken by a seed,
//! then lets everything settle and counts. Exit code 0 only if each event is where it belongs, once.

mod event;
mod faults;
mod ground;
mod http;
mod options;
mod oracle;
mod processes;
mod producer;
mod proxy;
mod report;
mod schedule;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::faults::{Hands, Table};
use crate::ground::{DATABASE, Ground, INSERT_TIMEOUT, PARTITIONS, TOPIC};
use crate::options::Options;
use crate::oracle::Oracle;
use crate::processes::Processes;
use crate::producer::{Count, Order, Producing};
use crate::report::{Figures, Report};

/// Processes at the beginning; a fourth place is for one that joins.
const AT_FIRST: usize = 3;
/// How long everything may take to settle once the faults have ended.
const DRAIN_WITHIN: Duration = Duration::from_mins(4);
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::read(&words) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{}", options::HELP);
            return ExitCode::from(64);
        }
    };
    // A choice made earlier is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs in a folder of its own, which stays where something failed.
fn run(options: &Options) -> anyhow::Result<bool> {
    let folder =
        std::env::temp_dir().join(format!("pumphouse-chaos-{}-{}", options.seed, std::process::id()));
    std::fs::create_dir_all(&folder)?;
    eprintln!("seed {}, logs in {}", options.seed, folder.display());
    let outcome = run_in(&folder, options);
    if matches!(outcome, Ok(true)) && !options.keep {
        std::fs::remove_dir_all(&folder).context("the logs can't be removed")?;
    } else {
        eprintln!("logs: {}", folder.display());
    }
    if !matches!(outcome, Ok(true)) {
        eprintln!("again: {}", options.command());
    }
    outcome
}

fn run_in(folder: &Path, options: &Options) -> anyhow::Result<bool> {
    let exe = std::env::current_exe()?.with_file_name("pumphouse");
    let (ground, servers) = Ground::prepare(exe, folder.to_owned())?;
    let (ground, report) = (Arc::new(ground), Arc::new(Report::new(folder)?));
    let processes = Processes::new(&ground.exe, &ground.configurations, folder, Arc::clone(&report));
    let table = Table {
        ground: Arc::clone(&ground),
        processes: Arc::clone(&processes),
        report: Arc::clone(&report),
        stop: Arc::new(AtomicBool::new(false)),
    };
    for number in 0..AT_FIRST {
        processes.start(number, None)?;
    }
    let order = Order {
        brokers: ground.brokers.clone(),
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        rate: options.rate,
        seed: options.seed,
        folder: folder.to_owned(),
    };
    let producing = Producing::start(order)?;
    let counts = keep_telling(&table, &producing.count);
    let hands = Hands::start(&table, servers, &options.game());
    let begun = Instant::now();
    thread::sleep(options.time());
    let servers = hands.finish()?;
    report.note("the faults have ended");
    let (minutes, settling) = (begun.elapsed().as_secs_f64() / 60.0, Instant::now());
    let events = producing.finish()?;
    report.note(&format!("{events} events are acknowledged"));
    let drained = ground.wait_until_drained(DRAIN_WITHIN);
    let drained_seconds = settling.elapsed().as_secs_f64();
    if let Err(error) = drained {
        report.trouble(format!("{error:#}"));
    }
    let _ = counts.join();
    processes.end()?;
    // An insert that is still somewhere has to have arrived, or to be too late.
    thread::sleep(INSERT_TIMEOUT);
    let figures = Figures {
        seed: options.seed,
        minutes,
        drained_seconds,
        late_refused_in_log: late_refused(&ground)?,
        warned: processes.said("PH-0066"),
        findings: compare(&ground, options.seed)?,
    };
    let is_well = report.end(&figures, options.json);
    drop(servers);
    Ok(is_well)
}

fn compare(ground: &Ground, seed: u64) -> anyhow::Result<oracle::Findings> {
    let oracle = Oracle {
        clickhouse: ground.address,
        database: DATABASE.to_owned(),
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        seed,
        folder: ground.folder.clone(),
    };
    oracle.compare()
}

/// Inserts that ClickHouse refused for their deadline, as the text of its own log has it, which outlives a kill.
fn late_refused(ground: &Ground) -> anyhow::Result<u64> {
    let log = File::open(ground.folder.join("clickhouse").join("clickhouse.log"))?;
    let is_refusal =
        |line: &String| ["executeQuery", "Code: 395", "PH_DEADLINE"].iter().all(|words| line.contains(words));
    Ok(BufReader::new(log).lines().map_while(Result::ok).filter(is_refusal).count() as u64)
}

/// A line every ten seconds until the faults end.
fn keep_telling(table: &Table, count: &Arc<Count>) -> thread::JoinHandle<()> {
    let (table, count) = (table.clone(), Arc::clone(count));
    thread::spawn(move || {
        let mut due = PROGRESS_EVERY;
        while !table.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
            if table.report.seconds() < due.as_secs_f64() {
                continue;
            }
            due += PROGRESS_EVERY;
            let rows = table.ground.address.ask(&format!("SELECT count() FROM {DATABASE}.events"));
            let lag = table.ground.lag();
            eprintln!(
                "{:>5.0} s  {:>9} events  {:>9} rows  lag {:>7}  {:>4} faults  {} processes",
                table.report.seconds(),
                count.acknowledged.load(Ordering::Acquire),
                rows.unwrap_or_else(|_| "?".to_owned()),
                lag.map_or("?".to_owned(), |lag| lag.to_string()),
                table.report.faults(),
                table.processes.running().len(),
            );
        }
    })
}
