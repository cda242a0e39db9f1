//! One server of ours as a process: started, ready, killed, paused, started again as it was.
//! Does not know what the server is or how it tells that it is ready.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Error;
use super::guard::{Guarded, Program};
use super::tool::last_lines;

const READY_WITHIN: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 15;
const PORT_TRIES: u32 = 5;

/// A server that we started and may stop.
#[derive(Debug)]
pub struct ServerProcess {
    name: &'static str,
    exe: PathBuf,
    program: Program,
    running: Guarded,
    /// The log's length when it was last started.
    log_before: u64,
}

impl ServerProcess {
    /// Starts `program` and waits until `ready` says so.
    pub(super) fn start(
        name: &'static str,
        exe: &Path,
        program: Program,
        ready: impl Fn() -> Result<(), String>,
    ) -> Result<Self, Error> {
        let (running, log_before) = spawn(exe, &program)?;
        let mut process = Self { name, exe: exe.to_owned(), program, running, log_before };
        process.wait_until_ready(ready)?;
        Ok(process)
    }

    /// Ends it with SIGKILL if it still runs, and starts it again as it was: same files, same ports.
    pub(super) fn restart(&mut self, ready: impl Fn() -> Result<(), String>) -> Result<(), Error> {
        self.kill()?;
        (self.running, self.log_before) = spawn(&self.exe, &self.program)?;
        self.wait_until_ready(ready)
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub(super) fn kill(&mut self) -> Result<(), Error> {
        self.running.kill().map_err(Error::os("kill", &self.program.path))
    }

    /// Stops it in its tracks with SIGSTOP: it answers nobody and keeps its connections.
    pub(super) fn pause(&mut self) -> Result<(), Error> {
        self.running.signal(Signal::STOP).map_err(Error::os("stop", &self.program.path))
    }

    /// Lets it go on with SIGCONT.
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        self.running.signal(Signal::CONT).map_err(Error::os("continue", &self.program.path))
    }

    /// The server's process id, not its guard's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Where the server's files are.
    pub(super) fn folder(&self) -> &Path {
        self.program.log.parent().unwrap_or(Path::new("/"))
    }

    /// Where the server writes what it has to say.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.program.log
    }

    fn wait_until_ready(&mut self, ready: impl Fn() -> Result<(), String>) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let Err(reason) = ready() else { return Ok(()) };
            let ended = self.running.ended().map_err(Error::os("watch", &self.program.path))?;
            if let Some(status) = ended {
                return Err(self.not_started(format!("it ended with {status}")));
            }
            if started.elapsed() > READY_WITHIN {
                let _ = self.running.kill();
                return Err(self.not_started(format!("not ready after {READY_WITHIN:?}: {reason}")));
            }
            thread::sleep(POLL);
        }
    }

    fn not_started(&self, reason: String) -> Error {
        let log = fs::read(&self.program.log).unwrap_or_default();
        let since = usize::try_from(self.log_before).unwrap_or(0).min(log.len());
        let log = String::from_utf8_lossy(&log[since..]);
        if log.contains("Address already in use") {
            return Error::PortTaken { server: self.name };
        }
        Error::NotStarted { server: self.name, reason, log_end: last_words(&log) }
    }
}

/// The end of a log without its stack frames: those of C++ are "12. name @ 0x…", those of Java "at name".
fn last_words(log: &str) -> String {
    let is_frame = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("at ") || line.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(". ")
    };
    let said: Vec<&str> = log.lines().filter(|line| !is_frame(line)).collect();
    last_lines(&said.join("\n"), LOG_LINES)
}

/// Calls `start` again, with other ports, for as long as ports turn out to be taken.
pub(super) fn until_ports_are_free<T>(start: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 1;
    loop {
        match start() {
            Err(Error::PortTaken { .. }) if tries < PORT_TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

fn spawn(exe: &Path, program: &Program) -> Result<(Guarded, u64), Error> {
    let log_before = program.log.metadata().map_or(0, |file| file.len());
    let running = Guarded::spawn(exe, program).map_err(Error::os("start", &program.path))?;
    Ok((running, log_before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_leave_out_stack_frames_but_no_sentence() {
        let log = "Code: 36. Bad folder\n\n0. ? @ 0x1\n12. main @ 0x2\nversion 26.7\n\tat kafka.Kafka.main(Kafka.java)\n2026.11.21 end";
        assert_eq!(last_words(log), "Code: 36. Bad folder\nversion 26.7\n2026.11.21 end");
    }
}
