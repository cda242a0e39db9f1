//! The pumphouse processes of a run: started, killed, stopped, and started again when they end by themselves, as a
//! supervisor would. An end that needs a person, or a panic, is noted as trouble.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use pumphouse::embedded::guard::{Guarded, Program};
use rustix::process::Signal;

use crate::report::Report;

/// Exit code of a process that stopped for a person.
const HALTED: i32 = 70;
/// How often ends are looked for.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// How long a process may take to leave in order.
const LEAVE_WITHIN: Duration = Duration::from_secs(45);
/// Lines of a log that are told.
const LINES_TOLD: usize = 6;

/// One place for a process.
struct Slot {
    configuration: PathBuf,
    log: PathBuf,
    process: Option<Guarded>,
    wanted: bool,
}

/// All places.
pub(crate) struct Processes {
    exe: PathBuf,
    slots: Mutex<Vec<Slot>>,
    report: Arc<Report>,
    ended: AtomicBool,
}

impl Processes {
    /// A place for each configuration; nothing runs yet.
    pub(crate) fn new(
        exe: &Path,
        configurations: &[PathBuf],
        folder: &Path,
        report: Arc<Report>,
    ) -> Arc<Self> {
        let slot = |(number, configuration): (usize, &PathBuf)| Slot {
            configuration: configuration.clone(),
            log: folder.join(format!("pumphouse-{number}.log")),
            process: None,
            wanted: false,
        };
        let slots = configurations.iter().enumerate().map(slot).collect();
        let processes =
            Self { exe: exe.to_owned(), slots: Mutex::new(slots), report, ended: AtomicBool::new(false) };
        let processes = Arc::new(processes);
        let watched = Arc::clone(&processes);
        thread::spawn(move || {
            while !watched.ended.load(Ordering::Relaxed) {
                watched.restart_what_ended();
                thread::sleep(WATCH_EVERY);
            }
        });
        processes
    }

    /// Starts the process of a place, with its own configuration or another one.
    pub(crate) fn start(&self, number: usize, configuration: Option<&Path>) -> anyhow::Result<()> {
        let mut slots = self.slots();
        let slot = &mut slots[number];
        let configuration = configuration.unwrap_or(&slot.configuration).to_owned();
        let arguments = ["run".into(), "-c".into(), configuration.into_os_string()].to_vec();
        let program = Program { path: self.exe.clone(), arguments, log: slot.log.clone(), scratch: None };
        slot.process = Some(Guarded::spawn(&self.exe, &program).context("pumphouse could not be started")?);
        slot.wanted = true;
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&self, number: usize) -> anyhow::Result<()> {
        let process = self.take(number);
        process.map_or(Ok(()), |mut process| process.kill()).context("kill")
    }

    /// SIGTERM, and waits for the end; the exit code.
    pub(crate) fn leave(&self, number: usize) -> anyhow::Result<Option<i32>> {
        let Some(mut process) = self.take(number) else { return Ok(None) };
        process.signal(Signal::TERM)?;
        let status = process.wait(LEAVE_WITHIN)?;
        if status.is_none() {
            self.report.trouble(format!("process {number} did not leave within {LEAVE_WITHIN:?}"));
            process.kill()?;
        }
        Ok(status.and_then(|status| status.code()))
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, number: usize, signal: Signal) -> anyhow::Result<()> {
        let mut slots = self.slots();
        slots[number].process.as_mut().map_or(Ok(()), |process| process.signal(signal)).context("signal")
    }

    /// The places whose process is to run.
    pub(crate) fn running(&self) -> Vec<usize> {
        let slots = self.slots();
        slots.iter().enumerate().filter(|(_, slot)| slot.wanted).map(|(number, _)| number).collect()
    }

    /// The places without one.
    pub(crate) fn free(&self) -> Vec<usize> {
        let slots = self.slots();
        slots.iter().enumerate().filter(|(_, slot)| !slot.wanted).map(|(number, _)| number).collect()
    }

    /// Ends all in order and looks through their logs.
    pub(crate) fn end(&self) -> anyhow::Result<()> {
        for number in self.running() {
            let begun = Instant::now();
            let code = self.leave(number)?;
            self.report.note(&format!("process {number} left with {code:?} after {:?}", begun.elapsed()));
            if code != Some(0) {
                self.report.trouble(format!("process {number} left with {code:?} although all was settled"));
            }
        }
        self.ended.store(true, Ordering::Relaxed);
        for slot in &*self.slots() {
            let log = fs::read_to_string(&slot.log).unwrap_or_default();
            for line in log.lines().filter(|line| line.contains("panicked")) {
                self.report.trouble(format!("{}: {line}", slot.log.display()));
            }
        }
        Ok(())
    }

    /// How many lines of the logs hold this word.
    pub(crate) fn said(&self, word: &str) -> u64 {
        let logs = self
            .slots()
            .iter()
            .map(|slot| fs::read_to_string(&slot.log).unwrap_or_default())
            .collect::<Vec<_>>();
        logs.iter().map(|log| log.lines().filter(|line| line.contains(word)).count() as u64).sum()
    }

    fn restart_what_ended(&self) {
        for number in self.running() {
            let mut ended = None;
            if let Some(process) = &mut self.slots()[number].process {
                ended = process.ended().ok().flatten();
            }
            let Some(status) = ended else { continue };
            let told = self.last_words(number);
            if status.code() == Some(HALTED) {
                self.report.trouble(format!("process {number} halted:\n{told}"));
            } else {
                self.report.note(&format!("process {number} ended by itself with {status}:\n{told}"));
            }
            if let Err(error) = self.start(number, None) {
                self.report.trouble(format!("process {number} can't be started again: {error:#}"));
            }
        }
    }

    fn last_words(&self, number: usize) -> String {
        let log = fs::read_to_string(&self.slots()[number].log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES_TOLD)..].join("\n")
    }

    fn take(&self, number: usize) -> Option<Guarded> {
        let mut slots = self.slots();
        slots[number].wanted = false;
        slots[number].process.take()
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
