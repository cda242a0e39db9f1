//! The demo's worker: `pumphouse run` as a process of its own, killed and started again. Does not know when that is
//! due, nor what the worker does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::embedded::guard::{Guarded, Program};
use crate::fault::{Code, Fault};
use crate::telemetry::event;

/// What the log says of a claim that another process left behind.
const CLAIM_FOUND: [&str; 2] = ["reading a found claim again", event::RECOVERED];

/// How to start a worker, and the one that runs.
pub struct Worker {
    exe: PathBuf,
    config: PathBuf,
    log: PathBuf,
    further: Vec<OsString>,
    process: Option<Guarded>,
}

impl Worker {
    /// A worker for a configuration file, not started yet; `exe` is pumphouse's own binary.
    #[must_use]
    pub fn new(exe: PathBuf, config: PathBuf, log: PathBuf) -> Self {
        Self { exe, config, log, further: Vec::new(), process: None }
    }

    /// The same with further words on its command line.
    #[must_use]
    pub fn with(mut self, further: &[&str]) -> Self {
        self.further.extend(further.iter().map(OsString::from));
        self
    }

    /// Starts it and tells its process id.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(&mut self) -> Result<u32, Fault> {
        let mut arguments: Vec<OsString> =
            vec!["run".into(), "--config".into(), self.config.clone().into_os_string()];
        arguments.extend(self.further.iter().cloned());
        let program = Program { path: self.exe.clone(), arguments, log: self.log.clone(), scratch: None };
        let process =
            Guarded::spawn(&self.exe, &program).map_err(|error| fault("was not started", &error))?;
        let pid = process.pid();
        self.process = Some(process);
        Ok(pid)
    }

    /// Kills it with -9, in the middle of whatever it does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<(), Fault> {
        let killed = self.process.as_mut().map_or(Ok(()), Guarded::kill);
        self.process = None;
        killed.map_err(|error| fault("was not killed", &error))
    }

    /// Asks it to settle what is open and end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn ask_to_end(&mut self) -> Result<(), Fault> {
        let asked = self.process.as_mut().map_or(Ok(()), |process| process.signal(Signal::TERM));
        asked.map_err(|error| fault("was not asked to end", &error))
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// When the system refuses to tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Fault> {
        let ended = self.process.as_mut().map_or(Ok(None), Guarded::ended);
        ended.map_err(|error| fault("can't be watched", &error))
    }

    /// The last line that it logged.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = self.said();
        log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned()
    }

    /// Whether its log holds these words.
    #[must_use]
    pub fn has_said(&self, words: &str) -> bool {
        self.said().contains(words)
    }

    /// The lines of its log that hold these words.
    #[must_use]
    pub fn lines_with(&self, words: &str) -> Vec<String> {
        self.said().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// How many batches that a killed worker had claimed were found, over all starts.
    #[must_use]
    pub fn found_claimed(&self) -> usize {
        found_claimed(&self.said())
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

/// Different batches in the lines that tell of a found claim.
fn found_claimed(log: &str) -> usize {
    let lines = log.lines().filter(|line| CLAIM_FOUND.iter().any(|words| line.contains(words)));
    let batch =
        |line: &str| line.split_whitespace().find_map(|word| word.strip_prefix("batch=").map(str::to_owned));
    lines.filter_map(batch).collect::<BTreeSet<_>>().len()
}

fn fault(what: &str, error: &io::Error) -> Fault {
    Fault::new(Code::ServerNotStarted, "the demo's worker", format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_found_and_brought_to_its_end_counts_once() {
        let log = "INFO partitions assigned stream=requests\n\
                   INFO reading a found claim again stream=requests batch=0f4e partitions=3\n\
                   INFO claim recovered stream=requests batch=0f4e outcome=Settled\n\
                   INFO claim recovered stream=requests batch=1a2b outcome=Dropped\n\
                   DEBUG batch settled stream=requests batch=77aa rows=9";
        assert_eq!(found_claimed(log), 2);
    }
}
